"""Settings of ``lseg benchmark``."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from lseg_ros.inference import SegmenterConfig
from lseg_ros.settings import check, setting
from lseg_ros.vocabulary import MAX_ID

__all__ = ["BenchmarkConfig", "parse_size"]

_MIN_SIDE_PX, _MAX_SIDE_PX = 64, 4096


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measure every stage of a frame and compare it with the roofline of this device.

    Prints the median time and spread of each stage, its arithmetic and memory traffic, and the lower bound of its time
    that follows from the peak rates of this device.
    """

    size: str = setting("480x480", "size of the image for the stages of the network, as WIDTHxHEIGHT")
    frame: str = setting("640x480", "size of the RGB-D frame for the whole pipeline, as WIDTHxHEIGHT")
    labels: int = setting(150, "number of labels", minimum=1, maximum=MAX_ID)
    sweep: str = setting(
        "none",
        "also measure how the time of a frame scales with the number of labels, with the image size, or with both",
        choices=("none", "labels", "size", "all"),
    )
    seconds: float = setting(2.0, "time to spend on each line of the table", unit="s", minimum=0.01)
    json: str = setting("", "also write the report to this JSON file")
    # The stages are those of PyTorch.
    network: SegmenterConfig = dataclasses.field(default_factory=lambda: SegmenterConfig(engine="torch"))

    def __post_init__(self) -> None:
        """Check all settings; raises ValueError that names the setting."""
        check(self)
        for name in ("size", "frame"):
            parse_size(name, getattr(self, name))

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of ``size``."""
        return parse_size("size", self.size)

    @property
    def frame_size(self) -> tuple[int, int]:
        """(H, W) of ``frame``."""
        return parse_size("frame", self.frame)


def parse_size(name: str, text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT; returns (H, W), raises ValueError that names the setting."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    sides = [int(digits) for digits in match.groups()] if match else []
    if not sides or not _MIN_SIDE_PX <= min(sides) <= max(sides) <= _MAX_SIDE_PX:
        limits = f"each from {_MIN_SIDE_PX} to {_MAX_SIDE_PX} px"
        raise ValueError(f"{name}: expected WIDTHxHEIGHT such as 640x480, {limits}, got {text!r}")
    return sides[1], sides[0]
