"""A node that receives hostile input step by step, and must go on to segment good frames."""

from __future__ import annotations

import array
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from lifecycle_msgs.srv import ChangeState
from lseg_ros.msg import SegmentationSummary, Vocabulary
from lseg_ros.srv import QueryLabel, SetLabels
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters, SetParametersAtomically
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from test.support.executables import READY, Process
from test.support.node_harness import FRAME_ID, make_image
from test.support.ros_client import LATCHED, RELIABLE, Listener, RosClient, read_pixels, read_stamp_ns, wait_until

__all__ = ["TRANSPORTS", "FuzzedNode", "Step", "to_json"]

# The name of a method of FuzzedNode without its underscore, and its arguments, as JSON can hold them.
Step = tuple[Any, ...]

TRANSPORTS = ("raw", "compressed")
HEIGHT, WIDTH = 36, 48
_PARAMETER_NOT_SET_UP_TO = 9  # rcl_interfaces/ParameterType: rclpy does not answer requests with other types
_TIMEOUT_S = 60.0
_SETTLE_S = 0.03  # for the worker to take an image before the next one replaces it


class FuzzedNode:
    """A node in a process, its camera, and subscribers to all outputs.

    A node that died is replaced. The network is the one of the tests, so that a frame takes milliseconds.
    """

    def __init__(self, client: RosClient, checkpoint: str, transport: str, folder: Path) -> None:
        """Create the camera and the subscribers. ``ensure_running`` starts the node.

        Args:
            client: Client that publishes, subscribes and calls services.
            checkpoint: The network.
            transport: Parameter image_transport of the node.
            folder: Folder for logs.
        """
        self._client = client
        self._checkpoint = checkpoint
        self._transport = transport
        self._folder = folder
        self._namespace = f"/fuzz_{transport}"
        self.name = f"{self._namespace}/lseg"
        self._process: Process | None = None
        self._starts = 0
        self._stamp_ns = 0  # of the next good frame
        self._ids: dict[str, int] = {}  # by label name, since the start of the node
        create = client.node.create_publisher
        image_type, image_name = (
            (Image, "rgb/image") if transport == "raw" else (CompressedImage, "rgb/image/compressed")
        )
        self._publishers = {
            "image": create(image_type, f"{self._namespace}/{image_name}", RELIABLE),
            "depth": create(Image, f"{self._namespace}/depth/image", RELIABLE),
            "info": create(CameraInfo, f"{self._namespace}/rgb/camera_info", RELIABLE),
            "cloud": create(PointCloud2, f"{self._namespace}/cloud", RELIABLE),
        }
        self._masks = client.listen(Image, f"{self.name}/mask")
        self._vocabularies = client.listen(Vocabulary, f"{self.name}/vocabulary", LATCHED)
        self._others = [
            client.listen(Image, f"{self.name}/overlay"),
            client.listen(CompressedImage, f"{self.name}/mask/compressed"),
            client.listen(PointCloud2, f"{self.name}/points"),
            client.listen(PointCloud2, f"{self.name}/cloud"),
            client.listen(PointCloud2, f"{self.name}/points/floor"),
            client.listen(SegmentationSummary, f"{self.name}/summary"),
        ]

    @property
    def process(self) -> Process:
        """The process of the node."""
        assert self._process is not None, "the node was not started"
        return self._process

    def ensure_running(self) -> None:
        """Start the node unless it runs."""
        if self._process is not None and self._process.alive:
            return
        self._starts += 1
        self._ids = {}
        log = self._folder / f"node_{self._transport}_{self._starts}.log"
        self._process = Process(
            "lseg_node",
            log,
            "-r",
            f"__ns:={self._namespace}",
            checkpoint=self._checkpoint,
            image_transport=self._transport,
            labels=["floor", "wall", "chair"],
            points_source="both",
            cloud_extrinsics=["0 0 0 0 0 0 1"],
        )
        wait_until(lambda: not self.process.alive or READY in self.process.output, 90, "the node did not start")
        assert self.process.alive, self.process.output
        wait_until(self._publishers["image"].get_subscription_count, 60, "the node does not subscribe")
        self._stamp_ns = time.time_ns()

    def kill(self) -> None:
        """End a node whose state cannot be trusted any more."""
        if self._process is not None and self._process.alive:
            self._process.interrupt()
            self._process.wait(30.0)

    def close(self) -> None:
        """End the node as Ctrl-C does, and check that it ends in order."""
        if self._process is None:
            return
        self._process.interrupt()
        assert self._process.wait(30.0) == 0, self._process.output
        assert "Traceback" not in self._process.output, self._process.output

    def execute(self, step: Step) -> None:
        """Do one step."""
        kind, *arguments = step
        getattr(self, f"_{kind}")(*arguments)

    def check(self) -> None:
        """Check that the node lives and that a good frame gives a mask of the active labels."""
        assert self.process.alive, f"the node died: {self.process.output[-2000:]}"
        self._resume()
        vocabulary = self._client.get_labels(self.name)
        for label in (*vocabulary.labels, *vocabulary.retired):
            assert self._ids.setdefault(label.name.casefold(), label.id) == label.id, f"{label.name} changed its id"
        assert len(set(self._ids.values())) == len(self._ids), f"two labels have one id: {self._ids}"
        found = set(np.unique(read_pixels(self._segment_good_frame())).tolist())
        active = {label.id for label in vocabulary.labels}
        assert found <= active | {0}, f"the mask has the ids {found}, expected those of {active}"
        wait_until(lambda: self._announced_epoch() >= vocabulary.epoch, 20, "the vocabulary was not announced")
        assert "Traceback" not in self.process.output, self.process.output[-3000:]
        for listener in (self._masks, *self._others):
            listener.clear()

    def _publish(self, topic: str, octets: str, current: bool) -> None:
        """Publish serialized bytes.

        Args:
            topic: "image", "depth", "info" or "cloud".
            octets: The message in CDR, as hexadecimal digits.
            current: Replace the stamp by that of the next good frame.
        """
        data = bytearray.fromhex(octets)
        if current and len(data) >= 12:
            order = "little" if data[1] & 1 else "big"
            sec, nanosec = divmod(self._stamp_ns, 10**9)
            data[4:12] = sec.to_bytes(4, order) + nanosec.to_bytes(4, order)  # type: ignore[arg-type]
        self._publishers[topic].publish(bytes(data))
        time.sleep(_SETTLE_S)

    def _set_parameters(self, parameters: list[dict[str, Any]], atomically: bool) -> None:
        """Set parameters, given by their name, type and value."""
        messages = [ParameterMessage(name=item["name"], value=_parameter_value(item)) for item in parameters]
        kind, name = (
            (SetParametersAtomically, "set_parameters_atomically") if atomically else (SetParameters, "set_parameters")
        )
        answered = all(item["type"] <= _PARAMETER_NOT_SET_UP_TO for item in parameters)
        self._request(kind, name, kind.Request(parameters=messages), answered)  # type: ignore[attr-defined]

    def _read_parameters(self, names: list[str]) -> None:
        """Get and describe parameters."""
        self._request(GetParameters, "get_parameters", GetParameters.Request(names=names), False)
        self._request(DescribeParameters, "describe_parameters", DescribeParameters.Request(names=names), False)

    def _set_labels(self, labels: list[str], ids: list[int], colors: list[str], mode: int) -> None:
        request = SetLabels.Request(labels=labels, ids=ids, colors=colors, mode=mode)
        response = self._request(SetLabels, "set_labels", request)
        assert response.success != bool(response.message), response.message
        names = [label.name for label in response.vocabulary.labels]
        if response.success and mode == SetLabels.Request.REPLACE:
            assert len(names) == len(labels)

    def _query(self, text: str, camera: str, threshold: float, no_image: bool) -> None:
        request = QueryLabel.Request(text=text, camera=camera, threshold=threshold, no_image=no_image)
        response = self._request(QueryLabel, "query", request)
        assert response.message
        assert response.success or not response.similarity.data

    def _enable(self, enabled: bool) -> None:
        assert self._request(SetBool, "enable", SetBool.Request(data=enabled)).success

    def _transition(self, number: int, label: str) -> None:
        """Request a lifecycle transition. Some are not answered, because rclpy raises for them."""
        request = ChangeState.Request()
        request.transition.id, request.transition.label = number, label
        self._request(ChangeState, "change_state", request, False)

    def _request(self, kind: type, name: str, request: Any, answered: bool = True) -> Any:
        """Call a service, and wait only briefly if an answer is not required."""
        if answered:
            return self._client.call_with_retry(kind, f"{self.name}/{name}", request)
        with contextlib.suppress(AssertionError):
            return self._client.call(kind, f"{self.name}/{name}", request, 0.5)
        return None

    def _resume(self) -> None:
        """Undo whatever stops masks: pauses, lifecycle states and rates."""
        transitions = {"unconfigured": "configure", "inactive": "activate"}
        while (state := self._client.state(self.name)) != "active":
            assert state in transitions, f"the node is {state}"
            assert self._client.transition(transitions[state], self.name), self.process.output[-2000:]
        self._enable(True)
        for name in ("max_rate_hz", "max_frame_age_s"):
            if self._client.get_parameter(name, self.name):
                assert self._client.set_parameter(name, 0.0, self.name).successful

    def _segment_good_frame(self) -> Image:
        """Publish an image until its mask arrives."""
        header = Header(frame_id=FRAME_ID)
        header.stamp.sec, header.stamp.nanosec = divmod(self._stamp_ns, 10**9)
        message = make_image(header, height=HEIGHT, width=WIDTH)
        stamp_ns, self._stamp_ns = self._stamp_ns, time.time_ns()
        deadline_s = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline_s and self.process.alive:
            self._publishers["image"].publish(message if self._transport == "raw" else _compress(message))
            with contextlib.suppress(AssertionError):
                return wait_until(lambda: _find(self._masks, stamp_ns), 2.0)
        raise AssertionError(f"no mask of a good frame: {self.process.output[-3000:]}")

    def _announced_epoch(self) -> int:
        return max((message.epoch for message in list(self._vocabularies.messages[-1:])), default=0)


