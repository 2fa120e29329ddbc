"""What an executable does before it imports PyTorch: signals and a cache folder."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from lseg_ros.startup import exit_on_signals, torch_cache_env

WAIT = "import sys, time; from lseg_ros.startup import exit_on_signals; "
INSIDE = WAIT + "\nwith exit_on_signals({}):\n  print('ready', flush=True); time.sleep(60)"


def run_until_ready(program: str, number: signal.Signals) -> tuple[int, str]:
    """Send a signal to a program when it prints a line.

    Returns:
        Its exit status, and what it wrote to stderr.
    """
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.send_signal(number)
        errors = process.stderr.read()
        return process.wait(), errors


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_process_quietly(number: signal.Signals, status: int) -> None:
    assert run_until_ready(INSIDE.format(""), number) == (status, "")
    assert run_until_ready(INSIDE.format("status=0"), number) == (0, "")


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    ignored = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    ending = INSIDE.format("").replace("time.sleep(60)", "time.sleep(0.5)") + "\nsys.exit(7)"
    assert run_until_ready(ignored + ending, signal.SIGINT) == (7, "")


def test_the_handlers_return_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ImportError), exit_on_signals():
        assert signal.getsignal(signal.SIGINT) is not before
        raise ImportError
    assert signal.getsignal(signal.SIGINT) is before


def test_does_nothing_in_other_threads() -> None:
    handlers = []

    def enter() -> None:
        with exit_on_signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


def test_ctrl_c_during_the_imports_of_a_command_ends_it_with_130() -> None:
    program = """
import importlib, sys, time
sys.argv[1:] = ["segment", "photo.png"]
def import_slowly(name):
    print(name, flush=True)
    time.sleep(60)
importlib.import_module = import_slowly
from lseg_ros.cli import main
sys.exit(main())
"""
    assert run_until_ready(program, signal.SIGINT) == (130, "")
    assert run_until_ready(program, signal.SIGTERM) == (143, "")


def test_the_cache_of_pytorch_stays_where_it_can_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    assert torch_cache_env() == {}
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "new" / "cache"))
    assert torch_cache_env() == {}


def test_a_cache_of_pytorch_that_cannot_be_created_is_replaced_by_an_existing_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/proc/nowhere")
    assert torch_cache_env() == {"TORCHINDUCTOR_CACHE_DIR": "/"}


def test_a_disk_without_room_for_temporary_files_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    assert torch_cache_env() == {"TORCHINDUCTOR_CACHE_DIR": "/"}
