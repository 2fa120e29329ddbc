"""The executable ``go_to``: an example that sends Nav2 to a place which the map finds."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node

from lseg_ros.ros.conversions import point_to_message
from lseg_ros.ros.parameters import declare, read
from lseg_ros.ros.runtime import Attempt, run
from lseg_ros.ros.transforms import TransformListener
from lseg_ros.settings import check, setting
from lseg_ros.srv import MapFind

__all__ = ["GoTo", "GoToConfig", "approach", "main"]

_WAIT_S = 5.0


@dataclasses.dataclass(frozen=True)
class GoToConfig:
    """Parameters of ``go_to``."""

    text: str = setting("", "what to drive to, in any words")
    distance_m: float = setting(0.8, "distance from the object at which to stop", unit="m", minimum=0.0)
    robot_frame: str = setting("base_link", "coordinate frame of the robot")

    def __post_init__(self) -> None:
        """Check all parameters; raises ValueError that names the parameter."""
        check(self)
        if not self.text:
            raise ValueError("text: expected what to drive to, got ''")


class GoTo(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Sends a NavigateToPose goal in front of the best place of ``/lseg/map/find``.

    Attributes:
        done: Whether the goal was reached, refused or not possible.
    """

    def __init__(self) -> None:
        """Ask for the places.

        Raises:
            ImportError: If nav2_msgs is not installed.
        """
        try:
            from nav2_msgs.action import NavigateToPose
        except ImportError as error:
            raise ImportError("expected nav2_msgs, which is not installed: install Nav2") from error
        super().__init__("go_to")
        declare(self, GoToConfig)
        self.done = False
        self._config = read(self, GoToConfig)
        self._action = NavigateToPose
        self._transforms = TransformListener(self, self.get_logger().warning)
        self._navigate = ActionClient(self, NavigateToPose, "navigate_to_pose")
        self._places = self.create_client(MapFind, "/lseg/map/find")
        if not self._places.wait_for_service(2 * _WAIT_S):
            raise RuntimeError(f"expected the service {self._places.srv_name}: start lseg_node with map:=true")
        self._places.call_async(MapFind.Request(text=self._config.text)).add_done_callback(self._on_places)

    def destroy_node(self) -> None:
        """Stop receiving tf first, because its thread must not outlive the node."""
        self._transforms.destroy()
        self._navigate.destroy()
        super().destroy_node()

    def _on_places(self, future: Any) -> None:
        with Attempt(self.get_logger(), "cannot drive") as attempt:
            self._drive(future)
        self.done = self.done or attempt.reason is not None

    def _drive(self, future: Any) -> None:
        """Send the goal for the best place."""
        response = future.result()
        self.get_logger().info(response.message)
        if not response.places:
            self.done = True
            return
        frame_id, now_ns = response.header.frame_id, self.get_clock().now().nanoseconds
        robot = self._transforms.buffer.lookup(frame_id, self._config.robot_frame, now_ns, _WAIT_S)[:3, 3]
        place = response.places[0].point
        x, y, yaw = approach((place.x, place.y), robot.tolist(), self._config.distance_m)
        goal = self._action.Goal()
        goal.pose.header.frame_id = frame_id
        goal.pose.pose.position = point_to_message((x, y, 0.0))
        goal.pose.pose.orientation.z, goal.pose.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
        if not self._navigate.wait_for_server(2 * _WAIT_S):
            raise RuntimeError("expected the action navigate_to_pose: start Nav2")
        self._navigate.send_goal_async(goal).add_done_callback(self._follow)

    def _follow(self, future: Any) -> None:
        """Wait until Nav2 ends."""
        handle = future.result()
        if not handle.accepted:
            self.get_logger().error("Nav2 refused the goal")
            self.done = True
            return
        handle.get_result_async().add_done_callback(lambda _: setattr(self, "done", True))


def approach(point: Sequence[float], robot: Sequence[float], distance_m: float) -> tuple[float, float, float]:
    """Choose a pose in front of a place that faces it, on the line from the robot.

    Args:
        point: x and y of the place in the map, in meters; more coordinates are ignored.
        robot: x and y of the robot, in meters.
        distance_m: Distance from the place. A robot that is nearer turns on the spot.

    Returns:
        x and y in meters, and yaw in radians.
    """
    dx, dy = point[0] - robot[0], point[1] - robot[1]
    length = math.hypot(dx, dy)
    share = max(length - distance_m, 0.0) / length if length else 0.0
    return robot[0] + share * dx, robot[1] + share * dy, math.atan2(dy, dx)


def main() -> None:
    """Run the node ``go_to``."""
    sys.exit(run(GoTo, until=lambda node: node.done))


if __name__ == "__main__":
    main()
