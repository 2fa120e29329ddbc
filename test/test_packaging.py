"""Both doors of the package: what colcon installs, what pip installs, and what either declares."""

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
except ModuleNotFoundError:  # Python 3.10, where pytest brings it under this name
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
WEIGHTS = {each.name for each in (ROOT / "lseg_ros/model/weights").glob("*.safetensors")}
EXECUTABLES = ("lseg_node", "synthetic_camera", "replay_camera", "lseg_demo")

OF_ROS = {each.text for each in MANIFEST if each.tag.endswith("depend")}
OF_PIP = {re.split("[<>=]", each)[0].replace("-", "_") for each in REQUIREMENTS}
IMPORTED_AS = {"opencv_python_headless": "cv2", "open_clip_torch": "open_clip", "pillow": "PIL", "PyYAML": "yaml"}


def imported_by(folder: str) -> set[str]:
    """The packages of others that the files of a folder import."""
    names: set[str] = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"lseg_ros", "research", "benchmarks"}


class TestDeclarations:
    def test_one_version_everywhere(self):
        assert MANIFEST.findtext("version") == lseg_ros.__version__

    def test_the_manifest_is_that_of_an_interface_package(self):
        assert MANIFEST.get("format") == "3"
        assert MANIFEST.findtext("member_of_group") == "rosidl_interface_packages"
        assert MANIFEST.findtext("export/build_type") == "ament_cmake"

    def test_every_package_that_is_imported_is_declared(self):
        declared = OF_ROS | {IMPORTED_AS.get(each, each) for each in OF_PIP}
        assert imported_by("lseg_ros") | imported_by("launch") <= declared

    @pytest.mark.parametrize("requirement", REQUIREMENTS)
    def test_every_requirement_is_bounded_below_and_above(self, requirement):
        assert re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", requirement)

    def test_a_robot_gets_every_requirement_from_rosdep_or_from_the_line_in_the_readme(self):
        line = re.search(r"pip install (torch .*)", (ROOT / "README.md").read_text())[1]
        skipped = re.search(r'--skip-keys "(.*)"', (ROOT / "README.md").read_text())[1].split()
        keys = {"opencv_python_headless": "python3-opencv", "pillow": "python3-pil", "PyYAML": "python3-yaml"}
        wanted = {re.split("[<>=]", each)[0] for each in PROJECT["dependencies"]} - set(line.split())
        assert {keys.get(each.replace("-", "_"), f"python3-{each}") for each in wanted} <= OF_ROS - set(skipped)

    @pytest.mark.parametrize("file", [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")], ids=lambda file: file.stem)
    def test_every_field_of_an_interface_is_explained(self, file):
        lines = ["", *file.read_text().splitlines()]
        fields = [number for number, line in enumerate(lines) if line and not line.startswith(("#", "---"))]
        assert [lines[each] for each in fields if not lines[each - 1].startswith("#")] == []

    @pytest.mark.parametrize("name", EXECUTABLES)
    def test_an_executable_runs_the_main_of_a_module(self, name):
        script = ROOT / "scripts" / name
        module = re.search(r"from (\S+) import main", script.read_text())
        assert os.access(script, os.X_OK)
        assert "def main(" in (ROOT / module[1].replace(".", "/")).with_suffix(".py").read_text()


def test_pip_brings_the_core_with_its_weights_and_its_command_but_no_node(tmp_path):
    source = tmp_path / "source"  # setuptools leaves a build folder in what it builds
    shutil.copytree(ROOT / "lseg_ros", source / "lseg_ros", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        commands = wheel.read(next(each for each in names if each.endswith("entry_points.txt"))).decode()
    assert "lseg = lseg_ros.cli:main" in commands
    assert {f"lseg_ros/model/weights/{each}" for each in WEIGHTS} <= set(names)
    assert not [each for each in names if each.startswith(("lseg_ros/ros/", "test/"))]


@pytest.fixture(scope="module", params=["plain", "symlink"])
def prefix(request, tmp_path_factory):
    """Where colcon installed our package: as files, built here, or as links, which is how `make` builds it."""
    if request.param == "symlink":
        return Path(os.environ["AMENT_PREFIX_PATH"].split(os.pathsep)[0])
    workspace = tmp_path_factory.mktemp("workspace")
    ros = bootstrap.find_ros(os.environ["ROS_DISTRO"], os.environ)
    done = subprocess.run(bootstrap.colcon_build(ros, workspace), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return workspace / "install/lseg_ros"


@pytest.mark.ros
@pytest.mark.timeout(600)  # a build, also on a busy machine
class TestColcon:
    def test_the_executables_are_where_ros2_run_looks(self, prefix):
        installed = prefix / "lib/lseg_ros"
        assert {each.name for each in installed.iterdir()} == set(EXECUTABLES)
        assert all(os.access(each, os.X_OK) for each in installed.iterdir())

    def test_launch_config_and_rviz_are_where_ros2_launch_looks(self, prefix):
        share = prefix / "share/lseg_ros"
        wanted = {each.relative_to(ROOT) for name in ("launch", "config", "rviz") for each in (ROOT / name).glob("*.*")}
        assert wanted and all((share / each).is_file() for each in wanted)

    def test_messages_and_network_are_one_package(self, prefix, tmp_path):
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
        assert {Path(each).name for each in weights} >= WEIGHTS
