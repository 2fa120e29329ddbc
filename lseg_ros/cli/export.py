"""``lseg export``: export the image encoder to other runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lseg_ros.export import export_image_encoder
from lseg_ros.model import load_lseg
from lseg_ros.settings import check, setting

__all__ = ["SETTINGS", "ExportSettings", "run"]


@dataclass(frozen=True)
class ExportSettings:
    """Export the image encoder for one image size, and verify the file with its runtime.

    The input ``image`` is (1, 3, H, W), normalized for the network. The output ``pixels`` is (1, C, H/2, W/2): a unit
    vector for every second pixel in each direction. The logits of a label are 1/0.07 times the dot products of these
    vectors with the embedding of its text.
    """

    checkpoint: str = setting("demo", "weights: a file, or the name of a preset (demo, vitl16, vitb32)")
    out: str = setting("out/lseg.onnx", "file to write: .onnx, or .pt2 for torch.export")
    width: int = setting(480, "width of the network's input, a multiple of 32", unit="px", minimum=32, maximum=4096)
    height: int = setting(480, "height of the network's input, a multiple of 32", unit="px", minimum=32, maximum=4096)
    precision: str = setting(
        "float32", "data type of weights, input and output; float16 is for GPUs", choices=("float32", "float16")
    )

    def __post_init__(self) -> None:
        check(self)


SETTINGS = ExportSettings


def run(settings: ExportSettings) -> int:
    """Export the encoder and print how far its results differ."""
    model = load_lseg(settings.checkpoint)
    path, size = Path(settings.out).expanduser(), (settings.height, settings.width)
    agreement = export_image_encoder(model, path, size, getattr(torch, settings.precision))
    print(f"{path}: image encoder of {settings.checkpoint}, {settings.width}x{settings.height}, {settings.precision}")
    mean, std = model.config.image_mean, model.config.image_std
    print(f"input: RGB from 0 to 1, minus {mean}, divided by {std}")
    if agreement is not None:
        print(
            f"{agreement.runtime}: embeddings of a random image differ by at most {agreement.max_delta:.2g} "
            f"from PyTorch in float32; lowest cosine similarity of a pixel {agreement.min_cosine:.6f}"
        )
    return 0
