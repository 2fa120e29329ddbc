"""``lseg checkpoint fetch``: download the checkpoints that the authors publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from lseg_ros.model import pretrained
from lseg_ros.settings import check, setting

__all__ = ["SETTINGS", "FetchSettings", "run"]


@dataclass(frozen=True)
class FetchSettings:
    """Download a checkpoint that the authors of LSeg publish. Without a name, list them.

    Files are stored in $XDG_CACHE_HOME/lseg_ros (by default ~/.cache/lseg_ros). Their names can be used wherever a
    checkpoint is expected. An interrupted download is resumed. The sha256 is recorded after the download and verified
    whenever the file is used.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[NAME]")] = setting(  # noqa: RUF009 - a string is immutable
        "", "name of the checkpoint, such as demo_e200"
    )

    def __post_init__(self) -> None:
        check(self)


SETTINGS = FetchSettings


def run(settings: FetchSettings) -> int:
    """Download a checkpoint, or list all of them."""
    if not settings.name:
        for name, file in pretrained.FILES.items():
            print(f"{name:<14}{file.contents:<50}{file.page}")
        return 0
    path = pretrained.fetch(settings.name)
    print(f"{path}: {path.stat().st_size / 2**20:,.1f} MiB, sha256 recorded; use it as checkpoint {settings.name}")
    return 0
