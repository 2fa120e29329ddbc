"""Start a module in two processes, as torchrun does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

__all__ = ["run_in_two_processes"]


def run_in_two_processes(module: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run ``python -m MODULE`` with these arguments in two processes.

    Fails if the exit status is not 0.
    """
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(_free_port())]
    finished = subprocess.run(
        [sys.executable, *launcher, "-m", module, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=100,
    )
    assert finished.returncode == 0, finished.stderr
    return finished


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
