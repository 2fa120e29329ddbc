"""The set-up of a bare machine: what is in the way is said in one sentence, and what is done is not done again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import bootstrap
from tools.bootstrap import Ros, Step, check_disk, check_machine, digest, find_ros, reason

ROOT = Path(__file__).resolve().parents[2]
WHEELS = Ros("jazzy", bootstrap.PYTHON, sourced=False)


def make(*arguments, **variables):
    variables = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=variables, capture_output=True, text=True)


class TestWhichRos:
    def test_wheels_where_none_is_sourced(self):
        assert find_ros("jazzy", {}) == WHEELS

    def test_each_distribution_has_an_environment_of_its_own(self):
        kinds = [WHEELS, Ros("kilted", "python3", sourced=False), Ros("jazzy", "python3", sourced=True)]
        assert len({each.venv for each in kinds}) == 3

    def test_a_python_is_wanted_only_where_it_was_named(self):
        named = find_ros("jazzy", {}, python=sys.executable)
        assert (named.python, named.python_is_wanted) == (sys.executable, True)

    def test_an_unknown_distribution_is_refused_with_those_that_are_known(self):
        with pytest.raises(SystemExit, match="expected jazzy or kilted, got 'noetic'"):
            find_ros("noetic", {})

    @pytest.fixture
    def prefix(self, tmp_path):
        (tmp_path / "share/rclpy").mkdir(parents=True)
        return tmp_path

    def test_a_sourced_one_wins(self, prefix, monkeypatch):
        (prefix / "rclpy.py").touch()
        monkeypatch.setenv("PYTHONPATH", str(prefix))
        ros = find_ros("jazzy", {"AMENT_PREFIX_PATH": str(prefix), "ROS_DISTRO": "humble"})
        assert ros == Ros("humble", bootstrap.PYTHON, sourced=True)

    def test_a_sourced_one_for_another_python_is_not_guessed_around(self, prefix, monkeypatch):
        monkeypatch.setattr(subprocess, "call", lambda *arguments, **options: 1)
        with pytest.raises(SystemExit, match="humble is sourced, but .* cannot import its rclpy: name the Python"):
            find_ros("jazzy", {"AMENT_PREFIX_PATH": str(prefix), "ROS_DISTRO": "humble"})

    def test_our_own_environment_is_not_taken_for_a_sourced_one(self, prefix):
        (prefix / "pyvenv.cfg").touch()
        assert not find_ros("jazzy", {"AMENT_PREFIX_PATH": str(prefix), "ROS_DISTRO": "jazzy"}).sourced


class TestWhatIsInTheWay:
    def test_a_missing_compiler(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("CC", raising=False)
        with pytest.raises(SystemExit, match="No C compiler was found: install one, as in: .*build-essential"):
            check_machine(WHEELS)

    def test_another_processor(self, monkeypatch):
        monkeypatch.setattr(bootstrap.platform, "machine", lambda: "aarch64")
        with pytest.raises(SystemExit, match="wheels are for Linux on x86_64 .* aarch64: install ROS 2, source"):
            check_machine(WHEELS)

    def test_a_python_without_its_headers(self, monkeypatch, tmp_path):
        monkeypatch.setattr(bootstrap.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
        with pytest.raises(SystemExit, match="headers are missing .*: install them, as in: .*python3-dev"):
            check_machine(WHEELS)

    def test_a_python_that_cannot_make_environments(self, monkeypatch):
        monkeypatch.setattr(subprocess, "call", lambda *arguments, **options: 1)
        with pytest.raises(SystemExit, match="cannot make environments: .*python3-venv"):
            check_machine(WHEELS)

    def test_this_machine_is_fine(self):
        check_machine(WHEELS)

    def test_a_full_disk(self):
        check_disk(free_bytes=50_000_000_000)
        with pytest.raises(SystemExit, match="needs 9 GB of disk and 1.5 GB are free"):
            check_disk(free_bytes=1_500_000_000)

    @pytest.mark.parametrize("python", ["python-that-is-not-there", "false"])
    def test_an_unsupported_python(self, python):
        done = make("demo", f"PYTHON={python}")
        assert done.returncode != 0
        assert f"needs Python 3.10 to 3.14, which '{python}' is not: install one and name it" in done.stderr
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
    def test_the_reason_is_found_in_what_was_written(self, log, sentence):
        assert sentence in reason(log)

    def test_a_step_that_fails_says_why_and_is_not_taken_for_done(self, tmp_path, monkeypatch):
        monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
        step = Step("Installing", tmp_path / "pip", "key")
        with pytest.raises(SystemExit, match="Installing failed: the disk .* is full: make room and try again"):
            step.run([sys.executable, "-c", "raise OSError(28, 'No space left on device')"], os.environ)
        assert not step.is_done()


class TestOnlyOnce:
    def test_a_step_is_done_until_its_key_changes(self, tmp_path, monkeypatch):
        monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
        step = Step("Building", tmp_path / "built", "key")
        assert not step.is_done()
        step.run([sys.executable, "-c", ""], os.environ)
        assert step.is_done()
        assert not Step("Building", tmp_path / "built", "another key").is_done()

    def test_a_key_follows_the_content_of_files_and_folders(self, tmp_path, monkeypatch):
        monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
        (tmp_path / "msg").mkdir()
        label = tmp_path / "msg/Label.msg"
        keys = set()
        for content in ("uint8 id", "uint8 id\nstring name"):
            label.write_text(content)
            keys.add(digest([tmp_path / "msg"], "3.12"))
        keys.add(digest([tmp_path / "msg"], "3.13"))
        assert len(keys) == 3

    def test_a_second_run_starts_nothing_and_a_new_message_only_the_build(self, tmp_path, monkeypatch):
        started = []

        def call(command, **options):
            started.append(str(command[0]).rpartition("/")[2] if "venv" not in command else "venv")
            if started[-1] == "venv":
                (WHEELS.venv / "bin").mkdir(parents=True)
                (WHEELS.venv / "bin/python").touch()
                (WHEELS.venv / "bin/activate").write_text(str(WHEELS.venv))
                version = "{}.{}.{}".format(*sys.version_info)
                (WHEELS.venv / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\n")
            return 0

        monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
        monkeypatch.setattr(bootstrap, "HERE", tmp_path / "tools")
        monkeypatch.setattr(bootstrap, "check_machine", lambda ros: None)
        monkeypatch.setattr(subprocess, "call", call)
        for each in ("pyproject.toml", "tools/jazzy.txt", "tools/wheels.cmake", "package.xml", "CMakeLists.txt"):
            (tmp_path / each).parent.mkdir(exist_ok=True)
            (tmp_path / each).touch()
        bootstrap.set_up(WHEELS)
        assert started == ["venv", "python", "colcon"]
        bootstrap.set_up(WHEELS)
        assert started == ["venv", "python", "colcon"]
        (tmp_path / "msg").mkdir()
        (tmp_path / "msg/Label.msg").write_text("uint8 id")
        bootstrap.set_up(WHEELS)
        assert started == ["venv", "python", "colcon", "colcon"]


class TestVariables:
    def test_wheels_need_no_second_start_of_python(self):
        inside = bootstrap.environment(WHEELS, {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/opt/cuda"})
        assert inside["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] == "1"
        assert inside["PATH"].split(":") == [str(WHEELS.venv / "bin"), "/usr/bin"]
        assert inside["LD_LIBRARY_PATH"].split(":")[-1] == "/opt/cuda"

    def test_entering_twice_changes_nothing(self):
        once = bootstrap.environment(WHEELS, {"PATH": "/usr/bin"})
        assert bootstrap.environment(WHEELS, once) == once
