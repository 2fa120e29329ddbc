"""The executable ``viewer``: shows what a running node publishes on a page in the browser."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from lseg_ros.geometry import unpack_rgb
from lseg_ros.messages import compressed_to_rgb, image_to_rgb, intrinsics_from_camera_info, stamp_ns
from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.query import QueryResult
from lseg_ros.ros.conversions import vocabulary_from_message
from lseg_ros.ros.diagnostics import UNLABELED_THRESHOLD
from lseg_ros.ros.parameters import declare, read
from lseg_ros.ros.runtime import run
from lseg_ros.ros.topics import (
    CAMERA_INFO,
    CONFIDENCE,
    DIAGNOSTICS,
    FRAME_QOS,
    IMAGE,
    LATCHED_QOS,
    MAP_CLOUD,
    MASK,
    POINTS,
    resolve_transport,
)
from lseg_ros.settings import check, setting
from lseg_ros.srv import QueryLabel, SetLabels
from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE, Frame, Segmentation, to_xyz
from lseg_ros.view.feed import Found, LabeledFrame, MapCloud
from lseg_ros.view.page import Page, PageSettings
from lseg_ros.vocabulary import Vocabulary

__all__ = ["NodeFeed", "Viewer", "ViewerConfig", "main"]

_STAMPS_KEPT = 20
_ANSWER_S = 10.0
_SILENCE_S = 3.0  # without a frame, after which the page says what is missing
_REQUIRED = {"image", "mask", "confidence"}
_OPTIONAL = {"points", "camera_info"}
_MOST_WAITING = 2  # frames


@dataclasses.dataclass(frozen=True)
class ViewerConfig:
    """Parameters of ``viewer``, in addition to those of its page."""

    target: str = setting("lseg", "name of the segmentation node")
    camera: str = setting("", "camera to show first, if the node has several; empty for its first one")
    image_transport: str = setting(
        "raw", "image topic to subscribe to: rgb/image or rgb/image/compressed", choices=("raw", "compressed")
    )

    def __post_init__(self) -> None:
        """Check all parameters; raises ValueError that names the parameter."""
        check(self)


class NodeFeed:
    """A ``Feed`` of the topics and services of a segmentation node.

    The thread of the page calls its methods, the executor its callbacks. It subscribes only while a page is open, so
    the node computes nothing for a viewer without one.
    """

    length = 0
    moving = True

    def __init__(self, node: Node, config: ViewerConfig) -> None:
        """Create the clients; ``node`` is the node of the viewer."""
        self.title = node.resolve_topic_name(config.target)
        self.threshold: float | None = None
        self.cameras: Sequence[str] = ()
        self.camera = config.camera
        self._node = node
        self._config = config
        self._set_labels = node.create_client(SetLabels, f"{config.target}/set_labels")
        self._query = node.create_client(QueryLabel, f"{config.target}/query")
        self._parameters = AsyncParameterClient(node, self.title)
        self._changed = threading.Condition()
        self._subscriptions: list[Any] = []
        self._by_stamp: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._received_s: dict[str, float] = {}  # by topic
        self._complete: tuple[dict[str, Any], Vocabulary, float] | None = None
        self._vocabulary: Vocabulary | None = None
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self._map_topic = MAP_CLOUD.name.replace("~", config.target)
        self._map: PointCloud2 | None = None  # not shown yet
        self._map_color = ""
        self._is_map_wanted = False
        self._last_s = time.monotonic()
        self._newest_ns: dict[str, int] = {}  # stamp by topic
        self._complete_ns = 0  # stamp of the last complete frame
        self._session = 0  # counts subscriptions, so that late callbacks of earlier ones are recognized

    def read(self, index: int, timeout_s: float) -> LabeledFrame | None:
        """Wait for the next complete frame."""
        if self.cameras and self.camera not in self.cameras:
            if self.camera:
                names = ", ".join(self.cameras)
                self._node.get_logger().warning(f"camera: expected one of {names}, got {self.camera!r}")
            self.select_camera(self.cameras[0])
        if not self._subscriptions:
            self._subscribe()
        with self._changed:
            self._changed.wait_for(lambda: self._complete is not None, timeout_s)
            if self._complete is None:
                self._check_silence()
                return None
            (messages, vocabulary, latency_ms), self._complete = self._complete, None
            self._last_s = time.monotonic()
        frame = _to_frame(messages)
        self._frames[frame.stamp_ns] = frame
        while len(self._frames) > _STAMPS_KEPT:
            self._frames.popitem(last=False)
        segmentation = Segmentation(_to_array(messages["mask"]), _to_array(messages["confidence"]), vocabulary)
        name = f"{self.title} at {frame.stamp_ns / 1e9:.3f} s"
        return LabeledFrame(name, 0, frame, segmentation, latency_ms)

    def read_again(self, timeout_s: float) -> LabeledFrame | None:
        """Wait for the next complete frame, which has the new labels."""
        with self._changed:
            self._complete = None
        return self.read(0, _SILENCE_S)

    def set_labels(self, entries: Sequence[str], colors: Sequence[str] | None = None) -> None:
        """Call ``~/set_labels``; raises ValueError with the reason of the node."""
        response = self._call(self._set_labels, SetLabels.Request(labels=list(entries), colors=list(colors or ())))
        if not response.success:
            raise ValueError(response.message)

    def set_threshold(self, threshold: float) -> None:
        """Set the parameter ``unlabeled_threshold`` of the node."""
        self._set_parameter("unlabeled_threshold", Parameter.Type.DOUBLE, float(threshold))

    def select_camera(self, name: str) -> None:
        """Subscribe to the topics of another camera instead."""
        self.rest()
        self.camera = name

    def query(self, text: str) -> Found:
        """Call ``~/query``."""
        response = self._call(self._query, QueryLabel.Request(text=text, camera=self.camera))
        if not response.success:
            raise ValueError(response.message)
        similarity = response.similarity
        values = np.frombuffer(similarity.data, "<f4").reshape(similarity.height, similarity.width)
        point = np.array([response.point.x, response.point.y, response.point.z]) if response.has_point else None
        result = QueryResult(values, response.score, (response.u, response.v), point)
        frame = self._frames.get(stamp_ns(response.header))
        if frame is None or frame.size != values.shape:  # the node is ahead of the page
            frame = next((frame for frame in reversed(self._frames.values()) if frame.size == values.shape), None)
        if frame is None:
            raise ValueError("query: no image of the searched frame was received")
        return Found(frame, result)

    def has_map(self) -> bool:
        """Return whether the node publishes ``~/map/cloud``."""
        return bool(self._node.count_publishers(self._map_topic) > 0)

    def map_cloud(self, query: str, hidden: Collection[int]) -> MapCloud | None:
        """Return the newest ``~/map/cloud``.

        The node builds it from the first call on, until ``rest``. A query becomes ``map_color`` of the node.
        """
        if query != self._map_color:
            self._set_parameter("map_color", Parameter.Type.STRING, query)
            self._map_color = query
        if not self._is_map_wanted:
            self._is_map_wanted = True
            self._subscriptions.append(
                self._node.create_subscription(PointCloud2, self._map_topic, self._on_map, FRAME_QOS)
            )
        with self._changed:
            message, self._map = self._map, None
        if message is None:
            return None
        points = np.frombuffer(message.data, CLOUD_DTYPE)
        return MapCloud(to_xyz(points), unpack_rgb(points["rgb"]))

    def rest(self) -> None:
        """Unsubscribe."""
        subscriptions, self._subscriptions, self._is_map_wanted = self._subscriptions, [], False
        executor = self._node.executor
        for subscription in subscriptions if executor is not None else ():
            # In the executor's thread: rclpy raises an exception if a subscription disappears while it waits for it.
            executor.create_task(self._node.destroy_subscription, subscription)
        if subscriptions:
            self._forget()

    def command(self, frame: LabeledFrame, image: str) -> str:
        """Return the call of ``~/set_labels`` with the labels of this frame."""
        entries = json.dumps(frame.segmentation.vocabulary.entries, ensure_ascii=False)
        request = shlex.quote(f"{{labels: {entries}}}")
        return f"ros2 service call {self.title}/set_labels lseg_ros/srv/SetLabels {request}"

    def _forget(self) -> None:
        with self._changed:
            self._by_stamp.clear()
            self._received_s.clear()
            self._newest_ns.clear()
            self._frames.clear()
            self._complete = self._vocabulary = self._map = self.threshold = None
            self._session += 1

    def _subscribe(self) -> None:
        camera, transport, target = self.camera, self._config.image_transport, self._config.target
        image = IMAGE.for_camera(camera).name
        if transport == "compressed":
            image = resolve_transport(self._node, image, transport)
        self._last_s = time.monotonic()
        topics = {
            "mask": (MASK, Image),
            "confidence": (CONFIDENCE, Image),
            "points": (POINTS, PointCloud2),
            "camera_info": (CAMERA_INFO, CameraInfo),
        }
        create = self._node.create_subscription
        self._subscriptions = [
            create(VocabularyMessage, f"{target}/vocabulary", self._on_vocabulary, LATCHED_QOS),
            create(DiagnosticArray, DIAGNOSTICS.name, self._on_diagnostics, 10),
            create(
                CompressedImage if transport == "compressed" else Image,
                image,
                self._make_callback("image"),
                qos_profile_sensor_data,
            ),
            *(
                create(kind, topic.for_camera(camera).name.replace("~", target), self._make_callback(role), FRAME_QOS)
                for role, (topic, kind) in topics.items()
            ),
        ]

    def _on_vocabulary(self, message: VocabularyMessage) -> None:
        with self._changed:
            self._vocabulary = vocabulary_from_message(message)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Learn the cameras of the node and the threshold that it uses."""
        prefix = f"{self.title.lstrip('/')}: "
        statuses = [status for status in message.status if status.name.startswith(prefix)]
        values = {item.key: item.value for status in statuses for item in status.values}
        if self.threshold is None:
            with suppress(ValueError):  # of another program that uses this name
                threshold = float(values.get(UNLABELED_THRESHOLD, "nan"))
                self.threshold = threshold if 0 <= threshold <= 1 else None
        if len(statuses) > 1:
            self.cameras = tuple(status.name.removeprefix(prefix) for status in statuses)

    def _make_callback(self, role: str) -> Callable[[Any], None]:
        session = self._session

        def on_message(message: Any) -> None:
            stamp = stamp_ns(message.header)
            with self._changed:
                if session != self._session:
                    return
                self._by_stamp.setdefault(stamp, {})[role] = message
                self._received_s[role], self._newest_ns[role] = time.monotonic(), stamp
                if self._is_complete(self._by_stamp[stamp]) and self._vocabulary is not None:
                    latency_ms = (self._node.get_clock().now().nanoseconds - stamp) / 1e6
                    self._complete = self._by_stamp.pop(stamp), self._vocabulary, latency_ms
                    self._complete_ns = stamp
                    self._changed.notify_all()
                while len(self._by_stamp) > _STAMPS_KEPT:
                    self._by_stamp.popitem(last=False)

        return on_message

    def _is_complete(self, messages: dict[str, Any]) -> bool:
        """Return whether all messages of a frame are there.

        Points and camera_info count if the last frame had them, until several frames wait for them in vain.
        """
        waiting = sum(others.keys() >= _REQUIRED for others in self._by_stamp.values())
        expected = {role for role in _OPTIONAL if self._newest_ns.get(role, -1) >= self._complete_ns}
        return messages.keys() >= (_REQUIRED | expected if waiting <= _MOST_WAITING else _REQUIRED)

    def _check_silence(self) -> None:
        """Raise ValueError that names what is missing if no frame was complete for a while."""
        now_s = time.monotonic()
        if now_s - self._last_s < _SILENCE_S:
            return
        missing = [role for role in sorted(_REQUIRED) if now_s - self._received_s.get(role, -_SILENCE_S) >= _SILENCE_S]
        missing += ["vocabulary"] * (self._vocabulary is None)
        got = f"no {', '.join(missing)}" if missing else "no image and mask with the same stamp"
        raise ValueError(f"{self.title}: expected frames, got {got} for {_SILENCE_S:.0f} s")

    def _on_map(self, message: PointCloud2) -> None:
        with self._changed:
            self._map = message

    def _set_parameter(self, name: str, kind: Parameter.Type, value: Any) -> None:
        """Set a parameter of the node; raises ValueError with the reason of the node."""
        result = self._wait(self._parameters.set_parameters([Parameter(name, kind, value)])).results[0]
        if not result.successful:
            raise ValueError(result.reason)

    def _call(self, client: Any, request: Any) -> Any:
        if not client.service_is_ready():
            raise ValueError(f"{client.srv_name}: expected a running node, got none")
        return self._wait(client.call_async(request))

    def _wait(self, future: Any) -> Any:
        answered = threading.Event()
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(_ANSWER_S):
            raise ValueError(f"{self.title}: expected an answer within {_ANSWER_S:.0f} s, got none")
        return future.result()


