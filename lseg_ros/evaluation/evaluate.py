"""Scores of a network on a data set, through the very segmenter that the node uses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import cv2
from tqdm import tqdm

import lseg_ros
from lseg_ros.datasets import open_dataset, open_episodes
from lseg_ros.evaluation.checkpoint import EvaluationCheckpoint
from lseg_ros.evaluation.config import EvaluationConfig
from lseg_ros.evaluation.distributed import Process, process_group
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.evaluation.tasks import EpisodeTask, Evaluation, ImageTask, Samples, Task

__all__ = ["check_output_path", "evaluate", "flatten_settings"]

_LOG = logging.getLogger(__name__)
_WITHOUT_EFFECT = (
    "json",
    "picture",
    "resume",
    "save_every_s",
    "device",
    "cpu_threads",
)  # settings that change no count

S = TypeVar("S")


def evaluate(config: EvaluationConfig) -> Evaluation:
    """Segment every image with all words of its set, or with the two of its episode, and count.

    Writes ``config.json`` and ``config.picture`` where they are named. Started by torchrun, each process takes its
    share and all return the same scores. An error in a sample, such as a mask of another size, names the sample; what
    was counted until then is kept for the next start.
    """
    for name in ("json", "picture"):
        check_output_path(name, getattr(config, name))
    with process_group() as process:
        if config.zero_shot:
            episodes = open_episodes(config.data)
            return _run_task(EpisodeTask(Predictor.from_config(config, process), episodes), config, process)
        images = open_dataset(config.data)
        return _run_task(ImageTask(Predictor.from_config(config, process), images), config, process)


def _run_task(task: Task[S], config: EvaluationConfig, process: Process) -> Evaluation:
    digest = _digest(config, task.samples)
    checkpoint = EvaluationCheckpoint(
        _checkpoint_path(config, digest),
        digest,
        len(task.samples),
        task.counts,
        process,
        resume=config.resume,
        every_s=config.save_every_s,
    )
    if checkpoint.resumed and process.is_first:
        _LOG.info("going on after %d of %d samples that are counted already", checkpoint.resumed, len(task.samples))
    try:
        _count_all(task, checkpoint, process)
        result = _score(task, checkpoint, config)
        if config.picture:
            _write_picture(task, Path(config.picture), process)
        if config.json and process.is_first:
            _write_scores(result, config)
    except BaseException:  # whatever the reason, Ctrl-C included: what is counted is kept
        checkpoint.save()
        raise
    checkpoint.remove()
    return result


def _score(task: Task[Any], checkpoint: EvaluationCheckpoint, config: EvaluationConfig) -> Evaluation:
    try:
        return task.result()
    except ValueError as error:
        checkpoint.discard()  # nothing was labeled: the next start shall look at the masks again
        raise ValueError(f"{config.data.root or config.data.dataset}: {error}") from error


def check_output_path(name: str, destination: str) -> None:
    """Make its folder; the errors of a place that cannot be written to come now, not after hours of counting."""
    if not destination:
        return
    path = Path(destination).expanduser()
    if path.is_dir():
        raise ValueError(f"{name}: expected a file to write, got the folder {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{name}: expected a place where {path} can be written, got {error}") from error
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{name}: expected a place where {path} can be written, got a folder that is read-only")


def _count_all(task: Task[S], checkpoint: EvaluationCheckpoint, process: Process) -> None:
    remaining = checkpoint.remaining
    with tqdm(total=len(remaining), desc="evaluate", unit="image", disable=not process.is_first) as bar:
        for index, sample in _read_ahead(task.samples, remaining):
            try:
                task.add(sample)
            except ValueError as error:
                raise ValueError(f"{task.samples.name(index)}: {error}") from error
            checkpoint.mark_done(index)
            bar.set_postfix_str(f"mIoU {task.running_miou():.3f}", refresh=False)
            bar.update()


def _read_ahead(samples: Samples[S], indices: Sequence[int]) -> Iterator[tuple[int, S]]:
    """(index, sample) in this order; while one is used the next is read."""
    with ThreadPoolExecutor(1) as reader:
        started = (reader.submit(samples.__getitem__, index) for index in indices)
        following = next(started, None)
        for index in indices:
            assert following is not None  # there are as many as indices
            sample, following = following.result(), next(started, None)
            yield index, sample


def _checkpoint_path(config: EvaluationConfig, digest: str) -> Path:
    """Where counts are kept meanwhile: beside the scores, or in ``out`` where none are written."""
    return Path(f"{config.json}.partial" if config.json else f"out/evaluation-{digest[:12]}.partial").expanduser()


def _digest(config: EvaluationConfig, samples: Samples[Any]) -> str:
    """Stands for all that the counts depend on: settings, weights, words, samples."""
    file = Path(config.checkpoint).expanduser()
    facts = {
        "version": lseg_ros.__version__,
        "settings": {name: value for name, value in flatten_settings(config).items() if name not in _WITHOUT_EFFECT},
        "file": (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else None,
        "classes": samples.classes,
        "samples": [samples.name(index) for index in range(len(samples))],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def flatten_settings(config: EvaluationConfig) -> dict[str, Any]:
    """Settings by the names that their flags have."""
    facts = dataclasses.asdict(config)
    data: dict[str, Any] = facts.pop("data")
    return {**facts, **data}


def _write_scores(result: Evaluation, config: EvaluationConfig) -> None:
    content = {**dataclasses.asdict(result.scores), "samples": result.samples, "settings": flatten_settings(config)}
    path = Path(config.json).expanduser()
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _LOG.info("scores written to %s", path)


def _write_picture(task: Task[Any], path: Path, process: Process) -> None:
    picture = task.draw_confusion()  # of all processes' counts, so all have to ask for it
    if process.is_first:
        path = path.expanduser()
        path.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
        _LOG.info("confusions drawn into %s", path)
