"""Tests of the Numba code with a broken cache, without a cache and without Numba.

test_postprocess.py tests its results.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lseg_ros.inference import postprocess_numba

needs_numba = pytest.mark.skipif(not postprocess_numba.AVAILABLE, reason="needs numba, from the extra fast")


def compile_twice(folder: Path) -> Callable[[int], int]:
    """Compile a function of a new module in a folder, whose cache is in the same folder."""
    path = folder / "doubling.py"
    path.write_text("def twice(x):\n    return 2 * x\n")
    spec = importlib.util.spec_from_file_location("doubling", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    compiled: Callable[[int], int] = postprocess_numba._compile(module.twice)
    return compiled


@needs_numba
def test_caches_compiled_code_on_disk(tmp_path: Path) -> None:
    assert compile_twice(tmp_path)(21) == 42
    assert len(list(tmp_path.rglob("*.nbi"))) == len(list(tmp_path.rglob("*.nbc"))) == 1


@needs_numba
def test_compiles_without_a_cache_on_disk() -> None:
    namespace: dict[str, object] = {}
    exec("def twice(x):\n    return 2 * x", namespace)  # code without a file has no cache
    assert postprocess_numba._compile(namespace["twice"])(21) == 42


@needs_numba
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_damaged_file_in_the_cache_costs_only_compilation(suffix: str, tmp_path: Path) -> None:
    compile_twice(tmp_path)(21)
    (file,) = tmp_path.rglob(f"*.{suffix}")
    file.write_bytes(file.read_bytes()[:-20])
    assert compile_twice(tmp_path)(21) == 42


@needs_numba
def test_a_cache_that_cannot_be_written_costs_only_compilation(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from test.inference.test_postprocess_numba import compile_twice
folder = Path(sys.argv[1])
twice = compile_twice(folder)  # finds that the folder is writable
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # from now on, every write fails, as on a full disk
assert twice(21) == 42
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert not list(tmp_path.rglob("*.nbc"))


def test_pytorch_replaces_numba() -> None:
    program = """
import sys
sys.modules["numba"] = None
import torch
from lseg_ros.inference import postprocess_numba
from lseg_ros.inference.postprocess import postprocess
assert not postprocess_numba.AVAILABLE
logits = torch.zeros(1, 2, 16, 16)
logits[:, 1] = 1.0
assert (postprocess(logits, (32, 32), (50, 40), torch.tensor([7, 9], dtype=torch.uint8))[0] == 9).all()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
