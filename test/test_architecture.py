"""Tests of the import rules. The contracts are in pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lseg_ros"
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_by(file: Path) -> set[str]:
    """The top-level packages that a file imports anywhere, inside functions too."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in whole | parts}


def test_imports_follow_the_contracts() -> None:
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_imports_both_torch_and_rclpy() -> None:
    assert [file for file in FILES if {"torch", "rclpy"} <= imported_by(file)] == []


def test_only_the_node_and_the_demo_import_rclpy() -> None:
    folders = {file.relative_to(PACKAGE).parts[0] for file in FILES if "rclpy" in imported_by(file)}
    assert folders == {"ros", "demo"}


@pytest.mark.parametrize("heavy", ["torch", "numpy", "cv2"])
def test_importing_the_package_is_light(heavy: str) -> None:
    """Importing the generated message types imports this package too."""
    command = f"import lseg_ros, sys; raise SystemExit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=ROOT).returncode == 0
