"""Independent pieces of work on recordings, and how they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from lseg_ros.offline.labeler import Labeler, LabelerConfig

__all__ = ["Job", "JobReport", "run_jobs"]


class JobReport(NamedTuple):
    """What a job did.

    Attributes:
        text: One line for the user, or "".
        failed: Number of frames that could not be read and have no results.
        reason: Why the first of them could not be read.
    """

    text: str = ""
    failed: int = 0
    reason: str = ""


class Job(Protocol):
    """A piece of work whose results are files. It can be sent to another process and repeated."""

    def __len__(self) -> int:
        """Return the number of frames, or an estimate."""

    def run(self, labeler: Labeler, on_frame: Callable[[], None]) -> JobReport:
        """Label the frames and write the results. Calls ``on_frame`` after each frame."""


def run_jobs(jobs: Sequence[Job], config: LabelerConfig, on_frame: Callable[[], None]) -> Iterator[JobReport]:
    """Run jobs one after the other in this process.

    Args:
        jobs: The jobs.
        config: Labels and network.
        on_frame: Called after each frame.

    Returns:
        An iterator over the reports, in the order of the jobs.

    Raises:
        ValueError: If a file cannot be read, or the network cannot be loaded.
    """
    labeler = Labeler(config)
    for job in jobs:
        yield job.run(labeler, on_frame)
