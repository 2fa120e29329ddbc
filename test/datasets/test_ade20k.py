"""ADE20K in the layout of the benchmark and in those of the full releases."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lseg_ros.datasets import DatasetConfig, LabeledImages, open_dataset
from test.support.dataset_trees import write_image, write_mask, write_text


def open_ade20k(root: Path, **settings: Any) -> LabeledImages:
    return open_dataset(DatasetConfig(dataset="ade20k", root=str(root), **settings))


def write_benchmark(top: Path) -> NDArray[np.uint8]:
    write_image(top / "images/training/ADE_train_00000001.jpg")
    write_mask(top / "annotations/training/ADE_train_00000001.png", np.full((3, 4), 150, np.uint8))
    write_image(top / "images/validation/ADE_val_00000002.jpg", 2, 1)
    write_mask(top / "annotations/validation/ADE_val_00000002.png", [[59, 131]])
    pixels = write_image(top / "images/validation/ADE_val_00000001.jpg", 4, 2)
    write_mask(top / "annotations/validation/ADE_val_00000001.png", [[0, 1, 2, 150], [13, 0, 0, 1]])
    return pixels


def write_full(folder: Path, name: str, classes: list[list[int]]) -> NDArray[np.uint8]:
    """Write an image and its masks, with the class in red and green and the instance in blue."""
    ids = np.array(classes)
    pixels = write_image(folder / f"{name}.jpg", ids.shape[1], ids.shape[0])
    colors = np.stack([ids // 256 * 10, ids % 256, np.full_like(ids, 7)], axis=-1).astype(np.uint8)
    Image.fromarray(colors).save(folder / f"{name}_seg.png")
    Image.fromarray(colors).save(folder / f"{name}_parts_1.png")
    write_image(folder / name / f"instance_000_{name}.png")
    return pixels


class TestBenchmark:
    @pytest.mark.parametrize("inside", ["", "ADEChallengeData2016"])
    def test_maps_ids_to_classes_and_ignores_0(self, tmp_path: Path, inside: str) -> None:
        pixels = write_benchmark(tmp_path / inside)
        images = open_ade20k(tmp_path)
        assert len(images) == 2
        assert np.array_equal(images[0].image, pixels)
        assert images[0].target.tolist() == [[-1, 0, 1, 149], [12, -1, -1, 0]]
        assert images.name(0) == str(tmp_path / inside / "images/validation/ADE_val_00000001.jpg")

    def test_opens_the_training_split(self, tmp_path: Path) -> None:
        write_benchmark(tmp_path)
        images = open_ade20k(tmp_path, split="train")
        assert len(images) == 1
        assert (images[0].target == 149).all()

    def test_uses_the_authors_class_names_by_default(self, tmp_path: Path) -> None:
        write_benchmark(tmp_path)
        classes = open_ade20k(tmp_path).classes
        assert [classes[index] for index in open_ade20k(tmp_path)[1].target[0]] == ["screen", "screen"]
        full = open_ade20k(tmp_path, names="full")
        assert [full.classes[index] for index in full[1].target[0]] == ["screen door", "screen"]

    def test_replaces_the_class_names_with_a_label_list(self, tmp_path: Path) -> None:
        write_benchmark(tmp_path)
        labels = write_text(tmp_path / "labels.txt", "inside", *["outside"] * 148, "inside")
        images = open_ade20k(tmp_path, labels=str(labels))
        assert images.classes == ("inside", "outside")
        assert images[0].target.tolist() == [[-1, 0, 1, 0], [1, -1, -1, 0]]

    def test_rejects_ids_above_150(self, tmp_path: Path) -> None:
        write_benchmark(tmp_path)
        write_mask(tmp_path / "annotations/validation/ADE_val_00000002.png", [[59, 151]])
        with pytest.raises(ValueError, match=r"ADE_val_00000002\.png: expected the ids 0 to 150, got 151"):
            open_ade20k(tmp_path)[1]

    def test_reports_a_missing_mask_when_opened(self, tmp_path: Path) -> None:
        write_benchmark(tmp_path)
        write_image(tmp_path / "images/validation/ADE_val_00000003.jpg")
        with pytest.raises(FileNotFoundError, match=r"val_00000003\.jpg: expected its mask at .*val_00000003\.png"):
            open_ade20k(tmp_path)

    def test_rejects_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "images/validation").mkdir(parents=True)
        (tmp_path / "annotations/validation").mkdir(parents=True)
        with pytest.raises(ValueError, match="images/validation: expected images in it, got none"):
            open_ade20k(tmp_path)

    def test_rejects_images_without_masks(self, tmp_path: Path) -> None:
        write_image(tmp_path / "images/validation/ADE_val_00000001.jpg")
        with pytest.raises(FileNotFoundError, match=r"expected masks in .*annotations/validation, or \*_seg\.png"):
            open_ade20k(tmp_path)

    def test_rejects_an_unusable_root(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="root: expected the folder of the data set, got none"):
            open_dataset(DatasetConfig(dataset="ade20k"))
        with pytest.raises(FileNotFoundError, match="root: expected a folder, got .*nowhere, which does not exist"):
            open_ade20k(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match="expected the folder ADEChallengeData2016/images/validation or "):
            open_ade20k(tmp_path)


class TestFullReleases:
    LAYOUTS = (
        "ADE20K_2021_17_01/images/ADE/{}/urban/street",
        "images/ADE/{}/urban/street",
        "ADE20K_2016_07_26/images/{}/s/street",
        "images/{}/s/street",
    )

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_converts_classes_to_those_of_the_benchmark(self, tmp_path: Path, layout: str) -> None:
        folder = tmp_path / layout.format("validation")
        # wall, door and double door, wardrobe and closet, flag, a class outside the benchmark, and unlabeled
        pixels = write_full(folder, "ADE_val_00000001", [[2978, 774, 783, 2985], [533, 954, 461, 0]])
        images = open_ade20k(tmp_path)
        assert len(images) == 1
        assert np.array_equal(images[0].image, pixels)
        assert images[0].target.tolist() == [[0, 14, 14, 35], [35, 149, -1, -1]]
        assert images.classes[14] == "door"
        assert images.name(0) == str(folder / "ADE_val_00000001.jpg")

    def test_contains_every_class_of_the_benchmark(self, tmp_path: Path) -> None:
        write_full(tmp_path / "images/ADE/training/x/y", "ADE_train_00000001", [list(range(3200))])
        target = open_ade20k(tmp_path, split="train")[0].target
        counts = np.bincount(target[target >= 0], minlength=150)
        assert dict(enumerate(counts.tolist())) == {index: 2 if index in (14, 35, 88) else 1 for index in range(150)}

    def test_resizes_images_to_the_size_of_the_benchmark(self, tmp_path: Path) -> None:
        write_full(tmp_path / "images/ADE/validation/x/y", "ADE_val_00000001", [[2420] * 1024] * 768)
        image, target = open_ade20k(tmp_path)[0]
        assert image.shape == (512, 683, 3)
        assert target.shape == (512, 683)
        assert (target == 2).all()

    def test_reports_an_image_without_a_mask(self, tmp_path: Path) -> None:
        folder = tmp_path / "images/ADE/validation/x/y"
        write_full(folder, "ADE_val_00000001", [[2420]])
        write_image(folder / "ADE_val_00000002.jpg")
        with pytest.raises(FileNotFoundError, match=r"ADE_val_00000002_seg\.png: expected this file"):
            open_ade20k(tmp_path)
