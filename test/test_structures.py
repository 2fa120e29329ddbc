"""Tests of the shared data classes: they reject inconsistent values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE, Frame, Intrinsics, LabelCloud, Segmentation
from lseg_ros.vocabulary import Vocabulary

IMAGE = np.zeros((4, 6, 3), np.uint8)
CAMERA = Intrinsics(5.0, 5.0, 3.0, 2.0, 6, 4)
VOCABULARY = Vocabulary.of(["floor"])


def test_frame_accepts_matching_image_depth_and_intrinsics() -> None:
    frame = Frame(IMAGE, np.ones((4, 6), np.float32), CAMERA, 12, "camera")
    assert frame.size == (4, 6)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 6), np.uint8), np.zeros((4, 6, 4), np.uint8), IMAGE.astype(float), IMAGE[:0]]
)
def test_frame_rejects_arrays_that_are_not_rgb_images(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image: expected"):
        Frame(image)


@pytest.mark.parametrize("depth_m", [np.ones((4, 5), np.float32), np.ones((4, 6)), np.ones((4, 6), np.uint16)])
def test_frame_rejects_depth_of_another_size_or_dtype(depth_m: np.ndarray) -> None:
    with pytest.raises(ValueError, match="depth_m: expected"):
        Frame(IMAGE, depth_m)


def test_frame_rejects_intrinsics_of_another_image_size() -> None:
    with pytest.raises(ValueError, match="expected those of a 6x4 image, got 4x6"):
        Frame(IMAGE, intrinsics=dataclasses.replace(CAMERA, width=4, height=6))


@pytest.mark.parametrize("change", [{"fx": 0.0}, {"fy": -1.0}, {"fx": float("nan")}, {"width": 0}, {"height": -4}])
def test_intrinsics_reject_values_that_are_not_positive(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Intrinsics: expected positive"):
        dataclasses.replace(CAMERA, **change)


def test_segmentation_rejects_different_sizes_and_other_dtypes() -> None:
    labels = np.ones((4, 6), np.uint8)
    Segmentation(labels, labels, VOCABULARY)
    for label_map, confidence in ((labels, labels[:3]), (labels.astype(int), labels), (labels[0], labels[0])):
        with pytest.raises(ValueError, match=r"expected \(H, W\) uint8 of one size"):
            Segmentation(label_map, confidence, VOCABULARY)


def test_label_cloud_returns_points_and_colors() -> None:
    points = np.array([(1, 2, 3, 0), (4, 5, 6, 0)], CLOUD_DTYPE)
    points["rgb"] = np.array([0x00102030, 0x00FFFEFD], "<u4").view("<f4")
    cloud = LabelCloud(VOCABULARY["floor"], points)
    assert cloud.xyz.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert cloud.rgb.tolist() == [[0x10, 0x20, 0x30], [0xFF, 0xFE, 0xFD]]
    empty = LabelCloud(VOCABULARY["floor"], points[:0])
    assert empty.xyz.shape == empty.rgb.shape == (0, 3)


@pytest.mark.parametrize("points", [np.zeros((2, 3), CLOUD_DTYPE), np.zeros(2, POINT_DTYPE), np.zeros((2, 3))])
def test_label_cloud_rejects_other_shapes_and_dtypes(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"points: expected \(N,\) of \('x', 'y', 'z', 'rgb'\), got"):
        LabelCloud(VOCABULARY["floor"], points)


def test_points_have_no_padding() -> None:
    assert CLOUD_DTYPE.itemsize == 16
    assert POINT_DTYPE.itemsize == 24
