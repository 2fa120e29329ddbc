"""The work of the node for one frame, with a given label map instead of the network."""

from __future__ import annotations

import time
from typing import Any, cast

import numpy as np
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image

from benchmarks.ros.serialized_frame import SerializedFrame
from lseg_ros.assembly import assemble
from lseg_ros.benchmark.stages import make_vocabulary
from lseg_ros.cdr import image_from_cdr, read_stamp_ns
from lseg_ros.inference import EncodedVocabulary, PixelEmbeddings, Segmenter
from lseg_ros.matching import StampedCache
from lseg_ros.pipeline import EncodedFrame, Outputs, Pipeline
from lseg_ros.ros.conversions import make_header
from lseg_ros.ros.publishers import Publishers
from lseg_ros.ros.subscriptions import RawImage
from lseg_ros.structures import Segmentation
from lseg_ros.vocabulary import Vocabulary

__all__ = ["LABELS", "NodePath", "make_segmentation"]

LABELS = 20
_SLOP_NS = 50_000_000


def make_segmentation(frame: SerializedFrame) -> Segmentation:
    """A plausible result of the network: the ground-truth classes, reduced to 20 labels."""
    label_map = ((frame.labels.astype(np.int16) - 1) % LABELS + 1).astype(np.uint8)
    return Segmentation(label_map, np.full_like(label_map, 200), make_vocabulary(LABELS))


class NodePath:
    """Runs the node's own code from raw bytes to published messages.

    The publishers belong to the given node, which must be named ``lseg``. Label clouds are made only for topics that
    have subscribers.
    """

    def __init__(self, node: Node, frame: SerializedFrame) -> None:
        """Create the publishers."""
        self._frame = frame
        self._segmentation = make_segmentation(frame)
        self._pipeline = Pipeline(cast(Segmenter, _FixedSegmenter(self._segmentation)))
        self._depth: StampedCache[bytes] = StampedCache()
        self._info: StampedCache[bytes] = StampedCache()
        self._publishers = Publishers(node, "", lambda _: None)
        self._publishers.set_labels(self._segmentation.vocabulary.labels)

    def requested_outputs(self) -> Outputs:
        """The outputs that have subscribers."""
        return self._publishers.requested_outputs()

    def run(self) -> dict[str, float]:
        """Process one frame.

        Starts with the data of three raw subscriptions and ends with the last message handed to DDS.

        Returns:
            Milliseconds by stage.
        """
        start_s = time.perf_counter()
        data = self._frame
        self._depth.add(read_stamp_ns(data.depth), data.depth)
        self._info.add(read_stamp_ns(data.info), data.info)
        raw = RawImage(data.image, Image, read_stamp_ns(data.image), 0.0)
        depth = self._depth.match(raw.stamp_ns, _SLOP_NS).item
        info = self._info.match(raw.stamp_ns, _SLOP_NS).item
        assert depth is not None and info is not None
        camera_info = deserialize_message(info, CameraInfo)
        frame, _ = assemble(raw.message(), image_from_cdr(depth), camera_info)
        encoded_frame = EncodedFrame(frame, cast(PixelEmbeddings, None), 0.0)
        encoded = cast(EncodedVocabulary, _FixedVocabulary(self._segmentation.vocabulary))
        read_s = time.perf_counter()
        result = self._pipeline.postprocess(encoded_frame, encoded, Outputs.POINTS | Outputs.LABEL_CLOUDS)
        processed_s = time.perf_counter()
        self._publishers.publish(result, make_header(frame.stamp_ns, frame.frame_id), camera_info)
        publish_ms = (time.perf_counter() - processed_s) * 1e3
        pipeline_ms = {stage: result.stage_ms[stage] for stage in ("points", "clouds")}
        return {"match and read": (read_s - start_s) * 1e3, **pipeline_ms, "publish": publish_ms}

    def destroy(self) -> None:
        """Destroy the publishers."""
        self._publishers.destroy()


class _FixedSegmenter:
    """Replaces the Segmenter and returns the same result for every frame."""

    def __init__(self, segmentation: Segmentation) -> None:
        self._segmentation = segmentation

    def label(self, *_: Any) -> Segmentation:
        return self._segmentation


class _FixedVocabulary:
    """Replaces the EncodedVocabulary; the pipeline needs only its vocabulary here."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
