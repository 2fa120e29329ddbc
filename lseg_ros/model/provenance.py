"""License and training data of a network, in the metadata of its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["UNKNOWN", "TrainingSet", "merge_provenance", "provenance", "read_training_data"]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class TrainingSet:
    """A data set that a network was trained on.

    Attributes:
        name: Its name.
        share: Its share of the training images, from 0 to 1.
        license: Its license, or ``UNKNOWN``.
    """

    name: str
    share: float
    license: str = UNKNOWN


def provenance(sets: Iterable[TrainingSet], license: str, initial: Mapping[str, str]) -> dict[str, str]:
    """Build the metadata of a trained network.

    Args:
        sets: The data sets of its training.
        license: License of the network, empty if it is not known.
        initial: Metadata of the file that the training started from.

    Returns:
        ``training_data``, and ``license`` if it is known; ``initial_license`` and ``initial_training_data`` are those
        of the initial file, whose own initial data come last.
    """
    metadata = {"training_data": _to_json(sets)} | ({"license": license} if license else {})
    if "license" in initial:
        metadata["initial_license"] = initial["license"]
    if earlier := [*read_training_data(initial), *read_training_data(initial, "initial_training_data")]:
        metadata["initial_training_data"] = _to_json(earlier)
    return metadata


def merge_provenance(files: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Merge the licenses and training data in the metadata of several files.

    Every license and every set occurs once.
    """
    merged: dict[str, str] = {}
    found = list(files)
    for key in ("license", "initial_license"):
        if licenses := dict.fromkeys(metadata[key] for metadata in found if key in metadata):
            merged[key] = " AND ".join(licenses)
    for key in ("training_data", "initial_training_data"):
        if sets := dict.fromkeys(item for metadata in found for item in read_training_data(metadata, key)):
            merged[key] = _to_json(sets)
    return merged


def read_training_data(metadata: Mapping[str, str], key: str = "training_data") -> tuple[TrainingSet, ...]:
    """Read the data sets in the metadata of a file, none if they are not listed or not valid."""
    try:
        return tuple(_parse(item) for item in json.loads(metadata.get(key, "[]")))
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def _parse(item: dict[str, Any]) -> TrainingSet:
    return TrainingSet(str(item["set"]), float(item["share"]), str(item.get("license", UNKNOWN)))


def _to_json(sets: Iterable[TrainingSet]) -> str:
    return json.dumps([{"set": item.name, "share": round(item.share, 4), "license": item.license} for item in sets])
