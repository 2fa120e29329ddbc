"""Tests of the conversion from depth to points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lseg_ros.geometry import (
    label_clouds,
    organized_cloud,
    pack_rgb,
    project,
    register_depth,
    sample_depth,
    unpack_rgb,
    unproject,
    voxel_downsample,
)
from lseg_ros.structures import POINT_DTYPE, Frame, Intrinsics, Segmentation
from lseg_ros.vocabulary import Vocabulary

CAMERA = Intrinsics(fx=50.0, fy=60.0, cx=7.3, cy=4.1, width=16, height=10)
VOCABULARY = Vocabulary.of(["floor", "chair", "person"])
DEPTH = arrays.arrays(
    np.float32, (10, 16), elements=st.one_of(st.floats(0.125, 100, width=32), st.just(np.float32(np.nan)))
)


def random_scene(seed: int = 0) -> tuple[Frame, Segmentation, np.ndarray]:
    """Make a frame with holes in its depth, its segmentation, and the depth.

    The segmentation has the ids 0, 1 and 2.
    """
    random = np.random.default_rng(seed)
    depth_m = random.uniform(0.5, 5, (10, 16)).astype(np.float32)
    depth_m[random.random((10, 16)) < 0.3] = np.nan
    image = random.integers(0, 256, (10, 16, 3), dtype=np.uint8)
    label_map = random.integers(0, 3, (10, 16), dtype=np.uint8)
    confidence = np.where(label_map > 0, random.integers(1, 256, (10, 16)), 0).astype(np.uint8)
    return Frame(image, depth_m, CAMERA), Segmentation(label_map, confidence, VOCABULARY), depth_m


class TestUnproject:
    @given(DEPTH)
    def test_points_project_back_to_their_pixels(self, depth_m: np.ndarray) -> None:
        xyz = unproject(depth_m, CAMERA)
        known = np.isfinite(depth_m)
        assert np.array_equal(np.isfinite(xyz).all(axis=2), known)
        assert np.isnan(xyz[~known]).all()
        assert np.array_equal(xyz[known][:, 2], depth_m[known])
        row, column = np.nonzero(known)
        assert np.allclose(project(xyz[known], CAMERA), np.stack([column, row], axis=1), atol=1e-3)

    def test_axes_are_right_down_forward(self) -> None:
        xyz = unproject(np.full((10, 16), 2, np.float32), CAMERA)
        assert xyz[0, 15, 0] > 0 > xyz[0, 0, 0]
        assert xyz[9, 0, 1] > 0 > xyz[0, 0, 1]

    def test_depth_out_of_range_gives_no_point(self) -> None:
        depth_m = np.full((10, 16), 3, np.float32)
        depth_m[0], depth_m[1] = 0.5, 8
        xyz = unproject(depth_m, CAMERA, nearest_m=1, farthest_m=5)
        assert np.isnan(xyz[:2]).all()
        assert np.isfinite(xyz[2:]).all()


class TestSampleDepth:
    def test_same_size_returns_the_same_array(self) -> None:
        depth_m = np.ones((4, 6), np.float32)
        assert sample_depth(depth_m, (4, 6)) is depth_m

    @pytest.mark.parametrize("factor", [2, 3])
    def test_larger_size_repeats_samples(self, factor: int) -> None:
        depth_m = np.arange(24, dtype=np.float32).reshape(4, 6)
        expected = depth_m.repeat(factor, axis=0).repeat(factor, axis=1)
        assert np.array_equal(sample_depth(depth_m, (4 * factor, 6 * factor)), expected)

    def test_smaller_size_selects_samples(self) -> None:
        depth_m = np.arange(24, dtype=np.float32).reshape(4, 6)
        assert np.array_equal(sample_depth(depth_m, (2, 3)), depth_m[1::2, 1::2])

    @given(st.integers(20, 60), st.integers(20, 60), st.integers(1, 200))
    def test_accepts_any_size_of_the_same_aspect_ratio(self, rows: int, columns: int, percent: int) -> None:
        depth_m = np.random.default_rng(0).random((rows, columns), dtype=np.float32)
        size = (max(1, round(rows * percent / 100)), max(1, round(columns * percent / 100)))
        sampled = sample_depth(depth_m, size)
        assert sampled.shape == size
        assert np.isin(sampled, depth_m).all()

    def test_rejects_another_aspect_ratio(self) -> None:
        with pytest.raises(ValueError, match="expected the aspect ratio of the 640x480 image, got 848x480"):
            sample_depth(np.zeros((480, 848), np.float32), (480, 640))


class TestOrganizedCloud:
    def test_contains_points_colors_labels_and_confidence(self) -> None:
        frame, segmentation, depth_m = random_scene()
        points = organized_cloud(frame, segmentation)
        assert points.dtype == POINT_DTYPE
        assert points.dtype.itemsize == 24
        assert points.shape == segmentation.label_map.shape
        xyz = unproject(depth_m, CAMERA)
        assert np.array_equal(np.stack([points[axis] for axis in "xyz"], axis=2), xyz, equal_nan=True)
        assert np.array_equal(points["label"], segmentation.label_map)
        assert np.array_equal(points["confidence"], segmentation.confidence * np.float32(1 / 255))
        red, green, blue = np.moveaxis(frame.image.astype(np.uint32), 2, 0)
        assert np.array_equal(points["rgb"].copy().view("<u4"), red << 16 | green << 8 | blue)

    def test_applies_depth_limits(self) -> None:
        frame, segmentation, depth_m = random_scene()
        points = organized_cloud(frame, segmentation, nearest_m=1, farthest_m=2)
        inside = (depth_m >= 1) & (depth_m <= 2)
        assert all(np.array_equal(np.isfinite(points[axis]), inside) for axis in "xyz")

    def test_rejects_frames_without_depth_or_intrinsics(self) -> None:
        frame, segmentation, _ = random_scene()
        for part in (Frame(frame.image, frame.depth_m), Frame(frame.image, intrinsics=CAMERA)):
            with pytest.raises(ValueError, match="expected a frame with depth and intrinsics"):
                organized_cloud(part, segmentation)

    def test_packed_colors_are_never_nan(self) -> None:
        assert not np.isnan(pack_rgb(np.full((1, 1, 3), 255, np.uint8))).any()
        assert pack_rgb(np.array([[[1, 2, 3]]], np.uint8)).view("<u4")[0, 0] == 0x00010203

    def test_unpacks_what_was_packed(self) -> None:
        colors = np.random.default_rng(0).integers(0, 256, (50, 1, 3), np.uint8)
        assert (unpack_rgb(pack_rgb(colors)[:, 0]) == colors[:, 0]).all()
        assert pack_rgb(colors[:0]).shape == (0, 1)


class TestLabelClouds:
    def test_each_label_gets_its_finite_points_in_row_order(self) -> None:
        frame, segmentation, depth_m = random_scene()
        label_map = segmentation.label_map
        clouds = label_clouds(organized_cloud(frame, segmentation), label_map, VOCABULARY.labels)
        assert [cloud.label for cloud in clouds] == list(VOCABULARY.labels)
        xyz = unproject(depth_m, CAMERA)
        for cloud in clouds:
            chosen = np.isfinite(xyz[..., 2]) & (label_map == cloud.label.id)
            assert np.array_equal(cloud.xyz, xyz[chosen])
            assert np.array_equal(cloud.rgb, frame.image[chosen])

    def test_accepts_ids_in_any_order(self) -> None:
        frame, segmentation, depth_m = random_scene()
        label_map = np.where(segmentation.label_map == 1, np.uint8(254), np.uint8(3))
        vocabulary = Vocabulary.of(["floor", "chair"], ids=[254, 3])
        points = organized_cloud(frame, Segmentation(label_map, segmentation.confidence, vocabulary))
        known = np.isfinite(depth_m)
        for cloud in label_clouds(points, label_map, vocabulary.labels):
            assert len(cloud.points) == ((label_map == cloud.label.id) & known).sum() > 0

    def test_label_out_of_view_gets_an_empty_cloud(self) -> None:
        frame, segmentation, _ = random_scene()
        clouds = label_clouds(organized_cloud(frame, segmentation), segmentation.label_map, [VOCABULARY["person"]])
        assert len(clouds) == 1
        assert clouds[0].xyz.shape == clouds[0].rgb.shape == (0, 3)

    def test_downsamples_each_label_separately(self) -> None:
        frame, segmentation, _ = random_scene()
        points, label_map = organized_cloud(frame, segmentation), segmentation.label_map
        whole = label_clouds(points, label_map, VOCABULARY.labels)
        thinned = label_clouds(points, label_map, VOCABULARY.labels, voxel_m=1.0)
        for before, after in zip(whole, thinned):
            assert np.array_equal(after.xyz, before.xyz[voxel_downsample(before.xyz, 1.0)])


class TestVoxelDownsample:
    @given(
        arrays.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(3)), elements=st.floats(-50, 50, width=32)),
        st.floats(0.01, 10),
    )
    def test_keeps_the_first_point_of_every_cube(self, xyz: np.ndarray, voxel_m: float) -> None:
        kept = voxel_downsample(xyz, voxel_m)
        cells = [tuple(cell) for cell in np.floor(xyz / voxel_m).astype(int)]
        assert kept.tolist() == [index for index, cell in enumerate(cells) if cell not in cells[:index]]


# --- registration of depth ------------------------------------------------------------------------

DEPTH_CAMERA = Intrinsics(60.0, 60.0, 31.5, 23.5, 64, 48)


def shift(x: float, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """A camera without rotation that sees points shifted."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def test_depth_of_the_same_camera_stays_the_same() -> None:
    depth_m = np.random.default_rng(0).uniform(1, 5, (48, 64)).astype(np.float32)
    depth_m[:, 10:20] = np.nan
    assert np.array_equal(register_depth(depth_m, DEPTH_CAMERA, np.eye(4), DEPTH_CAMERA), depth_m, equal_nan=True)


