"""Labels for the voxels of a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lseg_ros.mapping.language_map import LanguageMap
from lseg_ros.model.lseg import LOGIT_SCALE

__all__ = ["label_voxels"]


def label_voxels(
    language_map: LanguageMap, words: NDArray[np.float32], ids: NDArray[np.uint8], threshold: float = 0.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Label the voxels as the pixels of an image are labeled.

    A spatial regularization of the network is not applied.

    Args:
        language_map: The map.
        words: (K, C) float32 embeddings of the labels, of unit norm.
        ids: (K,) uint8 ids of the labels, 0 for things that are unlabeled.
        threshold: Voxels whose winning label has a lower softmax are unlabeled.

    Returns:
        (N,) uint8 ids, 0 for unlabeled voxels, and (N,) uint8 confidence times 255, 0 for unlabeled voxels.
    """
    with language_map.lock:
        count = len(language_map)
        best, total = np.full(count, -np.inf, np.float32), np.zeros(count, np.float32)
        label = np.zeros(count, np.uint8)
        for word, number in zip(words, ids):
            similarity = language_map.similarity(word)
            label[similarity > best] = number
            np.maximum(best, similarity, out=best)
            total += np.exp(similarity * np.float32(LOGIT_SCALE))  # at most 1.6e6, because similarities are at most 1
    confidence = np.exp(best * np.float32(LOGIT_SCALE)) / total
    label[confidence < threshold] = 0
    return label, np.where(label > 0, np.rint(confidence * 255).clip(1, 255), 0).astype(np.uint8)
