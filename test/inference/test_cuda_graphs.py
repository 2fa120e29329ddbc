"""Tests of the bookkeeping and check of graphs, with functions instead of graphs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lseg_ros.inference.cuda_graphs import Capture, CudaGraphs, Encode

SIZES = [(1, 3, 8, 8), (2, 3, 8, 8), (1, 3, 8, 12)]


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    """Stands for the encoder: embeddings and their lengths."""
    low_res = torch.stack([x.sum(dim=1), x[:, 0] - x[:, 2], 1 + x[:, 1]], dim=1)
    return low_res, low_res.norm(dim=1, keepdim=True)


def make_input(size: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


class Recorder:
    """Captures correctly, and counts captures and replays."""

    def __init__(self) -> None:
        self.captured: list[torch.Size] = []
        self.replayed = 0

    def __call__(self, encode: Encode, x: Tensor) -> Encode:
        self.captured.append(x.shape)

        def replay(x: Tensor) -> tuple[Tensor, Tensor]:
            self.replayed += 1
            return encode(x)

        return replay


def ignores_its_input(encode: Encode, x: Tensor) -> Encode:
    return lambda _: encode(x)


def overwrites_its_results(encode: Encode, x: Tensor) -> Encode:
    low_res, norm = encode(x)

    def replay(x: Tensor) -> tuple[Tensor, Tensor]:
        for static, result in zip((low_res, norm), encode(x)):
            static.copy_(result)
        return low_res, norm

    return replay


def changed(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Capture:
    return lambda encode, x: lambda x: change(*encode(x))


def cannot_capture(encode: Encode, x: Tensor) -> Encode:
    raise RuntimeError("operation not permitted when stream is capturing")


def cannot_replay(encode: Encode, x: Tensor) -> Encode:
    def replay(x: Tensor) -> tuple[Tensor, Tensor]:
        raise RuntimeError("an illegal memory access was encountered")

    return replay


def one_wrong_pixel(low_res: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    low_res[-1, :, -1, -1] += 1
    return low_res, norm


FAULTS: dict[str, Capture] = {
    "ignores its input": ignores_its_input,
    "overwrites its results": overwrites_its_results,
    "one wrong pixel": changed(one_wrong_pixel),
    "wrong norm": changed(lambda low_res, norm: (low_res, 1.2 * norm)),
    "not a number": changed(lambda low_res, norm: (low_res * torch.nan, norm)),
    "wrong shape": changed(lambda low_res, norm: (low_res[..., :-1], norm)),
    "cannot capture": cannot_capture,
    "cannot replay": cannot_replay,
}


def test_the_second_input_of_a_shape_is_captured_and_replayed() -> None:
    capture = Recorder()
    graphs = CudaGraphs(capture)
    for seed in range(4):
        for size in SIZES:
            x = make_input(size, seed)
            for found, expected in zip(graphs.run(encode, x), encode(x)):
                assert torch.equal(found, expected)
    assert capture.captured == [torch.Size(size) for size in SIZES]
    assert capture.replayed == len(SIZES) * (2 + 3)  # a check of two inputs, then all but the first
    assert graphs.problem == ""


def test_shapes_that_do_not_return_are_not_captured() -> None:
    capture = Recorder()
    graphs = CudaGraphs(capture)
    for width in range(8, 40):
        graphs.run(encode, make_input((1, 3, 8, width)))
    assert capture.captured == []
    assert len(graphs._replays) == 8


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_only_the_graphs(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    graphs = CudaGraphs(FAULTS[fault])
    for seed in range(4):
        x = make_input(SIZES[1], seed)
        for found, expected in zip(graphs.run(encode, x), encode(x)):
            assert torch.equal(found, expected)
    assert graphs.problem.startswith("CUDA graphs are not used: ")
    assert [record.getMessage() for record in caplog.records] == [graphs.problem]
