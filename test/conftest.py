"""What the tests can count on: markers that skip with their reason, and the shared recordings."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import hypothesis
import pytest

# A busy machine is slow now and then, and the first example of a test imports what the others find there.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

ROOT = Path(__file__).resolve().parent.parent
ROS_TESTS = ROOT / "test" / "ros"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")
    parser.addoption(
        "--require",
        action="append",
        default=[],
        metavar="MARKER",
        help="fail, not skip, where MARKER's needs are missing",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The modules of test/ros import rclpy: where it is missing they are left alone, and the summary says so."""
    if collection_path == ROS_TESTS and missing("ros", config) and "ros" not in config.getoption("--require"):
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if ROS_TESTS in item.path.parents:
            item.add_marker(pytest.mark.ros)
        for marker in ("ros", "gpu", "shared_data", "slow"):
            if not item.get_closest_marker(marker):
                continue
            reason = missing(marker, config)
            if reason and marker in config.getoption("--require"):
                raise pytest.UsageError(f"--require {marker}: {reason}")
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reason = missing("ros", config)
    if reason:
        terminalreporter.line(f"test/ros was left out: {reason}")


def missing(marker: str, config: pytest.Config) -> str:
    """What this machine lacks for the tests of a marker, "" where nothing."""
    if marker == "ros" and not has_ros():
        return "no ROS 2 with our messages here, `make test` sets one up"
    if marker == "gpu" and not has_gpu():
        return "no CUDA device here"
    if marker == "shared_data" and not shared_data_folder().is_dir():
        return f"no shared data at {shared_data_folder()} (set LSEG_SHARED_DATA)"
    if marker == "slow" and not config.getoption("--slow"):
        return "takes longer than a minute, run with --slow"
    return ""


def has_ros() -> bool:
    return all(importlib.util.find_spec(each) for each in ("rclpy", "lseg_ros.msg"))


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def shared_data_folder() -> Path:
    return Path(os.environ.get("LSEG_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared recordings; its tests are marked shared_data."""
    return shared_data_folder()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a whole LSeg with random weights, small enough to run in milliseconds."""
    from test.support.tiny_network import write_tiny  # with PyTorch, which not every test needs

    return write_tiny(tmp_path_factory.mktemp("weights"))
