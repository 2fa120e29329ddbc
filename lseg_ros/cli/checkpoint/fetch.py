"""``lseg checkpoint fetch``: the files that the authors publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from lseg_ros.model import pretrained
from lseg_ros.settings import check, setting

__all__ = ["SETTINGS", "FetchSettings", "run"]


@dataclass(frozen=True)
class FetchSettings:
    """Download one of the files that the authors of LSeg publish; without a name, list them.

    They live in $XDG_CACHE_HOME/lseg_ros (or ~/.cache/lseg_ros), and their names stand for them wherever a checkpoint
    is asked for. An interrupted download goes on where it stopped. The sha256 is recorded when a file comes and checked
    whenever it is used.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[NAME]")] = setting(  # noqa: RUF009 - a string cannot change
        "", "of the file, such as demo_e200"
    )

    def __post_init__(self) -> None:
        check(self)


SETTINGS = FetchSettings


def run(settings: FetchSettings) -> int:
    """Fetch, or list."""
    if not settings.name:
        for name, file in pretrained.FILES.items():
            print(f"{name:<14}{file.contents:<50}{file.page}")
        return 0
    path = pretrained.fetch(settings.name)
    print(f"{path}: {path.stat().st_size / 2**20:,.1f} MiB, sha256 as recorded; use it as checkpoint {settings.name}")
    return 0
