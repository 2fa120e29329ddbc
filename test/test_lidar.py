"""Tests of the labels of lidar points."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lseg_ros.geometry import organized_cloud
from lseg_ros.lidar import fill_organized, label_cloud, merge_labels, visible_points
from lseg_ros.structures import Cloud, Frame, Intrinsics, Segmentation, to_xyz
from lseg_ros.synthetic import CLASSES, LIDAR_IN_CAMERA, Lidar, SyntheticWorld
from lseg_ros.vocabulary import Vocabulary

CAMERA = Intrinsics(50.0, 50.0, 31.5, 23.5, 64, 48)
VOCABULARY = Vocabulary.of(CLASSES)


def make_cloud(xyz: NDArray[np.floating], to_camera: NDArray[np.float64] | None = None) -> Cloud:
    return Cloud(xyz.astype(np.float32), np.eye(4) if to_camera is None else to_camera, (1, len(xyz)))


def wall(z: float, x: tuple[float, float], y: tuple[float, float], step: float) -> NDArray[np.floating]:
    """Points of a wall across the view of the camera."""
    grid = np.meshgrid(np.arange(*x, step), np.arange(*y, step))
    return np.stack([*(axis.ravel() for axis in grid), np.full(grid[0].size, z)], axis=1)


def make_frame(cloud: Cloud) -> Frame:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    return Frame(image, intrinsics=CAMERA, cloud=cloud)


def make_segmentation(confidence: int = 200) -> Segmentation:
    """Label 1 on the left half of the image, label 2 on the right half."""
    label_map = np.ones((48, 64), np.uint8)
    label_map[:, 32:] = 2
    return Segmentation(label_map, np.full((48, 64), confidence, np.uint8), VOCABULARY)


def test_points_get_label_confidence_and_color_of_their_pixel() -> None:
    pixels = np.array([(10, 5), (40, 30), (63, 47)])
    z = np.array([2.0, 3.0, 4.0])
    xyz = np.column_stack([(pixels - (31.5, 23.5)) / 50 * z[:, None], z])
    frame = make_frame(make_cloud(xyz))
    labeled = label_cloud(frame, make_segmentation())
    assert labeled.index.tolist() == [0, 1, 2]
    assert labeled.pixel.tolist() == (pixels[:, 1] * 64 + pixels[:, 0]).tolist()
    assert np.allclose(to_xyz(labeled.points), xyz)
    assert labeled.points["label"].tolist() == [1, 2, 2]
    assert np.allclose(labeled.points["confidence"], 200 / 255)
    rgb = frame.image[pixels[:, 1], pixels[:, 0]].astype(int)
    assert labeled.points["rgb"].view("<u4").tolist() == (rgb @ [1 << 16, 1 << 8, 1]).tolist()


def test_points_behind_beside_and_without_return_are_not_seen() -> None:
    xyz = np.array([[0, 0, 2], [0, 0, -2], [5, 0, 2], [0, 9, 2], [np.nan, 0, 2], [0, 0, np.inf], [0, 0, 0]])
    index, pixel, seen = visible_points(make_cloud(xyz), CAMERA)
    assert (index.tolist(), pixel.tolist(), seen.tolist()) == ([0], [24 * 64 + 32], [[0, 0, 2]])


def test_points_out_of_range_are_not_seen() -> None:
    xyz = np.array([[0, 0, 1], [0, 0.5, 2], [0, -0.5, 3]])
    assert visible_points(make_cloud(xyz), CAMERA, 1.5, 2.5)[0].tolist() == [1]


def test_transform_to_the_camera_is_applied() -> None:
    to_camera = np.array([[0, -1, 0, 0], [0, 0, -1, -0.2], [1, 0, 0, 0], [0, 0, 0, 1]], np.float64)
    assert visible_points(make_cloud(np.array([[2, 0, 0]]), to_camera), CAMERA)[2] == pytest.approx(
        np.array([[0, -0.2, 2]])
    )


def test_wall_behind_a_box_is_hidden_and_everything_else_is_seen() -> None:
    box, back = wall(2.0, (-0.4, 0.4), (-0.4, 0.4), 0.06), wall(5.0, (-3, 3), (-2, 2), 0.15)
    index = visible_points(make_cloud(np.concatenate([box, back])), CAMERA)[0]
    seen = np.isin(np.arange(len(box) + len(back)), index)
    hidden = (np.abs(back[:, :2]) < 0.8).all(axis=1)  # well inside of the shadow, which reaches to 1 m
    visible = (np.abs(back[:, :2]) > 1.2).any(axis=1)
    assert seen[: len(box)].all()
    assert not seen[len(box) :][hidden].any()
    assert seen[len(box) :][visible].all()


def test_floor_at_a_flat_angle_is_seen() -> None:
    z, x = np.meshgrid(np.geomspace(2.5, 40, 60), np.linspace(-0.5, 0.5, 80))
    floor = np.stack([(x * z).ravel(), np.ones(z.size), z.ravel()], axis=1)
    assert len(visible_points(make_cloud(floor), CAMERA)[0]) == len(floor)


@pytest.mark.parametrize("xyz", [np.empty((0, 3)), np.full((5, 3), np.nan)])
def test_cloud_without_points_has_no_labels(xyz: NDArray[np.floating]) -> None:
    labeled = label_cloud(make_frame(make_cloud(xyz)), make_segmentation())
    assert len(labeled.points) == 0
    assert not merge_labels(labeled.cloud, [labeled])["label"].any()


def test_frame_without_cloud_is_an_error() -> None:
    with pytest.raises(ValueError, match="cloud: expected a frame with a cloud and intrinsics"):
        label_cloud(Frame(np.zeros((48, 64, 3), np.uint8), intrinsics=CAMERA), make_segmentation())


def test_organized_cloud_gets_the_nearest_lidar_point_where_depth_is_unknown() -> None:
    cloud = make_cloud(np.array([[0.02, 0.02, 2.05], [0.02, 0.02, 2.0], [0.42, 0.02, 2.0]]))
    depth_m = np.full((48, 64), np.nan, np.float32)
    depth_m[24, 42] = 1.95
    frame = Frame(np.zeros((48, 64, 3), np.uint8), depth_m, CAMERA, cloud=cloud)
    points = organized_cloud(frame, make_segmentation())
    fill_organized(points, label_cloud(frame, make_segmentation()))
    assert np.isfinite(points["z"]).sum() == 2
    assert points["z"][24, 32] == 2.0
    assert points["z"][24, 42] == np.float32(1.95)


def test_merged_cloud_keeps_all_points_in_order_and_the_more_confident_label() -> None:
    xyz = np.array([[0, 0, 2], [np.nan, 0, 0], [0.5, 0, 2], [0, 0, -3]], np.float32)
    cloud = Cloud(xyz, np.eye(4), (2, 2))
    ones, twos = make_segmentation(100), make_segmentation(200)
    views = [
        label_cloud(make_frame(cloud), Segmentation(np.full((48, 64), label, np.uint8), view.confidence, VOCABULARY))
        for label, view in ((1, ones), (2, twos))
    ]
    for order in (views, views[::-1]):
        merged = merge_labels(cloud, order)
        assert merged.shape == (2, 2)
        assert np.array_equal(to_xyz(merged).reshape(-1, 3), xyz, equal_nan=True)
        assert merged["label"].ravel().tolist() == [2, 0, 2, 0]
        assert merged["confidence"].ravel().tolist() == pytest.approx([200 / 255, 0, 200 / 255, 0])
        assert (merged["rgb"].view("<u4") == 0).ravel().tolist() == [False, True, False, True]


@pytest.mark.parametrize(("rings", "least_right"), [(16, 0.92), (64, 0.955), (128, 0.955)])
def test_point_labels_in_the_synthetic_world_are_right_where_the_mask_is(rings: int, least_right: float) -> None:
    """The mask is the ground truth.

    A point is right if it has its own label, or none because it is hidden.
    """
    right = same = labeled_points = total = 0
    for seed in range(6):
        world = SyntheticWorld(seed)
        view, turn = world.frame(0.5), world.lidar(0.5, Lidar(rings))
        frame = Frame(view.frame.image, intrinsics=world.intrinsics, cloud=turn.cloud)
        labeled = label_cloud(frame, Segmentation(view.labels, np.full_like(view.labels, 255), VOCABULARY))
        same += int((labeled.points["label"] == turn.labels[labeled.index]).sum())
        labeled_points += len(labeled.index)
        labels = np.zeros(len(turn.labels), np.uint8)
        labels[labeled.index] = labeled.points["label"]
        in_view, hidden = compare_with_depth(view.frame, turn.cloud)
        right += int(np.where(hidden, labels[in_view] == 0, labels[in_view] == turn.labels[in_view]).sum())
        total += len(in_view)
    assert same / labeled_points >= 0.95
    assert right / total >= least_right


def compare_with_depth(frame: Frame, cloud: Cloud) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the points in the image, and whether exact depth shows that they are hidden."""
    assert frame.intrinsics is not None and frame.depth_m is not None
    camera = frame.intrinsics
    xyz = cloud.xyz @ LIDAR_IN_CAMERA[:3, :3].T + LIDAR_IN_CAMERA[:3, 3]
    ahead = np.flatnonzero(xyz[:, 2] > 0.05)
    x, y, z = xyz[ahead].T
    column, row = np.rint(x / z * camera.fx + camera.cx), np.rint(y / z * camera.fy + camera.cy)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    depth_m = frame.depth_m[row[inside].astype(int), column[inside].astype(int)]
    return ahead[inside], depth_m < z[inside] * 0.97 - 0.03
