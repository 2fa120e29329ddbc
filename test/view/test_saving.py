"""Saved frames: names, pixels and points."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lseg_ros.structures import Frame, Intrinsics, Segmentation
from lseg_ros.view.feed import LabeledFrame
from lseg_ros.view.pictures import fit, hide_labels, take_every
from lseg_ros.view.saving import POINT_PROPERTIES, save_frame
from lseg_ros.vocabulary import Vocabulary
from test.support.dataset_trees import read_unchanged

IMAGE = np.full((4, 6, 3), (10, 20, 30), np.uint8)


def make_frame(depth_m: float = 2.0, name: str = "a bag/odd: name, frame 3") -> LabeledFrame:
    """The left half is labeled, the upper left pixel has no depth."""
    label_map = np.zeros((4, 6), np.uint8)
    label_map[:, :3] = 1
    depth = np.full((4, 6), depth_m, np.float32)
    depth[0, 0] = np.nan
    segmentation = Segmentation(label_map, label_map * 200, Vocabulary.of(["floor"], colors=["#ff0000"]))
    return LabeledFrame(name, 0, Frame(IMAGE, depth, Intrinsics(5, 5, 2.5, 1.5, 6, 4)), segmentation, 1.0)


def test_saves_pixels_and_points(tmp_path: Path) -> None:
    files = save_frame(tmp_path, make_frame(), IMAGE)
    assert [path.name.removeprefix("odd_name_frame_3_") for path in files] == [
        "image.png", "mask.png", "confidence.png", "overlay.png", "points.ply",
    ]  # fmt: skip
    assert np.array_equal(read_unchanged(files[1]), make_frame().segmentation.label_map)
    assert np.array_equal(read_unchanged(files[0])[..., ::-1], IMAGE)
    header, _, data = files[4].read_bytes().partition(b"end_header\n")
    points = np.frombuffer(data, POINT_PROPERTIES)
    assert b"element vertex 23\n" in header and len(points) == 23
    assert np.all(points["z"] == 2)
    assert tuple(points[0])[3:] == (255, 0, 0, 1, 200)  # in the color of its label
    assert tuple(points[-1])[3:] == (10, 20, 30, 0, 0)  # in the color of the image


def test_a_second_save_replaces_nothing(tmp_path: Path) -> None:
    first, second = (save_frame(tmp_path, make_frame(), IMAGE) for _ in range(2))
    assert not set(first) & set(second)


def test_hidden_labels_are_unlabeled() -> None:
    segmentation = make_frame().segmentation
    assert not hide_labels(segmentation, {1}).label_map.any()
    assert hide_labels(segmentation, ()) is segmentation


def test_pictures_of_any_size_keep_their_aspect() -> None:
    shown = make_frame()
    for least_px, most_px, size in ((1, 3, (2, 3)), (12, 24, (8, 12)), (6, 6, (4, 6))):
        image, segmentation = fit(shown.frame, shown.segmentation, least_px, most_px)
        assert image.shape == (*size, 3) and segmentation.label_map.shape == size


def test_fewer_points_stay_where_they_were() -> None:
    shown = make_frame()
    frame, _ = take_every(2, shown.frame, shown.segmentation)
    assert frame.intrinsics is not None
    assert (2 - shown.frame.intrinsics.cx) / 5 == (1 - frame.intrinsics.cx) / frame.intrinsics.fx  # type: ignore[union-attr]
