"""A node that cannot start says why in a sentence and ends with 1; Ctrl-C, once or twice, ends it with 0."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from test.ros.consumer import until
from test.ros.processes import Process

PARAMETER_FILE = "/**:\n  ros__parameters:\n    labels: []\n"

FAULTS = {
    "empty list in a file": ({"file": PARAMETER_FILE}, "got an empty one"),
    "no list": ({"labels": "floor"}, "labels: expected a value like"),
    "no such checkpoint": ({"checkpoint": "nowhere.ckpt"}, "nowhere.ckpt"),
    "out of range": ({"max_rate_hz": -1.0}, "max_rate_hz"),
}


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Status and output of a node with each of the faults; they run side by side, for they all import PyTorch."""
    folder = tmp_path_factory.mktemp("starts")
    running = {name: _start(folder, number, **fault) for number, (name, (fault, _)) in enumerate(FAULTS.items())}
    return {name: (process.wait(90), process.output) for name, process in running.items()}


def _start(folder: Path, number: int, file: str = "", **parameters: object) -> Process:
    arguments = ["-r", f"__ns:=/start_{number}"]
    if file:
        path = folder / f"{number}.yaml"
        path.write_text(file)
        arguments += ["--params-file", str(path)]
    return Process("lseg_node", folder / f"{number}.log", *arguments, **parameters)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_node_that_cannot_start_says_why_and_ends_with_1(ends, fault):
    status, output = ends[fault]
    assert status == 1
    assert FAULTS[fault][1] in output
    assert "Traceback" not in output


def test_the_parameter_file_of_the_package_is_accepted_and_two_interrupts_end_it_without_a_traceback(tmp_path):
    config = Path(__file__).resolve().parents[2] / "config" / "lseg.yaml"
    log = tmp_path / "node.log"
    with Process("lseg_node", log, "-r", "__ns:=/two", "--params-file", str(config)) as node:
        until(lambda: not node.alive or "looking for" in node.output, 60)
        assert node.alive, node.output
        node.interrupt()
        time.sleep(0.05)
        node.interrupt()
        assert node.wait(30) == 0
        assert "Traceback" not in node.output


def test_an_interrupt_while_it_loads_ends_it_without_a_traceback(tmp_path):
    with Process("lseg_node", tmp_path / "node.log", "-r", "__ns:=/early") as node:
        time.sleep(1.5)  # in the middle of importing PyTorch
        node.interrupt()
        assert node.wait(30) == 0
        assert "Traceback" not in node.output
