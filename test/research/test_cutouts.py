"""Cutouts with names are pasted onto photos and scenes, and their labels into the masks."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lseg_ros.datasets import DatasetConfig, open_dataset
from research.cutouts import Cutout, CutoutConfig, compose, main, read_cutouts

RECIPES = Path(__file__).resolve().parents[2] / "research" / "recipes"
NEVER_TRAINED = {"house", "footpath", "couch", "automobile", "railing", "cyclist"}
RED, BLUE = (255, 0, 0, 255), (0, 0, 255, 255)


@pytest.fixture
def config(tmp_path: Path) -> CutoutConfig:
    """A stamp of a zebra, a catalog with two lamps, and one gray photo."""
    for folder in ("stamps/animals", "furniture", "photos"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGBA", (40, 30), RED).save(tmp_path / "stamps" / "animals" / "zebra.png")
    Image.new("RGBA", (20, 60), BLUE).save(tmp_path / "lamp.png")
    entries = "".join(f"name#{number}=Desk Lamp\nicon#{number}=/icons/lamp.png\n" for number in (1, 2))
    with zipfile.ZipFile(tmp_path / "furniture" / "catalog.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", "id=test\n" + entries)
        archive.write(tmp_path / "lamp.png", "icons/lamp.png")
    Image.new("RGB", (100, 50), (128, 128, 128)).save(tmp_path / "photos" / "photo.jpg")
    (tmp_path / "names.yaml").write_text("zebra: [animals/zebra]\nlamp: [desk lamp]\n", encoding="utf-8")
    return CutoutConfig(
        output=str(tmp_path / "cutouts"),
        photos=(str(tmp_path / "photos"),),
        names=str(tmp_path / "names.yaml"),
        stamps=str(tmp_path / "stamps"),
        furniture=str(tmp_path / "furniture"),
        images=12,
        longer_side=160,
    )


def test_the_result_is_a_folder_data_set(config: CutoutConfig) -> None:
    main(config)
    images = open_dataset(DatasetConfig(dataset="folder", root=config.output, split="train"))
    assert len(images) == 12
    assert images.classes[:2] == ("zebra", "lamp")  # those of the synthetic world follow, each once
    assert len(set(images.classes)) == len(images.classes) == 41  # the world also has lamps
    samples = [images[index] for index in range(12)]
    assert {0, 1} <= {int(label) for sample in samples for label in np.unique(sample.target)}
    photos = [sample for sample in samples if sample.image.shape == (80, 160, 3)]
    assert 0 < len(photos) < 12
    assert all((sample.target < 2).all() for sample in photos)  # the photo itself is unknown
    zebras = np.concatenate([sample.image[sample.target == 0] for sample in photos])  # red
    assert zebras[:, 0].mean() > zebras[:, 2].mean() + 50


def test_the_same_seed_gives_the_same_images(config: CutoutConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, images=3)
    main(config)
    main(dataclasses.replace(config, output=str(tmp_path / "again")))
    for name in ("images/train/00002.jpg", "masks/train/00002.png"):
        assert Path(config.output, name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_pasted_pixels_get_the_label_and_others_keep_theirs() -> None:
    background, mask = Image.new("RGB", (64, 48), (9, 9, 9)), np.full((48, 64), 7, np.uint8)
    cutouts = [[Cutout(3, Image.new("RGBA", (10, 10), (250, 250, 250, 255)))]]
    for seed in range(20):
        image, labels = compose(background, mask, cutouts, np.random.default_rng(seed))
        bright = np.asarray(image).mean(axis=2) > 80  # the darkest variant of white, half opaque
        np.testing.assert_array_equal(np.where(bright, 3, 7), labels)
    assert (mask == 7).all()


def test_all_models_with_a_name_are_used(config: CutoutConfig) -> None:
    groups = read_cutouts(
        {"zebra": ["animals/zebra"], "lamp": ["desk lamp"]}, Path(config.stamps), Path(config.furniture)
    )
    assert [[cutout.label for cutout in group] for group in groups] == [[0], [1, 1]]


def test_names_a_cutout_that_does_not_exist(config: CutoutConfig) -> None:
    for source, message in (("desk", "lamp: 'desk' is not in the catalogs of"), ("animals/yak", "yak.png")):
        with pytest.raises(FileNotFoundError, match=message):
            read_cutouts({"lamp": [source]}, Path(config.stamps), Path(config.furniture))


def test_names_a_folder_without_photos(config: CutoutConfig, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"stamps: expected a folder with \.jpg files"):
        main(dataclasses.replace(config, photos=(str(tmp_path / "stamps"),)))


@pytest.mark.parametrize("text", ["", "[zebra]", "zebra: yes", "zebra: []", "zebra: [1]", "5: [animals/zebra]", "{"])
def test_rejects_a_malformed_file_of_names(config: CutoutConfig, text: str) -> None:
    Path(config.names).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"names\.yaml: .*expected"):
        main(config)


def test_rejects_more_labels_than_a_mask_has_ids(config: CutoutConfig) -> None:
    names = {f"thing {number}": ["animals/zebra"] for number in range(230)}
    Path(config.names).write_text(yaml.safe_dump(names), encoding="utf-8")
    with pytest.raises(ValueError, match=r"names\.yaml: expected at most 255 labels .* got 270"):
        main(config)


def test_the_labels_leave_out_the_words_that_training_never_uses() -> None:
    names = yaml.safe_load((RECIPES / "cutouts.yaml").read_text(encoding="utf-8"))
    mix = yaml.safe_load((RECIPES / "real.yaml").read_text(encoding="utf-8"))["sets"]["cutouts"]
    synonyms = {word for words in mix["synonyms"].values() for word in words}
    assert not NEVER_TRAINED & ({*names} | synonyms)
    assert set(mix["synonyms"]) <= set(names)
