"""What an evaluation has counted so far, on disk, so that an interrupted one goes on."""

from __future__ import annotations

import glob
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.evaluation.distributed import Process

__all__ = ["EvaluationCheckpoint"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _FileContent:
    """done: (N,) bool, the samples that are counted. counts: the counts by name."""

    done: NDArray[np.bool_]
    counts: dict[str, NDArray[np.int64]]


class EvaluationCheckpoint:
    """The samples that are done and their counts, saved now and then by each process in a file of its own.

    The files are ``path`` with the process's number behind it. A second start takes over what is in them, whatever the
    number of processes then and now, provided that ``digest``, which stands for settings and data set, is the same;
    counts of something else are removed, with a warning. ``counts`` are tensors that their owner goes on adding to.
    """

    def __init__(
        self,
        path: Path,
        digest: str,
        samples: int,
        counts: Mapping[str, Tensor],
        process: Process,
        *,
        resume: bool = True,
        every_s: float = 30.0,
    ) -> None:
        self._path, self._digest, self._counts, self._process = path, digest, counts, process
        self._every_s, self._saved_at = every_s, time.monotonic()
        self._done = np.zeros(samples, bool)
        resumed = self._resume(resume)
        self.resumed = int(resumed.sum())  # samples that an earlier start counted
        left = np.flatnonzero(~resumed)
        self.remaining: list[int] = left[process.rank :: process.world_size].tolist()  # this process's share

    def mark_done(self, sample: int) -> None:
        """The sample's counts are in; saves where it is time."""
        self._done[sample] = True
        if time.monotonic() - self._saved_at >= self._every_s:
            self.save()

    def save(self) -> None:
        """Write this process's file, where it has counted anything; it appears whole or not at all."""
        if not self._done.any():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._file(self._process.rank)
        writing = file.with_name(file.name + ".writing")
        content: dict[str, Any] = {f"counts {name}": counts.numpy() for name, counts in self._counts.items()}
        with writing.open("wb") as stream:
            np.savez_compressed(stream, digest=np.array(self._digest), done=self._done, **content)
        writing.replace(file)
        self._saved_at = time.monotonic()

    def discard(self) -> None:
        """What was counted is of no use to another start."""
        self._done[:] = False
        self.remove()

    def remove(self) -> None:
        """Nothing is left to be done: the files go."""
        if self._process.is_first:
            for file in self._files():
                file.unlink(missing_ok=True)

    def _resume(self, resume: bool) -> NDArray[np.bool_]:
        """Which samples the files of an earlier start have counted; the first process adds their counts to its own."""
        merged = self._merge_files() if resume else self._done.copy()
        self._process.wait_for_all()  # everyone has read before anyone writes
        if self._process.is_first:
            self.save()
            for file in self._files():
                if not (merged.any() and file == self._file(0)):
                    file.unlink(missing_ok=True)
        self._process.wait_for_all()
        return merged

    def _merge_files(self) -> NDArray[np.bool_]:
        merged = np.zeros_like(self._done)
        for file in self._files():
            saved = self._read(file)
            # a stop between writing what was merged and removing the rest leaves samples that are in two files
            if saved is None or (saved.done & merged).any():
                continue
            merged |= saved.done
            if self._process.is_first:
                self._done |= saved.done
                for name, counts in self._counts.items():
                    counts += torch.from_numpy(saved.counts[name])
        return merged

    def _read(self, file: Path) -> _FileContent | None:
        """A file's content, or None where it is of something else or cannot be read."""
        if file.suffix == ".writing":
            return None
        try:
            with np.load(file, allow_pickle=False) as content:
                if str(content["digest"]) == self._digest:
                    return _FileContent(content["done"], {name: content[f"counts {name}"] for name in self._counts})
            reason = "they belong to other settings or another data set"
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            reason = str(error)
        if self._process.is_first:
            _LOG.warning("%s: partial counts not used, %s", file, reason)
        return None

    def _file(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _files(self) -> list[Path]:
        """All processes' files; that of the first, into which others are merged, comes first."""
        found = self._path.parent.glob(glob.escape(self._path.name) + ".*")
        return sorted(found, key=lambda file: (file != self._file(0), file.name))
