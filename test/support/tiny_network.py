"""A complete LSeg network with random weights, small enough to run in milliseconds."""

from __future__ import annotations

from pathlib import Path

import torch

from lseg_ros.model import LSeg, LSegConfig
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.model.decoder import upsample2x
from lseg_ros.model.text_encoder import TextConfig

__all__ = ["CONFIG", "write_tiny"]

CONFIG = LSegConfig(
    width=32,
    depth=4,
    heads=2,
    taps=(0, 1, 2, 3),
    reassemble=(8, 8, 16, 16),
    features=16,
    pretrained_size=64,
    input_size_px=96,
    text=TextConfig(width=32, heads=2, layers=1, context_length=16, embed_dim=16, token_rank=8),
)


def write_tiny(folder: Path, seed: int = 0) -> str:
    """Write the network into a folder and return the path of the checkpoint."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LSeg(CONFIG).eval()
        with torch.no_grad():  # centered, so that pixels differ enough to get different labels
            features = upsample2x(model.decoder(model.backbone(torch.randn(1, 3, 96, 128))))  # (1, F, 48, 64)
            model.head.bias -= model.head(features).mean(dim=(0, 2, 3))
    path = folder / "tiny.safetensors"
    save_lseg(model, path)
    return str(path)
