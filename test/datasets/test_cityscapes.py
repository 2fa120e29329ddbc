"""Cityscapes in its published layout."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lseg_ros.datasets import DatasetConfig, LabeledImages, open_dataset
from test.support.dataset_trees import write_image, write_mask


def open_cityscapes(root: Path, split: str = "val") -> LabeledImages:
    return open_dataset(DatasetConfig(dataset="cityscapes", root=str(root), split=split))


def write_sample(root: Path, split: str, city: str, number: int, ids: list[list[int]]) -> NDArray[np.uint8]:
    name = f"{city}_{number:06}_000019"
    write_mask(root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", ids)
    write_mask(root / "gtFine" / split / city / f"{name}_gtFine_instanceIds.png", ids)
    return write_image(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", len(ids[0]), len(ids))


def test_maps_ids_to_the_19_classes_of_the_benchmark(tmp_path: Path) -> None:
    write_sample(tmp_path, "val", "munster", 1, [[7, 8, 33, 31]])
    pixels = write_sample(tmp_path, "val", "frankfurt", 0, [[0, 4, 7, 9], [29, 30, 19, 26]])
    write_sample(tmp_path, "train", "aachen", 0, [[11, 23]])
    images = open_cityscapes(tmp_path)
    assert len(images) == 2
    assert len(images.classes) == 19
    assert images.classes[0::6] == ("road", "traffic light", "rider", "bicycle")
    assert np.array_equal(images[0].image, pixels)  # cities are sorted by name
    assert images[0].target.tolist() == [[-1, -1, 0, -1], [-1, -1, 6, 13]]
    assert images[1].target.tolist() == [[0, 1, 18, 16]]
    assert open_cityscapes(tmp_path, "train")[0].target.tolist() == [[2, 10]]


def test_rejects_masks_of_training_ids(tmp_path: Path) -> None:
    write_sample(tmp_path, "val", "lindau", 0, [[0, 255]])
    with pytest.raises(ValueError, match=r"lindau_.*_gtFine_labelIds\.png: expected the ids 0 to 33, got 255"):
        open_cityscapes(tmp_path)[0]


def test_reports_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected the folder leftImg8bit/val in it"):
        open_cityscapes(tmp_path)
    (tmp_path / "leftImg8bit/val").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="expected the folder gtFine/val in it"):
        open_cityscapes(tmp_path)
    (tmp_path / "gtFine/val").mkdir(parents=True)
    with pytest.raises(ValueError, match="leftImg8bit/val: expected it to list images, got none"):
        open_cityscapes(tmp_path)
    write_image(tmp_path / "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png")
    with pytest.raises(FileNotFoundError, match=r"lindau_000000_000019_gtFine_labelIds\.png: expected this file"):
        open_cityscapes(tmp_path)
