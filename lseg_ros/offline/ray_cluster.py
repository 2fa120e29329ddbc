"""Run jobs on a Ray cluster (extra ``ray``), with one loaded network per worker.

All machines of the cluster need this package, and see the input and the results under the same paths.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lseg_ros.offline.jobs import Job, JobReport
from lseg_ros.offline.labeler import Labeler, LabelerConfig

__all__ = ["run_jobs_on_ray"]

_RETRIES = 3  # of a job whose worker dies, for example because its machine is switched off


class _Worker:
    """A process of the cluster. It loads the network with its first job."""

    def __init__(self, config: LabelerConfig) -> None:
        self._config = config
        self._labeler: Labeler | None = None

    def run(self, job: Job) -> JobReport:
        self._labeler = self._labeler or Labeler(self._config)
        return job.run(self._labeler, lambda: None)


def run_jobs_on_ray(
    jobs: Sequence[Job], config: LabelerConfig, on_frame: Callable[[], None], address: str, workers: int = 0
) -> Iterator[JobReport]:
    """Run jobs on a cluster. A job whose worker dies is repeated.

    Args:
        jobs: The jobs.
        config: Labels and network.
        on_frame: Called for each frame of a job when the job is done.
        address: Address of the cluster, or "auto" for the one on this machine.
        workers: Number of workers; 0 for one per GPU, or one per machine without GPUs.

    Returns:
        An iterator over the reports, in the order of the jobs.

    Raises:
        ModuleNotFoundError: If Ray is not installed.
        ValueError: If there is no such cluster, a file cannot be read, or the network cannot be loaded.
        RuntimeError: If the workers of a job died several times.
    """
    import ray

    was_connected = ray.is_initialized()
    if not was_connected:
        _connect(ray, address)
    try:
        yield from _run(ray, jobs, config, on_frame, workers)
    finally:
        if not was_connected:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"ray: expected the address of a running cluster (`ray start --head` starts one), got {address!r}: {reason}"
        ) from error


def _run(
    ray: Any, jobs: Sequence[Job], config: LabelerConfig, on_frame: Callable[[], None], workers: int
) -> Iterator[JobReport]:
    count, resources = _plan(ray, workers, uses_gpus=config.network.device != "cpu")
    remote = ray.remote(max_restarts=-1, max_task_retries=_RETRIES, **resources)(_Worker)
    running: dict[Any, tuple[int, Any]] = {}  # task -> number of its job, and the worker
    waiting = iter(enumerate(jobs))
    finished: dict[int, JobReport] = {}
    expected = 0

    def start(worker: Any) -> None:
        for number, job in waiting:
            running[worker.run.remote(job)] = number, worker
            return

    for _ in range(min(count, len(jobs))):
        start(remote.remote(config))
    while running:
        (task,), _ = ray.wait(list(running), num_returns=1)
        number, worker = running.pop(task)
        finished[number] = _get(ray, task)
        start(worker)
        for _ in range(len(jobs[number])):
            on_frame()
        while expected in finished:
            yield finished.pop(expected)
            expected += 1


def _plan(ray: Any, workers: int, *, uses_gpus: bool) -> tuple[int, dict[str, float]]:
    """Return the number of workers and the resources of each."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if gpus and uses_gpus:
        count = workers or gpus
        return count, {"num_gpus": min(1.0, gpus / count)}
    cpus = int(sum(node["CPU"] for node in nodes))
    count = min(workers or len(nodes), cpus)
    per_node = -(-count // len(nodes))
    return count, {"num_cpus": max(1, int(min(node["CPU"] for node in nodes)) // per_node)}


def _get(ray: Any, task: Any) -> JobReport:
    """Return the report of a finished task, or raise what its job raised."""
    try:
        report: JobReport = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayActorError as error:
        reason = " ".join(str(error).split())[:200]
        raise RuntimeError(f"ray: the worker of a job died {_RETRIES + 1} times: {reason}") from error
    return report