def _find(masks: Listener, stamp_ns: int) -> Image | None:
    found = (mask for mask in list(masks.messages) if read_stamp_ns(mask) == stamp_ns and mask.width == WIDTH)
    return next((mask for mask in found if mask.height == HEIGHT), None)


def _compress(image: Image) -> CompressedImage:
    pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
    message = CompressedImage(header=image.header, format="png")
    message.data = array.array("B", cv2.imencode(".png", pixels)[1].tobytes())
    return message


def _parameter_value(item: dict[str, Any]) -> ParameterValue:
    fields = (
        "bool_value", "integer_value", "double_value", "string_value", "byte_array_value", "bool_array_value",
        "integer_array_value", "double_array_value", "string_array_value",
    )  # fmt: skip
    value = ParameterValue(type=item["type"])
    if 1 <= item["type"] <= len(fields):
        content = item["value"]
        name = fields[item["type"] - 1]
        setattr(value, name, [bytes([number]) for number in content] if name == "byte_array_value" else content)
    return value


def to_json(transport: str, steps: list[Step]) -> bytes:
    """Write a run as a regression case: the transport, and one step per line."""
    lines = ",\n".join(json.dumps(step) for step in steps)
    return f'{{"transport": "{transport}", "steps": [\n{lines}\n]}}\n'.encode()
