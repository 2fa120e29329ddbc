"""A node on a harness, fed by hand."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from test.support.executables import Process
from test.support.ros_client import RELIABLE, RosClient, wait_until

NAMESPACE = "/harness"
NODE = f"{NAMESPACE}/lseg"
FRAME_ID = "camera_optical_frame"


class NodeHarness:
    """Publishes what a test wants published, and reads what the node at ``node_name`` says.

    camera: "" for a node of one camera, else "/" and the name of one of its cameras.
    """

    def __init__(self, ros_client: RosClient, process: Process, namespace: str = NAMESPACE, camera: str = "") -> None:
        self.client = ros_client
        self.process = process
        self.node_name = f"{namespace}/lseg"
        self.status = f"{self.node_name.lstrip('/')}: {camera.lstrip('/') or 'segmentation'}"
        node = ros_client.node
        self._image = node.create_publisher(Image, f"{namespace}{camera}/rgb/image", RELIABLE)
        self._depth = node.create_publisher(Image, f"{namespace}{camera}/depth/image", RELIABLE)
        self._info = node.create_publisher(CameraInfo, f"{namespace}{camera}/rgb/camera_info", RELIABLE)
        self._diagnostics = ros_client.listen(DiagnosticArray, "/diagnostics")
        self.mask = ros_client.listen(Image, f"{self.node_name}{camera}/mask")
        self.sent_again = 0  # images, by ``mask_of``

    def begin(self) -> None:
        """Forget what was said and seen so far."""
        self._diagnostics.clear()
        self.mask.clear()

    def activate(self) -> None:
        """Bring the node to the state active, from whatever it is in."""
        if self.client.state(self.node_name) == "unconfigured":
            assert self.client.transition("configure", self.node_name), self.process.output
        if self.client.state(self.node_name) == "inactive":
            assert self.client.transition("activate", self.node_name), self.process.output
        wait_until(lambda: self._image.get_subscription_count(), 10, "the node does not subscribe")

    def header(self, frame_id: str = FRAME_ID, later_s: float = 0.0) -> Header:
        """A header of now."""
        header = Header(frame_id=frame_id)
        stamp_ns = self.client.node.get_clock().now().nanoseconds + round(later_s * 1e9)
        header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        return header

    def send(self, image: Image | None = None, depth: Image | None = None, info: CameraInfo | None = None) -> None:
        """Publish; camera_info and depth first, so that they are there when the image is."""
        for publisher, message in ((self._info, info), (self._depth, depth), (self._image, image)):
            if message is not None:
                publisher.publish(message)

    def wait_for_mask(self, timeout_s: float = 20.0, **messages: Any) -> Image:
        """Publish messages of one frame and wait for a new mask of it; sent again now and then, as some get lost."""
        stamp, before = messages["image"].header.stamp, len(self.mask.messages)
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self.send(**messages)
            again_s = time.monotonic() + 2.0
            while time.monotonic() < again_s:
                found = [each for each in self.mask.messages[before:] if each.header.stamp == stamp]
                if found:
                    return found[-1]
                time.sleep(0.01)
            self.sent_again += 1
        raise AssertionError(f"no mask within {timeout_s} s: {self.process.output}")

    def wait_for_status(self, text: str, timeout_s: float = 10.0) -> Any:
        """A status since ``begin`` that has a text in its message."""
        return wait_until(
            lambda: next((each for each in self.statuses() if text in each.message), None), timeout_s, text
        )

    def statuses(self) -> list[Any]:
        """What diagnostics said since ``begin``."""
        statuses = [each for message in list(self._diagnostics.messages) for each in message.status]
        return [each for each in statuses if each.name == self.status]


def image(header: Header, encoding: str = "rgb8", height: int = 48, width: int = 64, pad: int = 0) -> Image:
    """A picture of noise; pad: bytes at the end of each row that are none of it."""
    channels = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "mono8": 1}.get(encoding, 3)
    rows = np.random.default_rng(0).integers(0, 256, (height, width * channels + pad), np.uint8)
    message = Image(header=header, height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.data.frombytes(rows.tobytes())
    return message


def depth(header: Header, meters: float = 2.0, height: int = 48, width: int = 64) -> Image:
    """A wall in front of the camera, as 32FC1."""
    message = Image(header=header, height=height, width=width, encoding="32FC1", step=4 * width)
    message.data.frombytes(np.full((height, width), meters, "<f4").tobytes())
    return message


def camera_info(header: Header, focal: float = 60.0, height: int = 48, width: int = 64) -> CameraInfo:
    k = [focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0]
    return CameraInfo(header=header, height=height, width=width, k=k)
