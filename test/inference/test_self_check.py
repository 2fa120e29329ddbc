"""Tests of the checks of code for GPUs: they pass plain code and find faults."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lseg_ros.inference import postprocess as plain
from lseg_ros.inference import postprocess_numba, preprocess
from lseg_ros.inference.self_check import Postprocess, check_postprocess, check_upload

CPU = torch.device("cpu")
Size = tuple[int, int]


def torch_only(
    logits: Tensor, valid_size: Size, size: Size, ids: Tensor, threshold: float, norm: Tensor | None
) -> Tensor:
    """The PyTorch code, which a CPU with Numba does not use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postprocess_numba, "AVAILABLE", False)
        return plain.postprocess(logits, valid_size, size, ids, threshold, norm)


def as_on_gpu(*arguments: Any) -> Tensor:
    """The PyTorch code as a GPU runs it, which never asks whether logits are finite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "_are_finite", lambda *_: False)
        return torch_only(*arguments)


def shifted(*arguments: Any) -> Tensor:
    return torch.roll(plain.postprocess(*arguments), 1, dims=2)


def last_column_missing(*arguments: Any) -> Tensor:
    maps = plain.postprocess(*arguments)
    maps[..., -1] = 0
    return maps


def labels_instead_of_ids(logits: Tensor, *arguments: Any) -> Tensor:
    valid_size, size, ids, *rest = arguments
    return plain.postprocess(logits, valid_size, size, torch.arange(1, len(ids) + 1, dtype=ids.dtype), *rest)


def no_threshold(logits: Tensor, valid_size: Size, size: Size, ids: Tensor, _: float, norm: Tensor | None) -> Tensor:
    return plain.postprocess(logits, valid_size, size, ids, 0.0, norm)


def no_norm(logits: Tensor, valid_size: Size, size: Size, ids: Tensor, threshold: float, norm: Tensor | None) -> Tensor:
    length = None if norm is None else torch.ones_like(norm)
    return plain.postprocess(logits, valid_size, size, ids, threshold, length)


def labels_what_is_not_a_number(logits: Tensor, *arguments: Any) -> Tensor:
    return plain.postprocess(logits.nan_to_num(), *arguments)


def last_label_missing(logits: Tensor, *arguments: Any) -> Tensor:
    valid_size, size, ids, *rest = arguments
    return plain.postprocess(logits[:, :-1], valid_size, size, ids[:-1], *rest)


def high_confidence(*arguments: Any) -> Tensor:
    maps = plain.postprocess(*arguments)
    maps[1] = torch.where(maps[1] > 0, maps[1].clamp(max=250) + 5, 0)
    return maps


def no_memory(*_: Any) -> Tensor:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize("candidate", [plain.postprocess, torch_only, as_on_gpu])
def test_plain_postprocessing_passes(candidate: Postprocess) -> None:
    check_postprocess(candidate, CPU)


@pytest.mark.parametrize(
    "candidate",
    [
        shifted,
        last_column_missing,
        labels_instead_of_ids,
        no_threshold,
        no_norm,
        labels_what_is_not_a_number,
        last_label_missing,
        high_confidence,
    ],
)
def test_wrong_maps_are_found(candidate: Postprocess) -> None:
    with pytest.raises(ValueError, match=r"label map: expected that of PyTorch .* got .*% different pixels"):
        check_postprocess(candidate, CPU)


def test_exceptions_reach_the_caller() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        check_postprocess(no_memory, CPU)


def test_resizing_as_matrix_product_equals_opencv_up_to_one_level() -> None:
    check_upload(CPU)


def test_wrong_resizing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    correct = preprocess._resize_weights
    monkeypatch.setattr(
        preprocess, "_resize_weights", lambda old, new, shrinks, device: correct(old, new, False, device)
    )
    with pytest.raises(ValueError, match="image: expected that of the host for 120x90 pixels"):
        check_upload(CPU)
