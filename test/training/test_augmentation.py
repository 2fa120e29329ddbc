"""Augmentation: image and target stay aligned, and padding has no label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.datasets import IGNORE, Sample
from lseg_ros.training.augmentation import AugmentationConfig, Placement, apply_placement, jitter_colors
from lseg_ros.training.config import RECIPES

FILL = (1, 2, 3)
AUTHORS = RECIPES["lseg"].augmentation


def coordinates(height: int, width: int) -> Sample:
    """Make an image whose colors are its coordinates, and a target that encodes them too.

    Red is the column and green is the row; the target is 100 * row + column.
    """
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([columns, rows, np.full_like(rows, 200)], axis=-1).astype(np.uint8)
    return Sample(image, (rows * 100 + columns).astype(np.int16))


@given(st.integers(33, 90), st.integers(33, 90), st.integers(0, 1000), st.sampled_from([0, 32, 64, 96]))
def test_target_stays_aligned_with_the_image(height: int, width: int, seed: int, crop: int) -> None:
    config = AugmentationConfig(base_size=0, crop=crop)
    placement = Placement.sample(height, width, config, np.random.default_rng(seed))
    image, target = apply_placement(coordinates(height, width), placement, FILL)
    known = target != IGNORE
    assert (image[known, 0] == target[known] % 100).all()
    assert (image[known, 1] == target[known] // 100).all()
    assert (image[~known] == FILL).all()
    assert target.shape == ((crop, crop) if crop else (height, width))
    kept = (min(height, crop), min(width, crop)) if crop else (height, width)
    assert known[: kept[0], : kept[1]].all()
    assert known.sum() == kept[0] * kept[1]


@given(st.integers(33, 90), st.integers(33, 90), st.integers(0, 1000))
def test_target_stays_aligned_with_a_scaled_image(height: int, width: int, seed: int) -> None:
    config = AugmentationConfig(base_size=64, smallest_scale=0.75, crop=64)
    placement = Placement.sample(height, width, config, np.random.default_rng(seed))
    image, target = apply_placement(coordinates(height, width), placement, FILL)
    inside = np.zeros_like(target, bool)  # bilinear weights are cut off at the edge
    inside[2 : placement.height - placement.top - 2, 2 : placement.width - placement.left - 2] = True
    inside &= target != IGNORE
    pixel = max(height / placement.height, width / placement.width)
    assert np.abs(image[inside, 0].astype(int) - target[inside] % 100).max(initial=0) <= 1 + pixel
    assert np.abs(image[inside, 1].astype(int) - target[inside] // 100).max(initial=0) <= 1 + pixel


def test_samples_the_scales_of_the_authors() -> None:
    random = np.random.default_rng(0)
    placements = [Placement.sample(512, 683, AUTHORS, random) for _ in range(3000)]
    widths = [placement.width for placement in placements]
    assert (min(widths), max(widths)) == pytest.approx((260, 1040), abs=3)
    assert np.mean(widths) == pytest.approx(650, abs=15)
    assert all(placement.height == int(placement.width * 512 / 683 + 0.5) for placement in placements)
    assert np.mean([placement.mirrored for placement in placements]) == pytest.approx(0.5, abs=0.04)
    assert all(0 <= placement.left <= max(placement.width - 480, 0) for placement in placements)
    assert max(placement.left for placement in placements) > 450


def test_scales_the_height_of_a_portrait_image() -> None:
    placement = Placement.sample(683, 512, AUTHORS, np.random.default_rng(0))
    assert placement.width == int(placement.height * 512 / 683 + 0.5)


def test_pads_small_images_at_the_bottom_and_right() -> None:
    image, target = apply_placement(coordinates(40, 50), Placement(False, 40, 50, crop=64), FILL)
    assert (target[40:] == IGNORE).all()
    assert (target[:, 50:] == IGNORE).all()
    assert (image[40:] == FILL).all()
    assert image[39, 49].tolist() == [49, 39, 200]


def test_changes_colors_within_the_strength() -> None:
    image = np.full((4, 4, 3), (120, 90, 60), np.uint8)
    assert jitter_colors(image, 0.0, np.random.default_rng(0)) is image
    changed = [jitter_colors(image, 0.2, np.random.default_rng(seed))[0, 0].astype(int) for seed in range(20)]
    assert len({tuple(color) for color in changed}) > 10
    assert np.abs(np.array(changed) - image[0, 0]).max() < 60


@pytest.mark.parametrize(
    ("change", "message"),
    [({"crop": 50}, "crop: expected a multiple of 32, got 50"), ({"smallest_scale": 3.0}, "expected at most 2.0")],
)
def test_rejects_inconsistent_settings(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**change)  # type: ignore[arg-type]
