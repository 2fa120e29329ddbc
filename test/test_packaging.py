"""What pip and colcon install, and which dependencies the package declares."""

from __future__ import annotations

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

import lseg_ros
from tools import bootstrap

try:
    import tomllib
except ModuleNotFoundError:  # on Python 3.10, pytest installs it under this name
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    requirement
    for requirement in (*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values()))
    if not requirement.startswith("lseg_ros[")
]
ROBOT = {
    line.partition("#")[0].strip()
    for line in (ROOT / "requirements-robot.txt").read_text().splitlines()
    if not line.startswith("#")
}
DESK = "lseg_ros/desk"
WEIGHTS = "lseg_ros/model/weights/demo.safetensors"
# For rviz:=true and nav2_demo.launch.py, for Nav2's lifecycle manager, and for GPUs (a part of PyTorch's CUDA builds).
OPTIONAL_PACKAGES = {"rviz2", "nav2_costmap_2d", "nav2_lifecycle_manager", "nav2_msgs", "bondpy", "triton"}
EXECUTABLES = ("lseg_node", "synthetic_camera", "replay_camera", "lseg_demo", "viewer", "go_to")

MODULES = {"opencv_python_headless": "cv2", "open_clip_torch": "open_clip", "pillow": "PIL", "PyYAML": "yaml"}


def module_name(requirement: str) -> str:
    """The module that a requirement installs."""
    package = re.split("[<>=]", requirement)[0].replace("-", "_")
    return MODULES.get(package, package)


ROS_PACKAGES = {element.text for element in MANIFEST if element.tag.endswith("depend")}
PIP_MODULES = {module_name(requirement) for requirement in REQUIREMENTS}


def imported_by(folder: str) -> set[str]:
    """The third-party packages that the files of a folder import."""
    names: set[str] = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"lseg_ros"}


def desk_files() -> set[str]:
    """The files of the recording of the desk, relative to the repository."""
    files = (path for path in (ROOT / DESK).rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(ROOT)) for path in files}


