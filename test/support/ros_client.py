"""A consumer of the node's topics and services, as one on a robot would be written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.srv import ChangeState, GetState
from lseg_ros.msg import Vocabulary
from lseg_ros.srv import GetLabels, SetLabels
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

LSEG = "/lseg"
REPLACE, APPEND = SetLabels.Request.REPLACE, SetLabels.Request.APPEND

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Listener:
    """What came on one topic, oldest first; ``received_s`` says when (monotonic)."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.received_s: list[float] = []

    def __call__(self, message: Any) -> None:
        self.received_s.append(time.monotonic())
        self.messages.append(message)

    def clear(self) -> None:
        self.messages, self.received_s = [], []

    def wait_for(self, count: int, timeout_s: float = 20.0) -> list[Any]:
        """The next so many messages."""
        first = len(self.messages)
        wait_until(lambda: len(self.messages) >= first + count, timeout_s, f"{count} more messages did not come")
        return self.messages[first:]

    def stamps(self) -> list[int]:
        return [read_stamp_ns(each) for each in list(self.messages)]

    def by_stamp(self) -> dict[int, Any]:
        return {read_stamp_ns(each): each for each in list(self.messages)}


class RosClient:
    """A node of its own that listens, publishes, calls and waits, spun by a thread."""

    def __init__(self, name: str = "ros_client") -> None:
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node(name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._subscriptions: list[Any] = []
        self._clients: dict[str, Any] = {}  # kept: a client that is new may miss its first answer
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def __enter__(self) -> RosClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin(self) -> None:
        while not self._stopping.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def listen(
        self, message_type: type, topic: str, qos: QoSProfile = RELIABLE, callback: Callable[[Any], None] | None = None
    ) -> Listener:
        """Listen until ``forget``; callback: instead of the listener that is returned."""
        listener = Listener()
        subscription = self.node.create_subscription(message_type, topic, callback or listener, qos)
        self._subscriptions.append(subscription)
        return listener

    def unsubscribe(self, keep: int = 0) -> int:
        """Listen no more, but to the first so many topics; returns how many there were."""
        count = len(self._subscriptions)
        going, self._subscriptions = self._subscriptions[keep:], self._subscriptions[:keep]
        self.run_in_spin_thread(lambda: [self.node.destroy_subscription(each) for each in going])
        return count

    def run_in_spin_thread(self, action: Callable[..., Any], *arguments: Any) -> None:
        """Have the spinning thread do it. Whatever goes away must go so: gone between being listed and being waited
        for, it makes rclpy raise there, and the consumer would be deaf from then on."""
        assert self._thread.is_alive(), "the consumer's thread died of what a warning tells below"
        wait_until(self._executor.create_task(action, *arguments).done, 20, "the consumer does not spin")

    def call(self, service_type: type, name: str, request: Any, timeout_s: float = 30.0) -> Any:
        if name not in self._clients:
            self._clients[name] = self.node.create_client(service_type, name)
        assert self._clients[name].wait_for_service(timeout_s), f"nobody serves {name}"
        future = self._clients[name].call_async(request)
        wait_until(future.done, timeout_s, f"no answer from {name}")
        return future.result()

    def ask(self, service_type: type, name: str, request: Any) -> Any:
        """``call`` for what may be asked twice: DDS may not know the way back to a new client yet when the answer is
        ready, and drops it ("failed to send response")."""
        for _ in range(2):
            with suppress(AssertionError):
                return self.call(service_type, name, request, 8.0)
        return self.call(service_type, name, request)

    def set_parameter(self, name: str, value: Any, node: str = LSEG) -> SetParametersResult:
        """Set one parameter as ``ros2 param set`` does; value: a Parameter.Type's Python value."""
        kind = Parameter.Type.STRING_ARRAY if isinstance(value, list) else None
        request = SetParametersAtomically.Request(parameters=[Parameter(name, kind, value).to_parameter_msg()])
        return self.ask(SetParametersAtomically, f"{node}/set_parameters_atomically", request).result

    def get_parameter(self, name: str, node: str = LSEG) -> Any:
        value = self.ask(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=[name])).values[0]
        return Parameter.from_parameter_msg(ParameterMessage(name=name, value=value)).value

    def set_labels(
        self,
        labels: Sequence[str],
        mode: int = REPLACE,
        ids: Sequence[int] = (),
        colors: Sequence[str] = (),
        node: str = LSEG,
    ) -> Any:
        request = SetLabels.Request(labels=list(labels), ids=list(ids), colors=list(colors), mode=mode)
        way = self.ask if mode == REPLACE else self.call
        return way(SetLabels, f"{node}/set_labels", request)

    def get_labels(self, node: str = LSEG) -> Any:
        return self.ask(GetLabels, f"{node}/get_labels", GetLabels.Request()).vocabulary

    def transition(self, label: str, node: str = LSEG) -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, f"{node}/change_state", request, 60.0).success

    def state(self, node: str = LSEG) -> str:
        return self.ask(GetState, f"{node}/get_state", GetState.Request()).current_state.label

    def read_vocabulary(self, node: str = LSEG) -> Any:
        """The lseg_ros/Vocabulary that someone who comes now is told."""
        listener = self.listen(Vocabulary, f"{node}/vocabulary", LATCHED)
        wait_until(lambda: listener.messages, 10, "no vocabulary for a late joiner")
        return listener.messages[-1]


def wait_until(condition: Callable[[], Any], timeout_s: float, complaint: str = "") -> Any:
    """Wait for something to become true and return it; fails the test where it does not."""
    deadline_s = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline_s, f"{complaint or condition} (after {timeout_s} s)"
        time.sleep(0.01)
    return result


def read_stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def read_pixels(image: Any) -> np.ndarray:
    """(H, W) of a mono8 image, read as Nav2 reads it: data[v * width + u]."""
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width)


def read_points(cloud: Any) -> np.ndarray:
    """A PointCloud2 as a structured array (height, width), by what its fields say."""
    kinds = {2: "u1", 4: "u2", 6: "u4", 7: "f4"}
    dtype = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [("<", ">")[cloud.is_bigendian] + kinds[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    return np.frombuffer(cloud.data, dtype).reshape(cloud.height, cloud.width)
