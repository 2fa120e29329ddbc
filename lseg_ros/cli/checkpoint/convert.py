"""``lseg checkpoint convert``: convert a checkpoint."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

import lseg_ros
from lseg_ros.model import load_lseg
from lseg_ros.model.checkpoint import find_checkpoint, save_lseg, save_official
from lseg_ros.model.key_mapping import is_unused
from lseg_ros.model.pretrained import sha256
from lseg_ros.model.weight_files import open_weights
from lseg_ros.settings import check, setting

__all__ = ["SETTINGS", "ConvertSettings", "run"]


@dataclass(frozen=True)
class ConvertSettings:
    """Convert a checkpoint to safetensors without unused entries.

    Safetensors files are safe and fast to load. The metadata record the name and sha256 of the source, and of the
    first source if the source was itself converted, the date, and the version of this tool. The architecture is
    inferred from the source. Details of the spatial regularization that the source does not contain are taken from the
    options. The file is written atomically.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")] = setting(  # noqa: RUF009 - a string is immutable
        "", "checkpoint of the authors, state dict, or safetensors file"
    )
    destination: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DESTINATION")] = setting(  # noqa: RUF009
        "", "file to write: .safetensors, or .ckpt with --official"
    )
    half: bool = setting(False, "store weight matrices and filters in float16, which halves the size")
    int8: bool = setting(
        False, "store weight matrices and filters as 8-bit integers with a scale per row, a quarter of the size"
    )
    official: bool = setting(
        False, "write a file that the authors' code and VLMaps load strictly, with zeros for unused entries"
    )
    arch_option: int = setting(
        -1, "spatial regularization: 0 none, 1 bottleneck, 2 depthwise, -1 as in the file", minimum=-1, maximum=2
    )
    block_depth: int = setting(-1, "number of spatial regularization blocks, -1 as in the file", minimum=-1)
    activation: str = setting(
        "file", "activation between the spatial regularization blocks", choices=("file", "lrelu", "tanh", "relu")
    )

    def __post_init__(self) -> None:
        check(self)
        if self.int8 and (self.half or self.official):
            raise ValueError("int8: expected neither half nor official with it, got one of them")


SETTINGS = ConvertSettings


def run(settings: ConvertSettings) -> int:
    """Convert the checkpoint and print sizes and sha256."""
    if not settings.source or settings.official == settings.destination.endswith(".safetensors"):
        suffix = "a suffix other than .safetensors" if settings.official else "the suffix .safetensors"
        raise ValueError(f"expected a source, and a destination with {suffix}, got {settings.destination!r}")
    source, destination = find_checkpoint(settings.source), Path(settings.destination).expanduser()
    weights = open_weights(source)
    model = load_lseg(
        source,
        arch_option=settings.arch_option if settings.arch_option >= 0 else None,
        block_depth=settings.block_depth if settings.block_depth >= 0 else None,
        activation=settings.activation if settings.activation != "file" else None,
        dtype=None,
    )
    known = weights.metadata
    first = {f"first_{name}": known[name] for name in ("source", "source_sha256") if name in known}
    provenance = (
        first
        | {name: value for name, value in known.items() if name != "config"}
        | {
            "source": source.name,
            "source_sha256": sha256(source),
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "tool": f"lseg_ros {lseg_ros.__version__}",
        }
    )
    if settings.official:
        save_official(model, destination, half=settings.half, metadata=provenance)
    else:
        save_lseg(model, destination, half=settings.half, int8=settings.int8, metadata=provenance)
    unused = sum(value.numel() for name, value in weights.entries.items() if is_unused(name))
    print(f"{source}: {_size(source)}, {unused / 1e6:.1f} million unused values")
    print(f"{destination}: {_size(destination)}, sha256 {sha256(destination)}")
    return 0


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:,.1f} MiB"
