"""Images with masks: sizes must agree, labels can be replaced, and large images reduced."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lseg_ros.datasets import Sample
from lseg_ros.datasets.files import Pair, target_reader
from lseg_ros.datasets.pairs import PairedImages, RelabeledDataset, ResizedDataset
from test.support.dataset_trees import write_image, write_mask, write_photo


class OneImage:
    """A data set of one sample."""

    def __init__(self, target: NDArray[Any], classes: tuple[str, ...] = ("a", "b")) -> None:
        self.classes = classes
        pixels = np.random.default_rng(0).integers(0, 256, (*target.shape, 3), np.uint8)
        self.sample = Sample(pixels, target.astype(np.int16))

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return self.sample

    def name(self, index: int) -> str:
        return "the one"


class TestPairedImages:
    def test_reads_a_sample_on_access(self, tmp_path: Path) -> None:
        images = PairedImages(("a",), [Pair(tmp_path / "x.png", tmp_path / "m.png")], target_reader({0: 0}))
        pixels = write_image(tmp_path / "x.png", 4, 3)
        write_mask(tmp_path / "m.png", np.zeros((3, 4), np.uint8))
        assert np.array_equal(images[0].image, pixels)
        assert not images[0].target.any()
        assert images.name(0) == str(tmp_path / "x.png")

    def test_rejects_a_mask_of_another_size(self, tmp_path: Path) -> None:
        images = PairedImages(("a",), [Pair(tmp_path / "x.png", tmp_path / "m.png")], target_reader({0: 0}))
        write_image(tmp_path / "x.png", 4, 3)
        write_mask(tmp_path / "m.png", np.zeros((4, 3), np.uint8))
        with pytest.raises(ValueError, match=r"m\.png: expected 4x3 pixels, the size of .*x\.png, got 3x4"):
            images[0]

    def test_mask_must_match_the_upright_image(self, tmp_path: Path) -> None:
        images = PairedImages(("a", "b"), [Pair(tmp_path / "x.jpg", tmp_path / "m.png")], target_reader({0: 0, 1: 1}))
        upright = write_photo(tmp_path / "x.jpg")
        mask = (upright[..., 0] > 100).astype(np.uint8)
        write_mask(tmp_path / "m.png", mask)
        image, target = images[0]
        assert image.shape == upright.shape
        assert np.abs(image[target == 1].mean(axis=0) - (200, 30, 30)).max() < 5
        write_mask(tmp_path / "m.png", np.rot90(mask))
        with pytest.raises(ValueError, match=r"m\.png: expected 64x96 pixels, the size of the upright image"):
            images[0]

    @pytest.mark.parametrize("index", [-1, 1])
    def test_index_must_be_in_range(self, index: int) -> None:
        with pytest.raises(IndexError, match=f"sample: expected 0 to 0, got {index}"):
            PairedImages(("a",), [Pair(Path("x"), Path("m"))], target_reader({0: 0}))[index]


class TestRelabeledDataset:
    def test_merges_equal_labels_and_ignores_empty_ones(self) -> None:
        images = OneImage(np.array([[0, 1, 2, 3, -1]]), ("car", "bus", "sky", "noise"))
        other = RelabeledDataset(images, ("vehicle", "vehicle", "air|sky", ""))
        assert other.classes == ("vehicle", "air|sky")
        assert other[0].target.tolist() == [[0, 0, 1, -1, -1]]
        assert (len(other), other.name(0)) == (1, "the one")

    def test_rejects_a_wrong_number_of_labels(self) -> None:
        with pytest.raises(ValueError, match=r"labels: expected one per class \(2\), got 1"):
            RelabeledDataset(OneImage(np.zeros((1, 1))), ("a",))

    @given(st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1).filter(any))
    def test_every_pixel_gets_the_new_label_of_its_class(self, words: list[str]) -> None:
        images = OneImage(np.arange(len(words))[None], tuple(map(str, range(len(words)))))
        other = RelabeledDataset(images, tuple(words))
        assert len(set(other.classes)) == len(other.classes)
        assert [other.classes[index] if index >= 0 else "" for index in other[0].target[0]] == words


class TestResizedDataset:
    @pytest.mark.parametrize(
        ("before", "after"),
        [((6, 8), (4, 5)), ((9, 6), (6, 4)), ((8, 8), (8, 8)), ((4, 9), (4, 9)), ((3, 2), (3, 2))],
    )
    def test_limits_the_shorter_side_except_for_squares(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        image, target = ResizedDataset(OneImage(np.zeros(before)), 4)[0]
        assert (image.shape[:2], target.shape) == (after, after)

    def test_resizes_targets_to_the_nearest_pixel(self) -> None:
        target = np.random.default_rng(1).integers(0, 150, (77, 103))
        expected = Image.fromarray(target.astype(np.uint8)).resize((43, 32), Image.Resampling.NEAREST)
        assert np.array_equal(ResizedDataset(OneImage(target), 32)[0].target, np.array(expected))
