"""Pascal VOC 2012 and Pascal Context in their published layouts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lseg_ros.datasets import DatasetConfig, LabeledImages, open_dataset
from test.support.dataset_trees import write_image, write_mask, write_text

VOC = "VOCdevkit/VOC2012", "SegmentationClass", "Segmentation"
CONTEXT = "VOCdevkit/VOC2010", "SegmentationClassContext", "SegmentationContext"


def open_pascal(dataset: str, root: Path, **settings: Any) -> LabeledImages:
    return open_dataset(DatasetConfig(dataset=dataset, root=str(root), **settings))


def write_data_set(root: Path, layout: tuple[str, str, str], ids: list[list[int]]) -> NDArray[np.uint8]:
    """Write one image for training, one for validation, and one that is in no list."""
    folder, masks, lists = layout
    for name in ("2007_000001", "2007_000002", "2007_000003"):
        pixels = write_image(root / folder / "JPEGImages" / f"{name}.jpg", len(ids[0]), len(ids))
        write_mask(root / folder / masks / f"{name}.png", ids, palette=True)
    write_text(root / folder / "ImageSets" / lists / "train.txt", "2007_000001")
    write_text(root / folder / "ImageSets" / lists / "val.txt", "2007_000003")
    return pixels


class TestVoc2012:
    def test_has_21_classes_with_the_background_and_ignores_255(self, tmp_path: Path) -> None:
        pixels = write_data_set(tmp_path, VOC, [[0, 1, 20, 255]])
        images = open_pascal("voc2012", tmp_path)
        assert len(images) == 1
        assert len(images.classes) == 21
        assert images.classes[:2] == ("background", "aeroplane")
        assert images.classes[11] == "diningtable"
        assert np.array_equal(images[0].image, pixels)
        assert images[0].target.tolist() == [[0, 1, 20, -1]]
        assert images.name(0).endswith("VOCdevkit/VOC2012/JPEGImages/2007_000003.jpg")

    def test_has_20_classes_without_the_background(self, tmp_path: Path) -> None:
        write_data_set(tmp_path, VOC, [[0, 1, 20, 255]])
        images = open_pascal("voc2012", tmp_path, background=False, names="full")
        assert len(images.classes) == 20
        assert images.classes[10] == "dining table"
        assert images[0].target.tolist() == [[-1, 0, 19, -1]]

    def test_opens_the_training_split(self, tmp_path: Path) -> None:
        write_data_set(tmp_path, VOC, [[0]])
        assert open_pascal("voc2012", tmp_path, split="train").name(0).endswith("2007_000001.jpg")

    def test_reports_missing_files(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="expected the folder VOCdevkit/VOC2012 in it"):
            open_pascal("voc2012", tmp_path)
        write_data_set(tmp_path, VOC, [[0]])
        write_text(tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", "2007_000003", "2007_000004")
        with pytest.raises(FileNotFoundError, match=r"2007_000004\.jpg: expected this file, which .*val\.txt lists"):
            open_pascal("voc2012", tmp_path)
        write_text(tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt")
        with pytest.raises(ValueError, match=r"val\.txt: expected it to list images, got none"):
            open_pascal("voc2012", tmp_path)
        (tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").unlink()
        with pytest.raises(FileNotFoundError, match=r"val\.txt: expected a text file, but it does not exist"):
            open_pascal("voc2012", tmp_path)

    def test_rejects_ids_above_20(self, tmp_path: Path) -> None:
        write_data_set(tmp_path, VOC, [[21]])
        with pytest.raises(ValueError, match=r"2007_000003\.png: expected the ids 0 to 20, 255, got 21"):
            open_pascal("voc2012", tmp_path)[0]


class TestPascalContext:
    @pytest.mark.parametrize("inside", ["VOCdevkit/VOC2010", "VOC2010", ""])
    def test_has_60_classes_with_the_background_and_59_without(self, tmp_path: Path, inside: str) -> None:
        write_data_set(tmp_path, (inside, *CONTEXT[1:]), [[0, 1, 59, 255]])
        images = open_pascal("pascal_context", tmp_path)
        assert (len(images), len(images.classes)) == (1, 60)
        assert images[0].target.tolist() == [[0, 1, 59, -1]]
        images = open_pascal("pascal_context", tmp_path, background=False)
        assert images.classes[:3] == ("aeroplane", "bag", "bed")  # in alphabetical order, not VOC's 20 classes first
        assert (images.classes[39], images.classes[54], images.classes[58]) == ("pottedplant", "tvmonitor", "wood")
        assert images[0].target.tolist() == [[-1, 0, 58, -1]]

    def test_rejects_masks_that_were_not_converted(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="expected the folder VOCdevkit/VOC2010/SegmentationClassContext"):
            open_pascal("pascal_context", tmp_path)
