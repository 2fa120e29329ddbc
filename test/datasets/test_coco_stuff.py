"""COCO-Stuff in its published layouts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lseg_ros.datasets import DatasetConfig, LabeledImages, open_dataset
from test.support.dataset_trees import write_image, write_mask


def open_coco_stuff(root: Path, **settings: Any) -> LabeledImages:
    return open_dataset(DatasetConfig(dataset="coco_stuff", root=str(root), **settings))


@pytest.mark.parametrize(
    ("images_in", "masks_in"),
    [("val2017", "stuffthingmaps/val2017"), ("images/val2017", "annotations/val2017")],
)
def test_maps_ids_to_171_classes_without_the_unused_ids(tmp_path: Path, images_in: str, masks_in: str) -> None:
    pixels = write_image(tmp_path / images_in / "000000000139.jpg", 3, 2)
    write_mask(tmp_path / masks_in / "000000000139.png", [[0, 10, 12], [181, 91, 255]])
    write_mask(tmp_path / masks_in / "000000000139_labelTrainIds.png", [[0, 0, 0], [0, 0, 0]])
    images = open_coco_stuff(tmp_path)
    assert len(images.classes) == 171
    assert np.array_equal(images[0].image, pixels)
    target = images[0].target
    assert target.tolist() == [[0, 10, 11], [170, 80, -1]]
    assert [images.classes[index] for index in target.ravel()[:5]] == [
        "person", "fire hydrant", "stop sign", "wood", "banner",
    ]  # fmt: skip


def test_opens_the_training_split(tmp_path: Path) -> None:
    write_image(tmp_path / "train2017/1.jpg", 1, 1)
    write_mask(tmp_path / "stuffthingmaps/train2017/1.png", [[157]])
    images = open_coco_stuff(tmp_path, split="train")
    assert images.classes[images[0].target[0, 0]] == "skyscraper"


def test_rejects_ids_that_coco_never_used(tmp_path: Path) -> None:
    write_image(tmp_path / "val2017/1.jpg", 2, 1)
    write_mask(tmp_path / "stuffthingmaps/val2017/1.png", [[11, 182]])
    with pytest.raises(ValueError, match=r"1\.png: expected the ids 0 to 10, 12 to 24, .*, 255, got 11, 182"):
        open_coco_stuff(tmp_path)[0]


def test_reports_missing_masks(tmp_path: Path) -> None:
    write_image(tmp_path / "val2017/1.jpg")
    with pytest.raises(FileNotFoundError, match="expected the folder stuffthingmaps/val2017 or annotations/val2017"):
        open_coco_stuff(tmp_path)
