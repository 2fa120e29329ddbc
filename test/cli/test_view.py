"""The command ``lseg view``; the page itself is tested in test/view."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("viser", reason="the extra view is not installed")

from lseg_ros.cli import main
from lseg_ros.cli.view import describe_access


def test_serves_the_page_until_ctrl_c(checkpoint: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lseg_ros.cli", "view", "synthetic", "--port", "0", "--checkpoint", checkpoint]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"open (http://127\.0\.0\.1:\d+) in a browser; Ctrl-C ends the page\n", line)
        assert match, line
        with urllib.request.urlopen(match[1]) as response:
            assert b"<html" in response.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stdout.read() == ""


@pytest.mark.parametrize(
    ("host", "is_private"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("192.168.1.5", False)],
)
def test_says_that_other_computers_need_no_password(host: str, is_private: bool) -> None:
    assert ("no password" in describe_access(host)) is not is_private


def test_an_address_of_another_computer_is_named(checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", "synthetic", "--host", "192.0.2.1", "--checkpoint", checkpoint]) == 2
    assert "host: expected an address of this computer" in capsys.readouterr().err