class TestDeclarations:
    def test_all_files_state_the_same_version(self) -> None:
        assert MANIFEST.findtext("version") == lseg_ros.__version__

    def test_the_manifest_declares_an_interface_package(self) -> None:
        assert MANIFEST.get("format") == "3"
        assert MANIFEST.findtext("member_of_group") == "rosidl_interface_packages"
        assert MANIFEST.findtext("export/build_type") == "ament_cmake"

    def test_every_imported_package_is_declared(self) -> None:
        assert imported_by("lseg_ros") | imported_by("launch") <= ROS_PACKAGES | PIP_MODULES | OPTIONAL_PACKAGES

    def test_every_package_that_the_launch_files_start_is_declared_or_optional(self) -> None:
        sources = [path.read_text() for path in (ROOT / "launch").glob("*.launch.py")]
        started = {name for source in sources for name in re.findall(r'package="(\w+)"', source)}
        assert started <= ROS_PACKAGES | {"lseg_ros"} | OPTIONAL_PACKAGES

    @pytest.mark.parametrize("requirement", REQUIREMENTS)
    def test_every_requirement_has_a_lower_and_an_upper_bound(self, requirement: str) -> None:
        assert re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", requirement)

    def test_the_robot_requirements_have_the_ranges_of_the_project(self) -> None:
        extra = {"numpy<2"}  # narrower on a robot, see the file
        assert ROBOT - extra <= {requirement.partition(" ")[0] for requirement in REQUIREMENTS}

    def test_rosdep_and_the_robot_requirements_provide_every_import_of_the_node(self) -> None:
        rosdep = {"python3-numpy": "numpy", "python3-opencv": "cv2", "python3-pil": "PIL", "python3-yaml": "yaml"}
        provided = {module for key, module in rosdep.items() if key in ROS_PACKAGES} | {
            module_name(line) for line in ROBOT
        }
        code = """
            import sys

            class Without:
                def __init__(self, finder):
                    self.finder = finder

                def find_spec(self, name, path=None, target=None):
                    return None if name in sys.argv[1].split(",") else self.finder.find_spec(name, path, target)

            sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
            import lseg_ros.pipeline, lseg_ros.recordings, lseg_ros.messages
        """
        needed_by_open_clip = {"tqdm"}
        missing = {module_name(requirement) for requirement in REQUIREMENTS} - provided - needed_by_open_clip
        command = [sys.executable, "-c", textwrap.dedent(code), ",".join(sorted(missing))]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr

    @pytest.mark.parametrize("file", [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")], ids=lambda file: file.stem)
    def test_every_field_of_an_interface_has_a_comment(self, file: Path) -> None:
        lines = ["", *file.read_text().splitlines()]
        fields = [number for number, line in enumerate(lines) if line and not line.startswith(("#", "---"))]
        assert [lines[number] for number in fields if not lines[number - 1].startswith("#")] == []

    @pytest.mark.parametrize("name", EXECUTABLES)
    def test_an_executable_runs_the_main_function_of_a_module(self, name: str) -> None:
        script = ROOT / "scripts" / name
        module = re.search(r"from (\S+) import main", script.read_text())
        assert module
        assert os.access(script, os.X_OK)
        assert "def main(" in (ROOT / module[1].replace(".", "/")).with_suffix(".py").read_text()


def test_the_wheel_contains_the_command_and_one_network_and_no_node(tmp_path: Path) -> None:
    source = tmp_path / "source"  # setuptools leaves a build folder in its source folder
    ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "install", "log", "out", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=ignored, symlinks=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True)
    path = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        commands = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "lseg = lseg_ros.cli:main" in commands
    assert [name for name in names if name.endswith((".safetensors", ".pt", ".ckpt", ".onnx"))] == [WEIGHTS]
    assert path.stat().st_size < 30_000_000
    fonts = {name.removeprefix("lseg_ros/fonts/") for name in names if name.startswith("lseg_ros/fonts/")}
    assert fonts == {path.name for path in (ROOT / "lseg_ros/fonts").iterdir()}
    assert "lseg_ros/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"lseg_ros"}
    assert not [name for name in names if name.startswith(("lseg_ros/ros/", "lseg_ros/demo/"))]
    assert {name for name in names if name.startswith(f"{DESK}/")} == desk_files()


@pytest.fixture(scope="module", params=[pytest.param("plain", marks=pytest.mark.slow), "symlink"])
def prefix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The install prefix of this package.

    It is built here with plain files, which takes minutes, or by `make` with symlinks.
    """
    if request.param == "symlink":
        return Path(os.environ["AMENT_PREFIX_PATH"].split(os.pathsep)[0])
    workspace = tmp_path_factory.mktemp("workspace")
    ros = bootstrap.find_ros(os.environ["ROS_DISTRO"], os.environ)
    done = subprocess.run(bootstrap.colcon_build(ros, workspace), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return workspace / "install/lseg_ros"


@pytest.mark.ros
@pytest.mark.timeout(600)  # builds the package
class TestColcon:
    def test_installs_executables_for_ros2_run(self, prefix: Path) -> None:
        installed = prefix / "lib/lseg_ros"
        assert {path.name for path in installed.iterdir()} == set(EXECUTABLES)
        assert all(os.access(path, os.X_OK) for path in installed.iterdir())

    def test_installs_launch_config_rviz_and_license_files(self, prefix: Path) -> None:
        share = prefix / "share/lseg_ros"
        folders = [
            path.relative_to(ROOT) for name in ("launch", "config", "rviz") for path in (ROOT / name).glob("*.*")
        ]
        assert folders
        assert all((share / path).is_file() for path in (*folders, Path("LICENSE"), Path("CHANGELOG.md")))

    def test_installs_the_recording_of_the_desk(self, prefix: Path) -> None:
        package = next(prefix.glob("**/lseg_ros/__init__.py")).parent.parent
        assert len(desk_files()) == 44
        assert [name for name in desk_files() if not (package / name).is_file()] == []

    def test_messages_and_network_share_one_package(self, prefix: Path, tmp_path: Path) -> None:
        code = """
            import lseg_ros.model, lseg_ros.msg, lseg_ros.srv
            from pathlib import Path
            assert lseg_ros.msg.Vocabulary(epoch=3).epoch == 3
            print(lseg_ros.__file__, *Path(lseg_ros.model.__file__).parent.glob("weights/*"))
        """
        program = tmp_path / "program.py"
        program.write_text(textwrap.dedent(code))
        sourced = f". {prefix.parent}/local_setup.bash && exec {sys.executable} {program}"
        done = subprocess.run(["bash", "-c", sourced], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        package, *weights = done.stdout.split()
        assert Path(package).samefile(next(prefix.glob("**/lseg_ros/__init__.py")))
        assert [Path(path).name for path in weights if path.endswith(".safetensors")] == ["demo.safetensors"]
