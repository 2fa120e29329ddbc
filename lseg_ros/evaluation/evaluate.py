"""Score a network on a data set, with the segmenter that the node uses."""

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

__all__ = ["check_output_path", "evaluate"]

_LOG = logging.getLogger(__name__)
_WITHOUT_EFFECT_ON_COUNTS = frozenset({"json", "picture", "resume", "save_every_s", "device", "cpu_threads"})

S = TypeVar("S")


def evaluate(config: EvaluationConfig) -> Evaluation:
    """Predict every image, or every episode of a zero-shot test, and score the predictions.

    Writes ``config.json`` and ``config.picture`` if they are set. If torchrun started several processes, each of them
    handles a share of the samples and all of them return the same scores. After an error or an interruption, the counts
    so far are kept for the next start.

    Raises:
        OSError: If the network or the data set cannot be read.
        ValueError: If an output path is not writable, or a sample is invalid; the message names the sample.
    """
    for name in ("json", "picture"):
        check_output_path(name, getattr(config, name))
    with process_group() as process:
        if config.zero_shot:
            episodes = open_episodes(config.data)
            return _run_task(EpisodeTask(Predictor.from_config(config, process), episodes), config, process)
        images = open_dataset(config.data)
        return _run_task(ImageTask(Predictor.from_config(config, process), images), config, process)


def check_output_path(name: str, path: str) -> None:
    """Create the folder of an output file, and check that the file can be written.

    An unwritable path then fails before the evaluation starts.

    Args:
        name: Name of the setting, for the error message.
        path: File to write later; nothing happens if it is empty.

    Raises:
        ValueError: If the file cannot be written.
    """
    if not path:
        return
    file = Path(path).expanduser()
    if file.is_dir():
        raise ValueError(f"{name}: expected a file to write, got the folder {file}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{name}: expected a writable path, got {file}: {error}") from error
    if not os.access(file.parent, os.W_OK):
        raise ValueError(f"{name}: expected a writable path, got {file} in a read-only folder")


def _run_task(task: Task[S], config: EvaluationConfig, process: Process) -> Evaluation:
    digest = _digest(config, task.samples)
    checkpoint = EvaluationCheckpoint(
        _checkpoint_path(config, digest),
        digest,
        len(task.samples),
        task.counts,
        process,
        resume=config.resume,
        save_every_s=config.save_every_s,
    )
    if checkpoint.resumed and process.is_first:
        _LOG.info("resuming: %d of %d samples are done", checkpoint.resumed, len(task.samples))
    try:
        _count_all(task, checkpoint, process)
        result = _score(task, checkpoint, config)
        if config.picture:
            _write_picture(task, Path(config.picture), process)
        if config.json and process.is_first:
            _write_scores(result, config)
    except BaseException:  # KeyboardInterrupt included
        checkpoint.save()
        raise
    checkpoint.remove()
    return result


def _score(task: Task[Any], checkpoint: EvaluationCheckpoint, config: EvaluationConfig) -> Evaluation:
    try:
        return task.result()
    except ValueError as error:
        checkpoint.discard()  # no pixel was labeled: after the user has fixed the masks, all of them count again
        raise ValueError(f"{config.data.root or config.data.dataset}: {error}") from error


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
    """Yield (index, sample) in order.

    A thread reads the next sample while the caller uses the current one.
    """
    with ThreadPoolExecutor(1) as reader:
        futures = (reader.submit(samples.__getitem__, index) for index in indices)
        following = next(futures, None)
        for index in indices:
            assert following is not None  # there is one future per index
            sample, following = following.result(), next(futures, None)
            yield index, sample


def _checkpoint_path(config: EvaluationConfig, digest: str) -> Path:
    return Path(f"{config.json}.partial" if config.json else f"out/evaluation-{digest[:12]}.partial").expanduser()


def _digest(config: EvaluationConfig, samples: Samples[Any]) -> str:
    """Hash everything that the counts depend on: settings, weights, classes and samples."""
    file = Path(config.checkpoint).expanduser()
    settings = {
        name: value for name, value in _flatten_settings(config).items() if name not in _WITHOUT_EFFECT_ON_COUNTS
    }
    facts = {
        "version": lseg_ros.__version__,
        "settings": settings,
        "file": (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else None,
        "classes": samples.classes,
        "samples": [samples.name(index) for index in range(len(samples))],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _flatten_settings(config: EvaluationConfig) -> dict[str, Any]:
    """Return all settings in one dictionary, by the names of their flags."""
    settings = dataclasses.asdict(config)
    data: dict[str, Any] = settings.pop("data")
    return {**settings, **data}


def _write_scores(result: Evaluation, config: EvaluationConfig) -> None:
    content = {**dataclasses.asdict(result.scores), "samples": result.samples, "settings": _flatten_settings(config)}
    path = Path(config.json).expanduser()
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _LOG.info("wrote the scores to %s", path)


def _write_picture(task: Task[Any], path: Path, process: Process) -> None:
    picture = task.draw_confusion()  # sums over all processes, so every process has to call it
    if process.is_first:
        path = path.expanduser()
        path.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
        _LOG.info("wrote the confusion matrix to %s", path)
