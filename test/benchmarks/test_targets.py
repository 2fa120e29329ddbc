"""Which targets a run is about."""

from __future__ import annotations

import dataclasses

from benchmarks.targets import Check, Situation, Target, checks

H200 = Situation("vitl16", "NVIDIA H200", True, 16, "bfloat16", "480x480", "640x480", 150)
TWO_CORES = dataclasses.replace(H200, device="a CPU", is_gpu=False, threads=2, dtype="float32")
FIGURES = dict.fromkeys(
    ("network", "pipeline", "times official", "agreement", "GPU memory", "label growth", "vocabulary"), 3.0
)


def texts(situation: Situation) -> list[str]:
    return [check.target.text for check in checks(situation, FIGURES)]


def test_a_limit_is_kept_from_its_own_side() -> None:
    assert Check(Target("time", 2.5, "ms"), 2.5).met
    assert not Check(Target("time", 2.5, "ms"), 2.6).met
    assert not Check(Target("speed", 12, "times", at_least=True), 11.9).met
    assert Check(Target("time", 2.5, "ms"), 2.31).line() == "time: 2.31 ms, at most 2.5 ms: met"


def test_all_targets_of_the_gpu_are_looked_at_on_that_gpu() -> None:
    assert len(texts(H200)) == 6


def test_another_size_precision_or_gpu_is_not_what_the_targets_are_about() -> None:
    for other in ({"size": "640x480"}, {"dtype": "float16"}, {"device": "a GPU"}, {"labels": 20}):
        assert texts(dataclasses.replace(H200, **other)) == ["added by 254 labels in the place of 5, GPU"]
    assert "frame" not in "".join(texts(dataclasses.replace(H200, frame="320x240")))


def test_on_two_cores_the_official_order_is_what_counts() -> None:
    assert texts(TWO_CORES)[0].startswith("as fast as the official order, 150")
    assert checks(dataclasses.replace(TWO_CORES, labels=5), FIGURES)[0].target.limit == 1.8
    assert texts(dataclasses.replace(TWO_CORES, threads=8)) == ["added by 254 labels in the place of 5, CPU"]


def test_what_was_not_measured_is_not_checked() -> None:
    assert checks(H200, {"network": 2.0}) != []
    assert checks(H200, {}) == []
