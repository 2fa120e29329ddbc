"""Controls a segmentation node through its topics and services."""

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
    """Publishes camera messages to a node and collects its masks and diagnostics.

    Args:
        client: Client that publishes and subscribes.
        process: Process of the node.
        namespace: Namespace of the node ``lseg``.
        camera: "/" and the name of a camera, or "" if the node has only one.

    Attributes:
        node_name: Full name of the node.
        mask: Listener for the masks of the camera.
        resent: Number of images that ``wait_for_mask`` published again.
    """

    def __init__(self, client: RosClient, process: Process, namespace: str = NAMESPACE, camera: str = "") -> None:
        self.client = client
        self.process = process
        self.node_name = f"{namespace}/lseg"
        self._status_name = f"{self.node_name.lstrip('/')}: {camera.lstrip('/') or 'segmentation'}"
        node = client.node
        self._image = node.create_publisher(Image, f"{namespace}{camera}/rgb/image", RELIABLE)
        self._depth = node.create_publisher(Image, f"{namespace}{camera}/depth/image", RELIABLE)
        self._info = node.create_publisher(CameraInfo, f"{namespace}{camera}/rgb/camera_info", RELIABLE)
        self._diagnostics = client.listen(DiagnosticArray, "/diagnostics")
        self.mask = client.listen(Image, f"{self.node_name}{camera}/mask")
        self.resent = 0

    def clear(self) -> None:
        """Discard the diagnostics and masks received so far."""
        self._diagnostics.clear()
        self.mask.clear()

    def activate(self) -> None:
        """Bring the node to the active state and wait for its subscription."""
        if self.client.state(self.node_name) == "unconfigured":
            assert self.client.transition("configure", self.node_name), self.process.output
        if self.client.state(self.node_name) == "inactive":
            assert self.client.transition("activate", self.node_name), self.process.output
        wait_until(lambda: self._image.get_subscription_count(), 10, "the node does not subscribe")

    def make_header(self, frame_id: str = FRAME_ID, offset_s: float = 0.0) -> Header:
        """Make a header with the current time plus an offset."""
        header = Header(frame_id=frame_id)
        stamp_ns = self.client.node.get_clock().now().nanoseconds + round(offset_s * 1e9)
        header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        return header

    def send(self, image: Image | None = None, depth: Image | None = None, info: CameraInfo | None = None) -> None:
        """Publish messages.

        The image comes last, so that its camera_info and depth are there when it arrives.
        """
        for publisher, message in ((self._info, info), (self._depth, depth), (self._image, image)):
            if message is not None:
                publisher.publish(message)

    def wait_for_mask(self, *, timeout_s: float = 20.0, **messages: Any) -> Image:
        """Publish the messages of one frame and return its mask.

        Publishes them again every 2 s, because messages can be lost.

        Args:
            timeout_s: Time after which the test fails.
            messages: Arguments of ``send``.
        """
        stamp, before = messages["image"].header.stamp, len(self.mask.messages)
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self.send(**messages)
            resend_s = time.monotonic() + 2.0
            while time.monotonic() < resend_s:
                masks = [mask for mask in self.mask.messages[before:] if mask.header.stamp == stamp]
                if masks:
                    return masks[-1]
                time.sleep(0.01)
            self.resent += 1
        raise AssertionError(f"no mask within {timeout_s} s: {self.process.output}")

    def wait_for_status(self, text: str, timeout_s: float = 10.0) -> Any:
        """Wait for a diagnostic status whose message contains a text, and return it.

        Statuses from before ``clear`` are ignored.
        """
        return wait_until(
            lambda: next((status for status in self.statuses() if text in status.message), None), timeout_s, text
        )

    def statuses(self) -> list[Any]:
        """Return the diagnostic statuses of the camera since ``clear``."""
        statuses = [status for message in list(self._diagnostics.messages) for status in message.status]
        return [status for status in statuses if status.name == self._status_name]


def make_image(header: Header, encoding: str = "rgb8", height: int = 48, width: int = 64, padding: int = 0) -> Image:
    """Make an image of noise.

    Args:
        header: Header of the message.
        encoding: Encoding. An unknown one gets three channels.
        height: Height in pixels.
        width: Width in pixels.
        padding: Bytes at the end of each row that belong to no pixel.
    """
    channels = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "mono8": 1}.get(encoding, 3)
    rows = np.random.default_rng(0).integers(0, 256, (height, width * channels + padding), np.uint8)
    message = Image(header=header, height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.data.frombytes(rows.tobytes())
    return message


def make_depth(header: Header, meters: float = 2.0, height: int = 48, width: int = 64) -> Image:
    """Make a 32FC1 depth image of a wall in front of the camera."""
    message = Image(header=header, height=height, width=width, encoding="32FC1", step=4 * width)
    message.data.frombytes(np.full((height, width), meters, "<f4").tobytes())
    return message


def make_camera_info(header: Header, focal: float = 60.0, height: int = 48, width: int = 64) -> CameraInfo:
    """Make the camera_info of a pinhole camera with its principal point at the center."""
    k = [focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0]
    return CameraInfo(header=header, height=height, width=width, k=k)


def make_frame(header: Header, **changes: Any) -> dict[str, Any]:
    """Make the messages of one frame with depth, as arguments of ``NodeHarness.send``."""
    return {
        "image": make_image(header),
        "depth": make_depth(header),
        "info": make_camera_info(header),
        **changes,
    }
