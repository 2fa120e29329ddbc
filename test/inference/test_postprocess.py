"""Logits to labels: exactly the official upsampling and arg max, in any number of passes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lseg_ros.inference import postprocess as module
from lseg_ros.inference import postprocess_numba
from lseg_ros.inference.postprocess import postprocess


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of one small job cost more than they bring, and far more on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, params=["fused", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of computing: the compiled pass of CPUs, and PyTorch's operations of all other devices."""
    if request.param == "fused" and not postprocess_numba.AVAILABLE:
        pytest.skip("needs numba (the extra fast)")
    monkeypatch.setattr(postprocess_numba, "AVAILABLE", request.param == "fused")
    return str(request.param)


def logits_of(labels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return 6 * torch.randn(1, labels, height // 2, width // 2, generator=torch.Generator().manual_seed(seed))


def ids_of(labels: int) -> torch.Tensor:
    return torch.arange(1, labels + 1, dtype=torch.uint8)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 254), st.integers(0, 99))
def test_labels_and_confidence_are_arg_max_and_softmax_however_many_at_a_time(labels: int, seed: int) -> None:
    logits = logits_of(labels, 32, 64, seed)
    whole = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)[0]
    expected = (whole.softmax(dim=0).amax(dim=0) * 255).round().clamp(1, 255)
    for most_values, band in ((1, 1), (32 * 64 * 7, 64 * 5), (1 << 22, 1 << 22)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(module._MOST_VALUES, "cpu", most_values)
            patch.setattr(postprocess_numba, "_BAND", band)
            label_map, confidence = postprocess(logits, (32, 64), (32, 64), ids_of(labels))
        assert torch.equal(label_map.long(), whole.argmax(dim=0) + 1)
        assert (confidence - expected).abs().max() <= 1


@pytest.mark.parametrize("size", [(64, 96), (50, 90), (120, 180)])
def test_coarse_logits_are_doubled_and_divided_by_the_norm_first(size: tuple[int, int]) -> None:
    low_res, norm = logits_of(9, 32, 48), 0.5 + torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(1))
    fine = F.interpolate(low_res, scale_factor=2, mode="bilinear", align_corners=True) / norm
    valid_size = size if size[0] <= 64 else (60, 90)
    expected = module.upsample(fine, valid_size, size)
    label_map, confidence = postprocess(low_res, valid_size, size, ids_of(9), norm=norm)
    assert torch.equal(label_map.long(), expected.argmax(dim=0) + 1)
    assert (confidence - (expected.softmax(dim=0).amax(dim=0) * 255).round()).abs().max() <= 1


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 9), st.integers(2, 90), st.integers(2, 90), st.integers(1, 3), st.booleans())
def test_any_size_comes_out_as_pytorch_upsamples(
    labels: int, height: int, width: int, threads: int, normed: bool
) -> None:
    torch.set_num_threads(threads)
    logits, norm = logits_of(labels, 32, 64), 1 + torch.rand(1, 1, 32, 64)
    fine = logits if not normed else F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True) / norm
    valid_size = (30, 50)
    expected = module.upsample(fine, valid_size, (height, width))
    label_map, confidence = postprocess(
        logits, valid_size, (height, width), ids_of(labels), norm=norm if normed else None
    )
    reached = expected.gather(0, label_map.long()[None] - 1)[0]
    assert (expected.amax(dim=0) - reached).max() < 1e-4
    assert (confidence - (expected.softmax(dim=0).amax(dim=0) * 255).round().clamp(1)).abs().max() <= 1


def test_a_label_far_behind_counts_for_nothing_and_one_far_ahead_for_all() -> None:
    logits = torch.zeros(1, 3, 16, 16)
    logits[:, 1], logits[:, 2, :8] = 50.0, -300.0
    label_map, confidence = postprocess(logits, (32, 32), (32, 32), ids_of(3))
    assert (label_map == 2).all()
    assert (confidence == 255).all()


def test_padding_is_cut_off() -> None:
    logits = logits_of(4, 64, 96)
    whole = postprocess(logits, (64, 96), (64, 96), ids_of(4))
    assert torch.equal(postprocess(logits, (40, 70), (40, 70), ids_of(4)), whole[:, :40, :70])


def test_a_resized_image_gets_its_size_back_in_place() -> None:
    logits = torch.zeros(1, 2, 32, 32)
    logits[:, 1, :, 12:] = 10.0  # an upright edge
    label_map, _ = postprocess(logits, (64, 64), (160, 160), ids_of(2))
    assert label_map.shape == (160, 160)
    edge = [row.tolist().index(2) for row in label_map]
    network_edge = postprocess(logits, (64, 64), (64, 64), ids_of(2))[0][0].tolist().index(2)
    assert np.allclose(edge, network_edge * 160 / 64, atol=1.5)


def test_an_unsure_pixel_is_unlabeled_without_confidence() -> None:
    logits = torch.zeros(1, 4, 16, 16)
    logits[:, 2, :8] = 10.0
    label_map, confidence = postprocess(logits, (32, 32), (32, 32), ids_of(4), unlabeled_threshold=0.5)
    assert (label_map[:12] == 3).all()
    assert (confidence[:12] > 250).all()
    assert not label_map[20:].any()
    assert not confidence[20:].any()


def test_a_labeled_pixel_has_confidence_even_where_all_are_alike() -> None:
    label_map, confidence = postprocess(torch.zeros(1, 254, 16, 16), (32, 32), (32, 32), ids_of(254))
    assert (label_map == 1).all()
    assert (confidence == 1).all()


def test_ids_are_the_vocabularys() -> None:
    logits = logits_of(3, 32, 32)
    plain, _ = postprocess(logits, (32, 32), (32, 32), ids_of(3))
    other, _ = postprocess(logits, (32, 32), (32, 32), torch.tensor([9, 254, 4], dtype=torch.uint8))
    assert torch.equal(other, torch.tensor([0, 9, 254, 4], dtype=torch.uint8)[plain.long()])
