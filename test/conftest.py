"""Markers that skip tests with a reason, and fixtures for all tests."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

# Two processes of pytest share the cores of a small machine, and their child processes inherit this.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that runs the tests in the background ignores Ctrl-C, and their child processes would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: a busy machine is slow at times, and the first example of a test pays for the imports.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

ROOT = Path(__file__).resolve().parent.parent
ROS_TESTS = [ROOT / "test" / folder for folder in ("ros", "demo", "benchmarks/ros", "fuzz/ros")]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption(
        "--require",
        action="append",
        default=[],
        metavar="MARKER",
        help="fail instead of skipping if something that MARKER needs is missing",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore the folders that import rclpy if it is missing. The summary mentions them."""
    if collection_path in ROS_TESTS and missing("ros", config) and "ros" not in config.getoption("--require"):
        return True
    return None


class OneProcessForRos(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist is Any to mypy
    """Gives all tests over DDS to one process, and each other file of tests to any process."""

    def _split_scope(self, nodeid: str) -> str:
        file = ROOT / nodeid.partition("::")[0]
        return "ros" if any(folder in file.parents for folder in ROS_TESTS) else str(file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneProcessForRos:
    return OneProcessForRos(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in ROS_TESTS):
            item.add_marker(pytest.mark.ros)
        for marker in ("ros", "gpu", "shared_data", "browser", "slow"):
            if not item.get_closest_marker(marker):
                continue
            reason = missing(marker, config)
            if reason and marker in config.getoption("--require"):
                raise pytest.UsageError(f"--require {marker}: {reason}")
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
    # The camera and the node of the fixture `robot` keep a core busy until the end, so their tests come last.
    files = {item.path for item in items if "robot" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in files)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reason = missing("ros", config)
    if reason:
        folders = ", ".join(str(folder.relative_to(ROOT)) for folder in ROS_TESTS)
        terminalreporter.line(f"not collected: {folders} ({reason})")


def missing(marker: str, config: pytest.Config) -> str:
    """Say what this machine lacks to run the tests with a marker, "" for nothing."""
    if marker == "ros" and not has_ros():
        return "no ROS 2 with the messages of lseg_ros: `make test` sets one up"
    if marker == "gpu" and not has_gpu():
        return "no CUDA device"
    if marker == "shared_data" and not shared_data_folder().is_dir():
        return f"no shared data at {shared_data_folder()}: set LSEG_SHARED_DATA"
    if marker == "browser":
        from test.support.browser import missing_for_browser

        return missing_for_browser()
    if marker == "slow" and not config.getoption("--slow"):
        return "takes longer than a minute: run with --slow"
    return ""


def has_ros() -> bool:
    return all(importlib.util.find_spec(module) for module in ("rclpy", "lseg_ros.msg"))


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def shared_data_folder() -> Path:
    return Path(os.environ.get("LSEG_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session", autouse=True)
def auto_is_pytorch() -> Iterator[None]:
    """Let ``engine: auto`` be PyTorch here, because an export takes seconds."""
    segmenter = sys.modules.get("lseg_ros.inference.segmenter")
    with pytest.MonkeyPatch.context() as patch:
        if segmenter is not None:
            patch.setattr(segmenter, "is_installed", lambda: False)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared recordings. Tests that use it are marked shared_data."""
    return shared_data_folder()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checkpoint of a complete LSeg with random weights that runs in milliseconds."""
    from test.support.tiny_network import write_tiny  # imports PyTorch, which not every test needs

    return write_tiny(tmp_path_factory.mktemp("weights"))
