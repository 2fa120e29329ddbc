"""Measure the CPU time that lidar points add to a frame, on one core.

python -m benchmarks.lidar
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace

import cv2
import numpy as np

from lseg_ros.cdr import cloud_from_cdr, cloud_to_cdr
from lseg_ros.geometry import unproject
from lseg_ros.lidar import label_cloud, merge_labels
from lseg_ros.messages import cloud_to_xyz
from lseg_ros.structures import CLOUD_DTYPE, Cloud, Frame, Segmentation, to_xyz
from lseg_ros.synthetic import CLASSES, LIDAR_IN_CAMERA, Lidar, SyntheticWorld
from lseg_ros.transforms import transform_points
from lseg_ros.vocabulary import Vocabulary

__all__ = ["main", "measure", "scan_image"]

_SEED = 8
_UNKNOWN_M = 5.0  # takes the place of depth that is not known


def measure(rounds: int, rings: int = 128, columns: int = 1024, is_forward: bool = False) -> dict[str, float]:
    """Measure every stage from the received message to the published one.

    Args:
        rounds: How often each stage runs.
        rings: Rings of the lidar.
        columns: Points of a ring.
        is_forward: The lidar sees what the camera sees, and all of its points are in the image.

    Returns:
        Median milliseconds of CPU time by stage, and of all stages together.
    """
    world = SyntheticWorld(_SEED, 640, 480)
    view = world.frame(0.5)
    if is_forward:
        scanned = scan_image(view.frame, rings, columns)
    else:
        scanned = world.lidar(0.5, Lidar(rings, columns, -22.5, 22.5)).cloud
    header = SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id="lidar")
    points = np.zeros(scanned.shape, CLOUD_DTYPE)
    to_xyz(points)[:] = scanned.xyz.reshape(*scanned.shape, 3)
    message = cloud_to_cdr(header, points, is_dense=False)
    segmentation = Segmentation(view.labels, np.full_like(view.labels, 200), Vocabulary.of(CLASSES))

    def read() -> Cloud:
        return Cloud(cloud_to_xyz(cloud_from_cdr(message)), LIDAR_IN_CAMERA, scanned.shape)

    frame = Frame(view.frame.image, intrinsics=world.intrinsics, cloud=read())
    labeled = label_cloud(frame, segmentation)
    merged = merge_labels(labeled.cloud, [labeled])
    stages: dict[str, Callable[[], object]] = {
        "read": read,
        "label": lambda: label_cloud(frame, segmentation),
        "merge": lambda: merge_labels(labeled.cloud, [labeled]),
        "write": lambda: cloud_to_cdr(header, merged, is_dense=False),
    }
    times_ms: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(rounds):
        for name, run in stages.items():
            start = time.thread_time()
            run()
            times_ms[name].append((time.thread_time() - start) * 1e3)
    totals = [sum(values) for values in zip(*times_ms.values())]
    return {name: statistics.median(values) for name, values in (*times_ms.items(), ("total", totals))}


def scan_image(frame: Frame, rings: int, columns: int) -> Cloud:
    """Return a cloud of points that are evenly spaced in the image, in the frame of the lidar."""
    assert frame.depth_m is not None and frame.intrinsics is not None  # the world has both
    row = np.linspace(0, frame.size[0] - 1, rings).astype(int)
    column = np.linspace(0, frame.size[1] - 1, columns).astype(int)
    depth_m = np.nan_to_num(frame.depth_m, nan=_UNKNOWN_M)
    xyz = unproject(depth_m, frame.intrinsics)[np.ix_(row, column)].reshape(-1, 3)
    xyz = transform_points(np.linalg.inv(LIDAR_IN_CAMERA).astype(np.float64), xyz)
    return Cloud(xyz, LIDAR_IN_CAMERA, (rings, columns))


def main() -> None:
    """Print the median time of each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--rings", type=int, default=128)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--forward", action="store_true", help="all points are in the image")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for name, ms in measure(options.rounds, options.rings, options.columns, options.forward).items():
        print(f"{name:6} {ms:6.2f} ms")


if __name__ == "__main__":
    main()