def test_wall_moves_by_the_disparity_of_its_depth() -> None:
    """0.1 m at 2 m and a focal length of 60 pixels are 3 pixels."""
    depth_m = np.full((48, 64), 2.0, np.float32)
    depth_m[10] = np.nan
    depth_m[20:23, 30:33] = 1.0  # 6 pixels
    expected = np.full((48, 64), np.nan, np.float32)
    expected[:, 3:] = 2.0
    expected[10] = np.nan
    expected[20:23, 33:36] = np.nan  # hidden from the depth camera
    expected[20:23, 36:39] = 1.0
    expected[10, 3:] = 2.0  # a gap of one pixel gets the depth of its neighbors
    assert np.array_equal(register_depth(depth_m, DEPTH_CAMERA, shift(0.1), DEPTH_CAMERA), expected, equal_nan=True)


def test_nearest_of_several_samples_wins_and_depth_is_that_of_the_image() -> None:
    depth_m = np.full((48, 64), 4.0, np.float32)
    depth_m[20:30, 20:30] = 2.0
    registered = register_depth(depth_m, DEPTH_CAMERA, shift(0.2, 0, 0.0), DEPTH_CAMERA)  # 6 and 3 pixels
    assert (registered[20:30, 26:36] == 2.0).all()
    assert np.isnan(registered[20:30, 23:26]).all()
    assert (registered[20:30, 36:] == 4.0).all()
    ahead = register_depth(np.full((48, 64), 2.0, np.float32), DEPTH_CAMERA, shift(0, 0, 0.5), DEPTH_CAMERA)
    assert np.unique(ahead[np.isfinite(ahead)]).tolist() == [2.5]


