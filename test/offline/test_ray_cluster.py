"""Jobs on a local Ray cluster of two workers, one of which is killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

from lseg_ros.bags import BagRecording
from lseg_ros.cli import main
from lseg_ros.inference import SegmenterConfig
from lseg_ros.offline.bag_results import BagPart, BagResults
from lseg_ros.offline.jobs import Job, JobReport, run_jobs
from lseg_ros.offline.labeler import Labeler, LabelerConfig
from lseg_ros.offline.ray_cluster import run_jobs_on_ray
from lseg_ros.pipeline import PipelineConfig
from lseg_ros.vocabulary import Vocabulary
from test.support.bags import make_pixels, make_recording, write_bag

ray: Any = pytest.importorskip("ray", reason="Ray is not installed (extra ray)")

LABELS = ["floor", "sofa|couch"]


@dataclass(frozen=True)
class DyingPart:
    """A part of a bag whose worker dies at the first attempt, after a frame."""

    part: BagPart
    pid_file: Path

    def __len__(self) -> int:
        return len(self.part)

    def run(self, labeler: Labeler, _: Callable[[], None]) -> JobReport:
        def die() -> None:
            if not self.pid_file.exists():
                self.pid_file.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)

        report = self.part.run(labeler, die)
        return report._replace(text=str(os.getpid()))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
    yield
    ray.shutdown()


@pytest.fixture
def config(checkpoint: str) -> LabelerConfig:
    network = SegmenterConfig(checkpoint=checkpoint, device="cpu")
    return LabelerConfig(network, PipelineConfig(), Vocabulary.of(LABELS))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow  # starts Ray and several processes that import PyTorch
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("cluster")
def test_the_work_of_a_killed_worker_is_repeated_with_the_same_results(config: LabelerConfig, tmp_path: Path) -> None:
    bag, folders, reports, frames = write_bag(tmp_path / "bag", make_recording(8)), [], [], list[int]()
    for name in ("one", "ray"):
        with BagRecording(bag) as recording:
            results = BagResults(recording, tmp_path / name, "recording", config, ["overlay", "points"], 2)
        parts = results.missing_parts()
        if name == "one":
            assert len(list(run_jobs(parts, config, lambda: None))) == 4
        else:
            jobs: list[Job] = [parts[0], DyingPart(parts[1], tmp_path / "pid"), *parts[2:]]
            reports = list(run_jobs_on_ray(jobs, config, lambda: frames.append(1), "auto", workers=2))
        results.finish()
        folders.append(results.folder)
    assert content(folders[0]) == content(folders[1])
    assert len(reports) == 4 and len(frames) == 8
    assert reports[1].text not in ("", (tmp_path / "pid").read_text())  # the pid of the process that repeated it


@pytest.mark.slow  # starts Ray and several processes that import PyTorch
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("cluster")
def test_segment_gives_the_same_files_and_errors_on_a_cluster(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # the worker has another current folder
    names = [f"{number}.png" for number in range(3)]
    for number, name in enumerate(names):
        cv2.imwrite(name, make_pixels(number))
    Path("broken.png").write_bytes(b"no image")
    options = [*names, "broken.png", "--labels", *LABELS, "--checkpoint", checkpoint, "--device", "cpu"]
    for out, cluster in (("one", []), ("ray", ["--ray", "auto", "--ray-workers", "1"])):
        assert main(["segment", *options, "--out", out, *cluster]) == 2
        printed = capsys.readouterr()
        assert [Path(line.partition(":")[0]).name for line in printed.out.splitlines()] == names  # in order
        assert "broken.png: expected an image" in printed.err.splitlines()[-1]
    assert content(tmp_path / "one") == content(tmp_path / "ray")


def test_an_address_without_a_cluster_is_named(config: LabelerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ValueError, match=r"^ray: expected the address of a running cluster .*, got 'auto': Could not"):
        next(run_jobs_on_ray([], config, lambda: None, "auto"))
