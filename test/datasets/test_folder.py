"""A folder of images, masks of ids, and a label list."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lseg_ros.datasets import DatasetConfig, LabeledImages, open_dataset
from test.support.dataset_trees import write_image, write_mask, write_photo, write_text


def open_root(root: Path, **settings: Any) -> LabeledImages:
    return open_dataset(DatasetConfig(dataset="folder", root=str(root), **settings))


@pytest.mark.parametrize("masks", ["masks", "labels", "annotations"])
def test_opens_images_and_masks_with_equal_names(tmp_path: Path, masks: str) -> None:
    pixels = write_image(tmp_path / "images/hall/a.jpeg", 3, 1)
    write_mask(tmp_path / masks / "hall/a.png", [[0, 1, 255]], palette=True)
    write_image(tmp_path / "images/b.png", 1, 2)
    write_mask(tmp_path / masks / "b.tif", np.array([[1], [0]], np.uint16))
    write_text(tmp_path / "labels.txt", "floor", "sofa|couch")
    images = open_root(tmp_path)
    assert images.classes == ("floor", "sofa|couch")
    assert [images.name(index) for index in range(len(images))] == [
        str(tmp_path / "images/b.png"),
        str(tmp_path / "images/hall/a.jpeg"),
    ]
    assert images[0].target.tolist() == [[1], [0]]
    assert np.array_equal(images[1].image, pixels)
    assert images[1].target.tolist() == [[0, 1, -1]]


@pytest.mark.parametrize("split", ["train", "val"])
def test_reads_a_photo_with_an_exif_orientation_upright(tmp_path: Path, split: str) -> None:
    upright = write_photo(tmp_path / f"images/{split}/a.jpg")
    write_mask(tmp_path / f"masks/{split}/a.png", np.zeros(upright.shape[:2], np.uint8))
    write_text(tmp_path / "labels.txt", "floor")
    image, target = open_root(tmp_path, split=split)[0]
    assert image.shape[:2] == target.shape == upright.shape[:2]
    assert np.abs(image.astype(int) - upright).mean() < 2


def test_merges_equal_labels_and_ignores_empty_ones_in_16_bit_masks(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.png", 5, 1)
    write_mask(tmp_path / "masks/a.png", np.array([[0, 300, 301, 40000, 255]], np.uint16))
    labels = write_text(tmp_path / "words.txt", "0:", "300: chair", "301: floor", "40000: chair")
    images = open_root(tmp_path, labels=str(labels))
    assert images.classes == ("chair", "floor")
    assert images[0].target.tolist() == [[-1, 0, 1, 0, -1]]


def test_reads_only_the_requested_split(tmp_path: Path) -> None:
    write_text(tmp_path / "labels.txt", "floor")
    for part in ("train", "val"):
        write_image(tmp_path / f"images/{part}/{part}.png", 1, 1)
        write_mask(tmp_path / f"masks/{part}/{part}.png", [[0]])
    for part in ("train", "val"):
        images = open_root(tmp_path, split=part)
        assert [Path(images.name(index)).name for index in range(len(images))] == [f"{part}.png"]


def test_reports_a_missing_split(tmp_path: Path) -> None:
    write_text(tmp_path / "labels.txt", "floor")
    write_image(tmp_path / "images/train/a.png", 1, 1)
    write_mask(tmp_path / "masks/train/a.png", [[0]])
    with pytest.raises(FileNotFoundError, match="expected the folder images/val in it"):
        open_root(tmp_path)


def test_rejects_ids_without_a_label(tmp_path: Path) -> None:
    write_text(tmp_path / "labels.txt", "3: floor", "4: chair", "9: sky")
    write_image(tmp_path / "images/a.png", 2, 1)
    write_mask(tmp_path / "masks/a.png", [[3, 5]])
    with pytest.raises(ValueError, match=r"masks/a\.png: expected the ids 3 to 4, 9, 255, got 5"):
        open_root(tmp_path)[0]


def test_reports_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected the folder images in it"):
        open_root(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(FileNotFoundError, match=r"labels\.txt: expected a text file, but it does not exist"):
        open_root(tmp_path)
    write_text(tmp_path / "labels.txt", "floor")
    with pytest.raises(FileNotFoundError, match="expected the folder masks or labels or annotations in it"):
        open_root(tmp_path)
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match="images: expected images in it, got none"):
        open_root(tmp_path)
    write_image(tmp_path / "images/a.jpg")
    with pytest.raises(FileNotFoundError, match=r"a\.jpg: expected its mask at .*masks/a\.png or .*a\.tif"):
        open_root(tmp_path)


def test_rejects_masks_drawn_in_black_and_white_with_a_list_of_two_labels(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.png", 4, 4)
    write_text(tmp_path / "labels.txt", "background\nfloor\n")
    mask = np.zeros((4, 4), np.uint8)
    mask[:2] = 255
    Image.fromarray(mask).save(write_text(tmp_path / "masks/a.png", ""))
    with pytest.raises(ValueError, match=r"masks: expected the ids 0 and 1 \('floor'\) .*'255: floor'"):
        open_root(tmp_path)
    write_text(tmp_path / "labels.txt", "0: background\n255: floor\n")
    assert open_root(tmp_path)[0].target.max() == 1


def test_reads_masks_of_two_labels_with_ignored_pixels(tmp_path: Path) -> None:
    write_text(tmp_path / "labels.txt", "background\nfloor\n")
    for name, values in (("a", (0, 255)), ("b", (0, 1))):
        write_image(tmp_path / f"images/{name}.png", 2, 1)
        Image.fromarray(np.array([values], np.uint8)).save(write_text(tmp_path / f"masks/{name}.png", ""))
    assert len(open_root(tmp_path)) == 2
