"""Tests of the names of topics and cameras."""

from __future__ import annotations

import pytest

from lseg_ros.ros.topics import Topic, check_cameras


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["front", ""], "cameras: expected names of letters, .* got ''"),
        (["2nd"], "got '2nd'"),
        (["front left"], "got 'front left'"),
        (["front/left"], "got 'front/left'"),
        (["a__b"], "got 'a__b'"),
        (["_hidden"], "got '_hidden'"),
        (["front", "rear", "front"], "expected unique names, got 'front' twice"),
        (["points"], r"that the node does not use, got 'points' \(~/points\)"),
        (["set_labels"], "got 'set_labels'"),
        (["query"], "got 'query'"),
    ],
)
def test_rejects_invalid_camera_names(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_cameras(names)


def test_accepts_valid_camera_names() -> None:
    check_cameras(["front", "rear_left", "cam2", "Tool0"])


def test_camera_names_precede_the_name_of_a_topic() -> None:
    assert Topic("rgb/image", "", "").for_camera("front").name == "front/rgb/image"
    assert Topic("~/mask", "", "").for_camera("front").name == "~/front/mask"
    assert Topic("~/mask", "", "").for_camera("").name == "~/mask"
