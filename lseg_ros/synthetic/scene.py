"""The scene as arrays of solids, and ray casting of a camera image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import Intrinsics
from lseg_ros.synthetic.classes import BACKGROUND, COLORS
from lseg_ros.synthetic.primitives import Kind, Solids, intersect
from lseg_ros.synthetic.things import Thing

__all__ = ["NEAR_M", "RayHits", "Scene", "build_scene", "colors_in_view", "raycast"]

NEAR_M = 0.05
Array = NDArray[Any]
_COLORS = {name: index for index, name in enumerate(COLORS)}
_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)


@dataclass(frozen=True, eq=False)
class Scene:
    """P solids and their properties.

    Attributes:
        solids: The solids.
        label: (P,) uint8 class ids.
        instance: (P,) uint16, 0 = surroundings.
        casts: (P,) bool, whether the solid casts a shadow.
        texture: (P,) int8, a ``Texture``.
        a: (P, 3) first color of the paint, linear RGB.
        b: (P, 3) second color of the paint, linear RGB.
        per_m: (P,) repetitions of the texture per meter.
        color: (P,) int8 index in ``COLORS``, -1 = no color name.
    """

    solids: Solids
    label: Array
    instance: Array
    casts: Array
    texture: Array
    a: Array
    b: Array
    per_m: Array
    color: Array


@dataclass(frozen=True, eq=False)
class RayHits:
    """The solid that each pixel shows.

    Attributes:
        solid: (H, W) int32 index of the solid, -1 = none.
        depth: (H, W) float32 meters along z, inf = no solid.
    """

    solid: Array
    depth: Array


def build_scene(things: Sequence[Thing]) -> Scene:
    """Convert placed things to a scene."""
    parts = [part for thing in things for part in thing.parts]
    kind, at, half, rotation, taper, paint = zip(*parts)
    owner = np.repeat(np.arange(len(things)), [len(thing.parts) for thing in things])
    scale = np.array([thing.scale for thing in things])[owner]
    yaw = np.array([thing.yaw for thing in things])[owner]
    cos, sin, zero = np.cos(yaw), np.sin(yaw), np.zeros(len(yaw))
    upright = np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1], 1).reshape(-1, 3, 3)
    position = np.array([thing.position for thing in things])[owner]
    kinds = np.array(kind, np.int8)
    sizes = np.array(half, np.float64) * scale[:, None]
    sizes[kinds >= Kind.RECTANGLE, 2] = 1.0
    center = position + (upright @ (np.array(at, np.float64) * scale[:, None])[:, :, None])[:, :, 0]
    solids = Solids(kinds, center, sizes, upright @ np.array(rotation), np.array(taper, np.float64))
    counted = [thing.name not in BACKGROUND for thing in things]
    instance = np.where(counted, np.cumsum(counted), 0)[owner].astype(np.uint16)
    texture, a, b, per_m, name = zip(*paint)
    return Scene(
        solids,
        np.array([thing.label for thing in things], np.uint8)[owner],
        instance,
        np.array([thing.shadow for thing in things])[owner],
        np.array(texture, np.int8),
        np.array(a, np.float32),
        np.array(b, np.float32),
        np.array(per_m, np.float32),
        np.array([_COLORS.get(color, -1) for color in name], np.int8),
    )


def raycast(solids: Solids, position: Array, rotation: Array, camera: Intrinsics) -> RayHits:
    """Find the nearest solid of every pixel.

    Args:
        solids: The solids.
        position: (3,) camera position, see ``CameraPath.pose``.
        rotation: (3, 3) camera rotation, see ``CameraPath.pose``.
        camera: Intrinsics of the image.
    """
    height, width = camera.height, camera.width
    solid = np.full((height, width), -1, np.int32)
    depth = np.full((height, width), np.inf, np.float32)
    xs = ((np.arange(width) - camera.cx) / camera.fx).astype(np.float32)
    ys = ((np.arange(height) - camera.cy) / camera.fy).astype(np.float32)[:, None]
    visible, areas = _screen_boxes(solids, position, rotation, camera)
    to_local = np.swapaxes(solids.rotation[visible], 1, 2)
    half = solids.half[visible]
    origins = ((to_local @ (position - solids.center[visible])[:, :, None])[:, :, 0] / half).tolist()
    axes = (to_local @ rotation / half[:, :, None]).tolist()
    kinds, tapers = solids.kind[visible].tolist(), solids.taper[visible].tolist()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for index, (u0, u1, v0, v1), kind, taper, origin, rows in zip(
            visible.tolist(), areas, kinds, tapers, origins, axes
        ):
            x, y = xs[u0:u1], ys[v0:v1]
            dx, dy, dz = (row[0] * x + (row[1] * y + row[2]) for row in rows)
            t = intersect(kind, taper, origin, dx, dy, dz)
            before = depth[v0:v1, u0:u1]
            nearer = (t < before) & (t > NEAR_M)
            np.copyto(before, t, where=nearer)
            np.copyto(solid[v0:v1, u0:u1], index, where=nearer)
    return RayHits(solid, depth)


def colors_in_view(scene: Scene, hits: RayHits) -> tuple[str | None, ...]:
    """Return for each instance the name of the color that covers most of its pixels.

    None means that no pixel of the instance has a named color.
    """
    names = tuple(COLORS)
    pixels = np.zeros((int(scene.instance.max()) + 1, len(names) + 1), np.int64)  # last column: no name
    in_view = np.bincount(hits.solid.ravel() + 1, minlength=len(scene.instance) + 1)[1:]
    np.add.at(pixels, (scene.instance, scene.color), in_view)
    pixels[0] = 0
    most = pixels[:, :-1].argmax(1)
    return tuple(names[color] if counts[color] else None for color, counts in zip(most.tolist(), pixels))


def _screen_boxes(
    solids: Solids, position: Array, rotation: Array, camera: Intrinsics
) -> tuple[Array, list[tuple[int, int, int, int]]]:
    """Return indices of the solids in view, and the pixels (u0, u1, v0, v1) each can cover."""
    center = (solids.center - position) @ rotation  # (P, 3) in the camera
    axes = rotation.T @ solids.rotation * solids.extent[:, None, :]  # (P, 3, 3)
    corners = center[:, None, :] + _CORNERS @ np.swapaxes(axes, 1, 2)  # (P, 8, 3)
    z = corners[:, :, 2]
    ahead = z.max(1) > NEAR_M
    crossing = ahead & (z.min(1) <= NEAR_M)
    safe = np.maximum(z, NEAR_M)
    u = corners[:, :, 0] / safe * camera.fx + camera.cx
    v = corners[:, :, 1] / safe * camera.fy + camera.cy
    u0, u1 = np.floor(u.min(1)), np.ceil(u.max(1)) + 1
    v0, v1 = np.floor(v.min(1)), np.ceil(v.max(1)) + 1
    # A box that crosses the camera plane has no bounded projection. It is out of view if all its corners are beyond
    # one side of the view.
    x, y = corners[:, :, 0], corners[:, :, 1]
    left, right = (-camera.cx - 1) / camera.fx, (camera.width - camera.cx) / camera.fx
    top, bottom = (-camera.cy - 1) / camera.fy, (camera.height - camera.cy) / camera.fy
    out = (x < left * z).all(1) | (x > right * z).all(1) | (y < top * z).all(1) | (y > bottom * z).all(1)
    u0, u1 = (
        np.where(crossing, 0, np.clip(u0, 0, camera.width)),
        np.where(crossing, camera.width, np.clip(u1, 0, camera.width)),
    )
    v0, v1 = (
        np.where(crossing, 0, np.clip(v0, 0, camera.height)),
        np.where(crossing, camera.height, np.clip(v1, 0, camera.height)),
    )
    visible = np.flatnonzero(ahead & ~out & (u1 > u0) & (v1 > v0))
    areas = np.stack([u0, u1, v0, v1], 1)[visible].astype(int).tolist()
    return visible, [tuple(area) for area in areas]
