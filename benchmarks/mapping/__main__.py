"""Accuracy and speed of the language map.

python -m benchmarks.mapping           a walk through three rooms, with exact and with noisy poses
python -m benchmarks.mapping speed     time of a frame, and of a search in a million voxels
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.mapping.world import Step, Walk
from lseg_ros.inference import PixelEmbeddings, Segmenter, SegmenterConfig
from lseg_ros.mapping import LanguageMap, MapConfig, find, observe
from lseg_ros.structures import Frame
from lseg_ros.synthetic import CLASSES, SyntheticWorld
from lseg_ros.vocabulary import Vocabulary

SEEDS = (
    132,
    188,
    190,
)  # bedroom, living room and workshop: of all triples of rooms below 240, the one with most classes
FRAMES_PER_ROOM = 30
SIZE = (240, 320)  # (H, W)
SYNONYMS = {"couch": "sofa", "bike": "bicycle"}  # completes the 28 classes of these rooms to 30 words
NOISES = ((0.0, 0.0), (0.02, 1.0), (0.05, 2.0))  # standard deviation of each axis in meters and degrees
NEAR_M = 0.3
SEGMENTED_IOU = 0.5
RANGE_M = 8.0
VOXELS, CHANNELS, REPEATS = 1_000_000, 512, 20


def walk() -> None:
    """Print for each noise the share of words whose first place is at the true thing."""
    rooms = Walk(SEEDS, FRAMES_PER_ROOM, SIZE)
    segmenter = Segmenter.from_checkpoint(SegmenterConfig())
    steps = [(step, segmenter.embed(step.frame.image)) for step in rooms]
    names = {word: word for word in rooms.words} | {
        word: name for word, name in SYNONYMS.items() if name in rooms.words
    }
    lists = [list(rooms.words)]  # a synonym takes the place of its class in the second list
    replaced = {name: word for word, name in names.items() if word in SYNONYMS}
    lists.append([replaced.get(word, word) for word in rooms.words])
    iou: dict[str, float] = {}
    for labels in lists:
        for word, value in word_iou(segmenter, steps, labels, names).items():
            iou.setdefault(word, value)
    confidence = segmenter.encode(Vocabulary.of(rooms.words))
    for noise_m, noise_deg in NOISES:
        language_map = LanguageMap(MapConfig(map_range_m=RANGE_M), segmenter.channels)
        rng = np.random.default_rng(0)
        for step, embeddings in steps:
            pose = add_noise(step.pose, rng, noise_m, noise_deg)
            sure = segmenter.label(embeddings, confidence).confidence
            language_map.integrate(observe(step.frame, embeddings, pose, sure, RANGE_M))
        distances = {word: distance(segmenter, language_map, word, rooms.truth[name]) for word, name in names.items()}
        segmented = [word for word in names if iou[word] >= SEGMENTED_IOU]
        hits = sum(distances[word] <= NEAR_M for word in segmented)
        every = sum(value <= NEAR_M for value in distances.values())
        print(
            f"noise {noise_m} m, {noise_deg} degrees: {hits} of {len(segmented)} segmented words within {NEAR_M} m, "
            f"{every} of all {len(names)}; {len(language_map)} voxels"
        )
        if not noise_m:
            print("".join(f"  {word:14} IoU {iou[word]:.2f}, {distances[word]:6.2f} m\n" for word in names), end="")


def word_iou(
    segmenter: Segmenter, steps: list[tuple[Step, PixelEmbeddings]], labels: list[str], names: dict[str, str]
) -> dict[str, float]:
    """Return the intersection over union of each label over all frames."""
    encoded = segmenter.encode(Vocabulary.of(labels))
    ids = [CLASSES.index(names[label]) + 1 for label in labels]
    both, either = np.zeros(len(labels)), np.zeros(len(labels))
    for step, embeddings in steps:
        label_map = segmenter.label(embeddings, encoded).label_map
        for index, class_id in enumerate(ids):
            predicted, true = label_map == index + 1, step.labels == class_id
            both[index] += (predicted & true).sum()
            either[index] += (predicted | true).sum()
    return {label: float(value) for label, value in zip(labels, both / np.maximum(either, 1))}


def add_noise(
    pose: NDArray[np.float64], rng: np.random.Generator, noise_m: float, noise_deg: float
) -> NDArray[np.float64]:
    """Return a pose with normal noise in position and rotation."""
    noisy = pose.copy()
    noisy[:3, :3] = cv2.Rodrigues(np.radians(noise_deg) * rng.standard_normal(3))[0] @ pose[:3, :3]
    noisy[:3, 3] += noise_m * rng.standard_normal(3)
    return noisy


def distance(segmenter: Segmenter, language_map: LanguageMap, word: str, truth: NDArray[np.float32]) -> float:
    """Return the distance in meters of the first place of a word to the nearest true point."""
    text = segmenter.encode(Vocabulary.of([word]), competing=False).embeddings[0].cpu().numpy()
    places = find(language_map, text, 1)
    return float(np.sqrt(((truth - places[0].point) ** 2).sum(axis=1).min())) if places else float("inf")


def speed() -> None:
    """Print the time of a frame in the map, and of a search.

    CPU time of the thread of the map does not depend on other programs on the machine, wall time does.
    """
    world = SyntheticWorld(SEEDS[0], 640, 480)
    frames = [world.frame(index / 5).frame for index in range(REPEATS)]
    poses = [np.eye(4) for _ in frames]
    for index, pose in enumerate(poses):
        pose[:3, 3], pose[:3, :3] = world.path.pose(index / 5)
    for channels in (128, CHANNELS):
        low_res = torch.randn(1, channels, 64, 80)
        embeddings = PixelEmbeddings(low_res, torch.ones(1, 1, 128, 160), (240, 320), (480, 640))
        language_map = LanguageMap(MapConfig(), channels)

        def integrate(frame: Frame, pose: NDArray[np.float64]) -> None:
            language_map.integrate(observe(frame, embeddings, pose, range_m=RANGE_M))  # noqa: B023 - called at once

        cpu_ms, wall_ms = zip(*(clock(lambda: integrate(*pair)) for pair in zip(frames, poses)))  # noqa: B023
        print(f"640x480 frame, {channels} channels: {describe(cpu_ms[2:])} CPU, {describe(wall_ms[2:])} wall")
    rng, side = np.random.default_rng(0), 1000
    cells = np.stack([np.arange(VOXELS) % side, np.arange(VOXELS) // side, np.zeros(VOXELS)], axis=1) - side // 2
    big = LanguageMap(MapConfig(map_extent_m=100.0), CHANNELS, min_capacity=VOXELS)
    chunk = rng.standard_normal((10_000, CHANNELS), np.float32).astype(np.float16)
    big.import_tensors({
        "cells": cells, "embeddings": np.tile(chunk, (VOXELS // len(chunk), 1)),
        "colors": np.zeros((VOXELS, 3), np.uint8), "weights": np.ones(VOXELS), "stamps_ns": np.zeros(VOXELS, np.int64),
    })  # fmt: skip
    text = chunk[0].astype(np.float32)
    text /= np.linalg.norm(text)
    first_ms = clock(lambda: find(big, text))[1]
    wall_ms = tuple(clock(lambda: find(big, text))[1] for _ in range(REPEATS))
    print(f"search in {VOXELS} voxels of {CHANNELS} channels: {describe(wall_ms)} wall, first search {first_ms:.0f} ms")


def clock(act: Callable[[], object]) -> tuple[float, float]:
    """Return CPU time of this thread and wall time in milliseconds."""
    cpu_s, wall_s = time.thread_time(), time.perf_counter()
    act()
    return (time.thread_time() - cpu_s) * 1e3, (time.perf_counter() - wall_s) * 1e3


def describe(times_ms: tuple[float, ...]) -> str:
    """Return minimum and median."""
    return f"{min(times_ms):.1f} ms (median {statistics.median(times_ms):.1f} ms)"


if __name__ == "__main__":
    speed() if sys.argv[1:] == ["speed"] else walk()
