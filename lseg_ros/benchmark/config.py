"""What ``lseg benchmark`` measures."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from lseg_ros.inference import SegmenterConfig
from lseg_ros.settings import check, setting
from lseg_ros.vocabulary import MAX_ID

__all__ = ["BenchmarkConfig"]

_SMALLEST_PX, _LARGEST_PX = 64, 4096


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measure every stage of a frame, beside what this device needs for it at least.

    Prints medians and spread, the arithmetic and the bytes of each stage, the time that the device's own peaks leave
    no way around, and the same network in the authors' order of operations, in the same run and with the same weights.
    """

    size: str = setting("480x480", "image that the stages of the network are measured with, as WIDTHxHEIGHT")
    frame: str = setting("640x480", "RGB-D frame that the whole pipeline is measured with, as WIDTHxHEIGHT")
    labels: int = setting(150, "labels that are looked for", minimum=1, maximum=MAX_ID)
    compare: str = setting(
        "official",
        "official: also measure the authors' order of operations; none: save its time and memory",
        choices=("official", "none"),
    )
    sweep: str = setting(
        "none",
        "also measure how a frame grows with labels, with size, or all of it",
        choices=("none", "labels", "size", "all"),
    )
    seconds: float = setting(2.0, "time to spend on each line of the table", unit="s", minimum=0.01)
    json: str = setting("", "also write everything to this file, for machines")
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)

    def __post_init__(self) -> None:
        check(self)
        for name in ("size", "frame"):
            _parsed(name, getattr(self, name))

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of ``size``."""
        return _parsed("size", self.size)

    @property
    def frame_size(self) -> tuple[int, int]:
        """(H, W) of ``frame``."""
        return _parsed("frame", self.frame)


def _parsed(name: str, text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    sides = [int(each) for each in found.groups()] if found else []
    if not sides or not _SMALLEST_PX <= min(sides) <= max(sides) <= _LARGEST_PX:
        span = f"each from {_SMALLEST_PX} to {_LARGEST_PX} px"
        raise ValueError(f"{name}: expected WIDTHxHEIGHT such as 640x480, {span}, got {text!r}")
    return sides[1], sides[0]
