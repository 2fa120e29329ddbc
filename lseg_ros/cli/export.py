"""``lseg export``: the image encoder for other runtimes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from lseg_ros.export import export_image_encoder
from lseg_ros.model import load_lseg
from lseg_ros.settings import check, setting

__all__ = ["SETTINGS", "ExportSettings", "run"]


@dataclass(frozen=True)
class ExportSettings:
    """Write the image encoder for one size of image, and check what a runtime makes of the file.

    Its input ``image`` is (1, 3, H, W), normalized as the network wants it; its output ``pixels`` (1, C, H/2, W/2), a
    unit vector for each second pixel. The logits of a label are 1/0.07 times the product with its text's embedding.
    """

    checkpoint: str = setting("demo", "weights: a file, or a preset's name (demo, vitl16, vitb32)")
    out: str = setting("out/lseg.onnx", "file to write: .onnx, or .pt2 for torch.export")
    width: int = setting(480, "width of the network's input, a multiple of 32", unit="px", minimum=32, maximum=4096)
    height: int = setting(480, "height of the network's input, a multiple of 32", unit="px", minimum=32, maximum=4096)
    precision: str = setting(
        "float32", "of weights, input and output; float16 is for GPUs", choices=("float32", "float16")
    )

    def __post_init__(self) -> None:
        check(self)


SETTINGS = ExportSettings


def run(settings: ExportSettings) -> int:
    """Export, check, and say how far apart the two are."""
    for exporter in ("onnxscript", "onnx_ir"):  # which tell of every node that they fold
        logging.getLogger(exporter).setLevel(logging.WARNING)
    model = load_lseg(settings.checkpoint)
    path, size = Path(settings.out).expanduser(), (settings.height, settings.width)
    agreement = export_image_encoder(model, path, size, getattr(torch, settings.precision))
    print(f"{path}: image encoder of {settings.checkpoint}, {settings.width}x{settings.height}, {settings.precision}")
    mean, std = model.config.image_mean, model.config.image_std
    print(f"input: RGB from 0 to 1, less {mean}, divided by {std}")
    if agreement is not None:
        print(
            f"with {agreement.runtime}: embeddings of a random image differ by at most {agreement.max_delta:.2g} "
            f"from the network in float32; smallest cosine of a pixel {agreement.min_cosine:.6f}"
        )
    return 0
