"""Tests of the colors, sizes and contents of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from lseg_ros.geometry import label_clouds, organized_cloud
from lseg_ros.structures import CLOUD_DTYPE, Frame, Intrinsics, LabelCloud, Segmentation
from lseg_ros.visualization import colorize, colorize_depth, demo_picture, draw_clouds, overlay, palette
from lseg_ros.vocabulary import Vocabulary

WORDS = Vocabulary.of(["floor", "chair", "person"])


def striped_segmentation(
    height: int = 60, width: int = 80, vocabulary: Vocabulary = WORDS, labels: int = 3
) -> Segmentation:
    """Make vertical stripes of unlabeled, 1, 2, ..."""
    row = (np.arange(width) * (labels + 1) // width).astype(np.uint8)
    label_map = np.broadcast_to(row, (height, width)).copy()
    return Segmentation(label_map, (label_map > 0).astype(np.uint8) * 200, vocabulary)


def test_palette_has_the_color_of_every_label() -> None:
    colors = palette(WORDS)
    assert colors.shape == (256, 3)
    assert not colors[0].any()
    assert [tuple(colors[label.id]) for label in WORDS.labels] == [label.color for label in WORDS.labels]
    segmentation = striped_segmentation()
    assert np.array_equal(colorize(segmentation), colors[segmentation.label_map])


class TestOverlay:
    IMAGE = np.full((480, 640, 3), 100, np.uint8)

    def test_blends_colors_and_keeps_unlabeled_pixels(self) -> None:
        mixed = overlay(self.IMAGE, striped_segmentation(480, 640), alpha=0.25)
        assert mixed.shape == self.IMAGE.shape
        assert self.IMAGE.min() == self.IMAGE.max() == 100  # not modified
        assert (mixed[300:, :150] == 100).all()
        expected = 0.75 * 100 + 0.25 * np.array(WORDS["person"].color)
        assert np.abs(mixed[300:, 500:] - expected).max() <= 1

    @pytest.mark.parametrize(("alpha", "expected"), [(0.0, "image"), (1.0, "colors")])
    def test_alpha_0_shows_the_image_and_1_the_colors(self, alpha: float, expected: str) -> None:
        mixed, segmentation = overlay(self.IMAGE, striped_segmentation(480, 640), alpha), striped_segmentation(480, 640)
        reference = self.IMAGE if expected == "image" else colorize(segmentation)
        assert np.array_equal(mixed[300:, 200:], reference[300:, 200:])

    def test_legend_with_many_labels_stays_in_the_upper_left(self) -> None:
        many = Vocabulary.of([f"thing number {number}" for number in range(100)])
        segmentation = striped_segmentation(480, 640, many, labels=100)
        plain = overlay(self.IMAGE, segmentation, alpha=0.0)
        changed = (plain != self.IMAGE).any(axis=2)
        assert changed.any()
        rows, columns = np.nonzero(changed)
        assert columns.max() < 330
        assert rows.max() < 300

    @pytest.mark.parametrize("size", [(32, 32), (60, 80), (40, 400), (1080, 1920)])
    def test_legend_leaves_part_of_the_image_visible(self, size: tuple[int, int]) -> None:
        many = Vocabulary.of([f"a rather long name of a thing {number}" for number in range(30)])
        image = np.full((*size, 3), 100, np.uint8)
        changed = (overlay(image, striped_segmentation(*size, many, labels=30), alpha=0.0) != image).any(axis=2)
        assert changed.mean() < 0.6

    def test_has_no_legend_if_nothing_is_labeled(self) -> None:
        empty = Segmentation(np.zeros((480, 640), np.uint8), np.zeros((480, 640), np.uint8), WORDS)
        assert np.array_equal(overlay(self.IMAGE, empty), self.IMAGE)


class TestDepth:
    def test_near_is_red_and_far_is_blue(self) -> None:
        depth_m = np.broadcast_to(np.linspace(1, 5, 640, dtype=np.float32), (480, 640))
        near, far = colorize_depth(depth_m)[300, [40, -40]].astype(int)
        assert near[0] > near[2]
        assert far[2] > far[0]

    def test_unknown_depth_is_dark(self) -> None:
        depth_m = np.full((60, 80), np.nan, np.float32)
        assert (colorize_depth(depth_m)[40:] < 40).all()


def white_cloud(label: str, xyz: np.ndarray) -> LabelCloud:
    """Make a cloud of white points (N, 3)."""
    points = np.empty(len(xyz), CLOUD_DTYPE)
    points["x"], points["y"], points["z"] = xyz.T
    points["rgb"] = np.uint32(0x00FFFFFF).view(np.float32)
    return LabelCloud(WORDS[label], points)


class TestClouds:
    def test_clouds_fill_the_picture_in_label_colors(self) -> None:
        random = np.random.default_rng(0)
        cloud = white_cloud("chair", random.uniform((-1, -1, 2), (1, 1, 4), (20_000, 3)))
        picture = draw_clouds([cloud], (240, 320))
        painted = (picture == WORDS["chair"].color).all(axis=2)
        assert painted.mean() > 0.2
        rows, columns = np.nonzero(painted)
        assert max(np.ptp(rows) / 240, np.ptp(columns) / 320) > 0.8

    def test_near_points_cover_far_points(self) -> None:
        grid = np.stack(np.meshgrid(np.linspace(-1, 1, 200), np.linspace(-1, 1, 200), [0.0]), axis=-1).reshape(-1, 3)
        near, far = (white_cloud(name, grid + np.array([0, 0, z])) for name, z in (("chair", 2), ("floor", 2.05)))
        for clouds in ([near, far], [far, near]):
            picture = draw_clouds(clouds, (240, 320))
            painted = {name: (picture == WORDS[name].color).all(axis=2).sum() for name in ("chair", "floor")}
            assert painted["chair"] > 5 * painted["floor"]

    def test_draws_only_background_without_points(self) -> None:
        empty = white_cloud("chair", np.zeros((0, 3)))
        assert draw_clouds([empty], (60, 80)).shape == (60, 80, 3)
        assert len(np.unique(draw_clouds([], (60, 80)).reshape(-1, 3), axis=0)) == 1

    def test_draws_a_single_point(self) -> None:
        point = white_cloud("chair", np.ones((1, 3)))
        assert (draw_clouds([point], (60, 80)) == WORDS["chair"].color).all(axis=2).any()


@pytest.mark.parametrize("with_depth", [True, False])
def test_demo_picture_has_four_panels(with_depth: bool) -> None:
    camera = Intrinsics(100.0, 100.0, 40.0, 30.0, 80, 60)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    segmentation = striped_segmentation()
    depth_m = np.full((60, 80), 2, np.float32)
    frame = Frame(image, depth_m if with_depth else None, camera)
    clouds: tuple[LabelCloud, ...] = ()
    if with_depth:
        clouds = label_clouds(organized_cloud(frame, segmentation), segmentation.label_map, WORDS.labels)
    picture = demo_picture(frame, segmentation, clouds)
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 2 * 640
    assert picture.shape[0] > 2 * 480
