"""The small networks that the suites ``zero-shot`` and ``head-baseline`` compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lseg_ros.evaluation.tasks import OTHERS
from lseg_ros.inference.device import select_device
from lseg_ros.model import PRESETS, LSeg
from lseg_ros.model.decoder import Head
from lseg_ros.model.key_mapping import to_official_key
from lseg_ros.synthetic import CLASSES

__all__ = ["NETWORKS", "WEIGHTS", "WORDS", "load_comparison_network", "save_comparison_network"]

NETWORKS = ("words", "classes", "all", "fold_0", "fold_1", "fold_2", "fold_3")
WEIGHTS = Path(__file__).parent / "weights"
WORDS = (OTHERS, *CLASSES)  # all words that the suites use with these networks


class StoredTextEncoder(nn.Module):
    """Stored embeddings of ``WORDS``, which replace the text encoder of a network.

    A new text encoder in the package therefore does not change these networks.
    """

    def __init__(self, embeddings: Tensor) -> None:
        """Store (len(WORDS), C) float32 embeddings of unit norm."""
        super().__init__()
        self.register_buffer("embeddings", embeddings)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return the (K,) int64 rows of K texts; ValueError names a text that is not in ``WORDS``."""
        for text in texts:
            if text not in WORDS:
                raise ValueError(f"text {text!r}: expected one of {', '.join(WORDS)}")
        return torch.tensor([WORDS.index(text) for text in texts], dtype=torch.int64)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return (K, C) float32 embeddings of unit norm.

        Raises:
            ValueError: If a text is not in ``WORDS``; the message names it.
        """
        return self.get_buffer("embeddings")[self.tokenize(texts)]


def load_comparison_network(name: str, device: str = "cpu", folder: Path = WEIGHTS) -> LSeg:
    """Load one of ``NETWORKS`` in float32. It knows only ``WORDS``.

    Args:
        name: Name of the network. The head of ``classes`` returns class scores (classes, H/2, W/2) instead of
            embeddings.
        device: Device as in ``SegmenterConfig``.
        folder: Folder of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the device does not exist.
    """
    path, config = folder / f"{name}.safetensors", PRESETS["demo_small"]
    if not path.is_file():
        raise FileNotFoundError(f"suite: expected {path} (python -m research.language.comparison_networks makes it)")
    weights, model = load_file(path), LSeg(config)
    outputs = weights[to_official_key("head.weight", config)].shape[0]
    model.head = Head(config.features, outputs)
    state = model.state_dict()
    for key in state:
        if _belongs_to_image_encoder(official_key := to_official_key(key, config)):
            state[key] = weights[official_key].float()
    model.load_state_dict(state)
    model.text_encoder = StoredTextEncoder(weights["words"])  # type: ignore[assignment]
    return model.to(select_device(device)).eval()


def save_comparison_network(trained: Path, words: Tensor, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the image encoder of a checkpoint together with the embeddings of ``WORDS``.

    Args:
        trained: Checkpoint that ``lseg train`` wrote.
        words: (len(WORDS), C) float32 embeddings of unit norm.
        path: File to write.
        metadata: Metadata of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image_encoder = {key: value for key, value in load_file(trained).items() if _belongs_to_image_encoder(key)}
    save_file({**image_encoder, "words": words}, path, dict(metadata))
    path.chmod(0o644)  # safetensors makes files readable only by their owner


def _belongs_to_image_encoder(official_key: str) -> bool:
    return not official_key.startswith("clip_pretrained.") and not official_key.endswith("num_batches_tracked")
