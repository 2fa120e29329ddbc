"""Tests of preprocessing: normalization, resizing and padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.inference.preprocess import network_size, preprocess

MEAN, STD = (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)


def test_normalizes_an_image_of_the_right_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    x, valid_size = preprocess(image, 0, 32, MEAN, STD)
    expected = (torch.from_numpy(image).permute(2, 0, 1) / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[
        :, None, None
    ]
    assert valid_size == (64, 96)
    assert torch.equal(x, expected[None])


def test_pads_with_the_mean_color_on_the_right_and_at_the_bottom() -> None:
    x, valid_size = preprocess(np.full((40, 70, 3), 255, np.uint8), 0, 32, MEAN, STD)
    assert valid_size == (40, 70)
    assert x.shape == (1, 3, 64, 96)
    assert (x[..., :40, :70] > 0).all()
    assert not x[..., 40:, :].any()
    assert not x[..., 70:].any()


def test_accepts_read_only_images() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image.flags.writeable = False
    assert preprocess(image, 0, 32, MEAN, STD)[0].shape == (1, 3, 64, 64)


def test_accepts_non_contiguous_images() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    mirrored = image[:, ::-2]
    expected, _ = preprocess(np.ascontiguousarray(mirrored), 0, 32, MEAN, STD)
    assert torch.equal(preprocess(mirrored, 0, 32, MEAN, STD)[0], expected)


@given(st.integers(32, 400), st.integers(32, 400), st.integers(64, 512))
def test_resizes_the_longer_side_and_keeps_the_aspect_ratio(height: int, width: int, input_size: int) -> None:
    h, w = network_size((height, width), input_size)
    assert max(h, w) == input_size
    assert abs(h * width - w * height) <= max(height, width)  # up to rounding to a pixel


def test_zero_keeps_the_size_of_the_image() -> None:
    assert network_size((123, 456), 0) == (123, 456)


def test_rejects_tiny_images() -> None:
    with pytest.raises(ValueError, match="image: expected at least 32x32 pixels, got 100x31"):
        network_size((31, 100), 0)
