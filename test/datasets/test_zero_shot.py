"""PASCAL-5i, COCO-20i and FSS-1000 in their published layouts."""

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lseg_ros.datasets import DatasetConfig, Episodes, open_episodes
from test.support.dataset_trees import write_image, write_mask, write_text


def open_zero_shot(dataset: str, root: Path, **settings: Any) -> Episodes:
    return open_episodes(DatasetConfig(dataset=dataset, root=str(root), **settings))


class TestPascal5i:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Write two test images of fold 1 (classes 6 to 10) and a training image of each fold."""
        for name in ("2007_1", "2007_2", "2007_t0", "2007_t1", "2007_t2", "2007_t3"):
            write_image(tmp_path / f"VOC2012/JPEGImages/{name}.jpg", 4, 2)
            write_mask(tmp_path / f"VOC2012/SegmentationClassAug/{name}.png", [[0, 6, 7, 20], [255, 6, 6, 1]])
        write_text(tmp_path / "splits/pascal/val/fold1.txt", "2007_1__06", "2007_2__07")
        for fold in range(4):
            write_text(tmp_path / f"splits/pascal/trn/fold{fold}.txt", f"2007_t{fold}__{5 * fold + 2:02}")
        return tmp_path

    def test_target_is_1_for_the_class_0_elsewhere_and_ignores_borders(self, root: Path) -> None:
        image, target, index = open_zero_shot("pascal_5i", root, fold=1)[0]
        assert image.shape == (480, 480, 3)
        assert target.dtype == np.int16
        assert target[::240, ::120].tolist() == [[0, 1, 0, 0], [-1, 1, 1, 0]]
        assert index == 0

    def test_repeats_the_list_until_there_are_1000_episodes(self, root: Path) -> None:
        episodes = open_zero_shot("pascal_5i", root, fold=1)
        assert len(episodes) == 1000
        names = [Path(episodes.name(index)).name for index in range(1000)]
        assert names == ["2007_1.jpg", "2007_2.jpg"] * 500
        assert [episodes[index].class_index for index in (0, 1, 2, 999)] == [0, 1, 0, 1]
        assert len(open_zero_shot("pascal_5i", root, fold=1, episodes=3)) == 3

    def test_each_fold_has_its_five_classes(self, root: Path) -> None:
        assert open_zero_shot("pascal_5i", root, fold=1).classes == ("bus", "car", "cat", "chair", "cow")
        write_text(root / "splits/pascal/val/fold2.txt", "2007_1__11")
        assert open_zero_shot("pascal_5i", root, fold=2).classes == (
            "diningtable",
            "dog",
            "horse",
            "motorbike",
            "person",
        )
        assert open_zero_shot("pascal_5i", root, fold=2, names="full").classes[0] == "dining table"

    def test_training_uses_the_lists_and_classes_of_the_other_folds(self, root: Path) -> None:
        episodes = open_zero_shot("pascal_5i", root, fold=1, split="train")
        assert len(episodes) == 3
        assert len(episodes.classes) == 15
        assert [Path(episodes.name(index)).stem for index in range(3)] == ["2007_t0", "2007_t2", "2007_t3"]
        assert [episodes.classes[episodes[index].class_index] for index in range(3)] == ["bicycle", "dog", "sheep"]

    def test_replaces_the_class_names_with_a_label_list(self, root: Path) -> None:
        labels = write_text(root / "labels.txt", *(f"thing {number}" for number in range(20)))
        assert open_zero_shot("pascal_5i", root, fold=1, labels=str(labels)).classes[0] == "thing 5"

    def test_reports_missing_files(self, root: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"splits: expected a split file at .*/pascal/val/fold0\.txt or"):
            open_zero_shot("pascal_5i", root)
        write_text(root / "splits/pascal/val/fold0.txt", "2007_9__01")
        with pytest.raises(FileNotFoundError, match=r"2007_9\.jpg: expected this file, which .*pascal/val lists"):
            open_zero_shot("pascal_5i", root)
        with pytest.raises(FileNotFoundError, match="expected the folder VOC2012/SegmentationClassAug or"):
            open_zero_shot("pascal_5i", root / "splits")

    def test_rejects_ids_above_20(self, root: Path) -> None:
        write_mask(root / "VOC2012/SegmentationClassAug/2007_1.png", [[21, 0, 0, 0], [0, 0, 0, 0]])
        with pytest.raises(ValueError, match=r"2007_1\.png: expected the ids 0 to 20, 255, got 21"):
            open_zero_shot("pascal_5i", root, fold=1)[0]


class TestCoco20i:
    FOLD = 1

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Write three images of each of the 20 classes f + 4v of the fold."""
        named: dict[int, list[str]] = {index: [] for index in range(80)}
        for index in range(self.FOLD, 80, 4):
            named[index] = [f"val2014/COCO_val2014_{index:012}_{number}.jpg" for number in range(3)]
            for name in named[index]:
                write_image(tmp_path / "COCO2014" / name, 3, 1)
                write_mask(tmp_path / "COCO2014/annotations" / name.replace(".jpg", ".png"), [[index + 1, 0, 255]])
        file = tmp_path / f"splits/coco/val/fold{self.FOLD}.pkl"
        file.parent.mkdir(parents=True)
        file.write_bytes(pickle.dumps(named, 3))
        return tmp_path

    def test_target_is_1_for_the_class_and_0_elsewhere(self, root: Path) -> None:
        episodes = open_zero_shot("coco_20i", root, fold=self.FOLD, episodes=5)
        for index in range(len(episodes)):
            image, target, class_index = episodes[index]
            assert image.shape == (480, 480, 3)
            assert target[0, ::160].tolist() == [1, 0, 0]
            assert f"_{self.FOLD + 4 * class_index:012}_" in episodes.name(index)

    def test_draws_episodes_with_numpys_legacy_generator(self, root: Path) -> None:
        episodes = open_zero_shot("coco_20i", root, fold=self.FOLD)
        assert len(episodes) == 1000
        np.random.seed(0)  # noqa: NPY002
        for index in range(1000):
            drawn = np.random.choice(list(range(self.FOLD, 80, 4)), 1, replace=False)[0]  # noqa: NPY002
            number = np.random.choice([0, 1, 2], 1, replace=False)[0]  # noqa: NPY002
            assert Path(episodes.name(index)).name == f"COCO_val2014_{drawn:012}_{number}.jpg"

    def test_seed_changes_the_episodes(self, root: Path) -> None:
        first, second = (open_zero_shot("coco_20i", root, fold=self.FOLD, episode_seed=seed) for seed in (0, 1))
        assert [first.name(index) for index in range(50)] != [second.name(index) for index in range(50)]

    def test_uses_the_class_names_of_the_authors(self, root: Path) -> None:
        classes = open_zero_shot("coco_20i", root, fold=self.FOLD).classes
        assert len(classes) == 20
        assert classes[:4] == ("bicycle", "bus", "trafficlight", "bench")

    def test_reads_split_files_in_text_form(self, root: Path) -> None:
        lines = [f"val2014/COCO_val2014_{index:012}_0__{index + 1:02}" for index in range(self.FOLD, 80, 4)]
        (root / "splits/coco/val/fold1.pkl").unlink()
        write_text(root / "splits/coco/val/fold1.txt", *lines)
        episodes = open_zero_shot("coco_20i", root, fold=self.FOLD)
        assert len({episodes.name(index) for index in range(1000)}) == 20

    def test_rejects_a_class_without_images(self, root: Path) -> None:
        (root / "splits/coco/val/fold0.pkl").write_bytes(pickle.dumps({index: ["a.jpg"] for index in range(4, 80, 4)}))
        with pytest.raises(ValueError, match=r"fold0\.pkl: expected images of every class .*, got none of person"):
            open_zero_shot("coco_20i", root, fold=0)


