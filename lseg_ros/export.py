"""Export of the image encoder to a file for other runtimes, with a check of its output."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lseg_ros.inference.onnx_engine import export_onnx
from lseg_ros.model import LSeg
from lseg_ros.model.decoder import upsample2x

__all__ = ["Agreement", "export_image_encoder"]

logger = logging.getLogger(__name__)

_MAX_DELTA = {torch.float32: 1e-4, torch.float16: 2e-2}  # in any component of a unit vector


@dataclass(frozen=True)
class Agreement:
    """How well the embeddings of a file agree with those of the network in float32.

    They are compared on a random image.

    Attributes:
        runtime: Name of the runtime that ran the file.
        max_delta: Largest difference in any component.
        min_cosine: Lowest cosine similarity of any pixel.
    """

    runtime: str
    max_delta: float
    min_cosine: float


def export_image_encoder(model: LSeg, path: Path, size: tuple[int, int], dtype: torch.dtype) -> Agreement | None:
    """Export ``LSeg.encode_image`` for one image size, and check the file.

    The input ``image`` is (1, 3, H, W) normalized RGB, the output ``pixels`` is (1, C, H/2, W/2) of unit norm.

    Args:
        model: The network; it is not modified.
        path: File to write: .onnx (needs onnx and onnxscript, and onnxruntime for the check) or .pt2 (torch.export).
        size: (H, W) in pixels, multiples of ``model.stride``.
        dtype: Dtype of weights, input and output, float32 or float16.

    Returns:
        How well the file agrees with the network, or None if the runtime for the check is not installed.

    Raises:
        ValueError: If the size or the suffix is invalid, a package is missing, or the output of the file differs from
            that of the network. Then no file is left.
    """
    writers: dict[str, tuple[_Write, _Load]] = {".onnx": (_write_onnx, _load_onnx), ".pt2": (_write_pt2, _load_pt2)}
    if path.suffix not in writers:
        raise ValueError(f"out: expected a file that ends in {' or '.join(writers)}, got {str(path)!r}")
    if any(side < model.stride or side % model.stride for side in size):
        raise ValueError(f"size: expected multiples of {model.stride} px, got {size[1]}x{size[0]}")
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    write, load = writers[path.suffix]
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with torch.no_grad():
            write(_ImageEncoder(copy.deepcopy(model).to(dtype)).eval(), image.to(dtype), part)
            agreement = _check(model, load(part), image, dtype)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return agreement


class _ImageEncoder(nn.Module):
    """``LSeg.encode_image`` as the forward of a module, as exporters require."""

    def __init__(self, model: LSeg) -> None:
        super().__init__()
        self.backbone, self.decoder, self.head = model.backbone, model.decoder, model.head

    def forward(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) -> (1, C, H/2, W/2) of unit norm."""
        pixels = upsample2x(self.head(self.decoder(self.backbone(image))))  # (1, C, H/2, W/2)
        # The norm is computed in float32: the sum of 512 squares may exceed the range of float16.
        return (pixels / pixels.float().norm(dim=1, keepdim=True)).to(image.dtype)


_Write = Callable[[_ImageEncoder, Tensor, Path], None]
_Load = Callable[[Path], "tuple[str, Callable[[Tensor], Tensor]] | None"]


def _write_pt2(encoder: _ImageEncoder, image: Tensor, path: Path) -> None:
    torch.export.save(torch.export.export(encoder, (image,)), path)


def _load_pt2(path: Path) -> tuple[str, Callable[[Tensor], Tensor]]:
    return "torch.export", torch.export.load(path).module()


def _write_onnx(encoder: _ImageEncoder, image: Tensor, path: Path) -> None:
    try:
        path.write_bytes(export_onnx(encoder, image, "pixels"))
    except ImportError as error:
        raise ValueError(
            f"out: expected the packages of `pip install 'lseg_ros[export]'` for an .onnx file, got none ({error})"
        ) from error


def _load_onnx(path: Path) -> tuple[str, Callable[[Tensor], Tensor]] | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"image": image.numpy()})[0])

    return f"onnxruntime {onnxruntime.__version__}", run


def _check(
    model: LSeg, loaded: tuple[str, Callable[[Tensor], Tensor]] | None, image: Tensor, dtype: torch.dtype
) -> Agreement | None:
    if loaded is None:
        logger.warning("The file was not checked: onnxruntime is not installed.")
        return None
    runtime, run = loaded
    expected, got = model.encode_image(image), run(image.to(dtype)).float()
    delta = float((got - expected).abs().max())
    cosine = float(torch.nn.functional.cosine_similarity(got, expected, dim=1).min())
    if not delta <= _MAX_DELTA[dtype]:  # also true for NaN
        raise ValueError(
            f"out: expected embeddings within {_MAX_DELTA[dtype]:g} of the network's, got a difference of {delta:.2g} "
            f"with {runtime}"
        )
    return Agreement(runtime, delta, cosine)
