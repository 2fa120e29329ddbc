"""Tests of the Triton kernel: in Triton's interpreter, and compiled for GPUs without one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lseg_ros.inference import postprocess as plain
from lseg_ros.inference import postprocess_triton
from lseg_ros.inference.embeddings import upsampled_norm
from lseg_ros.model.decoder import upsample2x

pytestmark = pytest.mark.skipif(not postprocess_triton.AVAILABLE, reason="needs Triton")

Size = tuple[int, int]
IDS = torch.randperm(254, generator=torch.Generator().manual_seed(0)).to(torch.uint8) + 1


@pytest.fixture(scope="session")
def interpreted() -> object:
    """The kernel in Triton's interpreter, which runs on tensors of the CPU."""
    from triton.runtime.interpreter import InterpretedFunction

    return InterpretedFunction(postprocess_triton.kernel.fn)


def random_logits(labels: int, size: Size, seed: int = 0) -> torch.Tensor:
    return 6 * torch.randn(1, labels, *size, generator=torch.Generator().manual_seed(seed))


def random_norm(size: Size, seed: int = 0) -> torch.Tensor:
    """Lengths with the memory layout of those of the encoder."""
    return upsampled_norm(torch.randn(1, 5, *size, generator=torch.Generator().manual_seed(seed)) + 0.5)


def softmax(logits: torch.Tensor, norm: torch.Tensor | None, valid_size: Size, size: Size) -> torch.Tensor:
    """(K, H, W) softmax of all labels, which the kernel never stores."""
    half = logits if norm is None else upsample2x(logits) / norm
    return plain.upsample(half, valid_size, size).softmax(dim=0)


# Triton's interpreter takes seconds for many labels on a large image.
@example(labels=254, low_size=(8, 8), cut=(3, 14), size=(9, 7), normed=True, threshold=0.3, seed=0)
@settings(max_examples=8)
@given(
    labels=st.sampled_from([1, 2, 7, 20]),
    low_size=st.tuples(st.integers(8, 12), st.integers(8, 12)),
    cut=st.tuples(st.integers(0, 15), st.integers(0, 15)),
    size=st.none() | st.tuples(st.integers(1, 50), st.integers(1, 50)),
    normed=st.booleans(),
    threshold=st.sampled_from([0.0, 0.3, 0.9]),
    seed=st.integers(0, 9),
)
def test_equals_the_plain_path(
    interpreted: object, labels: int, low_size: Size, cut: Size, size: Size | None, normed: bool, threshold: float,
    seed: int,
) -> None:  # fmt: skip
    logits = random_logits(labels, low_size, seed)
    norm = random_norm(low_size, seed) if normed else None
    scale = 4 if normed else 2
    valid_size = (scale * low_size[0] - cut[0], scale * low_size[1] - cut[1])
    size = size or valid_size
    arguments = (logits, valid_size, size, IDS[:labels], threshold, norm)
    expected = plain.postprocess(*arguments).int()
    found = postprocess_triton.postprocess(*arguments, function=interpreted).int()
    probability = softmax(logits, norm, valid_size, size)
    best = probability.topk(min(labels, 2), dim=0).values
    clear = (best[0] - best[-1] > 1e-5) | (labels == 1)  # rounding decides between equal labels
    clear &= (best[0] - threshold).abs() > 1e-5
    assert clear.float().mean() > 0.99
    assert torch.equal(found[0][clear], expected[0][clear])
    assert (found[1] - expected[1])[clear].abs().max() <= 1
    assert torch.equal(found[1] == 0, found[0] == 0)


def test_first_of_equal_labels_wins(interpreted: object) -> None:
    ids = torch.tensor([9, 4, 7], dtype=torch.uint8)
    maps = postprocess_triton.postprocess(torch.zeros(1, 3, 8, 8), (16, 16), (16, 16), ids, function=interpreted)
    assert (maps[0] == 9).all()
    assert (maps[1] == 85).all()


def test_result_has_the_dtype_of_the_ids(interpreted: object) -> None:
    ids = torch.tensor([900, 4], dtype=torch.int16)
    maps = postprocess_triton.postprocess(torch.zeros(1, 2, 8, 8), (16, 16), (16, 16), ids, function=interpreted)
    assert maps.dtype == torch.int16
    assert (maps[0] == 900).all()


def test_reads_any_memory_layout(interpreted: object) -> None:
    logits = random_logits(5, (8, 12))
    last = logits.contiguous(memory_format=torch.channels_last)
    arguments = ((16, 24), (20, 30), IDS[:5])
    expected = postprocess_triton.postprocess(logits, *arguments, function=interpreted)
    assert torch.equal(postprocess_triton.postprocess(last, *arguments, function=interpreted), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("size", [(32, 32), (50, 41)])
def test_pixels_without_a_softmax_are_unlabeled(interpreted: object, value: float, size: Size) -> None:
    logits, norm = random_logits(4, (8, 8)), random_norm((8, 8))
    logits[0, 2, 3, 4], logits[0, :, 6, 1], norm[0, 0, 15, 15], norm[0, 0, 0, 9] = value, value, 0.0, value
    arguments = (logits, (32, 32), size, IDS[:4], 0.0, norm)
    expected = plain.postprocess(*arguments)
    assert torch.equal(postprocess_triton.postprocess(*arguments, function=interpreted)[0], expected[0])
    assert 0 < (expected[0] == 0).float().mean() < 0.5


@pytest.mark.parametrize("capability", [75, 80, 86, 87, 89, 90, 100])
@pytest.mark.parametrize("has_norm", [True, False], ids=["norm", "no norm"])
def test_compiles_without_spills(
    capability: int, has_norm: bool, tmp_path: Path, record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    constants = {"SOURCES": 3, "MIDDLES": 3 if has_norm else 1, "HAS_NORM": has_norm, "PIXELS": 128}
    types = dict.fromkeys(postprocess_triton.kernel.arg_names, "i32")
    types |= dict.fromkeys(("logits", "norm", "row_weight", "column_weight"), "*fp32")
    types |= dict.fromkeys(("row_index", "column_index"), "*i32") | dict.fromkeys(("ids", "result"), "*u8")
    types |= {"threshold": "fp32"} | dict.fromkeys(constants, "constexpr")
    source = ASTSource(fn=postprocess_triton.kernel, signature=types, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
    report = resource_usage(compiled.asm["ptx"], capability, tmp_path)
    registers, spilled = (re.findall(pattern, report) for pattern in (r"Used (\d+) registers", r"(\d+) bytes spill"))
    record_property("registers", registers[0])
    assert int(registers[0]) <= 128
    assert spilled == ["0", "0"]


def resource_usage(ptx: str, capability: int, folder: Path) -> str:
    """The report of NVIDIA's assembler, which is part of Triton, on a kernel."""
    from triton import knobs

    assembler = (knobs.nvidia.ptxas_blackwell if capability >= 100 else knobs.nvidia.ptxas).path
    target = re.search(r"\.target (\w+)", ptx)
    assert target is not None
    path = folder / "kernel.ptx"
    path.write_text(ptx, encoding="utf-8")
    command = [
        assembler,
        "--verbose",
        "--gpu-name",
        target[1],
        str(path),
        "--output-file",
        str(folder / "kernel.cubin"),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=100).stderr
