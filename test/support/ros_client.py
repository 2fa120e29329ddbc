"""A client of the node's topics and services, written like one on a robot."""

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
    """Collects the messages of one topic.

    Attributes:
        messages: Messages, oldest first.
        received_s: Monotonic time at which each message arrived.
    """

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.received_s: list[float] = []

    def __call__(self, message: Any) -> None:
        self.received_s.append(time.monotonic())
        self.messages.append(message)

    def clear(self) -> None:
        """Discard the messages received so far."""
        self.messages, self.received_s = [], []

    def wait_for(self, count: int, timeout_s: float = 20.0) -> list[Any]:
        """Wait for the next messages and return them."""
        first = len(self.messages)
        wait_until(lambda: len(self.messages) >= first + count, timeout_s, f"{count} more messages did not arrive")
        return self.messages[first:]

    def stamps(self) -> list[int]:
        """Return the stamps of all messages in nanoseconds."""
        return [read_stamp_ns(message) for message in list(self.messages)]

    def by_stamp(self) -> dict[int, Any]:
        """Return the messages by stamp in nanoseconds."""
        return {read_stamp_ns(message): message for message in list(self.messages)}


class RosClient:
    """A node that subscribes, publishes and calls services. A thread spins it."""

    def __init__(self, name: str = "ros_client") -> None:
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node(name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._subscriptions: list[Any] = []
        self._clients: dict[str, Any] = {}  # reused, because a new client may miss its first response
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
        """Subscribe to a topic until ``unsubscribe``.

        Args:
            message_type: Type of the messages.
            topic: Full name of the topic.
            qos: Requested quality of service.
            callback: Receives the messages instead of the returned listener.
        """
        listener = Listener()
        subscription = self.node.create_subscription(message_type, topic, callback or listener, qos)
        self._subscriptions.append(subscription)
        return listener

    def unsubscribe(self, keep: int = 0) -> int:
        """Destroy all subscriptions except for the first ones.

        Args:
            keep: Number of subscriptions to keep.

        Returns:
            The number of subscriptions before the call.
        """
        count = len(self._subscriptions)
        removed, self._subscriptions = self._subscriptions[keep:], self._subscriptions[:keep]
        self.run_in_spin_thread(lambda: [self.node.destroy_subscription(subscription) for subscription in removed])
        return count

    def run_in_spin_thread(self, action: Callable[..., Any], *arguments: Any) -> None:
        """Run an action in the thread that spins the node.

        Publishers and subscriptions must be destroyed this way. If one disappears while the thread waits for it, rclpy
        raises an exception and the client receives nothing from then on.
        """
        assert self._thread.is_alive(), "the thread of the client ended with an exception"
        wait_until(self._executor.create_task(action, *arguments).done, 20, "the client does not spin")

    def call(self, service_type: type, name: str, request: Any, timeout_s: float = 30.0) -> Any:
        """Call a service once and return its response."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(service_type, name)
        assert self._clients[name].wait_for_service(timeout_s), f"no server for {name}"
        future = self._clients[name].call_async(request)
        wait_until(future.done, timeout_s, f"no response from {name}")
        return future.result()

    def call_with_retry(self, service_type: type, name: str, request: Any) -> Any:
        """Call a service whose request may arrive twice.

        DDS drops a response ("failed to send response") if the server has not discovered a new client yet.
        """
        for _ in range(2):
            with suppress(AssertionError):
                return self.call(service_type, name, request, 8.0)
        return self.call(service_type, name, request)

    def set_parameter(self, name: str, value: Any, node: str = LSEG) -> SetParametersResult:
        """Set one parameter, as ``ros2 param set`` does."""
        parameter_type = Parameter.Type.STRING_ARRAY if value == [] else None  # its type is not in the value
        request = SetParametersAtomically.Request(
            parameters=[Parameter(name, parameter_type, value).to_parameter_msg()]
        )
        return self.call_with_retry(SetParametersAtomically, f"{node}/set_parameters_atomically", request).result

    def get_parameter(self, name: str, node: str = LSEG) -> Any:
        """Return the value of a parameter."""
        value = self.call_with_retry(
            GetParameters, f"{node}/get_parameters", GetParameters.Request(names=[name])
        ).values[0]
        return Parameter.from_parameter_msg(ParameterMessage(name=name, value=value)).value

    def set_labels(
        self,
        labels: Sequence[str],
        mode: int = REPLACE,
        ids: Sequence[int] = (),
        colors: Sequence[str] = (),
        node: str = LSEG,
    ) -> Any:
        """Call ``~/set_labels`` and return the response."""
        request = SetLabels.Request(labels=list(labels), ids=list(ids), colors=list(colors), mode=mode)
        call = self.call_with_retry if mode == REPLACE else self.call
        return call(SetLabels, f"{node}/set_labels", request)

    def get_labels(self, node: str = LSEG) -> Any:
        """Return the vocabulary from ``~/get_labels``."""
        return self.call_with_retry(GetLabels, f"{node}/get_labels", GetLabels.Request()).vocabulary

    def transition(self, label: str, node: str = LSEG) -> bool:
        """Request a lifecycle transition and return whether it succeeded."""
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, f"{node}/change_state", request, 60.0).success

    def state(self, node: str = LSEG) -> str:
        """Return the lifecycle state of a node."""
        return self.call_with_retry(GetState, f"{node}/get_state", GetState.Request()).current_state.label

    def read_vocabulary(self, node: str = LSEG) -> Any:
        """Subscribe to ``~/vocabulary`` and return the latched message."""
        listener = self.listen(Vocabulary, f"{node}/vocabulary", LATCHED)
        wait_until(lambda: listener.messages, 10, "no latched vocabulary")
        return listener.messages[-1]


def wait_until(condition: Callable[[], Any], timeout_s: float, failure: str = "") -> Any:
    """Wait until a condition is true and return its value. Fail the test after the timeout.

    Args:
        condition: Called every 10 ms.
        timeout_s: Longest time to wait in seconds.
        failure: Text of the failure.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline_s, f"{failure or condition} (after {timeout_s} s)"
        time.sleep(0.01)
    return result


def read_stamp_ns(message: Any) -> int:
    """Read the stamp of a message with a header in nanoseconds."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def read_pixels(image: Any) -> np.ndarray:
    """Read a mono8 image (height, width) as Nav2 does: data[v * width + u]."""
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width)


def read_points(cloud: Any) -> np.ndarray:
    """Read a PointCloud2 as a structured array (height, width) with the fields of the message."""
    formats = {2: "u1", 4: "u2", 6: "u4", 7: "f4"}
    dtype = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [("<", ">")[cloud.is_bigendian] + formats[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    return np.frombuffer(cloud.data, dtype).reshape(cloud.height, cloud.width)
