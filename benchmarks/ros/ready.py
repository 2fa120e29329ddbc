"""What the node does with a frame, without the network: a label map that is ready stands in for it."""

from __future__ import annotations

import time
from typing import Any, cast

import numpy as np
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image

from benchmarks.ros.recording import Recorded
from lseg_ros.cdr import image_from_cdr
from lseg_ros.inference import EncodedVocabulary, PixelEmbeddings, Segmenter
from lseg_ros.pipeline import EncodedFrame, Outputs, Pipeline
from lseg_ros.ros.conversions import assemble, make_header
from lseg_ros.ros.publishers import Publishers
from lseg_ros.ros.subscriptions import RawImage, StampedCache, read_stamp_ns
from lseg_ros.structures import Segmentation
from lseg_ros.vocabulary import Vocabulary

__all__ = ["LABELS", "NodePath", "ready_segmentation"]

LABELS = 20
_SLOP_NS = 50_000_000


def ready_segmentation(recorded: Recorded) -> Segmentation:
    """What a network might have answered: the world's own classes, folded into 20 labels."""
    vocabulary = Vocabulary.of(f"thing {number}" for number in range(1, LABELS + 1))
    label_map = ((recorded.labels.astype(np.int16) - 1) % LABELS + 1).astype(np.uint8)
    return Segmentation(label_map, np.full_like(label_map, 200), vocabulary)


class NodePath:
    """The node's own code from raw bytes to publishing, called by hand.

    Its topics are those of a node ``lseg`` below the node's name; clouds are made of those that someone listens to.
    """

    def __init__(self, node: Node, recorded: Recorded) -> None:
        self._recorded = recorded
        self._segmentation = ready_segmentation(recorded)
        self._pipeline = Pipeline(cast(Segmenter, _Ready(self._segmentation)))
        self._depth: StampedCache[bytes] = StampedCache()
        self._info: StampedCache[bytes] = StampedCache()
        self._publishers = Publishers(node, "", lambda _: None)
        self._publishers.set_labels(self._segmentation.vocabulary.labels)

    def wanted(self) -> Outputs:
        return self._publishers.requested_outputs()

    def frame(self) -> dict[str, float]:
        """One frame, from what three raw subscriptions hand over to the last message handed to DDS.

        Returns milliseconds by stage.
        """
        start_s = time.perf_counter()
        recorded = self._recorded
        self._depth.add(read_stamp_ns(recorded.depth), recorded.depth)
        self._info.add(read_stamp_ns(recorded.info), recorded.info)
        raw = RawImage(recorded.image, Image, read_stamp_ns(recorded.image), 0.0)
        depth = self._depth.match(raw.stamp_ns, _SLOP_NS).item
        info = self._info.match(raw.stamp_ns, _SLOP_NS).item
        assert depth is not None and info is not None
        camera_info = deserialize_message(info, CameraInfo)
        frame, _ = assemble(raw.message(), image_from_cdr(depth), camera_info)
        embedded = EncodedFrame(frame, cast(PixelEmbeddings, None), 0.0)
        encoded = cast(EncodedVocabulary, _Words(self._segmentation.vocabulary))
        read_s = time.perf_counter()
        products = self._pipeline.postprocess(embedded, encoded, Outputs.POINTS | Outputs.LABEL_CLOUDS)
        made_s = time.perf_counter()
        self._publishers.publish(products, make_header(frame.stamp_ns, frame.frame_id), camera_info)
        publish_ms = (time.perf_counter() - made_s) * 1e3
        made_ms = {stage: products.stage_ms[stage] for stage in ("points", "clouds")}
        return {"match and read": (read_s - start_s) * 1e3, **made_ms, "publish": publish_ms}

    def destroy(self) -> None:
        self._publishers.destroy()


class _Ready:
    """In the place of a Segmenter: every frame gets the same answer at once."""

    def __init__(self, segmentation: Segmentation) -> None:
        self._segmentation = segmentation

    def label(self, *_: Any) -> Segmentation:
        return self._segmentation


class _Words:
    """In the place of an EncodedVocabulary, of which only the words are asked for here."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
