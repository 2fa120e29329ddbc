"""Set up an environment with ROS 2 and this package, and run a command in it.

    python3 tools/bootstrap.py --distro jazzy -- python -m pytest

Three steps: create a virtual environment, install the packages (including ROS 2 as wheels, unless a ROS 2 is
sourced), and build this package with colcon into <environment>/workspace. A step runs again only when its inputs
change. An error message is one sentence that says what to do. Only the standard library is used here.
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
WHEELS = ROOT / "tools" / "wheels"
# The interpreter below an active virtual environment: a sourced ROS has its build tools and NumPy there.
PYTHON: str = getattr(sys, "_base_executable", sys.executable)
NEEDED_BYTES = 9_000_000_000  # 6.6 GB of packages, mostly CUDA libraries, plus room to unpack them
INTERFACES = ("msg", "srv", "CMakeLists.txt", "package.xml", "tools/wheels/wheels.cmake")  # rebuild when they change
INSTALLED = ("lseg_ros", "scripts", "launch", "config", "rviz")  # symlinked: reinstall when files are added or removed


@dataclass(frozen=True)
class Ros:
    """The ROS 2 to use.

    Attributes:
        distro: Name of the distribution, such as "jazzy".
        python: Interpreter that the environment is created with.
        sourced: Whether a sourced installation is used; otherwise ROS 2 is installed from wheels.
        python_required: Whether the user named the interpreter, so that an environment with another one is replaced.
    """

    distro: str
    python: str
    sourced: bool
    python_required: bool = False

    @property
    def venv(self) -> Path:
        """The folder of the virtual environment."""
        if self.sourced:
            return ROOT / f".venv-{self.distro}-sourced"
        return ROOT / (".venv" if self.distro == "jazzy" else f".venv-{self.distro}")

    @property
    def workspace(self) -> Path:
        """The colcon workspace inside the virtual environment."""
        return self.venv / "workspace"


def find_ros(distro: str, environ: Mapping[str, str], python: str = "") -> Ros:
    """Return the sourced ROS 2 if there is one, otherwise the wheels of ``distro``.

    Raises:
        SystemExit: If ``distro`` has no wheels, or no interpreter can import the sourced rclpy.
    """
    required, python = bool(python), shutil.which(python) or PYTHON
    prefixes = [Path(prefix) for prefix in environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    # An active environment of wheels is also a prefix with rclpy.
    if not any((prefix / "share/rclpy").exists() and not (prefix / "pyvenv.cfg").exists() for prefix in prefixes):
        if not (WHEELS / f"{distro}.txt").exists():
            known = " or ".join(sorted(path.stem for path in WHEELS.glob("*.txt")))
            raise SystemExit(f"DISTRO: expected {known}, got {distro!r}; source an installation to use another one")
        return Ros(distro, python, sourced=False, python_required=required)
    name = environ.get("ROS_DISTRO", "ros")
    for candidate in (python,) if required else (python, "/usr/bin/python3"):
        if Path(candidate).exists() and not subprocess.call(
            [candidate, "-c", "import rclpy"], stderr=subprocess.DEVNULL
        ):
            return Ros(name, candidate, sourced=True, python_required=required)
    raise SystemExit(
        f"ROS 2 {name} is sourced, but {python} cannot import its rclpy: name the Python that it was built for, "
        "as in: make demo PYTHON=/usr/bin/python3"
    )


def check_machine(ros: Ros) -> None:
    """Raise SystemExit with instructions if something is missing that pip cannot install."""
    if not ros.sourced and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SystemExit(
            f"The ROS 2 wheels are for Linux on x86_64 and this is {platform.system()} on {platform.machine()}: "
            "install ROS 2, source its setup.bash, and try again"
        )
    for language, variable, names in (("C", "CC", ("cc", "gcc", "clang")), ("C++", "CXX", ("c++", "g++", "clang++"))):
        if not any(shutil.which(name) for name in (os.environ.get(variable, ""), *names) if name):
            raise SystemExit(f"No {language} compiler was found: install one, as in: sudo apt install build-essential")
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.exists():
        raise SystemExit(f"Python's headers are missing ({header}): install them, as in: sudo apt install python3-dev")
    if subprocess.call([ros.python, "-c", "import ensurepip, venv"], stderr=subprocess.DEVNULL):
        raise SystemExit(f"{ros.python} cannot create virtual environments: sudo apt install python3-venv")


def check_disk(free_bytes: int) -> None:
    """Raise SystemExit if the packages do not fit on the disk."""
    if free_bytes < NEEDED_BYTES:
        raise SystemExit(
            f"The setup needs {NEEDED_BYTES / 1e9:.0f} GB of disk space and {ROOT} has {free_bytes / 1e9:.1f} GB: "
            "free some space and try again"
        )


def digest(paths: Iterable[Path], *facts: str) -> str:
    """Return a hash of these files, the files in these folders, and the facts."""
    key = hashlib.sha256("\n".join(facts).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                key.update(f"\n{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return key.hexdigest()


def file_names(folders: Iterable[str]) -> str:
    """Return the sorted names of all files in these folders, one per line."""
    found = sorted(str(path) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return "\n".join(name for name in found if "__pycache__" not in name)


def find_failure(log: str) -> str:
    """Find in a log why pip or colcon failed.

    Returns:
        The cause and what to do about it, or "" if the log shows no known cause.
    """
    if re.search(r"No space left on device|Errno 28", log):
        return "the disk (or TMPDIR, where pip unpacks) is full: free some space and try again"
    if re.search(r"NewConnectionError|NameResolutionError|ProxyError|timed out|\(from versions: none\)", log):
        return "the package registry cannot be reached: check the network and pip's proxy and index, and try again"
    errors = re.findall(r"^\s*(?:ERROR: |CMake Error.*:\s+)(.+)$", log, re.MULTILINE)
    return errors[0].strip() if errors else ""


@dataclass(frozen=True)
class Step:
    """One step of the setup. It is skipped if it has already succeeded with the same key.

    Attributes:
        title: What the step does, for the progress line.
        stamp: File that stores the key of the last success; the log is next to it.
        key: Hash of the inputs of the step.
    """

    title: str
    stamp: Path
    key: str

    def is_done(self) -> bool:
        """Return whether the step has succeeded with this key."""
        return self.stamp.exists() and self.stamp.read_text() == self.key

    def run(self, command: Sequence[str | Path], environ: Mapping[str, str]) -> None:
        """Run the command. Raise SystemExit with the reason in one sentence if it fails."""
        log = self.stamp.with_suffix(".log")
        print(f"{self.title} (log: {log.relative_to(ROOT)}) ... ", end="", flush=True)
        began = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            failed = subprocess.call(command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT)
        if failed:
            print("failed", flush=True)
            cause = find_failure(log.read_text(errors="replace"))
            raise SystemExit(f"{self.title} failed: {cause or f'see the end of {log}'}")
        self.stamp.write_text(self.key)
        print(f"{time.monotonic() - began:.0f} s", flush=True)


def make_venv(ros: Ros) -> None:
    """Create the virtual environment, or replace an unusable one.

    An environment is unusable if it was moved, or if its Python is missing or the wrong one.
    """
    print_version = [ros.python, "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]
    version = subprocess.check_output(print_version, text=True).strip()
    config, activate = ros.venv / "pyvenv.cfg", ros.venv / "bin/activate"  # venv writes activate last
    if activate.exists() and (ros.venv / "bin/python").exists():
        matches = not ros.python_required or f"\nversion = {version}." in config.read_text()
        if matches and str(ros.venv) in activate.read_text():
            return
        print(f"{ros.venv.name} belongs to another Python or folder: replacing it", flush=True)
    shutil.rmtree(ros.venv, ignore_errors=True)
    options = ["--system-site-packages"] if ros.sourced else []
    step = Step(f"Creating {ros.venv.name} with Python {version}", ros.venv / "venv", "")
    step.run([ros.python, "-m", "venv", *options, ros.venv], environ=os.environ)


def install(ros: Ros) -> None:
    """Install the dependencies in pyproject.toml and, unless a ROS 2 is sourced, ROS 2 itself."""
    wheels = WHEELS / f"{ros.distro}.txt"
    key = digest([ROOT / "pyproject.toml", *([] if ros.sourced else [wheels])], str(ROOT))
    step = Step(
        "Installing PyTorch, ROS 2 and the other dependencies, which takes minutes the first time",
        ros.venv / "pip",
        key,
    )
    if step.is_done():
        return
    if not step.stamp.exists():
        check_disk(shutil.disk_usage(ROOT).free)
    wanted: list[str | Path] = ["-e", ".[fast,fetch,onnxruntime,train,video,view,ray,test,lint]"]
    if not ros.sourced:
        wanted += ["-r", wheels]
    else:
        numpy = [ros.python, "-c", "import numpy; print(numpy.__version__.split('.')[0])"]
        if subprocess.check_output(numpy, text=True).strip() == "1":
            wanted.append("numpy<2")  # the sourced ROS is compiled against it
        if not shutil.which("colcon"):
            wanted.append("colcon-common-extensions")
    pip = [ros.venv / "bin/python", "-m", "pip", "install", "--disable-pip-version-check", *wanted]
    step.run(pip, environ=environment(ros, os.environ))


def build(ros: Ros) -> None:
    """Generate the interfaces and install this package as symlinks into the source folder."""
    key = digest((ROOT / name for name in INTERFACES), file_names(INSTALLED), (ros.venv / "pip").read_text())
    step = Step("Building the interfaces", ros.workspace / "built", key)
    if step.is_done():
        return
    # Start over: dangling links and half-configured folders are harder to repair than to rebuild.
    shutil.rmtree(ros.workspace, ignore_errors=True)
    step.run(colcon_build(ros, ros.workspace, "--symlink-install"), environ=environment(ros, os.environ))


def colcon_build(ros: Ros, workspace: Path, *options: str) -> list[str]:
    """Return the command that builds this package into ``workspace``/install."""
    python = ros.python if ros.sourced else str(ros.venv / "bin/python")
    cmake = [f"-DPython3_EXECUTABLE={python}", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"]
    if not ros.sourced:
        cmake.append(f"-DCMAKE_PROJECT_INCLUDE={WHEELS / 'wheels.cmake'}")
    folders = ["--build-base", str(workspace / "build"), "--install-base", str(workspace / "install")]
    colcon = ["colcon", "--log-base", str(workspace / "log"), "build", "--base-paths", str(ROOT), *folders, *options]
    return [*colcon, "--event-handlers", "console_direct+", "--cmake-args", *cmake]


def environment(ros: Ros, outside: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a process that uses this setup.

    The setup is this ROS 2, this package and the virtual environment.
    """
    inside = dict(outside)

    def prepend(variable: str, *paths: Path) -> None:
        before = inside.get(variable, "").split(os.pathsep)
        new = [str(path) for path in paths]
        inside[variable] = os.pathsep.join([*new, *(path for path in before if path and path not in new)])

    prepend("PATH", ros.venv / "bin")
    inside["VIRTUAL_ENV"] = str(ros.venv)
    if not ros.sourced:
        inside["ROS_DISTRO"] = ros.distro
        inside["AMENT_PREFIX_PATH"] = inside["CMAKE_PREFIX_PATH"] = str(ros.venv)
        inside.pop("PYTHONPATH", None)
        # Otherwise the wheels do this by starting Python a second time, with the folders in random order.
        prepend("LD_LIBRARY_PATH", ros.venv / "lib", *sorted(ros.venv.glob("lib/python3.*/site-packages/ros_*.libs")))
        inside["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
        inside.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    prefix = ros.workspace / "install/lseg_ros"
    prepend("AMENT_PREFIX_PATH", prefix)
    prepend("LD_LIBRARY_PATH", prefix / "lib")
    # Python packages are in site-packages or dist-packages below lib or local/lib, depending on the distribution.
    prepend("PYTHONPATH", *(path.parents[2] for path in prefix.glob("**/lseg_ros/msg/__init__.py")))
    return inside


def set_up(ros: Ros) -> None:
    """Run the steps that are not done. A lock makes concurrent calls wait."""
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
    """Set up the environment and replace this process with the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--distro", default="jazzy", help="ROS 2 distribution to install if none is sourced")
    parser.add_argument("--python", default="", help="Python interpreter to use for the environment")
    parser.add_argument("command", nargs="+", help="command to run, after --")
    options = parser.parse_args()
    try:
        ros = find_ros(options.distro, os.environ, options.python)
        set_up(ros)
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted. The next run continues after the last finished step.") from None
    inside = environment(ros, os.environ)
    os.execvpe(options.command[0], options.command, inside)


if __name__ == "__main__":
    main()
