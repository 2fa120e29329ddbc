"""Data sets are opened by name."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from lseg_ros.datasets import LABELED, ZERO_SHOT, DatasetConfig, SyntheticScenes, open_dataset, open_episodes
from lseg_ros.synthetic import CLASSES
from test.support.dataset_trees import write_text


def test_opens_the_synthetic_world_by_default() -> None:
    assert open_dataset(DatasetConfig(frames=3)) == SyntheticScenes(3, seed=7, training=False)
    assert open_dataset(DatasetConfig(split="train", seed=1, width=64, height=48)) == SyntheticScenes(
        200, 1, training=True, width=64, height=48
    )


def test_replaces_the_labels_of_the_synthetic_world(tmp_path: Path) -> None:
    words = write_text(tmp_path / "labels.txt", *(["thing"] * (len(CLASSES) - 1)), "stuff")
    images = open_dataset(DatasetConfig(frames=1, width=64, height=48, labels=str(words)))
    assert images.classes == ("thing", "stuff")
    assert images[0].target.max() <= 1


@pytest.mark.parametrize("dataset", ZERO_SHOT)
def test_open_dataset_rejects_zero_shot_sets(dataset: str) -> None:
    with pytest.raises(ValueError, match=f"dataset: expected labeled images, one of synthetic, .*, got '{dataset}'"):
        open_dataset(DatasetConfig(dataset=dataset))


@pytest.mark.parametrize("dataset", LABELED)
def test_open_episodes_rejects_labeled_images(dataset: str) -> None:
    with pytest.raises(ValueError, match=f"dataset: expected a zero-shot set, one of pascal_5i, .*, got '{dataset}'"):
        open_episodes(DatasetConfig(dataset=dataset))


@pytest.mark.parametrize("dataset", [name for name in LABELED + ZERO_SHOT if name != "synthetic"])
def test_every_set_but_the_synthetic_one_needs_a_root(dataset: str, tmp_path: Path) -> None:
    open_any: Callable[[DatasetConfig], object] = open_episodes if dataset in ZERO_SHOT else open_dataset
    for root in ("", str(tmp_path / "nowhere")):
        with pytest.raises((ValueError, FileNotFoundError), match="root: expected "):
            open_any(DatasetConfig(dataset=dataset, root=root))


def test_rejects_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="dataset: expected one of synthetic, ade20k, .*, fss_1000, got 'ade'"):
        DatasetConfig(dataset="ade")


def test_data_sets_can_be_pickled(tmp_path: Path) -> None:
    from test.datasets.test_ade20k import write_benchmark, write_full

    write_benchmark(tmp_path / "benchmark")
    write_full(tmp_path / "full/images/ADE/validation/x/y", "ADE_val_00000001", [[2978]])
    for root in ("benchmark", "full"):
        images = open_dataset(DatasetConfig(dataset="ade20k", root=str(tmp_path / root)))
        copied = pickle.loads(pickle.dumps(images))
        assert copied[0].target.tolist() == images[0].target.tolist()
