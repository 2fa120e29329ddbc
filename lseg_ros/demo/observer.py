"""The demo's own node: looks on, keeps score, changes the labels, and takes a picture."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import Image

from lseg_ros.demo.metrics import SegmentationMetrics
from lseg_ros.demo.synthetic_camera import GROUND_TRUTH
from lseg_ros.messages import stamp_ns
from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.ros.conversions import vocabulary_from_message
from lseg_ros.ros.qos import FRAME_QOS, LATCHED_QOS
from lseg_ros.vocabulary import Vocabulary

__all__ = ["DemoObserver"]

_KEPT = 50  # exact label maps that wait for their mask


class DemoObserver(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Compares each mask with the exact labels of its stamp.

    target: the segmentation node's name. class_ids: exact label id by class name. Callbacks run in the executor's
    thread, everything else in the demo's.
    """

    def __init__(self, target: str, class_ids: Mapping[str, int]) -> None:
        super().__init__("spectator")
        self._class_ids = class_ids
        self._lock = threading.Lock()
        self._exact: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._board: SegmentationMetrics | None = None
        self._valid_from_ns = 0
        self.vocabulary: Vocabulary | None = None
        self.last_mask: NDArray[np.uint8] | None = None
        self.stale_masks = 0  # images taken after the answer to a change, with labels of before in their mask
        self._gone: list[int] = []
        self._gone_since_ns = 0
        self._remote = AsyncParameterClient(self, target)
        self.create_subscription(VocabularyMessage, f"{target}/vocabulary", self._on_vocabulary, LATCHED_QOS)
        self.create_subscription(Image, GROUND_TRUTH, self._on_exact, FRAME_QOS)
        self.create_subscription(Image, f"{target}/mask", self._on_mask, FRAME_QOS)

    def keep_score(self) -> SegmentationMetrics:
        """Begin a new scoreboard, for the vocabulary that is live; images taken before do not count any more."""
        with self._lock:
            if self.vocabulary is None:
                raise ValueError("vocabulary: expected one before the first mask, none came")
            self._valid_from_ns = self.get_clock().now().nanoseconds
            self._board = SegmentationMetrics(self.vocabulary, self._class_ids)
            return self._board

    def rest(self) -> None:
        """Keep no score until the next ``keep_score``."""
        with self._lock:
            self._board = None

    def change_labels(self, labels: Sequence[str], timeout_s: float = 30.0) -> None:
        """Set the node's parameter ``labels`` and wait for the answer. Raises ValueError where it is refused."""
        before = self.vocabulary
        answered = threading.Event()
        parameter = Parameter("labels", Parameter.Type.STRING_ARRAY, list(labels))
        future = self._remote.set_parameters([parameter])
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(timeout_s):
            raise ValueError(f"labels: expected an answer within {timeout_s} s, got none")
        result = future.result().results[0]
        if not result.successful:
            raise ValueError(f"labels: refused, {result.reason}")
        with self._lock:
            if before is not None:
                self._gone = [label.id for label in before.labels if label.name not in labels]
                self._gone_since_ns = self.get_clock().now().nanoseconds

    def in_view(self) -> dict[str, float]:
        """Shares of the last mask by label name, the largest first."""
        mask, vocabulary = self.last_mask, self.vocabulary
        if mask is None or vocabulary is None:
            return {}
        share = np.bincount(mask.reshape(-1), minlength=256) / mask.size
        shares = {label.name: float(share[label.id]) for label in vocabulary.labels if share[label.id] > 0}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def _on_vocabulary(self, message: VocabularyMessage) -> None:
        self.vocabulary = vocabulary_from_message(message)

    def _on_exact(self, message: Image) -> None:
        with self._lock:
            self._exact[stamp_ns(message.header)] = _pixels(message)
            while len(self._exact) > _KEPT:
                self._exact.popitem(last=False)

    def _on_mask(self, message: Image) -> None:
        arrived_s, mask, stamp = time.monotonic(), _pixels(message), stamp_ns(message.header)
        latency_ms = (self.get_clock().now().nanoseconds - stamp) / 1e6
        self.last_mask = mask
        with self._lock:
            if stamp > self._gone_since_ns:
                self.stale_masks += bool(np.isin(mask, self._gone).any())
            if self._board is not None and stamp > self._valid_from_ns:
                self._board.add(mask, self._exact.get(stamp), arrived_s, latency_ms)


def _pixels(message: Any) -> NDArray[np.uint8]:
    """(H, W) of a mono8 image without row padding, as this package publishes them."""
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)
