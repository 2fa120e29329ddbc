"""Tests of postprocessing: the official upsampling and arg max, in any number of bands."""

from __future__ import annotations

import math
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
    """Use one thread: more threads slow down such small jobs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, params=["numba", "torch"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run each test with Numba, as on CPUs, and with PyTorch, as on other devices."""
    if request.param == "numba" and not postprocess_numba.AVAILABLE:
        pytest.skip("needs numba, from the extra fast")
    monkeypatch.setattr(postprocess_numba, "AVAILABLE", request.param == "numba")
    return str(request.param)


def random_logits(labels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return 6 * torch.randn(1, labels, height // 2, width // 2, generator=torch.Generator().manual_seed(seed))


def first_ids(labels: int) -> torch.Tensor:
    return torch.arange(1, labels + 1, dtype=torch.uint8)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 254), st.integers(0, 99))
def test_labels_and_confidence_are_arg_max_and_softmax_for_any_band_size(labels: int, seed: int) -> None:
    logits = random_logits(labels, 32, 64, seed)
    whole = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)[0]
    expected = (whole.softmax(dim=0).amax(dim=0) * 255).round().clamp(1, 255)
    for max_values, band in ((1, 1), (32 * 64 * 7, 64 * 5), (1 << 22, 1 << 22)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(module._MAX_VALUES, "cpu", max_values)
            patch.setattr(postprocess_numba, "_BAND_PX", band)
            label_map, confidence = postprocess(logits, (32, 64), (32, 64), first_ids(labels))
        assert torch.equal(label_map.long(), whole.argmax(dim=0) + 1)
        assert (confidence - expected).abs().max() <= 1


@pytest.mark.parametrize("size", [(64, 96), (50, 90), (120, 180)])
def test_low_resolution_logits_are_upsampled_and_divided_by_the_norm(size: tuple[int, int]) -> None:
    low_res, norm = random_logits(9, 32, 48), 0.5 + torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(1))
    fine = F.interpolate(low_res, scale_factor=2, mode="bilinear", align_corners=True) / norm
    valid_size = size if size[0] <= 64 else (60, 90)
    expected = module.upsample(fine, valid_size, size)
    label_map, confidence = postprocess(low_res, valid_size, size, first_ids(9), norm=norm)
    assert torch.equal(label_map.long(), expected.argmax(dim=0) + 1)
    assert (confidence - (expected.softmax(dim=0).amax(dim=0) * 255).round()).abs().max() <= 1


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 9), st.integers(2, 90), st.integers(2, 90), st.integers(1, 3), st.booleans())
def test_upsamples_to_any_size_like_pytorch(labels: int, height: int, width: int, threads: int, normed: bool) -> None:
    torch.set_num_threads(threads)
    logits, norm = random_logits(labels, 32, 64), 1 + torch.rand(1, 1, 32, 64)
    fine = logits if not normed else F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True) / norm
    valid_size = (30, 50)
    expected = module.upsample(fine, valid_size, (height, width))
    label_map, confidence = postprocess(
        logits, valid_size, (height, width), first_ids(labels), norm=norm if normed else None
    )
    winning = expected.gather(0, label_map.long()[None] - 1)[0]
    assert (expected.amax(dim=0) - winning).max() < 1e-4
    assert (confidence - (expected.softmax(dim=0).amax(dim=0) * 255).round().clamp(1)).abs().max() <= 1


def test_handles_extreme_logits() -> None:
    logits = torch.zeros(1, 3, 16, 16)
    logits[:, 1], logits[:, 2, :8] = 50.0, -300.0
    label_map, confidence = postprocess(logits, (32, 32), (32, 32), first_ids(3))
    assert (label_map == 2).all()
    assert (confidence == 255).all()


UNDEFINED = {"NaN": [0.0, math.nan, 1.0], "+inf": [0.0, math.inf, 1.0], "all -inf": [-math.inf] * 3}


