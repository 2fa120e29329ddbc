"""Tests of device, precision and memory."""

from __future__ import annotations

import mmap
import sys

import numpy as np
import pytest
import torch

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.inference.device import has_native_bfloat16, memory_mib


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_process_memory_includes_new_arrays() -> None:
    before = memory_mib(torch.device("cpu"))
    held = np.frombuffer(mmap.mmap(-1, 100 << 20), np.uint8)  # not memory that malloc still has from earlier tests
    held[:] = 1
    after = memory_mib(torch.device("cpu"))
    assert held.all()
    assert after["process memory"] - before["process memory"] == pytest.approx(100, abs=20)
    assert after["process memory peak"] >= after["process memory"] - 1
    assert set(after) == {"process memory", "process memory peak"}


@pytest.mark.gpu
def test_gpu_memory_includes_new_tensors() -> None:
    before = memory_mib(torch.device("cuda"))["GPU memory"]
    held = torch.zeros(100 << 18, device="cuda")  # 100 MiB
    after = memory_mib(held.device)
    assert after["GPU memory"] - before == pytest.approx(100, abs=2)
    assert after["GPU memory peak"] >= after["GPU memory"]


def test_auto_precision_is_bfloat16_if_the_processor_supports_it(checkpoint: str) -> None:
    expected = torch.bfloat16 if has_native_bfloat16(torch.device("cpu")) else torch.float32
    assert Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint, device="cpu")).dtype == expected
