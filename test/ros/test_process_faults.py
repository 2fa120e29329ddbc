"""Faults of the machine: killed processes, full disks, clock jumps, nodes of one name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from test.support.executables import READY, ROOT, Process
from test.support.node_harness import FRAME_ID, NodeHarness, make_frame, make_image
from test.support.ros_client import RELIABLE, RosClient, wait_until

Start = Callable[..., NodeHarness]


pytestmark = pytest.mark.slow  # every test starts a node, some twice


@pytest.fixture
def start(ros_client: RosClient, checkpoint: str, tmp_path: Path) -> Iterator[Start]:
    """Start a node ``/faults/lseg`` with a tiny network and wait until it is active."""
    with ExitStack() as stack:

        def start_node(name: str = "node", **options: Any) -> NodeHarness:
            arguments = ["-r", "__ns:=/faults"]
            options = {"checkpoint": checkpoint, "device": "cpu", **options}
            node = stack.enter_context(Process("lseg_node", tmp_path / f"{name}.log", *arguments, **options))
            wait_until(lambda: not node.alive or READY in node.output, 240, "the node did not start")
            assert node.alive, node.output
            return NodeHarness(ros_client, node, "/faults")

        yield start_node


def test_a_node_that_was_killed_starts_again(start: Start) -> None:
    harness = start("first")
    harness.wait_for_mask(image=make_image(harness.make_header()))
    os.kill(harness.process.pid, signal.SIGKILL)
    assert harness.process.wait(10) == -signal.SIGKILL
    harness = start("second")
    harness.wait_for_mask(image=make_image(harness.make_header()))


def test_a_node_that_was_stopped_continues_with_the_newest_image(start: Start) -> None:
    harness = start()
    harness.wait_for_mask(image=make_image(harness.make_header()))
    os.kill(harness.process.pid, signal.SIGSTOP)
    for _ in range(50):
        harness.send(image=make_image(harness.make_header()))
    os.kill(harness.process.pid, signal.SIGCONT)
    newest = harness.make_header()
    harness.wait_for_mask(image=make_image(newest))
    stamps = harness.mask.stamps()
    assert stamps == sorted(stamps)
    assert "Traceback" not in harness.process.output


def test_without_a_writable_home_only_the_log_file_is_missing(start: Start) -> None:
    nowhere = "/proc/nowhere"  # not even root can create it
    names = ("HOME", "XDG_CACHE_HOME", "ROS_HOME", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
    harness = start(environment={**os.environ, **dict.fromkeys(names, nowhere)})
    harness.wait_for_mask(image=make_image(harness.make_header()))
    assert "no log file is written" in harness.process.output


def test_a_node_gives_a_mask(start: Start) -> None:
    harness = start()
    mask = harness.wait_for_mask(image=make_image(harness.make_header(), height=480, width=640))
    assert mask.width == 640


def run_in_namespace(mounts: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the test of a mask with other file systems.

    Args:
        mounts: Shell commands that mount file systems, which no other process sees.
        environment: Environment variables.
    """
    test = f"{Path(__file__).relative_to(ROOT)}::{test_a_node_gives_a_mask.__name__}"
    command = f"set -e; {mounts}; exec {sys.executable} -m pytest -q -p no:cacheprovider {test}"
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """An empty folder to mount a file system on."""
    folder = tmp_path / "disk"
    folder.mkdir()
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("needs the right to mount file systems (root, or CAP_SYS_ADMIN in a container)")
    return folder


@pytest.mark.timeout(300)
def test_a_full_disk_does_not_prevent_masks(disk: Path) -> None:
    mounts = f"mount -t tmpfs -o size=64k tmpfs {disk}; ! head -c 128k /dev/zero > {disk}/file 2>/dev/null"
    names = ("HOME", "XDG_CACHE_HOME", "ROS_HOME", "NUMBA_CACHE_DIR")
    run = run_in_namespace(mounts, **dict.fromkeys(names, str(disk)))
    assert run.returncode == 0, run.stdout


@pytest.mark.timeout(300)
def test_little_shared_memory_does_not_prevent_masks(disk: Path) -> None:
    run = run_in_namespace("mount -t tmpfs -o size=1m tmpfs /dev/shm")
    assert run.returncode == 0, run.stdout


def test_a_clock_that_jumps_back_costs_no_more_than_the_frames_in_between(start: Start, ros_client: RosClient) -> None:
    harness = start(use_sim_time=True, max_rate_hz=5.0, max_frame_age_s=1.0)
    clock = ros_client.node.create_publisher(Clock, "/clock", RELIABLE)
    clouds = ros_client.listen(PointCloud2, "/faults/lseg/points")
    for seconds in (5000, 10, 20):
        message = Clock()
        message.clock.sec = seconds
        header = Header(stamp=message.clock, frame_id=FRAME_ID)

        def has_cloud(clock_message: Clock, header: Header) -> bool:
            clock.publish(clock_message)
            harness.wait_for_mask(**make_frame(header))
            return any(cloud.header.stamp == header.stamp for cloud in list(clouds.messages))

        wait_until(lambda: has_cloud(message, header), 30, f"no cloud at {seconds} s")  # noqa: B023 - called at once


def test_two_nodes_of_one_name_report_each_other(start: Start) -> None:
    start("first")
    harness = start("second")
    status = harness.wait_for_status("another node is called /faults/lseg")
    assert status.level == b"\x01"
