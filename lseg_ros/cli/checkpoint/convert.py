"""``lseg checkpoint convert``: a file of weights as safetensors, or as the authors' code wants it."""

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
    """Write a file of weights again as safetensors: without what no result depends on, quick and safe to load.

    Its metadata say where it is from: name and sha256 of the source (and of the first one, where the source was
    converted itself), date, version of this tool. The architecture is
    read off the source; what it cannot tell of the spatial regularization is recorded from the options. The file
    appears whole or not at all.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")] = setting(  # noqa: RUF009 - a string cannot change
        "", "the authors' file, a state dict, or safetensors"
    )
    destination: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DESTINATION")] = setting(  # noqa: RUF009
        "", "file to write: .safetensors, or .ckpt with --official"
    )
    half: bool = setting(False, "matrices and filters in float16: half the size")
    official: bool = setting(False, "write what the authors' code and VLMaps load strictly, unused entries as zeros")
    arch_option: int = setting(
        -1, "spatial regularization: 0 none, 1 bottleneck, 2 depthwise, -1 as the file tells", minimum=-1, maximum=2
    )
    block_depth: int = setting(-1, "rounds of it, -1 as the file tells", minimum=-1)
    activation: str = setting("file", "between its rounds", choices=("file", "lrelu", "tanh", "relu"))

    def __post_init__(self) -> None:
        check(self)


SETTINGS = ConvertSettings


def run(settings: ConvertSettings) -> int:
    """Convert, and say what became of it."""
    if not settings.source or settings.official == settings.destination.endswith(".safetensors"):
        ending = "another ending than .safetensors" if settings.official else "the ending .safetensors"
        raise ValueError(f"expected a source, and a destination with {ending}, got {settings.destination!r}")
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
    save = save_official if settings.official else save_lseg
    save(model, destination, half=settings.half, metadata=provenance)
    dead = sum(value.numel() for name, value in weights.entries.items() if is_unused(name))
    print(f"{source}: {_size(source)}, {dead / 1e6:.1f} million numbers of it unused")
    print(f"{destination}: {_size(destination)}, sha256 {sha256(destination)}")
    return 0


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:,.1f} MiB"
