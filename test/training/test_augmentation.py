"""Augmentation: the target goes exactly where its image goes; what is filled up has no word."""

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
    """An image that has its column and row as red and green, and a target that has them as one number."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([columns, rows, np.full_like(rows, 200)], axis=-1).astype(np.uint8)
    return Sample(image, (rows * 100 + columns).astype(np.int16))


@given(st.integers(33, 90), st.integers(33, 90), st.integers(0, 1000), st.sampled_from([0, 32, 64, 96]))
def test_the_target_shows_the_pixel_that_the_image_shows(height: int, width: int, seed: int, crop: int) -> None:
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
def test_scaled_image_and_target_show_the_same_place(height: int, width: int, seed: int) -> None:
    config = AugmentationConfig(base_size=64, smallest_scale=0.75, crop=64)
    placement = Placement.sample(height, width, config, np.random.default_rng(seed))
    image, target = apply_placement(coordinates(height, width), placement, FILL)
    inside = np.zeros_like(target, bool)  # a pixel from the edge bilinear weights are cut off
    inside[2 : placement.height - placement.top - 2, 2 : placement.width - placement.left - 2] = True
    inside &= target != IGNORE
    pixel = max(height / placement.height, width / placement.width)
    assert np.abs(image[inside, 0].astype(int) - target[inside] % 100).max(initial=0) <= 1 + pixel
    assert np.abs(image[inside, 1].astype(int) - target[inside] // 100).max(initial=0) <= 1 + pixel


def test_scales_are_the_authors() -> None:
    random = np.random.default_rng(0)
    drawn = [Placement.sample(512, 683, AUTHORS, random) for _ in range(3000)]
    widths = [each.width for each in drawn]
    assert (min(widths), max(widths)) == pytest.approx((260, 1040), abs=3)
    assert np.mean(widths) == pytest.approx(650, abs=15)
    assert all(each.height == int(each.width * 512 / 683 + 0.5) for each in drawn)
    assert np.mean([each.mirrored for each in drawn]) == pytest.approx(0.5, abs=0.04)
    assert all(0 <= each.left <= max(each.width - 480, 0) for each in drawn)
    assert max(each.left for each in drawn) > 450


def test_a_taller_image_has_its_height_drawn() -> None:
    drawn = Placement.sample(683, 512, AUTHORS, np.random.default_rng(0))
    assert drawn.width == int(drawn.height * 512 / 683 + 0.5)


def test_what_is_small_is_filled_up_below_and_on_the_right() -> None:
    image, target = apply_placement(coordinates(40, 50), Placement(False, 40, 50, crop=64), FILL)
    assert (target[40:] == IGNORE).all()
    assert (target[:, 50:] == IGNORE).all()
    assert (image[40:] == FILL).all()
    assert image[39, 49].tolist() == [49, 39, 200]


def test_colors_change_within_their_share_and_not_without_one() -> None:
    image = np.full((4, 4, 3), (120, 90, 60), np.uint8)
    assert jitter_colors(image, 0.0, np.random.default_rng(0)) is image
    changed = [jitter_colors(image, 0.2, np.random.default_rng(seed))[0, 0].astype(int) for seed in range(20)]
    assert len({tuple(each) for each in changed}) > 10
    assert np.abs(np.array(changed) - image[0, 0]).max() < 60


@pytest.mark.parametrize(
    ("change", "message"),
    [({"crop": 50}, "crop: expected a multiple of 32, got 50"), ({"smallest_scale": 3.0}, "expected at most 2.0")],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**change)  # type: ignore[arg-type]
