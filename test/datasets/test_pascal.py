"""Pascal VOC 2012 and Pascal Context in their true layouts."""

from pathlib import Path

import numpy as np
import pytest

from lseg_ros.datasets import DatasetConfig, LabeledImages, open_dataset
from test.support.dataset_trees import write_image, write_mask, write_text

VOC = "VOCdevkit/VOC2012", "SegmentationClass", "Segmentation"
CONTEXT = "VOCdevkit/VOC2010", "SegmentationClassContext", "SegmentationContext"


def opened(dataset: str, root: Path, **settings: object) -> LabeledImages:
    return open_dataset(DatasetConfig(dataset=dataset, root=str(root), **settings))


def written(root: Path, layout: tuple[str, str, str], ids: list[list[int]]) -> np.ndarray:
    """One image each for training and validation, and one that no list names."""
    folder, masks, lists = layout
    for name in ("2007_000001", "2007_000002", "2007_000003"):
        pixels = write_image(root / folder / "JPEGImages" / f"{name}.jpg", len(ids[0]), len(ids))
        write_mask(root / folder / masks / f"{name}.png", ids, palette=True)
    write_text(root / folder / "ImageSets" / lists / "train.txt", "2007_000001")
    write_text(root / folder / "ImageSets" / lists / "val.txt", "2007_000003")
    return pixels


class TestVoc2012:
    def test_21_classes_with_the_background_and_255_is_ignored(self, tmp_path: Path) -> None:
        pixels = written(tmp_path, VOC, [[0, 1, 20, 255]])
        images = opened("voc2012", tmp_path)
        assert len(images) == 1
        assert len(images.classes) == 21
        assert images.classes[:2] == ("background", "aeroplane")
        assert images.classes[11] == "diningtable"
        assert np.array_equal(images[0].image, pixels)
        assert images[0].target.tolist() == [[0, 1, 20, -1]]
        assert images.name(0).endswith("VOCdevkit/VOC2012/JPEGImages/2007_000003.jpg")

    def test_20_classes_without_the_background(self, tmp_path: Path) -> None:
        written(tmp_path, VOC, [[0, 1, 20, 255]])
        images = opened("voc2012", tmp_path, background=False, names="full")
        assert len(images.classes) == 20
        assert images.classes[10] == "dining table"
        assert images[0].target.tolist() == [[-1, 0, 19, -1]]

    def test_the_training_split(self, tmp_path: Path) -> None:
        written(tmp_path, VOC, [[0]])
        assert opened("voc2012", tmp_path, split="train").name(0).endswith("2007_000001.jpg")

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="expected the folder VOCdevkit/VOC2012 in it"):
            opened("voc2012", tmp_path)
        written(tmp_path, VOC, [[0]])
        write_text(tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", "2007_000003", "2007_000004")
        with pytest.raises(FileNotFoundError, match=r"2007_000004\.jpg: expected this file, which .*val\.txt lists"):
            opened("voc2012", tmp_path)
        write_text(tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt")
        with pytest.raises(ValueError, match=r"val\.txt: expected it to list images, got none"):
            opened("voc2012", tmp_path)
        (tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").unlink()
        with pytest.raises(FileNotFoundError, match=r"val\.txt: expected a text file, it is not there"):
            opened("voc2012", tmp_path)

    def test_an_id_out_of_range_is_named(self, tmp_path: Path) -> None:
        written(tmp_path, VOC, [[21]])
        with pytest.raises(ValueError, match=r"2007_000003\.png: expected the ids 0 to 20, 255, got 21"):
            opened("voc2012", tmp_path)[0]


class TestPascalContext:
    @pytest.mark.parametrize("inside", ["VOCdevkit/VOC2010", "VOC2010", ""])
    def test_60_classes_with_the_background_and_59_without(self, tmp_path: Path, inside: str) -> None:
        written(tmp_path, (inside, *CONTEXT[1:]), [[0, 1, 59, 255]])
        images = opened("pascal_context", tmp_path)
        assert (len(images), len(images.classes)) == (1, 60)
        assert images[0].target.tolist() == [[0, 1, 59, -1]]
        images = opened("pascal_context", tmp_path, background=False)
        assert images.classes[:3] == ("aeroplane", "bag", "bed")  # by the alphabet, not VOC's twenty first
        assert (images.classes[39], images.classes[54], images.classes[58]) == ("pottedplant", "tvmonitor", "wood")
        assert images[0].target.tolist() == [[-1, 0, 58, -1]]

    def test_masks_that_were_not_converted_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="expected the folder VOCdevkit/VOC2010/SegmentationClassContext"):
            opened("pascal_context", tmp_path)
