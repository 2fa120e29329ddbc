"""The compiled pass where the world is not as it should be; what it computes is test_postprocess.py's matter."""

import subprocess
import sys

import pytest

from lseg_ros.inference import postprocess_numba


@pytest.mark.skipif(not postprocess_numba.AVAILABLE, reason="needs numba (the extra fast)")
def test_code_that_cannot_be_kept_on_disk_is_compiled_all_the_same() -> None:
    made: dict[str, object] = {}
    exec("def upsample2x(x):\n    return 2 * x", made)  # of no file, so that there is no place beside it
    assert postprocess_numba._compiled(made["upsample2x"])(21) == 42


def test_without_numba_pytorch_computes_the_same() -> None:
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