class Viewer(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Serves the page of a segmentation node, which does not know its viewers."""

    def __init__(self) -> None:
        """Start to serve the page.

        Raises:
            ValueError: A parameter is invalid.
            OSError: The address cannot be used.
            ModuleNotFoundError: viser is not installed.
        """
        super().__init__("viewer")
        for config in (ViewerConfig, PageSettings):
            declare(self, config)
        settings = read(self, PageSettings)
        self._page = Page(NodeFeed(self, read(self, ViewerConfig)), settings, "")
        self._thread = threading.Thread(target=self._page.run, name="page", daemon=True)
        self._thread.start()
        access = "" if settings.host in ("127.0.0.1", "localhost", "::1") else ", for everyone and without a password"
        self.get_logger().info(f"open {self._page.url} in a browser{access}")

    def destroy_node(self) -> None:
        """Close the page and destroy the node."""
        self._page.stop()
        self._thread.join(_ANSWER_S)
        super().destroy_node()


def _to_frame(messages: dict[str, Any]) -> Frame:
    image = messages["image"]
    rgb = image_to_rgb(image) if hasattr(image, "encoding") else compressed_to_rgb(image)
    points, info = messages.get("points"), messages.get("camera_info")
    depth_m = None
    if points is not None:  # the depth image of a camera has another stamp and maybe another size
        xyz = to_xyz(np.frombuffer(points.data, POINT_DTYPE).reshape(points.height, points.width))
        depth_m = np.ascontiguousarray(xyz[..., 2])
    intrinsics = None if info is None else intrinsics_from_camera_info(info)
    return Frame(rgb, depth_m, intrinsics, stamp_ns(image.header), image.header.frame_id)


def _to_array(message: Any) -> Any:
    """(H, W) pixels of a mono8 image without row padding, as the node publishes it."""
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


def main() -> None:
    """Run the node ``viewer``."""
    sys.exit(run(Viewer))


if __name__ == "__main__":
    main()
