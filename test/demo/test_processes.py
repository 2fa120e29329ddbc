"""Child processes and ROS domains of the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from lseg_ros.demo.processes import ChildProcess, choose_free_domain, wait_for


@pytest.mark.parametrize("own", ["1", "57", "101"])
def test_the_chosen_domain_differs_from_that_of_this_process(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", own)
    chosen = {choose_free_domain() for _ in range(5000)}  # enough draws to see each of the 100 domains
    assert chosen == set(range(1, 102)) - {int(own)}


def test_reports_the_last_line_of_a_process_that_ended(tmp_path: Path) -> None:
    with ChildProcess(("-c", "print('first'); print('last'); exit(3)"), {}, tmp_path / "log") as child:
        assert child.wait(30) == 3
        with pytest.raises(RuntimeError, match="ended with status 3: last"):
            wait_for(lambda: False, [child], 30, "anything")
        assert not child.alive and child.output == "first\nlast\n"


def test_waiting_ends_after_the_timeout() -> None:
    with pytest.raises(ValueError, match="expected a mask within 0 s, got none"):
        wait_for(lambda: False, [], 0.01, "a mask")


def test_passes_parameters_as_yaml(tmp_path: Path) -> None:
    parameters = {"loop": True, "labels": ("floor", "wall"), "rate": 2.5}
    with ChildProcess(("-c", "import sys; print(sys.argv[1:])"), parameters, tmp_path / "log") as child:
        child.wait(30)
    assert child.output.strip() == str(
        ["--ros-args", "-p", "loop:=true", "-p", "labels:=['floor', 'wall']", "-p", "rate:=2.5"]
    )
