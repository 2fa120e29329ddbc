"""Pictures of a training run: an image, what it shows, and what the network says it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets import IGNORE
from lseg_ros.structures import Segmentation
from lseg_ros.visualization import overlay, side_by_side
from lseg_ros.vocabulary import MAX_ID, Vocabulary

__all__ = ["sample_picture"]


def sample_picture(
    image: NDArray[np.uint8], target: NDArray[np.int16], answer: NDArray[np.int16], classes: Sequence[str]
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, (H, W) class indices or IGNORE, twice -> one picture of three panels with legends.

    A class has one color in both. Only classes in view get one: a data set may have more than a mask has ids.
    """
    names = [entry.partition("|")[0].strip() for entry in classes]
    seen, counts = np.unique(np.concatenate([each[each != IGNORE] for each in (target, answer)]), return_counts=True)
    largest = seen[np.argsort(-counts, kind="stable")]
    shown = list({names[index].casefold(): names[index] for index in largest}.values())[:MAX_ID]
    if not shown:
        return side_by_side({"image": image})
    vocabulary = Vocabulary.of(shown)
    ids = {label.name.casefold(): label.id for label in vocabulary.labels}
    id_of = np.array([*(ids.get(name.casefold(), 0) for name in names), 0], np.uint8)  # IGNORE, -1, takes the last
    panels = {"image": image}
    for title, indices in (("truth", target), ("answer", answer)):
        confidence = np.full(indices.shape, 255, np.uint8)
        panels[title] = overlay(image, Segmentation(id_of[indices], confidence, vocabulary))
    return side_by_side(panels)
