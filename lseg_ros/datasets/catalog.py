"""Open a data set by name."""

from __future__ import annotations

from lseg_ros.datasets.ade20k import open_ade20k
from lseg_ros.datasets.cityscapes import open_cityscapes
from lseg_ros.datasets.coco_stuff import open_coco_stuff
from lseg_ros.datasets.config import LABELED, ZERO_SHOT, DatasetConfig
from lseg_ros.datasets.folder import open_folder
from lseg_ros.datasets.labels import read_words
from lseg_ros.datasets.pairs import RelabeledDataset
from lseg_ros.datasets.pascal import open_pascal_context, open_voc2012
from lseg_ros.datasets.sample import Episodes, LabeledImages
from lseg_ros.datasets.synthetic import SyntheticScenes
from lseg_ros.datasets.zero_shot import open_coco_20i, open_fss_1000, open_pascal_5i

__all__ = ["open_dataset", "open_episodes"]


def open_dataset(config: DatasetConfig) -> LabeledImages:
    """Open the labeled images that ``config`` names.

    Files are listed now and read when a sample is accessed.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        ValueError: If ``config`` names a zero-shot set (see ``open_episodes``), or a file has unexpected contents. The
            message names the path and what was expected there. Accessing a sample raises the same errors.
    """
    openers = {
        "synthetic": _open_synthetic,
        "ade20k": open_ade20k,
        "voc2012": open_voc2012,
        "cityscapes": open_cityscapes,
        "pascal_context": open_pascal_context,
        "coco_stuff": open_coco_stuff,
        "folder": open_folder,
    }
    if config.dataset not in openers:
        raise ValueError(f"dataset: expected labeled images, one of {', '.join(LABELED)}, got {config.dataset!r}")
    images = openers[config.dataset](config)
    if config.labels and config.dataset != "folder":
        return RelabeledDataset(images, read_words(config.labels, len(images.classes)))
    return images


def open_episodes(config: DatasetConfig) -> Episodes:
    """Open the zero-shot test that ``config`` names.

    Raises:
        FileNotFoundError: As for ``open_dataset``.
        ValueError: If ``config`` does not name a zero-shot set, and as for ``open_dataset``.
    """
    openers = {"pascal_5i": open_pascal_5i, "coco_20i": open_coco_20i, "fss_1000": open_fss_1000}
    if config.dataset not in openers:
        raise ValueError(f"dataset: expected a zero-shot set, one of {', '.join(ZERO_SHOT)}, got {config.dataset!r}")
    return openers[config.dataset](config)


def _open_synthetic(config: DatasetConfig) -> SyntheticScenes:
    training = config.split == "train"
    return SyntheticScenes(
        config.frames, config.seed, training, config.width, config.height, config.colors, config.left_out
    )
