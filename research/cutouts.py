"""Paste cutouts with names onto photos and synthetic scenes.

``python -m research.cutouts --photos DATA/streets/images/train --output DATA/cutouts`` writes a data set for
``--dataset folder`` of things that no mask of the other sets names. The cutouts come from two Debian packages,
tuxpaint-stamps-default and sweethome3d-furniture.
"""

from __future__ import annotations

import logging
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from lseg_ros.datasets.synthetic import SyntheticScenes
from lseg_ros.inference.preprocess import network_size
from lseg_ros.settings import check, setting
from lseg_ros.synthetic import CLASSES
from research.command_line import run_script

__all__ = ["Cutout", "CutoutConfig", "compose", "main", "read_cutouts"]

_LOG = logging.getLogger(__name__)
_UNKNOWN = 255
_SYNTHETIC_SHARE = 0.35  # of the backgrounds
_MOST_CUTOUTS = 5  # per image
_SMALLEST, _LARGEST = 0.15, 0.9  # longer side of a cutout, relative to the shorter side of the image
_LARGEST_ANGLE = 12  # degrees
_OPAQUE = 128  # alpha from which a pixel belongs to a cutout


@dataclass(frozen=True)
class CutoutConfig:
    """Paste cutouts with names onto photos and synthetic scenes."""

    output: str = setting("out/cutouts", "folder of the data set to write")
    photos: tuple[str, ...] = setting((), "folders of photos for the backgrounds, such as DATA/streets/images/train")
    names: str = setting(
        str(Path(__file__).with_name("recipes") / "cutouts.yaml"), "file of the labels and their cutouts"
    )
    stamps: str = setting("/usr/share/tuxpaint/stamps", "folder of stamps (Debian package tuxpaint-stamps-default)")
    furniture: str = setting(
        "/usr/share/sweethome3d/furniture", "folder of catalogs (Debian package sweethome3d-furniture)"
    )
    images: int = setting(4000, "images to write", minimum=1)
    longer_side: int = setting(384, "longer side of the images", unit="px", minimum=32)
    seed: int = setting(0, "seed of all random choices", minimum=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Cutout:
    """A thing without its surroundings.

    Attributes:
        label: Index of its label.
        image: RGBA image.
    """

    label: int
    image: Image.Image


def main(config: CutoutConfig) -> None:
    """Write the data set to ``config.output``.

    Raises:
        FileNotFoundError: If a cutout does not exist, or a folder has no photos.
        ValueError: If the file of names is malformed or has too many labels, or a photo is too small.
    """
    names = _read_names(Path(config.names))
    groups = read_cutouts(names, Path(config.stamps), Path(config.furniture))
    _LOG.info("%d labels, %d cutouts", len(groups), sum(map(len, groups)))
    labels = [*names, *(name for name in CLASSES if name not in names)]
    if len(labels) > _UNKNOWN:
        raise ValueError(f"{config.names}: expected at most {_UNKNOWN} labels with the scenes' own, got {len(labels)}")
    photos = [_list_photos(Path(folder)) for folder in config.photos]
    output = Path(config.output)
    for kind in ("images", "masks"):
        (output / kind / "train").mkdir(parents=True, exist_ok=True)
    (output / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    scenes = SyntheticScenes(config.images, seed=config.seed, training=True)
    scene_ids = np.array([*map(labels.index, scenes.classes), _UNKNOWN], np.uint8)  # IGNORE, -1, reads the last entry
    for index in range(config.images):
        rng = np.random.default_rng((config.seed, index))
        if not photos or rng.random() < _SYNTHETIC_SHARE:
            scene = scenes[index]
            background, mask = Image.fromarray(scene.image), scene_ids[scene.target]
        else:
            folder = photos[rng.integers(len(photos))]  # each set is as likely as any other
            background = _read_photo(folder[rng.integers(len(folder))], config.longer_side)
            mask = np.full((background.height, background.width), _UNKNOWN, np.uint8)
        image, mask = compose(background, mask, groups, rng)
        image.save(output / "images" / "train" / f"{index:05}.jpg", quality=92)
        Image.fromarray(mask).save(output / "masks" / "train" / f"{index:05}.png")


def _read_names(path: Path) -> dict[str, list[str]]:
    try:
        names = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected YAML, got {error}") from error
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{path}: expected labels with lists of names, got {type(names).__name__}")
    for label, sources in names.items():
        valid = isinstance(sources, list) and sources and all(isinstance(source, str) for source in sources)
        if not isinstance(label, str) or not valid:
            raise ValueError(f"{path}: {label}: expected a label with a list of names, got {sources!r}")
    return names


def _list_photos(folder: Path) -> list[Path]:
    photos = sorted(folder.glob("*.jpg"))
    if not photos:
        raise FileNotFoundError(f"{folder}: expected a folder with .jpg files, found none")
    return photos


def _read_photo(path: Path, longer_side: int) -> Image.Image:
    photo = Image.open(path).convert("RGB")
    height, width = network_size((photo.height, photo.width), longer_side)
    return photo.resize((width, height))


def read_cutouts(names: Mapping[str, Sequence[str]], stamps: Path, furniture: Path) -> list[list[Cutout]]:
    """Read the cutouts of each label.

    Args:
        names: For each label, paths below ``stamps`` without their suffix, or names in the catalogs in lower case. All
            models with a name are used.
        stamps: Folder of PNG files.
        furniture: Folder of catalogs of Sweet Home 3D (``.sh3f``).

    Raises:
        FileNotFoundError: If a cutout does not exist.
    """
    catalog = dict[str, list[Image.Image]]()
    for path in sorted(furniture.glob("*.sh3f")):
        for name, icon in _read_catalog(path):
            catalog.setdefault(name, []).append(icon)
    groups = []
    for label, (text, sources) in enumerate(names.items()):
        images = list[Image.Image]()
        for source in sources:
            if "/" in source:
                images.append(Image.open(stamps / f"{source}.png").convert("RGBA"))
            elif source in catalog:
                images += catalog[source]
            else:
                raise FileNotFoundError(f"{text}: {source!r} is not in the catalogs of {furniture}")
        groups.append([Cutout(label, image.crop(image.getbbox())) for image in images])
    return groups


def compose(
    background: Image.Image, mask: NDArray[np.uint8], groups: Sequence[Sequence[Cutout]], rng: np.random.Generator
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Paste random cutouts onto an image.

    Each label is as likely as any other. Size, position, angle, direction, brightness and saturation are random.

    Args:
        background: RGB image.
        mask: (H, W) label of each of its pixels.
        groups: Cutouts of each label.
        rng: Source of all random choices.

    Returns:
        The RGB image and its (H, W) mask.
    """
    image, mask = background.copy(), mask.copy()
    for _ in range(rng.integers(1, _MOST_CUTOUTS + 1)):
        group = groups[int(rng.integers(len(groups)))]
        cutout = group[int(rng.integers(len(group)))]
        pasted = _vary(cutout.image, min(image.size), rng)
        # a third of a cutout may be outside the image
        left, top = (
            int(rng.integers(-(side // 3), max(whole - 2 * side // 3, 1 - side // 3)))
            for side, whole in zip(pasted.size, image.size)
        )
        image.paste(pasted.convert("RGB"), (left, top), pasted.getchannel("A"))
        inside = Image.new("L", image.size)
        inside.paste(pasted.getchannel("A"), (left, top))
        mask[np.asarray(inside) >= _OPAQUE] = cutout.label
    return image, mask


def _vary(cutout: Image.Image, shorter_side: int, rng: np.random.Generator) -> Image.Image:
    """Mirror, resize and rotate a cutout, and change its colors."""
    size = shorter_side * _SMALLEST * (_LARGEST / _SMALLEST) ** rng.random()
    factor = size / max(cutout.size)
    if rng.random() < 0.5:
        cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    # premultiplied alpha, so that the color of transparent pixels does not bleed into the edges
    cutout = cutout.convert("RGBa").resize([max(round(factor * side), 2) for side in cutout.size]).convert("RGBA")
    alpha = cutout.getchannel("A")
    color = ImageEnhance.Brightness(cutout.convert("RGB")).enhance(rng.uniform(0.6, 1.3))
    color = ImageEnhance.Color(color).enhance(rng.uniform(0.5, 1.3))
    color.putalpha(alpha)
    angle = float(rng.uniform(-_LARGEST_ANGLE, _LARGEST_ANGLE))
    return color.rotate(angle, Image.Resampling.BILINEAR, expand=True)


def _read_catalog(path: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yield the name in lower case and the icon of each model in a catalog of Sweet Home 3D."""
    with zipfile.ZipFile(path) as archive:
        text = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
        entries = dict[str, dict[str, str]]()
        for key, number, value in re.findall(r"^(name|icon)#(\d+)=(.*)$", text, re.MULTILINE):
            entries.setdefault(number, {})[key] = value.strip()
        for entry in entries.values():
            if len(entry) == 2:
                with archive.open(entry["icon"].lstrip("/")) as file:
                    yield entry["name"].lower(), Image.open(file).convert("RGBA")


if __name__ == "__main__":
    sys.exit(run_script("research.cutouts", CutoutConfig, main))