@pytest.mark.parametrize("scores", UNDEFINED.values(), ids=UNDEFINED)
@pytest.mark.parametrize("size", [(32, 48), (50, 70)])
def test_pixels_without_a_softmax_are_unlabeled_and_the_others_unchanged(
    scores: list[float], size: tuple[int, int]
) -> None:
    logits = random_logits(3, 32, 48)
    plain = postprocess(logits, (32, 48), size, first_ids(3))
    logits[0, :, 4, 6] = torch.tensor(scores)
    labeled = postprocess(logits, (32, 48), size, first_ids(3))
    undefined = module.upsample((torch.arange(16 * 24) == 4 * 24 + 6).view(1, 1, 16, 24), (32, 48), size)[0] > 0
    assert undefined.any()
    assert not labeled[:, undefined].any()
    assert torch.equal(labeled[:, ~undefined], plain[:, ~undefined])


@pytest.mark.parametrize("length", [0.0, math.nan, math.inf])
def test_pixels_whose_embedding_has_no_direction_are_unlabeled(length: float) -> None:
    logits, norm = random_logits(3, 32, 48), torch.ones(1, 1, 32, 48)
    norm[..., 8, 10] = length
    label_map, confidence = postprocess(logits, (64, 96), (64, 96), first_ids(3), norm=norm)
    assert not label_map[16, 20] and not confidence[16, 20]
    assert 1 <= (label_map == 0).sum() <= 16
    assert torch.equal(label_map == 0, confidence == 0)


@pytest.mark.parametrize("label", range(5))
def test_a_label_with_logit_minus_infinity_never_wins(label: int) -> None:
    logits = random_logits(5, 32, 48)
    logits[:, label] = -math.inf
    label_map, confidence = postprocess(logits, (32, 48), (32, 48), first_ids(5))
    others = [other for other in range(5) if other != label]
    expected = postprocess(logits[:, others], (32, 48), (32, 48), first_ids(5)[others])
    assert torch.equal(label_map, expected[0])
    assert (confidence - expected[1].float()).abs().max() <= 1


def test_an_image_of_nan_is_unlabeled() -> None:
    logits = torch.full((1, 3, 16, 16), math.nan)
    assert not postprocess(logits, (32, 32), (32, 32), first_ids(3)).any()
    assert not postprocess(logits, (64, 64), (50, 50), first_ids(3), norm=torch.full((1, 1, 32, 32), math.nan)).any()


def test_cuts_off_padding() -> None:
    logits = random_logits(4, 64, 96)
    whole = postprocess(logits, (64, 96), (64, 96), first_ids(4))
    assert torch.equal(postprocess(logits, (40, 70), (40, 70), first_ids(4)), whole[:, :40, :70])


def test_restores_the_size_of_a_resized_image_without_a_shift() -> None:
    logits = torch.zeros(1, 2, 32, 32)
    logits[:, 1, :, 12:] = 10.0  # a vertical edge
    label_map, _ = postprocess(logits, (64, 64), (160, 160), first_ids(2))
    assert label_map.shape == (160, 160)
    edge = [row.tolist().index(2) for row in label_map]
    network_edge = postprocess(logits, (64, 64), (64, 64), first_ids(2))[0][0].tolist().index(2)
    assert np.allclose(edge, network_edge * 160 / 64, atol=1.5)


def test_uncertain_pixel_is_unlabeled_without_confidence() -> None:
    logits = torch.zeros(1, 4, 16, 16)
    logits[:, 2, :8] = 10.0
    label_map, confidence = postprocess(logits, (32, 32), (32, 32), first_ids(4), unlabeled_threshold=0.5)
    assert (label_map[:12] == 3).all()
    assert (confidence[:12] > 250).all()
    assert not label_map[20:].any()
    assert not confidence[20:].any()


def test_labeled_pixel_has_confidence_even_if_all_logits_are_equal() -> None:
    label_map, confidence = postprocess(torch.zeros(1, 254, 16, 16), (32, 32), (32, 32), first_ids(254))
    assert (label_map == 1).all()
    assert (confidence == 1).all()


def test_label_map_contains_the_given_ids() -> None:
    logits = random_logits(3, 32, 32)
    plain, _ = postprocess(logits, (32, 32), (32, 32), first_ids(3))
    other, _ = postprocess(logits, (32, 32), (32, 32), torch.tensor([9, 254, 4], dtype=torch.uint8))
    assert torch.equal(other, torch.tensor([0, 9, 254, 4], dtype=torch.uint8)[plain.long()])
