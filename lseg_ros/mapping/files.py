"""Save maps and load them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lseg_ros.mapping.config import MapConfig
from lseg_ros.mapping.language_map import LanguageMap
from lseg_ros.quoting import quote

__all__ = ["load_map", "save_map"]

_FORMAT = "lseg_ros language map 1"
_MAX_HEADER_BYTES = 1 << 20
# name -> dtype and shape after the number of voxels; -1 is the number of channels
_TENSORS: dict[str, tuple[str, tuple[int, ...]]] = {
    "cells": ("int16", (3,)), "embeddings": ("float16", (-1,)), "colors": ("uint8", (3,)), "weights": ("float32", ()),
    "stamps_ns": ("int64", ()),
}  # fmt: skip


def save_map(language_map: LanguageMap, path: str | Path, network: str, frame_id: str = "map") -> None:
    """Write a map as safetensors, atomically.

    Args:
        language_map: The map.
        path: The file. Its folder must exist.
        network: Identifies the network of the embeddings, see ``Segmenter.fingerprint``.
        frame_id: Coordinate frame of the map.

    Raises:
        OSError: The file cannot be written.
    """
    path = Path(path).expanduser()
    tensors = language_map.export_tensors()
    metadata = {
        "format": _FORMAT, "network": network, "frame_id": frame_id, "channels": str(language_map.channels),
        "voxel_m": repr(language_map.config.map_voxel_m),
    }  # fmt: skip
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, metadata=metadata)
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_map(path: str | Path, network: str, config: MapConfig | None = None) -> LanguageMap:
    """Read a map.

    Args:
        path: The file.
        network: Identifies the network that the map will be used with.
        config: Limits of the map; None takes the voxel size of the file and the smallest limits that hold it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is no map, is damaged, was made with another network, or does not fit into the limits.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a map, but it does not exist")
    metadata, tensors = _read(path)
    if metadata.get("network") != network:
        raise ValueError(
            f"{path}: expected a map of the network {network}, got one of {quote(metadata.get('network', ''))}: "
            "embeddings of different networks cannot be compared; select the checkpoint that made the map"
        )
    voxel_m, count = float(metadata["voxel_m"]), len(tensors["cells"])
    if config is None:
        extent_m = max(2.2 * voxel_m * (float(abs(tensors["cells"].astype(int)).max(initial=0)) + 1), 1.0)
        config = MapConfig(map_voxel_m=voxel_m, map_extent_m=extent_m)
    if config.map_voxel_m != voxel_m:
        raise ValueError(f"{path}: expected map_voxel_m {config.map_voxel_m} as in the settings, got {voxel_m}")
    language_map = LanguageMap(config, tensors["embeddings"].shape[1], min_capacity=count)
    language_map.import_tensors(tensors)
    return language_map


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Read and check metadata and tensors."""
    try:
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > _MAX_HEADER_BYTES:
                raise ValueError("a header that is too large")
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError(f"the format {quote(metadata.get('format', ''))}")
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
        _check(metadata, tensors)
    except (SafetensorError, ValueError, KeyError, TypeError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a language map, got {' '.join(str(error).split())[:200]}") from error
    return metadata, tensors


def _check(metadata: dict[str, str], tensors: dict[str, Any]) -> None:
    count, channels, voxel_m = len(tensors["cells"]), int(metadata["channels"]), float(metadata["voxel_m"])
    if not 0.01 <= voxel_m <= 1:
        raise ValueError(f"a voxel size of {voxel_m} m")
    for name, (dtype, shape) in _TENSORS.items():
        tensor, expected = tensors[name], (count, *(channels if length < 0 else length for length in shape))
        if tensor.dtype != dtype or tensor.shape != expected:
            raise ValueError(f"{name} of {tensor.shape} {tensor.dtype} instead of {expected} {dtype}")
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise ValueError(f"{name} with values that are not finite")
    if (tensors["weights"] < 0).any():
        raise ValueError("negative weights")
    if len(np.unique(tensors["cells"], axis=0)) != count:
        raise ValueError("the same voxel twice")