def test_rotated_camera_sees_the_rotated_image() -> None:
    """A camera that is rolled by 90 degrees to the right sees the image rolled to the left."""
    square = Intrinsics(60.0, 60.0, 23.5, 23.5, 48, 48)
    depth_m = np.random.default_rng(0).uniform(1, 5, (48, 48)).astype(np.float32)
    roll = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
    assert np.array_equal(register_depth(depth_m, square, roll, square), np.rot90(depth_m))


def test_image_of_a_finer_resolution_has_no_holes() -> None:
    fine = Intrinsics(180.0, 180.0, 95.5, 71.5, 192, 144)
    depth_m = np.random.default_rng(0).uniform(1, 5, (48, 64)).astype(np.float32)
    registered = register_depth(depth_m, DEPTH_CAMERA, np.eye(4), fine)
    assert np.array_equal(registered, depth_m.repeat(3, 0).repeat(3, 1))


def test_coarser_image_gets_the_nearest_of_its_samples() -> None:
    coarse = Intrinsics(20.0, 20.0, 31.5 / 3 - 1 / 3, 23.5 / 3 - 1 / 3, 21, 16)
    depth_m = np.random.default_rng(0).uniform(1, 5, (48, 63)).astype(np.float32)
    camera = Intrinsics(60.0, 60.0, 31.5, 23.5, 63, 48)
    expected = depth_m.reshape(16, 3, 21, 3).min(axis=(1, 3))
    assert np.array_equal(register_depth(depth_m, camera, np.eye(4), coarse), expected)


def test_points_behind_the_image_are_dropped_and_a_wrong_camera_is_an_error() -> None:
    depth_m = np.full((48, 64), 2.0, np.float32)
    assert np.isnan(register_depth(depth_m, DEPTH_CAMERA, shift(0, 0, -3), DEPTH_CAMERA)).all()
    with pytest.raises(ValueError, match="depth/camera_info: expected that of a 32x48 image, got 64x48"):
        register_depth(depth_m[:, :32], DEPTH_CAMERA, np.eye(4), DEPTH_CAMERA)
