"""The image encoder as a file that other runtimes read, and how far what they make of it is from ours."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lseg_ros.model import LSeg
from lseg_ros.model.decoder import upsample2x

__all__ = ["Agreement", "export_image_encoder"]

logger = logging.getLogger(__name__)

_MOST_DELTA = {torch.float32: 1e-4, torch.float16: 2e-2}  # of any component of a unit vector


@dataclass(frozen=True)
class Agreement:
    """The file's embeddings of a random image beside the network's own in float32.

    runtime: what ran the file. max_delta: of any component. min_cosine: of the pixel that is farthest off.
    """

    runtime: str
    max_delta: float
    min_cosine: float


def export_image_encoder(model: LSeg, path: Path, size: tuple[int, int], dtype: torch.dtype) -> Agreement | None:
    """Write ``encode_image`` for one size (H, W) and check the file; None where there is no runtime to check it with.

    path: .onnx (needs onnx and onnxscript; onnxruntime to check it) or .pt2 (torch.export). Input ``image``
    (1, 3, H, W) normalized RGB and output ``pixels`` (1, C, H/2, W/2) of unit norm are both of dtype, float32 or
    float16. Raises ValueError where the size or the suffix cannot be, a package is missing, or the file gives something
    else than the network; such a file is removed.
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
            agreement = _checked(model, load(part), image, dtype)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return agreement


class _ImageEncoder(nn.Module):
    """``encode_image`` as the forward of a module, which is what exporters export."""

    def __init__(self, model: LSeg) -> None:
        super().__init__()
        self.backbone, self.decoder, self.head = model.backbone, model.decoder, model.head

    def forward(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) -> (1, C, H/2, W/2) of unit norm."""
        pixels = upsample2x(self.head(self.decoder(self.backbone(image))))  # (1, C, H/2, W/2)
        # In float32, whatever the precision: the squares of 512 numbers do not fit into float16's range well.
        return (pixels / pixels.float().norm(dim=1, keepdim=True)).to(image.dtype)


_Write = Callable[[_ImageEncoder, Tensor, Path], None]
_Load = Callable[[Path], "tuple[str, Callable[[Tensor], Tensor]] | None"]


def _write_pt2(encoder: _ImageEncoder, image: Tensor, path: Path) -> None:
    torch.export.save(torch.export.export(encoder, (image,)), path)


def _load_pt2(path: Path) -> tuple[str, Callable[[Tensor], Tensor]]:
    return "torch.export", torch.export.load(path).module()


def _write_onnx(encoder: _ImageEncoder, image: Tensor, path: Path) -> None:
    if "dynamo" not in inspect.signature(torch.onnx.export).parameters:
        raise ValueError(f"out: expected PyTorch 2.5 or newer for an .onnx file, got {torch.__version__}")
    export: Any = torch.onnx.export
    names = {"input_names": ["image"], "output_names": ["pixels"]}
    try:
        export(encoder, (image,), str(path), dynamo=True, external_data=False, verbose=False, **names)
    except ImportError as error:
        raise ValueError(
            f"out: an .onnx file needs what `pip install 'lseg_ros[export]'` installs ({error})"
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


def _checked(
    model: LSeg, loaded: tuple[str, Callable[[Tensor], Tensor]] | None, image: Tensor, dtype: torch.dtype
) -> Agreement | None:
    if loaded is None:
        logger.warning("the file was not checked: onnxruntime is not installed")
        return None
    runtime, run = loaded
    expected, got = model.encode_image(image), run(image.to(dtype)).float()
    delta = float((got - expected).abs().max())
    cosine = float(torch.nn.functional.cosine_similarity(got, expected, dim=1).min())
    if not delta <= _MOST_DELTA[dtype]:  # also where it is NaN
        raise ValueError(
            f"out: expected the network's own embeddings to {_MOST_DELTA[dtype]:g}, got a difference of {delta:.2g} "
            f"with {runtime}"
        )
    return Agreement(runtime, delta, cosine)
