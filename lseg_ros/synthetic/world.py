"""The synthetic world: one scene per seed, seen by a moving camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import Cloud, Frame
from lseg_ros.synthetic.camera import pinhole
from lseg_ros.synthetic.classes import class_id
from lseg_ros.synthetic.lidar import LIDAR_IN_CAMERA, Lidar, scan
from lseg_ros.synthetic.light import random_light
from lseg_ros.synthetic.places import random_place
from lseg_ros.synthetic.scene import build_scene, colors_in_view, raycast
from lseg_ros.synthetic.shading import shade_pixels

__all__ = ["SyntheticCloud", "SyntheticFrame", "SyntheticWorld"]

_SKY = class_id("sky")


@dataclass(frozen=True, eq=False)
class SyntheticFrame:
    """One frame and its ground truth.

    Attributes:
        frame: Image, exact depth (NaN in the sky), intrinsics and stamp (the time in the world).
        labels: (H, W) uint8, index in ``CLASSES`` + 1.
        instances: (H, W) uint16, 0 = surroundings such as floor, walls, grass and sky.
        colors: ``colors[n]`` is the name of the color that covers most of instance n in view; None for 0 and if no
            named color is in view.
    """

    frame: Frame
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    colors: tuple[str | None, ...]


@dataclass(frozen=True, eq=False)
class SyntheticCloud:
    """One turn of the lidar and its ground truth.

    Attributes:
        cloud: Exact points (NaN without a return) and their place in the camera at the same time.
        labels: (N,) uint8, index in ``CLASSES`` + 1 of each point, 0 without a return.
    """

    cloud: Cloud
    labels: NDArray[np.uint8]


class SyntheticWorld:
    """A random scene. The same seed gives the same scene on every machine.

    The same seed at another image size gives the same scene through the same camera.

    Attributes:
        seed: The seed.
        kind: Kind of the place, such as kitchen or street.
        path: Path of the camera.
        intrinsics: Intrinsics of the images.
    """

    def __init__(self, seed: int, width: int = 320, height: int = 240) -> None:
        """Create the scene.

        Args:
            seed: Seed of the scene, at least 0.
            width: Image width in pixels, at least 16.
            height: Image height in pixels, at least 16.

        Raises:
            ValueError: The seed is negative or the image too small.
        """
        if seed < 0:
            raise ValueError(f"seed: expected a value of at least 0, got {seed}")
        if min(width, height) < 16:
            raise ValueError(f"width, height: expected an image of at least 16 x 16, got {width} x {height}")
        rng = np.random.Generator(np.random.PCG64(seed))
        place = random_place(rng)
        self.seed = seed
        self.kind = place.kind
        self.path = place.path
        self.intrinsics = pinhole(width, height, place.focal)
        self._scene = build_scene(place.things)
        self._light = random_light(rng, self._scene, place.bounds, place.ceiling)

    def frame(self, t_s: float) -> SyntheticFrame:
        """Render the view of the camera ``t_s`` seconds after the start."""
        scene, camera = self._scene, self.intrinsics
        position, rotation = self.path.pose(t_s)
        hits = raycast(scene.solids, position, rotation, camera)
        rgb = shade_pixels(scene, self._light, hits, position, rotation, camera)
        stamp_ns = round(t_s * 1e9)
        image = _apply_sensor_model(rgb, self._light.exposure, self.seed, stamp_ns)
        # index -1 (no solid) selects the appended last entry
        labels = np.append(scene.label, np.uint8(_SKY))[hits.solid]
        instances = np.append(scene.instance, np.uint16(0))[hits.solid]
        depth_m = np.where(np.isfinite(hits.depth), hits.depth, np.float32(np.nan))
        frame = Frame(image, depth_m, camera, stamp_ns, "camera_optical_frame")
        return SyntheticFrame(frame, labels, instances, colors_in_view(scene, hits))

    def lidar(self, t_s: float, lidar: Lidar | None = None) -> SyntheticCloud:
        """Measure one turn of a lidar above the camera, ``t_s`` seconds after the start."""
        lidar = lidar or Lidar()
        position, rotation = self.path.pose(t_s)
        position = position + rotation @ LIDAR_IN_CAMERA[:3, 3]
        xyz, solid = scan(self._scene.solids, position, rotation @ LIDAR_IN_CAMERA[:3, :3], lidar)
        labels = np.append(self._scene.label, np.uint8(0))[solid].reshape(-1)
        cloud = Cloud(xyz.reshape(-1, 3), LIDAR_IN_CAMERA, xyz.shape[:2], round(t_s * 1e9), "lidar")
        return SyntheticCloud(cloud, labels)


@lru_cache(maxsize=1)
def _noise_table() -> NDArray[Any]:
    """Return a table of normal noise. Drawing noise per frame would take a third of its time."""
    return np.random.Generator(np.random.PCG64(21)).standard_normal(1 << 21, np.float32)


def _apply_sensor_model(rgb: NDArray[Any], exposure: float, seed: int, stamp_ns: int) -> NDArray[np.uint8]:
    """Convert linear light to an image.

    The steps are blur, automatic exposure, transfer curve and sensor noise.

    Args:
        rgb: (H, W, 3) linear RGB.
        exposure: Factor on the automatic exposure.
        seed: Seed of the world.
        stamp_ns: Time in nanoseconds, which selects the noise together with the seed.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rng = np.random.Generator(np.random.PCG64([seed, stamp_ns & (2**63 - 1)]))
    gain = exposure * 0.24 / max(float(rgb.mean()), 0.02)
    soft = rgb.copy()
    soft[1:-1] += 0.2 * (rgb[:-2] + rgb[2:] - 2 * rgb[1:-1])
    blur = soft.copy()
    blur[:, 1:-1] += 0.2 * (soft[:, :-2] + soft[:, 2:] - 2 * soft[:, 1:-1])
    bright = blur * np.float32(gain)
    bright = bright * (1 + bright * 0.06) / (1 + bright * 0.3)  # compress highlights
    image = np.sqrt(np.maximum(bright, 0)) * 255
    grain = _noise_table()
    start = int(rng.integers(max(grain.size - image.size, 1)))
    noise = np.resize(grain[start : start + image.size], image.shape)  # repeats the table if the image is larger
    image += np.float32(rng.uniform(1.5, 5.0)) * noise
    return np.clip(image, 0, 255).astype(np.uint8)
