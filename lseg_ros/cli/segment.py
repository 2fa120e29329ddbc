"""``lseg segment``: label image files, RGB-D recordings, videos and bags."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from lseg_ros.bags import BagRecording, is_bag
from lseg_ros.cli.flags import read_vocabulary
from lseg_ros.cli.progress import ProgressBar
from lseg_ros.inference import SegmenterConfig
from lseg_ros.offline.bag_results import OUTPUTS, BagResults
from lseg_ros.offline.image_results import ImageJob
from lseg_ros.offline.jobs import Job, JobReport, run_jobs
from lseg_ros.offline.labeler import LabelerConfig
from lseg_ros.offline.ray_cluster import run_jobs_on_ray
from lseg_ros.offline.video_results import VideoJob
from lseg_ros.pipeline import Outputs, PipelineConfig
from lseg_ros.recordings import RgbdFolder, list_images
from lseg_ros.settings import check, setting
from lseg_ros.videos import VideoFile, is_video

__all__ = ["SETTINGS", "SegmentSettings", "run"]

_SOURCES = "sources.json"
_RESULT = re.compile(r"((.+?)(?:_\d+)?)_(?:mask|confidence|overlay|picture)\.png")  # groups: see _unique_name


@dataclass(frozen=True)
class SegmentSettings:
    """Label every pixel of images or recordings with some of the given words.

    Writes NAME_mask.png (8-bit label ids, 0 for unlabeled pixels), NAME_confidence.png and NAME_overlay.png for each
    image, and NAME_picture.png with depth and point clouds for frames of an RGB-D recording. labels.json lists the
    ids. Images are processed upright: the EXIF orientation of photos is applied. Results of an earlier run in a folder
    of images are skipped.

    The results of a video are NAME_overlay.mp4 with a legend, and NAME_mask.mkv without loss.

    The results of a bag (ROS 1 or ROS 2; ROS is not needed) are the bag NAME_segmented with the topics of the node,
    camera_info and tf. A run that was interrupted continues with the first file that is missing. sources.json lists
    bags and videos by NAME; another one of the same name gets a number.
    """

    images: tyro.conf.Positional[tuple[str, ...]] = setting(  # noqa: RUF009 - a tuple is immutable
        (),
        "image files, folders of images, RGB-D recordings (folders with associations.txt and camera.yaml), videos, or "
        "bags (.bag, .mcap, .db3, or their folders)",
    )
    labels: tuple[str, ...] = setting(
        (),
        "labels to look for, separated by spaces or commas, or a label list file (.txt) whose lines are labels "
        "or 'id: label'; "
        "'sofa|couch' is one label with two names",
    )
    prompt_templates: tuple[str, ...] = setting(
        ("{}",), "prompts in which {} stands for a label; their embeddings are averaged"
    )
    out: str = setting("out", "folder for the results")
    image: str = setting("auto", "topic of the images in a bag; auto for the only one")
    depth: str = setting("auto", "topic of the depth in a bag; auto for the only one, none for no depth")
    camera_info: str = setting(
        "auto", "topic of the calibration in a bag; auto for the one next to the images, none for no calibration"
    )
    outputs: tuple[str, ...] = setting(
        ("overlay",),
        "what the results of a bag contain in addition to mask, confidence, vocabulary, label_info, camera_info and "
        "tf: overlay, points, clouds (of each label), summary",
    )
    register_depth: bool = setting(
        False, "register depth of another camera in a bag to the images, with its calibration and pose"
    )
    depth_camera_info: str = setting(
        "auto", "topic of the calibration of that depth in a bag; auto for the one next to the depth"
    )
    depth_extrinsics: str = setting(
        "",
        "pose of that depth camera in the optical frame of the images, 'x y z qx qy qz qw' in meters; empty for the tf "
        "of the bag",
    )
    sync_slop_s: float = setting(
        0.05, "maximum difference between the stamps of an image and its depth in a bag", unit="s", minimum=0.0,
        maximum=1.0,
    )  # fmt: skip
    frames_per_file: int = setting(
        300, "frames in one file of the resulting bag; an interrupted run repeats at most one file", minimum=1
    )
    masks: str = setting(
        "video", "masks of a video: one lossless video, or png files in NAME_masks", choices=("video", "png")
    )
    ray: str = setting(
        "", "address of a Ray cluster that does the work, auto for the one on this machine, empty for this process"
    )
    ray_workers: int = setting(
        0, "workers on the cluster; 0 for one per GPU, or one per machine without GPUs", minimum=0
    )
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)
    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        check(self)
        for name in ("images", "labels"):
            if not getattr(self, name):
                raise ValueError(f"{name}: expected at least one, got none")
        for name in self.outputs:
            if name not in OUTPUTS:
                raise ValueError(f"outputs: expected some of {', '.join(OUTPUTS)}, got {name!r}")


SETTINGS = SegmentSettings


@dataclass(frozen=True)
class _Task:
    """The jobs of one source of frames.

    Attributes:
        jobs: What remains to be done.
        finish: Called with the reports after the last job; returns one line for the user, or "".
    """

    jobs: Sequence[Job]
    finish: Callable[[list[JobReport]], str] = lambda _: ""


def run(settings: SegmentSettings) -> int:
    """Segment the sources in turn; stops with an error at the first unreadable image file."""
    vocabulary = read_vocabulary(settings.labels, settings.prompt_templates)
    settings = _with_absolute_paths(settings) if settings.ray else settings
    config = LabelerConfig(settings.network, settings.pipeline, vocabulary)
    out = Path(settings.out).expanduser()
    sources = _read_sources(out / _SOURCES)
    tasks = list(_make_tasks(settings, config, out, sources))
    out.mkdir(parents=True, exist_ok=True)
    if sources:
        (out / _SOURCES).write_text(json.dumps(sources, indent=2) + "\n", encoding="utf-8")
    labels = {label.id: {"name": label.name, "color": label.color} for label in vocabulary.labels}
    (out / "labels.json").write_text(json.dumps(labels, indent=2) + "\n", encoding="utf-8")
    jobs = [job for task in tasks for job in task.jobs]
    progress = ProgressBar("frames", sum(map(len, jobs)))
    reports = _start(jobs, config, progress, settings)
    for task in tasks:
        done = []
        for report in (next(reports) for _ in task.jobs):
            done.append(report)
            _print(report.text, progress)
        _print(task.finish(done), progress)
    return 0


def _start(
    jobs: Sequence[Job], config: LabelerConfig, progress: ProgressBar, settings: SegmentSettings
) -> Iterator[JobReport]:
    """Run the jobs here or on the cluster. The network is not loaded if there are none."""
    if not jobs:
        return iter(())
    if settings.ray:
        return run_jobs_on_ray(jobs, config, progress.advance, settings.ray, settings.ray_workers)
    return run_jobs(jobs, config, progress.advance)


def _with_absolute_paths(settings: SegmentSettings) -> SegmentSettings:
    """Return the settings with paths that do not depend on the current folder of a process."""
    checkpoint = Path(settings.network.checkpoint).expanduser()
    if checkpoint.is_file():
        network = dataclasses.replace(settings.network, checkpoint=str(checkpoint.absolute()))
    else:
        network = settings.network
    images = tuple(str(Path(path).expanduser().absolute()) for path in settings.images)
    out = str(Path(settings.out).expanduser().absolute())
    return dataclasses.replace(settings, images=images, out=out, network=network)


def _print(text: str, progress: ProgressBar) -> None:
    if text:
        progress.clear()
        print(text)


def _make_tasks(
    settings: SegmentSettings, config: LabelerConfig, out: Path, sources: dict[str, str]
) -> Iterator[_Task]:
    """Open the sources; missing and damaged ones raise before anything is written.

    Bags and videos are added to ``sources``, the paths by the names of their results.
    """
    taken: set[str] = set()
    for path in (Path(path).expanduser() for path in settings.images):
        own = str(path.resolve())
        others = {name for name, source in sources.items() if source != own}
        if is_bag(path):
            name = _unique_name(_bag_name(path), taken, others)
            yield _open_bag(path, settings, config, out, name)
            sources[name] = own
        elif is_video(path):
            name, png_masks = _unique_name(path.stem, taken, others), settings.masks == "png"
            sources[name] = own
            yield _Task([VideoJob(path, out, name, VideoFile(path).frame_count, png_masks)])
        elif (path / "associations.txt").exists():
            recording = RgbdFolder(path)
            yield _Task(
                [
                    ImageJob(pair.rgb, out, _unique_name(pair.rgb.stem, taken), recording, index)
                    for index, pair in enumerate(recording.associations)
                ]
            )
        else:
            files = list_images(path)
            if path.is_dir():
                files = [file for file in files if not _is_result(file, files)]
            yield _Task([ImageJob(file, out, _unique_name(file.stem, taken)) for file in files])


def _open_bag(path: Path, settings: SegmentSettings, config: LabelerConfig, out: Path, name: str) -> _Task:
    needs_points = any(OUTPUTS[output] & Outputs.ANY_POINTS for output in settings.outputs)
    progress = ProgressBar(f"reading the stamps of {path.name}", 0)
    with BagRecording(
        path,
        settings.image,
        settings.depth if needs_points or settings.depth != "auto" else "none",
        settings.camera_info,
        sync_slop_s=settings.sync_slop_s,
        depth_camera_info=settings.depth_camera_info if settings.register_depth else "none",
        depth_extrinsics=settings.depth_extrinsics,
        progress=progress.update,
    ) as recording:
        progress.clear()
        results = BagResults(recording, out, name, config, settings.outputs, settings.frames_per_file)
        count, topics = len(recording), recording.frame_index.topics
    used = ", ".join(topic for topic in topics[:3] if topic)
    if results.check_complete():
        return _Task([], lambda _: f"{path}: {results.folder} is complete already")

    def finish(reports: list[JobReport]) -> str:
        failed = sum(report.failed for report in reports)
        if failed == count:
            raise ValueError(f"{path}: expected images, but none of {count} can be read: {reports[0].reason}")
        results.finish()
        unread = f", {failed} could not be read" if failed else ""
        return f"{path}: {count} frames of {used}{unread} -> {results.folder}"

    return _Task(results.missing_parts(), finish)


def _bag_name(path: Path) -> str:
    return path.stem if path.is_file() else path.resolve().name


def _is_result(file: Path, files: Sequence[Path]) -> bool:
    """Return whether a file is a result of this command that was written next to its image.

    It is one if its name is that of a result, its image is in the same folder, and so is labels.json.
    """
    match = _RESULT.fullmatch(file.name)
    if match is None or not file.with_name("labels.json").is_file():
        return False
    return any(other.stem in (match[1], match[2]) for other in files if other != file)


def _read_sources(file: Path) -> dict[str, str]:
    """Read the paths of the bags and videos of earlier results, by the names of the results.

    Raises:
        ValueError: If the file is damaged.
    """
    if not file.is_file():
        return {}
    try:
        sources = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: expected the sources of earlier results as JSON, got {error}") from error
    if not isinstance(sources, dict) or not all(isinstance(path, str) for path in sources.values()):
        raise ValueError(f"{file}: expected the sources of earlier results, a path by name, got something else")
    return sources


def _unique_name(stem: str, taken: set[str], others: Collection[str] = ()) -> str:
    """Return the stem, with a number if it is the name of other results.

    Args:
        stem: Name of the source.
        taken: Names of this run; the new one is added.
        others: Names of earlier runs that belong to other sources.
    """
    name, number = stem, 2
    while name in taken or name in others:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name)
    return name
