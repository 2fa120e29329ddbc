"""Counts of an unfinished evaluation, saved to disk so that a restart continues from them."""

from __future__ import annotations

import glob
import logging
import time
from collections.abc import Mapping, Sequence
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
    """Content of one file: which samples are done, (N,) bool, and their counts by name."""

    done: NDArray[np.bool_]
    counts: dict[str, NDArray[np.int64]]


class EvaluationCheckpoint:
    """The finished samples of an evaluation and their counts, saved at intervals.

    Each process writes one file: ``path`` with its rank appended. A restart reads all of them, also with another number
    of processes. Files of another evaluation, recognized by their digest, are removed with a warning.

    Attributes:
        resumed: Number of samples that an earlier start finished.
        remaining: Indices of the samples that this process has to do.
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
        save_every_s: float = 30.0,
    ) -> None:
        """Read the files of an earlier start and add their counts to ``counts``.

        Args:
            path: Files to write, without the rank.
            digest: Identifies the settings and the data set.
            samples: Number of samples in the data set.
            counts: Counts of this process by name. The caller adds to these tensors after each sample.
            process: This process.
            resume: Whether to use the files of an earlier start.
            save_every_s: Time between two saves.
        """
        self._path, self._digest, self._counts, self._process = path, digest, counts, process
        self._save_every_s, self._saved_at = save_every_s, time.monotonic()
        self._done = np.zeros(samples, bool)
        done_before = self._load(resume)
        self.resumed = int(done_before.sum())
        self.remaining: Sequence[int] = process.share(np.flatnonzero(~done_before).tolist())

    def mark_done(self, sample: int) -> None:
        """Record that the counts include a sample, and save if it is time."""
        self._done[sample] = True
        if time.monotonic() - self._saved_at >= self._save_every_s:
            self.save()

    def save(self) -> None:
        """Write the file of this process atomically, unless it has finished no sample."""
        if not self._done.any():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._file(self._process.rank)
        temporary = file.with_name(file.name + ".writing")
        content: dict[str, Any] = {f"counts {name}": counts.numpy() for name, counts in self._counts.items()}
        with temporary.open("wb") as stream:
            np.savez_compressed(stream, digest=np.array(self._digest), done=self._done, **content)
        temporary.replace(file)
        self._saved_at = time.monotonic()

    def discard(self) -> None:
        """Forget the finished samples and remove the files, so that a restart starts over."""
        self._done[:] = False
        self.remove()

    def remove(self) -> None:
        """Remove the files of all processes."""
        if self._process.is_first:
            for file in self._files():
                file.unlink(missing_ok=True)

    def _load(self, resume: bool) -> NDArray[np.bool_]:
        """Return the samples that an earlier start finished.

        The first process adds their counts to its own.
        """
        merged = self._merge_files() if resume else self._done.copy()
        self._process.wait_for_all()  # all processes read before any of them writes
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
            content = self._read(file)
            # If a process stops after it saved the merged counts and before it removed the other files, some samples
            # are in two files.
            if content is None or (content.done & merged).any():
                continue
            merged |= content.done
            if self._process.is_first:
                self._done |= content.done
                for name, counts in self._counts.items():
                    counts += torch.from_numpy(content.counts[name])
        return merged

    def _read(self, file: Path) -> _FileContent | None:
        """Return the content of a file, or None if this evaluation cannot use it."""
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

    def _file(self, rank: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{rank}")

    def _files(self) -> list[Path]:
        """Return the files of all processes.

        Rank 0 comes first: its file may already contain the counts of the others.
        """
        found = self._path.parent.glob(glob.escape(self._path.name) + ".*")
        return sorted(found, key=lambda file: (file != self._file(0), file.name))
