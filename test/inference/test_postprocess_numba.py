"""Tests of the Numba code without a cache or without Numba.

test_postprocess.py tests its results.
"""

import subprocess
import sys

import pytest

from lseg_ros.inference import postprocess_numba


@pytest.mark.skipif(not postprocess_numba.AVAILABLE, reason="needs numba, from the extra fast")
def test_compiles_without_a_cache_on_disk() -> None:
    namespace: dict[str, object] = {}
    exec("def twice(x):\n    return 2 * x", namespace)  # code without a file has no cache
    assert postprocess_numba._compile(namespace["twice"])(21) == 42


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
