"""``lseg checkpoint fetch``: download the checkpoints that the authors publish."""

from __future__ import annotations

import re
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
    whenever the file is used. The authors publish no sha256, so compare it with that of someone you trust (--sha256).
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[NAME]")] = setting(  # noqa: RUF009 - a string is immutable
        "", "name of the checkpoint, such as demo_e200"
    )
    max_size: float = setting(8.0, "largest file to download", unit="GiB", minimum=0.001, maximum=1000.0)
    max_time: float = setting(120.0, "longest download; a second one continues", unit="min", minimum=0.01, maximum=1e5)
    sha256: str = setting("", "sha256 that the file must have, 64 hexadecimal digits; empty if it is not known")

    def __post_init__(self) -> None:
        check(self)
        if self.sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", self.sha256):
            raise ValueError(f"sha256: expected 64 hexadecimal digits, got {self.sha256!r}")


SETTINGS = FetchSettings


def run(settings: FetchSettings) -> int:
    """Download a checkpoint, or list all of them."""
    if not settings.name:
        for name, file in pretrained.FILES.items():
            print(f"{name:<14}{file.contents:<50}{file.page}")
        return 0
    path = pretrained.fetch(
        settings.name,
        max_bytes=round(settings.max_size * 2**30),
        max_seconds=60 * settings.max_time,
        expected_sha256=settings.sha256,
    )
    known = "as expected" if settings.sha256 else "recorded, not compared: the authors publish none"
    print(f"{path}: {path.stat().st_size / 2**20:,.1f} MiB; use it as checkpoint {settings.name}")
    print(f"sha256 {pretrained.sha256(path)} ({known})")
    return 0
