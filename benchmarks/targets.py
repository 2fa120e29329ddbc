"""What the project set itself as a goal, and whether a figure reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ROS_TARGETS", "Check", "Situation", "Target", "checks"]


@dataclass(frozen=True)
class Target:
    """text: what is measured. limit: at most this, or with ``at_least`` no less; in ``unit``."""

    text: str
    limit: float
    unit: str
    at_least: bool = False


@dataclass(frozen=True)
class Check:
    """A target and what was measured in its place."""

    target: Target
    value: float

    @property
    def met(self) -> bool:
        return self.value >= self.target.limit if self.target.at_least else self.value <= self.target.limit

    def line(self) -> str:
        """'network ...: 2.31 ms, at most 2.5 ms: met'."""
        target = self.target
        bound = "at least" if target.at_least else "at most"
        verdict = "met" if self.met else "not met"
        return f"{target.text}: {self.value:.3g} {target.unit}, {bound} {target.limit:g} {target.unit}: {verdict}"


@dataclass(frozen=True)
class Situation:
    """What a run measured, as far as targets ask. network: the preset of this architecture, or ""."""

    network: str
    device: str
    is_gpu: bool
    threads: int
    dtype: str
    size: str
    frame: str
    labels: int


_ON_H200 = {
    "network": Target("image on the device to mask and confidence", 2.5, "ms"),
    "pipeline": Target("frame 640x480 to mask, confidence, organized cloud and 20 clouds", 6.0, "ms"),
    "times official": Target("as fast as the official order", 12.0, "times", at_least=True),
    "agreement": Target("arg max as in float32", 99.5, "%", at_least=True),
    "GPU memory": Target("peak of GPU memory", 1.7, "GB"),
}
_ON_TWO_CORES = {
    5: Target("as fast as the official order, 5 labels", 1.8, "times", at_least=True),
    150: Target("as fast as the official order, 150 labels", 3.5, "times", at_least=True),
}
_GROWTH = {True: 15.0, False: 30.0}  # by whether it is a GPU
_VOCABULARY = Target("20 new labels, until the next frame can be made with them", 100.0, "ms")

ROS_TARGETS = {
    "frame": Target("all but the network, of a 640x480 RGB-D frame, on one core", 15.0, "ms"),
    "times obvious": Target("as fast as the obvious way", 10.0, "times", at_least=True),
    "skipped": Target("of a core for skipped frames, 30 Hz 1920x1080 and max_rate_hz 2, beyond DDS", 5.0, "%"),
    "rate": Target("demo at 640x480 through the node, two cores", 8.0, "frames a second", at_least=True),
    "latency": Target("stamp to mask at half load, p95, beside the pipeline's median", 1.3, "times"),
    "start": Target("node ready, checkpoint at hand, compile off", 10.0, "s"),
}


def checks(situation: Situation, figures: Mapping[str, float]) -> list[Check]:
    """The targets that this situation is about, each with its figure. figures: by the names used here."""
    found: dict[str, Target] = {}
    full = situation.network == "vitl16" and situation.size == "480x480"
    if full and situation.is_gpu and "H200" in situation.device and situation.labels == 150:
        found |= _ON_H200 if situation.dtype == "bfloat16" else {}
    if situation.frame != "640x480":
        found.pop("pipeline", None)
    if full and not situation.is_gpu and situation.threads == 2 and situation.labels in _ON_TWO_CORES:
        found["times official"] = _ON_TWO_CORES[situation.labels]
    where = "GPU" if situation.is_gpu else "CPU"
    found["label growth"] = Target(f"added by 254 labels in the place of 5, {where}", _GROWTH[situation.is_gpu], "%")
    if situation.network == "demo" and not situation.is_gpu:
        found["vocabulary"] = _VOCABULARY
    return [Check(target, figures[name]) for name, target in found.items() if name in figures]
