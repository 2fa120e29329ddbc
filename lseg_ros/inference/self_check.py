"""Compare faster code with the plain code, on the device that runs it.

A difference raises a ValueError; so does any fault of a driver or a compiler, with its own exception.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lseg_ros.inference.embeddings import upsampled_norm
from lseg_ros.inference.postprocess import postprocess
from lseg_ros.inference.preprocess import preprocess

__all__ = ["Encode", "Postprocess", "check_encoder", "check_postprocess", "check_upload"]

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]  # network input -> ``low_res`` and ``norm`` of PixelEmbeddings
Postprocess = Callable[..., Tensor]  # the arguments of ``lseg_ros.inference.postprocess.postprocess``

_Size = tuple[int, int]
_CASES: tuple[tuple[int, _Size, _Size, _Size, float, bool], ...] = (
    # labels, size of the logits, valid size, size of the image, threshold, with norm
    (7, (12, 16), (44, 60), (44, 60), 0.0, True),
    (40, (8, 12), (30, 45), (61, 77), 0.3, True),
    (254, (8, 8), (32, 32), (25, 25), 0.0, True),
    (5, (16, 24), (32, 48), (50, 40), 0.5, False),
)
_TIES = 1e-3  # share of pixels whose best labels may be equal up to rounding
_IMAGE_SIZES = ((90, 120), (40, 52), (64, 48))  # shrunk, enlarged and kept by an input size of 64


def check_postprocess(candidate: Postprocess, device: torch.device) -> None:
    """Compare labels and confidence with those of ``postprocess``, also for NaN.

    Args:
        candidate: The code to check.
        device: Where it runs.

    Raises:
        ValueError: If more labels differ than rounding explains.
    """
    generator = torch.Generator().manual_seed(0)
    for labels, low_size, valid_size, size, threshold, has_norm in _CASES:
        logits = 6 * torch.randn(1, labels, *low_size, generator=generator)
        norm = upsampled_norm(torch.randn(1, 5, *low_size, generator=generator)).to(device) if has_norm else None
        ids = (torch.randperm(254, generator=generator)[:labels] + 1).to(torch.uint8).to(device)
        for value in (0.0, float("nan"), float("inf")):
            logits[0, -1, 2, 3] = value
            arguments = (logits.to(device), valid_size, size, ids, threshold, norm)
            expected, found = postprocess(*arguments).int(), candidate(*arguments).int()
            differs = (found[0] != expected[0]) | ((found[1] - expected[1]).abs() > 1)  # (H, W)
            share = float(differs.float().mean())
            if not share <= _TIES:
                raise ValueError(
                    f"label map: expected that of PyTorch for {labels} labels and {size[1]}x{size[0]} pixels, got "
                    f"{share:.1%} different pixels"
                )


def check_upload(device: torch.device) -> None:
    """Compare images that are resized on the device with those that are resized on the host.

    Args:
        device: Where the network runs.

    Raises:
        ValueError: If a pixel differs by more than one level.
    """
    for size in _IMAGE_SIZES:
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        expected, valid_size = preprocess(image, 64, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        found, found_size = preprocess(image, 64, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), device, resize_on_device=True)
        error = float((found.cpu() - expected).abs().max()) * 255 if found.shape == expected.shape else float("inf")
        if not (error < 1.5 and found_size == valid_size):
            raise ValueError(f"image: expected that of the host for {size[1]}x{size[0]} pixels, got errors of {error}")


def check_encoder(candidate: Encode, encode: Encode, x: Tensor, max_error: float) -> None:
    """Compare embeddings with those of the encoder, for two inputs of the shape of ``x``.

    Two, so that code that ignores its input or overwrites its last result does not pass.

    Args:
        candidate: The code to check.
        encode: The encoder.
        x: (B, 3, h', w') network input.
        max_error: Largest error of a pixel, relative to its length.

    Raises:
        ValueError: If a pixel differs.
    """
    wave = torch.arange(x.numel(), device=x.device).sin().view_as(x).to(x.dtype)
    inputs = (wave, -wave)
    results = [candidate(probe) for probe in inputs]
    for probe, result in zip(inputs, results):
        for found, expected in zip(result, encode(probe)):
            error = (found.float() - expected.float()).norm(dim=1)  # (B, h, w)
            limit = max_error * expected.float().norm(dim=1)
            if not bool((error <= limit).all()):  # also if NaN
                raise ValueError(f"results: expected those of the encoder, got errors up to {float(error.max()):.3g}")
