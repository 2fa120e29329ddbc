"""The small networks of ``demo_small`` that ways of training are compared with, and the scenes they are compared on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lseg_ros.datasets import SyntheticScenes
from lseg_ros.evaluation.tasks import OTHERS
from lseg_ros.inference.device import select_device
from lseg_ros.model import PRESETS, LSeg
from lseg_ros.model.key_mapping import to_official_key
from lseg_ros.synthetic import CLASSES
from research.language.config import SuiteConfig

__all__ = ["COMPARISONS", "NETWORKS", "WORDS", "comparison_network", "comparison_scenes", "save_comparison"]

NETWORKS = ("words", "classes", "all", "fold_0", "fold_1", "fold_2", "fold_3")
COMPARISONS = Path(__file__).parent / "weights"
_SIZE = (160, 120)  # pixels: these networks were trained at this size
WORDS = (OTHERS, *CLASSES)  # all that they are ever asked


class KnownWords(nn.Module):
    """In the place of a text tower: ``WORDS`` as that tower embedded them with which a network was trained.

    So another tower in the package changes nothing about these networks. embeddings: (K, C) float32 of unit norm.
    """

    def __init__(self, embeddings: Tensor) -> None:
        super().__init__()
        self.register_buffer("embeddings", embeddings)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """K texts -> (K,) int64 rows. Raises ValueError that names the first text that is not among the words."""
        for text in texts:
            if text not in WORDS:
                raise ValueError(f"text {text!r}: expected one of {', '.join(WORDS)}")
        return torch.tensor([WORDS.index(text) for text in texts], dtype=torch.int64)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """K texts -> (K, C) float32 of unit norm. Raises ValueError like ``tokenize``."""
        return self.get_buffer("embeddings")[self.tokenize(texts)]


def comparison_scenes(config: SuiteConfig) -> SyntheticScenes:
    """The scenes that ``config`` names, at the size that the networks were trained at."""
    return SyntheticScenes(config.frames, config.seed, width=_SIZE[0], height=_SIZE[1])


def comparison_network(name: str, device: str = "cpu", folder: Path = COMPARISONS) -> LSeg:
    """One of ``NETWORKS`` in float32, with the words that it was trained with and no others.

    device: as of ``SegmenterConfig``. The head of ``classes`` gives scores (classes, H/2, W/2) in the place of
    embeddings. Raises FileNotFoundError where the file is not there, and ValueError for a device that is not.
    """
    path, config = folder / f"{name}.safetensors", PRESETS["demo_small"]
    if not path.is_file():
        raise FileNotFoundError(f"suite: expected {path} (python -m research.language.comparison_networks makes it)")
    weights, model = load_file(path), LSeg(config)
    scores = weights[to_official_key("head.weight", config)].shape[0]
    model.head = nn.Conv2d(config.features, scores, 1)
    state = model.state_dict()
    for ours in state:
        if _is_image(theirs := to_official_key(ours, config)):
            state[ours] = weights[theirs].float()
    model.load_state_dict(state)
    model.text_encoder = KnownWords(weights["words"])  # type: ignore[assignment]
    return model.to(select_device(device)).eval()


def save_comparison(trained: Path, words: Tensor, path: Path, facts: Mapping[str, str]) -> None:
    """Write the image encoder of a file that training left, and in the place of its text tower what that says.

    words: (len(WORDS), C) float32 of unit norm.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image = {entry: value for entry, value in load_file(trained).items() if _is_image(entry)}
    save_file({**image, "words": words}, path, dict(facts))
    path.chmod(0o644)  # safetensors writes for its owner alone


def _is_image(entry: str) -> bool:
    return not entry.startswith("clip_pretrained.") and not entry.endswith("num_batches_tracked")