class TestFss1000:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Write two test categories of three images and one training category of one."""
        for category, count in (("red_fox", 3), ("abacus", 3), ("zebra_finch", 1)):
            for number in range(1, count + 1):
                folder = tmp_path / "FSS-1000" / category
                write_image(folder / f"{number}.jpg", 2, 2)
                Image.fromarray(np.array([[[255] * 3, [130] * 3], [[120] * 3, [0] * 3]], np.uint8)).save(
                    folder / f"{number}.png"
                )
        write_text(tmp_path / "splits/fss/test.txt", "red_fox", "abacus")
        write_text(tmp_path / "splits/fss/trn.txt", "zebra_finch")
        return tmp_path

    def test_has_an_episode_for_every_image_of_the_test_categories(self, root: Path) -> None:
        episodes = open_zero_shot("fss_1000", root)
        assert episodes.classes == ("abacus", "red_fox")
        assert Counter(episodes[index].class_index for index in range(len(episodes))) == {0: 3, 1: 3}
        assert episodes.name(3).endswith("FSS-1000/red_fox/1.jpg")

    def test_pixels_at_least_half_white_belong_to_the_class(self, root: Path) -> None:
        assert open_zero_shot("fss_1000", root)[0].target[::240, ::240].tolist() == [[1, 1], [0, 0]]

    def test_full_names_contain_spaces(self, root: Path) -> None:
        assert open_zero_shot("fss_1000", root, names="full").classes == ("abacus", "red fox")

    def test_opens_the_training_split(self, root: Path) -> None:
        episodes = open_zero_shot("fss_1000", root, split="train")
        assert (len(episodes), episodes.classes) == (1, ("zebra_finch",))

    def test_reports_missing_files(self, root: Path) -> None:
        (root / "FSS-1000/abacus/2.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"abacus/2\.png: expected this file"):
            open_zero_shot("fss_1000", root)
        write_text(root / "splits/fss/test.txt", "unicorn")
        with pytest.raises(FileNotFoundError, match=r"unicorn: expected the images of a category of .*test\.txt"):
            open_zero_shot("fss_1000", root)


@pytest.mark.parametrize(("width", "height"), [(500, 375), (333, 500), (100, 77), (480, 480), (1, 640)])
def test_resizes_targets_like_torch_and_images_like_pillow(tmp_path: Path, width: int, height: int) -> None:
    ids = np.random.default_rng(0).integers(0, 2, (height, width)).astype(np.uint8)
    pixels = write_image(tmp_path / "VOC2012/JPEGImages/a.jpg", width, height)
    write_mask(tmp_path / "VOC2012/SegmentationClassAug/a.png", ids)
    write_text(tmp_path / "splits/pascal/val/fold0.txt", "a__01")
    image, target, _ = open_zero_shot("pascal_5i", tmp_path)[0]
    expected = torch.nn.functional.interpolate(torch.from_numpy(ids)[None, None].float(), (480, 480), mode="nearest")
    assert np.array_equal(target, expected[0, 0].numpy())
    assert np.array_equal(image, np.array(Image.fromarray(pixels).resize((480, 480), Image.Resampling.BILINEAR)))
