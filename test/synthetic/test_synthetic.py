"""Tests that the synthetic world is exact, repeatable, varied, and not solvable by color."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lseg_ros.structures import Intrinsics
from lseg_ros.synthetic import CLASSES, COLORS, SyntheticFrame, SyntheticWorld
from lseg_ros.synthetic.camera import pinhole
from lseg_ros.synthetic.classes import BACKGROUND, class_id
from lseg_ros.synthetic.materials import named_paint, rgb_paint
from lseg_ros.synthetic.primitives import Kind, Solids
from lseg_ros.synthetic.scene import build_scene, colors_in_view, raycast
from lseg_ros.synthetic.things import Thing

Array = NDArray[Any]
SMALL = pinhole(24, 18, 0.8)
STEP_M = 0.004


def rays(camera: Intrinsics, rotation: Array) -> Array:
    """Return (H, W, 3) ray directions in the world, with z = 1 in the camera."""
    v, u = np.mgrid[: camera.height, : camera.width]
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    return np.stack([x, y, np.ones_like(x)], -1) @ rotation.T


def known_depth(view: SyntheticFrame) -> Array:
    """Return the depth of a frame, which every frame of the synthetic world has."""
    assert view.frame.depth_m is not None
    return view.frame.depth_m


def points(world: SyntheticWorld, t_s: float, depth_m: Array) -> Array:
    """Return the (H, W, 3) points of all pixels in the world."""
    position, rotation = world.path.pose(t_s)
    return position + depth_m[..., None] * rays(world.intrinsics, rotation)


# --- contents -------------------------------------------------------------------------------------


def test_has_many_distinct_classes() -> None:
    assert 34 <= len(CLASSES) <= 254
    assert len(set(CLASSES)) == len(CLASSES)
    assert set(CLASSES) >= {"person", "dog", "cat", "horse", "bird", "car", "truck", "bus", "chair", "table", "sofa"}
    assert set(CLASSES) >= BACKGROUND
    assert set(COLORS) >= {"red", "green", "blue", "yellow", "black", "white"}


def test_every_class_occurs() -> None:
    seen: set[int] = set()
    for seed in range(80):
        seen |= set(np.unique(SyntheticWorld(seed, 80, 60).frame(seed % 20).labels).tolist())
        if len(seen) == len(CLASSES):
            break
    assert [name for name in CLASSES if class_id(name) not in seen] == []


def test_every_pixel_has_a_label() -> None:
    for seed in range(30):
        labels = SyntheticWorld(seed, 64, 48).frame(seed).labels
        assert labels.min() >= 1 and labels.max() <= len(CLASSES)


def test_instances_have_one_class_and_a_color_entry() -> None:
    for seed in range(20):
        view = SyntheticWorld(seed, 96, 72).frame(2.0)
        surroundings = {class_id(name) for name in BACKGROUND}
        for instance in np.unique(view.instances):
            labels = set(np.unique(view.labels[view.instances == instance]).tolist())
            assert labels <= surroundings if instance == 0 else len(labels) == 1 and not labels & surroundings
            color = view.colors[instance]
            assert color is None or color in COLORS
        assert view.colors[0] is None


def test_instance_color_is_the_named_color_of_most_visible_pixels() -> None:
    rng, camera = np.random.default_rng(0), pinhole(64, 48, 0.8)
    red, blue, nameless = named_paint(rng, "red"), named_paint(rng, "blue"), rgb_paint((120, 160, 200))
    cabinet, cloth = Thing("cabinet", rng), Thing("floor", rng)
    cabinet.box((0, -0.2, 0), (1.0, 0.1, 1.0), red)  # small, visible from the front
    cabinet.box((0, -0.1, 0), (0.8, 0.1, 0.8), blue)
    cabinet.box((0, 0.2, 0), (2.0, 0.1, 2.0), blue.shade(0.5))
    cabinet.box((0, 0.0, 0), (1.2, 0.1, 3.0), nameless)  # the largest, without a color name
    cloth.rectangle((0, 0, 0), 9.0, 9.0, red)
    scene = build_scene([cloth, cabinet])

    def visible_colors(at: tuple[float, float, float], forward: float) -> tuple[str | None, ...]:
        rotation = np.array([[forward, 0.0, 0.0], [0.0, 0.0, forward], [0.0, -1.0, 0.0]])
        return colors_in_view(scene, raycast(scene.solids, np.array(at), rotation, camera))

    assert visible_colors((0.0, -0.9, 0.5), 1.0) == (None, "red")
    assert visible_colors((0.0, -5.0, 0.5), 1.0) == (None, "blue")
    assert visible_colors((0.0, 5.0, 0.5), -1.0) == (None, "blue")
    assert visible_colors((0.0, -0.9, 2.9), 1.0) == (None, None)
    assert visible_colors((0.0, 5.0, 0.5), 1.0) == (None, None)


def test_every_color_name_is_common() -> None:
    counted = dict.fromkeys(COLORS, 0)
    for seed in range(40):
        for color in SyntheticWorld(seed, 160, 120).frame(0.0).colors:
            if color is not None:
                counted[color] += 1
    assert min(counted.values()) > 0.03 * sum(counted.values())


# --- exactness ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_ground_unprojects_to_its_height(seed: int) -> None:
    world = SyntheticWorld(seed, 160, 120)
    for t_s in (0.0, 4.0):
        view = world.frame(t_s)
        ground = np.isin(view.labels, [class_id("floor"), class_id("grass")])
        assert ground.any() or t_s
        height = points(world, t_s, known_depth(view))[ground][:, 2]
        depth = known_depth(view)[ground]
        above = np.minimum(np.abs(height), np.abs(height - 0.01))  # two grounds can overlap, 1 cm apart
        assert np.all(above <= 1e-5 * depth + 1e-5)


def test_depth_is_known_everywhere_except_in_the_sky() -> None:
    for seed in range(12):
        view = SyntheticWorld(seed, 80, 60).frame(1.0)
        depth = known_depth(view)
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(depth), view.labels == class_id("sky"))
        assert np.all(depth[np.isfinite(depth)] > 0)


def is_inside(kind: Kind, taper: float, p: Array) -> Array:
    """Return whether points of the unit frame are inside the solid, by its definition."""
    x, y, z = np.moveaxis(p, -1, 0)
    if kind == Kind.BOX:
        return np.abs(p).max(-1) <= 1
    if kind == Kind.ELLIPSOID:
        return x * x + y * y + z * z <= 1
    radius = (1 + taper) / 2 + (taper - 1) / 2 * z
    return (np.abs(z) <= 1) & (np.hypot(x, y) <= radius)


def random_solid(kind: Kind, seed: int) -> Solids:
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    half = rng.uniform(0.1, 0.8, (1, 3))
    if kind >= Kind.RECTANGLE:
        half[:, 2] = 1.0
    center = np.array([[rng.uniform(-0.6, 0.6), rng.uniform(2.2, 4.0), rng.uniform(-0.5, 0.5)]])
    taper = np.array([rng.uniform(0.2, 0.8) if kind == Kind.RING else rng.choice([0.0, 0.4, 1.0, 1.5])])
    return Solids(np.array([kind], np.int8), center, half, rotation[None], taper)


FORWARD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # looks along +y; z is up


@pytest.mark.parametrize("kind", [Kind.BOX, Kind.ELLIPSOID, Kind.FRUSTUM])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_raycast_of_bodies_matches_ray_marching(kind: Kind, seed: int) -> None:
    solids = random_solid(kind, seed)
    hits = raycast(solids, np.zeros(3), FORWARD, SMALL)
    steps = np.arange(0.5, 6.0, STEP_M)
    local = rays(SMALL, FORWARD) @ solids.rotation[0] / solids.half[0]
    start = -solids.center[0] @ solids.rotation[0] / solids.half[0]
    within = is_inside(kind, solids.taper[0], start + steps[:, None, None, None] * local)
    found, first = within.any(0), steps[within.argmax(0)]
    hit = hits.solid == 0
    assert np.all(hit[found])
    assert np.all(np.abs(hits.depth - first)[found] <= 1.5 * STEP_M)
    grazed = hit & ~found  # hit between two steps: check that the point is on the surface
    surface = start + hits.depth[grazed][:, None] * local[grazed]
    assert np.all(is_inside(kind, solids.taper[0], surface * (1 - 2e-3)))
    assert np.all(np.isinf(hits.depth[~hit]))


@pytest.mark.parametrize("kind", [Kind.RECTANGLE, Kind.RING])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_raycast_of_flat_solids_matches_the_plane_intersection(kind: Kind, seed: int) -> None:
    solids = random_solid(kind, seed)
    hits = raycast(solids, np.zeros(3), FORWARD, SMALL)
    direction, normal = rays(SMALL, FORWARD), solids.rotation[0][:, 2]
    depth = (solids.center[0] @ normal) / (direction @ normal)
    x, y, _ = np.moveaxis(
        (depth[..., None] * direction - solids.center[0]) @ solids.rotation[0] / solids.half[0], -1, 0
    )
    if kind == Kind.RECTANGLE:
        margin = 1 - np.maximum(np.abs(x), np.abs(y))
    else:
        margin = np.minimum(1 - np.hypot(x, y), np.hypot(x, y) - solids.taper[0])
    certain = (np.abs(margin) > 1e-3) & (np.abs(depth) < 50)  # neither on an edge nor along the plane
    expected = (margin > 0) & (depth > 0.05)
    np.testing.assert_array_equal((hits.solid == 0)[certain], expected[certain])
    both = certain & expected
    np.testing.assert_allclose(hits.depth[both], depth[both], rtol=1e-3)


def test_nearer_solids_hide_farther_ones() -> None:
    near, far = random_solid(Kind.BOX, 1), random_solid(Kind.ELLIPSOID, 2)
    fields = (np.concatenate(pair) for pair in zip(vars(near).values(), vars(far).values()))
    both = raycast(Solids(*fields), np.zeros(3), FORWARD, SMALL)
    alone = [raycast(solid, np.zeros(3), FORWARD, SMALL).depth for solid in (near, far)]
    np.testing.assert_array_equal(both.depth, np.minimum(*alone))
    shown = np.isfinite(both.depth)
    np.testing.assert_array_equal(both.solid[shown], np.argmin(alone, 0)[shown])


# --- repeatability --------------------------------------------------------------------------------


@pytest.mark.parametrize("t_s", [0.0, 7.3])
def test_same_seed_and_time_give_the_same_frame(t_s: float) -> None:
    one, two = (SyntheticWorld(11, 80, 60).frame(t_s) for _ in range(2))
    np.testing.assert_array_equal(one.frame.image, two.frame.image)
    np.testing.assert_array_equal(one.frame.depth_m, two.frame.depth_m)
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.instances, two.instances)


def test_other_seeds_and_times_give_other_frames() -> None:
    first = SyntheticWorld(11, 80, 60).frame(0.0)
    assert (SyntheticWorld(12, 80, 60).frame(0.0).labels != first.labels).any()
    assert (SyntheticWorld(11, 80, 60).frame(3.0).labels != first.labels).any()


@pytest.mark.parametrize("seed", range(4))
def test_other_resolutions_show_the_same_scene(seed: int) -> None:
    fine, coarse = (SyntheticWorld(seed, size, size * 3 // 4).frame(1.0) for size in (240, 80))
    # every third pixel of the fine image, starting with the second, has the ray of a pixel of the coarse one
    same = fine.labels[1::3, 1::3] == coarse.labels
    assert same.mean() > 0.995
    np.testing.assert_allclose(
        known_depth(fine)[1::3, 1::3][same], known_depth(coarse)[same], rtol=2e-3, equal_nan=True
    )
    big, small = fine.frame.intrinsics, coarse.frame.intrinsics
    assert big is not None and small is not None
    assert big.fx == pytest.approx(3 * small.fx)
    assert big.cx + 0.5 == pytest.approx(3 * (small.cx + 0.5))


def test_frame_has_stamp_and_intrinsics() -> None:
    frame = SyntheticWorld(3, 64, 48).frame(1.25).frame
    assert frame.stamp_ns == 1_250_000_000
    assert frame.frame_id == "camera_optical_frame"
    assert frame.intrinsics is not None and (frame.intrinsics.width, frame.intrinsics.height) == (64, 48)


# --- camera path ----------------------------------------------------------------------------------


def test_camera_path_is_smooth_and_closed() -> None:
    for seed in range(20):
        path = SyntheticWorld(seed, 16, 16).path
        assert 20 <= path.period_s <= 30
        poses = [path.pose(t) for t in np.arange(0, 10, 1 / 15)]
        for (before, was), (after, now) in itertools.pairwise(poses):
            assert np.linalg.norm(after - before) < 0.03
            assert math.acos(min(1.0, (was[:, 2] @ now[:, 2]).item())) < 0.04
        np.testing.assert_allclose(path.pose(path.period_s)[0], poses[0][0], atol=1e-9)


def test_camera_keeps_its_distance_and_sees_several_classes() -> None:
    for seed in range(25):
        world = SyntheticWorld(seed, 64, 48)
        for t_s in (0.0, 6.0, 13.0):
            view = world.frame(t_s)
            assert np.nanmin(known_depth(view)) > 0.4
            assert len(np.unique(view.labels)) >= 3


# --- classification by color ----------------------------------------------------------------------


def test_color_alone_gives_less_than_0_30_miou() -> None:
    bins, classes = 16, len(CLASSES) + 1

    def cells(seed: int) -> tuple[Array, Array]:
        view = SyntheticWorld(seed, 120, 90).frame(seed % 25)
        r, g, b = np.moveaxis(view.frame.image.astype(np.int64) * bins // 256, -1, 0)
        return ((r * bins + g) * bins + b).ravel(), view.labels.ravel().astype(np.int64)

    votes = np.zeros((bins**3, classes))
    for seed in range(1_000_000, 1_000_150):
        np.add.at(votes, cells(seed), 1)
    choices = {"most likely": votes.argmax(1), "balanced": (votes / np.maximum(votes.sum(0), 1)).argmax(1)}
    truth = [cells(seed) for seed in range(80)]
    for name, choice in choices.items():
        table = np.zeros((classes, classes))
        for color, label in truth:
            np.add.at(table, (label, choice[color]), 1)
        hits = np.diag(table)
        iou = hits / np.maximum(table.sum(0) + table.sum(1) - hits, 1)
        assert iou[1:].mean() < 0.30, name


# --- invalid arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "width", "height", "named"), [(-1, 320, 240, "seed"), (0, 8, 240, "width")])
def test_rejects_invalid_arguments(seed: int, width: int, height: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SyntheticWorld(seed, width, height)
