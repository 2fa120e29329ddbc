"""Label the frames of a bag and write the results as a bag.

The topics, their contents and their headers are those of the node ``lseg``. The results of consecutive frames form a
part, which depends on nothing else: parts can be written in any order and by several processes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lseg_ros import __version__
from lseg_ros.bags import BagFrame, BagIndex, BagRecording, BagWriter, join_parts, read_custom_data
from lseg_ros.bags.message_types import result_types
from lseg_ros.cdr import cloud_to_cdr, image_to_cdr
from lseg_ros.offline.jobs import JobReport
from lseg_ros.offline.labeler import Labeler, LabelerConfig
from lseg_ros.pipeline import FrameResult, Outputs
from lseg_ros.structures import Frame
from lseg_ros.summary import LabelSummary
from lseg_ros.vocabulary import Label, Vocabulary

__all__ = ["OUTPUTS", "BagPart", "BagResults"]

logger = logging.getLogger(__name__)

OUTPUTS = {
    "overlay": Outputs.OVERLAY,
    "points": Outputs.POINTS,
    "clouds": Outputs.LABEL_CLOUDS,
    "summary": Outputs.SUMMARY,
}
_NODE = "/lseg"
_TF = "tf2_msgs/msg/TFMessage"


@dataclass(frozen=True)
class BagPart:
    """Consecutive frames of a bag whose results form one file.

    Attributes:
        path: The bag.
        index: Its topics and the frames of this part.
        number: Number of the part.
        start: Number of its first frame in the bag.
        span_ns: Times between which tf is copied; None for no limit.
        first_ns: Time of the first image of the bag, the stamp of the vocabulary.
        folder: Folder for the results, a bag.
        outputs: Names from ``OUTPUTS``.
    """

    path: Path
    index: BagIndex
    number: int
    start: int
    span_ns: tuple[int | None, int | None]
    first_ns: int
    folder: Path
    outputs: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.index.entries)

    def run(self, labeler: Labeler, on_frame: Callable[[], None]) -> JobReport:
        """Label the frames and write the results. A frame that cannot be read is named in the log.

        Raises:
            ValueError: If the bag is damaged.
        """
        shutil.rmtree(self.folder, ignore_errors=True)  # what an interrupted run has left
        with BagRecording(self.path, frame_index=self.index) as recording:
            tf = {name: topic.latched for name, topic in recording.bag.topics.items() if topic.type == _TF}
            with BagWriter(self.folder, _topics(labeler, self.outputs, tf)) as writer:
                return self._run(recording, labeler, _Transforms(recording, list(tf), self.span_ns, writer), on_frame)

    def _run(
        self, recording: BagRecording, labeler: Labeler, transforms: _Transforms, on_frame: Callable[[], None]
    ) -> JobReport:
        writer, failures, reported = transforms.writer, list[str](), set[str]()
        requested = Outputs.NONE
        for name in self.outputs:
            requested |= OUTPUTS[name]
        if self.number == 0:
            _write_vocabulary(writer, labeler, self.first_ns)
        for raw in recording.read():
            transforms.copy_until(raw.log_ns)
            try:
                frame, problems = raw.assemble()
                _write_frame(writer, raw, labeler.process(frame, requested))
                reported = self._report(raw, problems, reported)
            except ValueError as error:  # an image that cannot be read costs its own frame, as in the node
                failures.append(str(error))
                logger.warning("%s: frame %d has no results: %s", self.path, self.start + raw.index, error)
            on_frame()
        transforms.copy_until(None)
        return JobReport("", len(failures), failures[0] if failures else "")

    def _report(self, raw: BagFrame, problems: Mapping[str, str], reported: set[str]) -> set[str]:
        """Log the inputs that cannot be used, each once. Returns those that were reported so far."""
        for name in problems.keys() - reported:
            logger.warning("%s: from frame %d: %s: %s", self.path, self.start + raw.index, name, problems[name])
        return reported | problems.keys()


class BagResults:
    """The results of a bag: its parts, and the bag that they become.

    Args:
        recording: The bag.
        out: Folder for the results. They form the bag NAME_segmented in it.
        name: Name of the results.
        config: Labels and network.
        outputs: Names from ``OUTPUTS``.
        frames_per_file: Number of frames of a part.

    Attributes:
        folder: Folder of the new bag.

    Raises:
        ValueError: If the folder exists and is not a result.
    """

    def __init__(
        self,
        recording: BagRecording,
        out: Path,
        name: str,
        config: LabelerConfig,
        outputs: Sequence[str],
        frames_per_file: int,
    ) -> None:
        self.folder = out / f"{name}_segmented"
        self._parts_folder = out / f"{name}_segmented.parts"
        self._recording = recording
        self._outputs = tuple(outputs)
        self._frames_per_file = frames_per_file
        index = recording.frame_index
        facts = [__version__, config.facts(), self._outputs, frames_per_file, *index]
        self._key = hashlib.sha256(repr(facts).encode()).hexdigest()
        if self.folder.exists() and read_custom_data(self.folder) is None:
            content = sorted(self.folder.iterdir()) if self.folder.is_dir() else [self.folder]
            if any(not path.name.startswith(self.folder.name) for path in content):
                raise ValueError(f"{self.folder}: expected a new folder or earlier results, got other files")

    def check_complete(self) -> bool:
        """Return whether an earlier run with the same settings has finished."""
        is_complete = read_custom_data(self.folder) == self._key
        if is_complete:
            shutil.rmtree(self._parts_folder, ignore_errors=True)  # if that run was interrupted at its end
        return is_complete

    def parts(self) -> list[BagPart]:
        """List all parts."""
        index, size = self._recording.frame_index, self._frames_per_file
        ends: list[int] = []  # latest time of the frames so far: the files of a split bag may overlap
        for entry in index.entries:
            ends.append(max(entry.log_ns, ends[-1] if ends else entry.log_ns))
        limits: list[int | None] = [None, *(ends[start] for start in range(size, len(ends), size)), None]
        return [
            BagPart(
                self._recording.path,
                index._replace(entries=index.entries[number * size : (number + 1) * size]),
                number,
                number * size,
                (limits[number], limits[number + 1]),
                index.entries[0].log_ns,
                self._parts_folder / f"{number}",
                self._outputs,
            )
            for number in range(len(limits) - 1)
        ]

    def missing_parts(self) -> list[BagPart]:
        """List the parts that an interrupted run with the same settings has not finished.

        The parts of other settings are removed.
        """
        key_file = self._parts_folder / "key"
        if not key_file.is_file() or key_file.read_text() != self._key:
            shutil.rmtree(self._parts_folder, ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)
            self._parts_folder.mkdir(parents=True)
            key_file.write_text(self._key)
        return [part for part in self.parts() if not (part.folder / "metadata.yaml").is_file()]

    def finish(self) -> None:
        """Make one bag of the parts."""
        join_parts([part.folder for part in self.parts()], self.folder, self._key)
        shutil.rmtree(self._parts_folder)


class _Transforms:
    """Copies tf between the frames."""

    def __init__(
        self, recording: BagRecording, topics: list[str], span_ns: tuple[int | None, int | None], writer: BagWriter
    ) -> None:
        self.writer = writer
        self._messages: Iterator[Any] = recording.bag.messages(topics, *span_ns) if topics else iter(())
        self._next = next(self._messages, None)

    def copy_until(self, stop_ns: int | None) -> None:
        """Copy the messages that were recorded until a time, None for the rest."""
        while self._next is not None and (stop_ns is None or self._next.log_ns <= stop_ns):
            self.writer.write(self._next.topic, self._next.log_ns, self._next.data)
            self._next = next(self._messages, None)


def _topics(labeler: Labeler, outputs: Sequence[str], tf: dict[str, bool]) -> dict[str, tuple[str, bool]]:
    image, cloud = "sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2"
    topics = {
        f"{_NODE}/vocabulary": ("lseg_ros/msg/Vocabulary", True),
        f"{_NODE}/label_info": ("vision_msgs/msg/LabelInfo", True),
        f"{_NODE}/mask": (image, False),
        f"{_NODE}/confidence": (image, False),
        f"{_NODE}/camera_info": ("sensor_msgs/msg/CameraInfo", False),
    }
    if "overlay" in outputs:
        topics[f"{_NODE}/overlay"] = (image, False)
    if "points" in outputs:
        topics[f"{_NODE}/points"] = (cloud, False)
    if "clouds" in outputs:
        topics.update({f"{_NODE}/points/{label.slug}": (cloud, False) for label in labeler.labels_with_cloud})
    if "summary" in outputs:
        topics[f"{_NODE}/summary"] = ("lseg_ros/msg/SegmentationSummary", False)
    return topics | {name: (_TF, latched or name == "/tf_static") for name, latched in tf.items()}


def _write_frame(writer: BagWriter, raw: BagFrame, result: FrameResult) -> None:
    header, log_ns, segmentation = _make_header(result.frame), raw.log_ns, result.segmentation
    if raw.camera_info is not None:
        info = dataclasses.replace(raw.camera_info, header=header)
        writer.write_message(f"{_NODE}/camera_info", log_ns, info)
    writer.write(f"{_NODE}/mask", log_ns, image_to_cdr(header, segmentation.label_map, "mono8"))
    writer.write(f"{_NODE}/confidence", log_ns, image_to_cdr(header, segmentation.confidence, "mono8"))
    if result.overlay is not None:
        writer.write(f"{_NODE}/overlay", log_ns, image_to_cdr(header, result.overlay, "rgb8"))
    if result.points is not None:
        writer.write(f"{_NODE}/points", log_ns, cloud_to_cdr(header, result.points, is_dense=False))
    for cloud in result.clouds or ():
        data = cloud_to_cdr(header, cloud.points, is_dense=True)
        writer.write(f"{_NODE}/points/{cloud.label.slug}", log_ns, data)
    if result.summary is not None:
        message = _new(
            "lseg_ros/msg/SegmentationSummary",
            header=header,
            epoch=segmentation.vocabulary.epoch,
            unlabeled_share=result.summary.unlabeled_share,
            has_depth=result.summary.has_depth,
            labels=[_summary_to_message(summary) for summary in result.summary.labels],
        )
        writer.write_message(f"{_NODE}/summary", log_ns, message)


def _write_vocabulary(writer: BagWriter, labeler: Labeler, log_ns: int) -> None:
    vocabulary: Vocabulary = labeler.config.vocabulary
    header = _make_header(SimpleNamespace(stamp_ns=log_ns, frame_id=""))
    message = _new(
        "lseg_ros/msg/Vocabulary",
        header=header,
        epoch=vocabulary.epoch,
        labels=[_label_to_message(label) for label in vocabulary.labels],
        retired=[_label_to_message(label) for label in vocabulary.retired],
        prompt_templates=list(vocabulary.prompt_templates),
        model=labeler.config.network.checkpoint,
    )
    writer.write_message(f"{_NODE}/vocabulary", log_ns, message)
    classes = [
        _new("vision_msgs/msg/VisionClass", class_id=label.id, class_name=label.name) for label in vocabulary.labels
    ]
    info = dict(header=header, class_map=classes, threshold=labeler.unlabeled_threshold)
    writer.write_message(f"{_NODE}/label_info", log_ns, _new("vision_msgs/msg/LabelInfo", **info))


def _label_to_message(label: Label) -> Any:
    red, green, blue = (channel / 255 for channel in label.color)
    color = _new("std_msgs/msg/ColorRGBA", r=red, g=green, b=blue, a=1.0)
    parts = dict(id=label.id, name=label.name, synonyms=list(label.synonyms), slug=label.slug, color=color)
    return _new("lseg_ros/msg/Label", **parts)


def _summary_to_message(summary: LabelSummary) -> Any:
    return _new(
        "lseg_ros/msg/LabelSummary",
        id=summary.label.id,
        name=summary.label.name,
        pixels=summary.pixels,
        share=summary.share,
        confidence=summary.confidence,
        points=summary.points,
        has_distance=summary.points > 0,
        distance=summary.distance_m,
        **{
            name: _new("geometry_msgs/msg/Point", **dict(zip("xyz", map(float, point))))
            for name, point in (("nearest", summary.nearest), ("centroid", summary.centroid))
        },
    )


def _make_header(frame: Frame | SimpleNamespace) -> Any:
    sec, nanosec = divmod(frame.stamp_ns, 1_000_000_000)
    stamp = _new("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    return _new("std_msgs/msg/Header", stamp=stamp, frame_id=frame.frame_id)


def _new(kind: str, **fields: Any) -> Any:
    return result_types().types[kind](**fields)
