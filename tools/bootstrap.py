"""Sets up what `make` needs, where it is missing, and runs a command in it. Nothing but the standard library here.

    python3 tools/bootstrap.py --distro jazzy -- python -m pytest

Three steps, each done again only when what it depends on has changed: a virtual environment, the packages in it (ROS 2
as wheels included, unless a ROS 2 is sourced), and the build of our package with colcon into <environment>/workspace.
Whatever is in the way ends it with one sentence that says what to do.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "tools"
# That beneath a virtual environment, if one is entered: a sourced ROS has its build tools and its NumPy there.
PYTHON: str = getattr(sys, "_base_executable", sys.executable)
NEEDED_BYTES = 9_000_000_000  # 6.6 GB of packages, most of it CUDA's libraries, and room to unpack them
INTERFACES = ("msg", "srv", "CMakeLists.txt", "package.xml", "tools/wheels.cmake")  # built again when they change
INSTALLED = ("lseg_ros", "scripts", "launch", "config", "rviz")  # linked: installed again when files come or go


@dataclass(frozen=True)
class Ros:
    """The ROS 2 to use: its name, the Python to set it up with, and whether it is a sourced one or comes as wheels."""

    distro: str
    python: str
    sourced: bool
    python_is_wanted: bool = False  # asked for by name: an environment of another Python will not do

    @property
    def venv(self) -> Path:
        if self.sourced:
            return ROOT / f".venv-{self.distro}-sourced"
        return ROOT / (".venv" if self.distro == "jazzy" else f".venv-{self.distro}")

    @property
    def workspace(self) -> Path:
        return self.venv / "workspace"


def find_ros(distro: str, environ: Mapping[str, str], python: str = "") -> Ros:
    """The sourced ROS 2 where there is one, the wheels of ``distro`` otherwise. Raises SystemExit with the reason."""
    is_wanted, python = bool(python), shutil.which(python) or PYTHON
    prefixes = [Path(each) for each in environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if each]
    # Our own environment of wheels, entered already, is a prefix with rclpy as well.
    if not any((each / "share/rclpy").exists() and not (each / "pyvenv.cfg").exists() for each in prefixes):
        if not (HERE / f"{distro}.txt").exists():
            known = " or ".join(sorted(each.stem for each in HERE.glob("*.txt")))
            raise SystemExit(f"DISTRO: expected {known}, got {distro!r}; of any other, source an installation first")
        return Ros(distro, python, sourced=False, python_is_wanted=is_wanted)
    name = environ.get("ROS_DISTRO", "ros")
    for each in (python,) if is_wanted else (python, "/usr/bin/python3"):
        if Path(each).exists() and not subprocess.call([each, "-c", "import rclpy"], stderr=subprocess.DEVNULL):
            return Ros(name, each, sourced=True, python_is_wanted=is_wanted)
    raise SystemExit(
        f"ROS 2 {name} is sourced, but {python} cannot import its rclpy: name the Python that it was made for, "
        "as in: make demo PYTHON=/usr/bin/python3"
    )


def check_machine(ros: Ros) -> None:
    """Raise SystemExit, with what to do, where something is missing that pip cannot bring."""
    if not ros.sourced and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SystemExit(
            f"The ROS 2 wheels are for Linux on x86_64 and this is {platform.system()} on {platform.machine()}: "
            "install ROS 2, source its setup.bash, and try again"
        )
    for language, variable, names in (("C", "CC", ("cc", "gcc", "clang")), ("C++", "CXX", ("c++", "g++", "clang++"))):
        if not any(shutil.which(each) for each in (os.environ.get(variable, ""), *names) if each):
            raise SystemExit(f"No {language} compiler was found: install one, as in: sudo apt install build-essential")
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.exists():
        raise SystemExit(f"Python's headers are missing ({header}): install them, as in: sudo apt install python3-dev")
    if subprocess.call([ros.python, "-c", "import ensurepip, venv"], stderr=subprocess.DEVNULL):
        raise SystemExit(f"{ros.python} cannot make environments: install that, as in: sudo apt install python3-venv")


def check_disk(free_bytes: int) -> None:
    """Raise SystemExit where the packages would not fit."""
    if free_bytes < NEEDED_BYTES:
        raise SystemExit(
            f"The set-up needs {NEEDED_BYTES / 1e9:.0f} GB of disk and {free_bytes / 1e9:.1f} GB are free at {ROOT}: "
            "make room and try again"
        )


def digest(paths: Iterable[Path], *facts: str) -> str:
    """A key that changes with the content of any of these files, of the files in these folders, and with the facts."""
    key = hashlib.sha256("\n".join(facts).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                key.update(f"\n{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return key.hexdigest()


def file_names(folders: Iterable[str]) -> str:
    found = sorted(str(each) for folder in folders for each in (ROOT / folder).rglob("*") if each.is_file())
    return "\n".join(each for each in found if "__pycache__" not in each)


def reason(log: str) -> str:
    """Why pip or colcon failed and what to do, from what they wrote; "" where nothing is recognized."""
    if re.search(r"No space left on device|Errno 28", log):
        return "the disk (or that of TMPDIR, where pip unpacks) is full: make room and try again"
    if re.search(r"NewConnectionError|NameResolutionError|ProxyError|timed out|\(from versions: none\)", log):
        return "the package registry cannot be reached: see to the network, or to pip's proxy and index, and try again"
    errors = re.findall(r"^\s*(?:ERROR: |CMake Error.*:\s+)(.+)$", log, re.MULTILINE)
    return errors[0].strip() if errors else ""


@dataclass(frozen=True)
class Step:
    """One step of the set-up: skipped while its key is the one it last succeeded with, else run and logged."""

    title: str
    stamp: Path  # holds the key; the log lies beside it
    key: str

    def is_done(self) -> bool:
        return self.stamp.exists() and self.stamp.read_text() == self.key

    def run(self, command: Sequence[str | Path], environ: Mapping[str, str]) -> None:
        """Run the command; SystemExit, with the reason in one sentence, where it fails."""
        log = self.stamp.with_suffix(".log")
        print(f"{self.title} (what happens is written to {log.relative_to(ROOT)}) ... ", end="", flush=True)
        began = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            failed = subprocess.call(command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT)
        if failed:
            print("failed", flush=True)
            why = reason(log.read_text(errors="replace"))
            raise SystemExit(f"{self.title} failed: {why or f'the reason is at the end of {log}'}")
        self.stamp.write_text(self.key)
        print(f"{time.monotonic() - began:.0f} s", flush=True)


def make_venv(ros: Ros) -> None:
    """Make the virtual environment, anew where its Python is gone or not the wanted one, or its folder was moved."""
    asked = [ros.python, "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]
    version = subprocess.check_output(asked, text=True).strip()
    config, activate = ros.venv / "pyvenv.cfg", ros.venv / "bin/activate"  # activate is what venv writes last
    if activate.exists() and (ros.venv / "bin/python").exists():
        is_wanted = not ros.python_is_wanted or f"\nversion = {version}." in config.read_text()
        if is_wanted and str(ros.venv) in activate.read_text():
            return
        print(f"{ros.venv.name} is for another Python or from another folder: it is made anew", flush=True)
    shutil.rmtree(ros.venv, ignore_errors=True)
    options = ["--system-site-packages"] if ros.sourced else []
    step = Step(f"Making {ros.venv.name} with Python {version}", ros.venv / "venv", "")
    step.run([ros.python, "-m", "venv", *options, ros.venv], environ=os.environ)


def install(ros: Ros) -> None:
    """Install what pyproject.toml asks for and, unless a ROS 2 is sourced, ROS 2 itself."""
    wheels = HERE / f"{ros.distro}.txt"
    key = digest([ROOT / "pyproject.toml", *([] if ros.sourced else [wheels])], str(ROOT))
    step = Step("Installing torch, ROS 2 and all else that is needed, minutes at the first time", ros.venv / "pip", key)
    if step.is_done():
        return
    if not step.stamp.exists():
        check_disk(shutil.disk_usage(ROOT).free)
    wanted: list[str | Path] = ["-e", ".[fast,train,test,lint]"]
    if not ros.sourced:
        wanted += ["-r", wheels]
    else:
        numpy = [ros.python, "-c", "import numpy; print(numpy.__version__.split('.')[0])"]
        if subprocess.check_output(numpy, text=True).strip() == "1":
            wanted.append("numpy<2")  # the sourced ROS is compiled for it
        if not shutil.which("colcon"):
            wanted.append("colcon-common-extensions")
    pip = [ros.venv / "bin/python", "-m", "pip", "install", "--disable-pip-version-check", *wanted]
    step.run(pip, environ=environment(ros, os.environ))


def build(ros: Ros) -> None:
    """Generate the interfaces and install our package, as links into the source."""
    key = digest((ROOT / each for each in INTERFACES), file_names(INSTALLED), (ros.venv / "pip").read_text())
    step = Step("Building the interfaces", ros.workspace / "built", key)
    if step.is_done():
        return
    # A link to a file that is gone, or a folder half configured, is cheaper to make anew than to understand.
    shutil.rmtree(ros.workspace, ignore_errors=True)
    step.run(colcon_build(ros, ros.workspace, "--symlink-install"), environ=environment(ros, os.environ))


def colcon_build(ros: Ros, workspace: Path, *options: str) -> list[str]:
    """The command that builds our package into ``workspace``/install."""
    python = ros.python if ros.sourced else str(ros.venv / "bin/python")
    cmake = [f"-DPython3_EXECUTABLE={python}", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"]
    if not ros.sourced:
        cmake.append(f"-DCMAKE_PROJECT_INCLUDE={HERE / 'wheels.cmake'}")
    folders = ["--build-base", str(workspace / "build"), "--install-base", str(workspace / "install")]
    colcon = ["colcon", "--log-base", str(workspace / "log"), "build", "--base-paths", str(ROOT), *folders, *options]
    return [*colcon, "--event-handlers", "console_direct+", "--cmake-args", *cmake]


def environment(ros: Ros, outside: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process that uses this ROS 2, our package and the virtual environment."""
    inside = dict(outside)

    def prepend(variable: str, *paths: Path) -> None:
        before = inside.get(variable, "").split(os.pathsep)
        new = [str(each) for each in paths]
        inside[variable] = os.pathsep.join([*new, *(each for each in before if each and each not in new)])

    prepend("PATH", ros.venv / "bin")
    inside["VIRTUAL_ENV"] = str(ros.venv)
    if not ros.sourced:
        inside["ROS_DISTRO"] = ros.distro
        inside["AMENT_PREFIX_PATH"] = inside["CMAKE_PREFIX_PATH"] = str(ros.venv)
        inside.pop("PYTHONPATH", None)
        # The wheels would do this themselves, by starting Python a second time, and with the folders in random order.
        prepend("LD_LIBRARY_PATH", ros.venv / "lib", *sorted(ros.venv.glob("lib/python3.*/site-packages/ros_*.libs")))
        inside["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
        inside.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    prefix = ros.workspace / "install/lseg_ros"
    prepend("AMENT_PREFIX_PATH", prefix)
    prepend("LD_LIBRARY_PATH", prefix / "lib")
    # site-packages or dist-packages, below lib or local/lib: each distribution's Python has its own mind.
    prepend("PYTHONPATH", *(each.parents[2] for each in prefix.glob("**/lseg_ros/msg/__init__.py")))
    return inside


def set_up(ros: Ros) -> None:
    """Do whichever steps are not done, one set-up at a time."""
    folder = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        if not (ros.workspace / "built").exists():
            check_machine(ros)
        make_venv(ros)
        install(ros)
        build(ros)
    finally:
        os.close(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--distro", default="jazzy", help="which ROS 2 to install where none is sourced")
    parser.add_argument("--python", default="", help="which Python to set up with, instead of one that will do")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    options = parser.parse_args()
    try:
        ros = find_ros(options.distro, os.environ, options.python)
        set_up(ros)
    except KeyboardInterrupt:
        raise SystemExit("\ninterrupted; the next run goes on from the last step that was finished") from None
    inside = environment(ros, os.environ)
    os.execvpe(options.command[0], options.command, inside)


if __name__ == "__main__":
    main()
