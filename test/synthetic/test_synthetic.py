"""The synthetic world: exact, repeatable, varied, and not to be solved by color."""

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
from lseg_ros.synthetic import CLASSES, COLORS, SyntheticWorld
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
    """(H, W, 3) directions in the world whose length along the camera's z is 1."""
    v, u = np.mgrid[: camera.height, : camera.width]
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    return np.stack([x, y, np.ones_like(x)], -1) @ rotation.T


def points(world: SyntheticWorld, t_s: float, depth_m: Array) -> Array:
    """(H, W, 3) what every pixel sees, in the world."""
    position, rotation = world.path.pose(t_s)
    return position + depth_m[..., None] * rays(world.intrinsics, rotation)


# --- what the world is made of --------------------------------------------------------------------


def test_there_are_many_classes_of_distinct_names() -> None:
    assert 34 <= len(CLASSES) <= 254
    assert len(set(CLASSES)) == len(CLASSES)
    assert set(CLASSES) >= {"person", "dog", "cat", "horse", "bird", "car", "truck", "bus", "chair", "table", "sofa"}
    assert set(CLASSES) >= BACKGROUND
    assert set(COLORS) >= {"red", "green", "blue", "yellow", "black", "white"}


def test_every_class_is_seen_somewhere() -> None:
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


def test_no_instance_mixes_classes_and_each_has_a_color_entry() -> None:
    for seed in range(20):
        seen = SyntheticWorld(seed, 96, 72).frame(2.0)
        surroundings = {class_id(name) for name in BACKGROUND}
        for instance in np.unique(seen.instances):
            labels = set(np.unique(seen.labels[seen.instances == instance]).tolist())
            assert labels <= surroundings if instance == 0 else len(labels) == 1 and not labels & surroundings
            color = seen.colors[instance]
            assert color is None or color in COLORS
        assert seen.colors[0] is None


def test_a_thing_is_called_by_the_color_that_most_of_it_is_seen_in() -> None:
    rng, camera = np.random.default_rng(0), pinhole(64, 48, 0.8)
    red, blue, nameless = named_paint(rng, "red"), named_paint(rng, "blue"), rgb_paint((120, 160, 200))
    cabinet, cloth = Thing("cabinet", rng), Thing("floor", rng)
    cabinet.box((0, -0.2, 0), (1.0, 0.1, 1.0), red)  # small, and what is seen from the front
    cabinet.box((0, -0.1, 0), (0.8, 0.1, 0.8), blue)
    cabinet.box((0, 0.2, 0), (2.0, 0.1, 2.0), blue.shade(0.5))
    cabinet.box((0, 0.0, 0), (1.2, 0.1, 3.0), nameless)  # the largest, of a color that has no name
    cloth.rectangle((0, 0, 0), 9.0, 9.0, red)
    scene = build_scene([cloth, cabinet])

    def called(at: tuple[float, float, float], forward: float) -> tuple[str | None, ...]:
        rotation = np.array([[forward, 0.0, 0.0], [0.0, 0.0, forward], [0.0, -1.0, 0.0]])
        return colors_in_view(scene, raycast(scene.solids, np.array(at), rotation, camera))

    assert called((0.0, -0.9, 0.5), 1.0) == (None, "red")
    assert called((0.0, -5.0, 0.5), 1.0) == (None, "blue")
    assert called((0.0, 5.0, 0.5), -1.0) == (None, "blue")
    assert called((0.0, -0.9, 2.9), 1.0) == (None, None)
    assert called((0.0, 5.0, 0.5), 1.0) == (None, None)


def test_made_things_have_colors_of_every_name() -> None:
    counted = dict.fromkeys(COLORS, 0)
    for seed in range(40):
        for color in SyntheticWorld(seed, 160, 120).frame(0.0).colors:
            if color is not None:
                counted[color] += 1
    assert min(counted.values()) > 0.03 * sum(counted.values())


# --- exactness ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_ground_unprojects_to_the_height_of_the_ground(seed: int) -> None:
    world = SyntheticWorld(seed, 160, 120)
    for t_s in (0.0, 4.0):
        seen = world.frame(t_s)
        ground = np.isin(seen.labels, [class_id("floor"), class_id("grass")])
        assert ground.any() or t_s
        height = points(world, t_s, seen.frame.depth_m)[ground][:, 2]
        depth = seen.frame.depth_m[ground]
        above = np.minimum(np.abs(height), np.abs(height - 0.01))  # the second of two grounds lies on the first
        assert np.all(above <= 1e-5 * depth + 1e-5)


def test_depth_is_metres_along_z_and_unknown_only_where_the_sky_is() -> None:
    for seed in range(12):
        seen = SyntheticWorld(seed, 80, 60).frame(1.0)
        depth = seen.frame.depth_m
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(depth), seen.labels == class_id("sky"))
        assert np.all(depth[np.isfinite(depth)] > 0)


def inside(kind: Kind, taper: float, p: Array) -> Array:
    """Whether points of the unit frame are in the solid: the definition, without a ray."""
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


FORWARD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # looks along +y, z is up


@pytest.mark.parametrize("kind", [Kind.BOX, Kind.ELLIPSOID, Kind.FRUSTUM])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_body_is_seen_where_stepping_along_the_ray_finds_it(kind: Kind, seed: int) -> None:
    solids = random_solid(kind, seed)
    seen = raycast(solids, np.zeros(3), FORWARD, SMALL)
    steps = np.arange(0.5, 6.0, STEP_M)
    local = rays(SMALL, FORWARD) @ solids.rotation[0] / solids.half[0]
    start = -solids.center[0] @ solids.rotation[0] / solids.half[0]
    within = inside(kind, solids.taper[0], start + steps[:, None, None, None] * local)
    found, first = within.any(0), steps[within.argmax(0)]
    hit = seen.solid == 0
    assert np.all(hit[found])
    assert np.all(np.abs(seen.depth - first)[found] <= 1.5 * STEP_M)
    grazed = hit & ~found  # between two steps: then the point must still be on the surface
    surface = start + seen.depth[grazed][:, None] * local[grazed]
    assert np.all(inside(kind, solids.taper[0], surface * (1 - 2e-3)))
    assert np.all(np.isinf(seen.depth[~hit]))


@pytest.mark.parametrize("kind", [Kind.RECTANGLE, Kind.RING])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_flat_thing_is_seen_where_the_ray_crosses_its_plane(kind: Kind, seed: int) -> None:
    solids = random_solid(kind, seed)
    seen = raycast(solids, np.zeros(3), FORWARD, SMALL)
    direction, normal = rays(SMALL, FORWARD), solids.rotation[0][:, 2]
    depth = (solids.center[0] @ normal) / (direction @ normal)
    x, y, _ = np.moveaxis(
        (depth[..., None] * direction - solids.center[0]) @ solids.rotation[0] / solids.half[0], -1, 0
    )
    if kind == Kind.RECTANGLE:
        margin = 1 - np.maximum(np.abs(x), np.abs(y))
    else:
        margin = np.minimum(1 - np.hypot(x, y), np.hypot(x, y) - solids.taper[0])
    sure = (np.abs(margin) > 1e-3) & (np.abs(depth) < 50)  # not on an edge, not along the plane
    expected = (margin > 0) & (depth > 0.05)
    np.testing.assert_array_equal((seen.solid == 0)[sure], expected[sure])
    both = sure & expected
    np.testing.assert_allclose(seen.depth[both], depth[both], rtol=1e-3)


def test_the_nearer_of_two_things_hides_the_other() -> None:
    near, far = random_solid(Kind.BOX, 1), random_solid(Kind.ELLIPSOID, 2)
    fields = (np.concatenate(pair) for pair in zip(vars(near).values(), vars(far).values()))
    both = raycast(Solids(*fields), np.zeros(3), FORWARD, SMALL)
    alone = [raycast(solid, np.zeros(3), FORWARD, SMALL).depth for solid in (near, far)]
    np.testing.assert_array_equal(both.depth, np.minimum(*alone))
    shown = np.isfinite(both.depth)
    np.testing.assert_array_equal(both.solid[shown], np.argmin(alone, 0)[shown])


# --- repeatable -----------------------------------------------------------------------------------


@pytest.mark.parametrize("t_s", [0.0, 7.3])
def test_the_same_seed_and_time_give_the_same_frame(t_s: float) -> None:
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
def test_another_resolution_is_the_same_scene_through_the_same_camera(seed: int) -> None:
    fine, coarse = (SyntheticWorld(seed, size, size * 3 // 4).frame(1.0) for size in (240, 80))
    # every third pixel of the fine image, from the second on, looks along a ray of the coarse one
    same = fine.labels[1::3, 1::3] == coarse.labels
    assert same.mean() > 0.995
    np.testing.assert_allclose(
        fine.frame.depth_m[1::3, 1::3][same], coarse.frame.depth_m[same], rtol=2e-3, equal_nan=True
    )
    big, small = fine.frame.intrinsics, coarse.frame.intrinsics
    assert big is not None and small is not None
    assert big.fx == pytest.approx(3 * small.fx)
    assert big.cx + 0.5 == pytest.approx(3 * (small.cx + 0.5))


def test_a_frame_knows_its_time_and_its_camera() -> None:
    frame = SyntheticWorld(3, 64, 48).frame(1.25).frame
    assert frame.stamp_ns == 1_250_000_000
    assert frame.frame_id == "camera_optical_frame"
    assert frame.intrinsics is not None and (frame.intrinsics.width, frame.intrinsics.height) == (64, 48)


# --- the camera's way -----------------------------------------------------------------------------


def test_the_camera_moves_smoothly_and_comes_back() -> None:
    for seed in range(20):
        path = SyntheticWorld(seed, 16, 16).path
        assert 20 <= path.period_s <= 30
        poses = [path.pose(t) for t in np.arange(0, 10, 1 / 15)]
        for (before, was), (after, now) in itertools.pairwise(poses):
            assert np.linalg.norm(after - before) < 0.03
            assert math.acos(min(1.0, (was[:, 2] @ now[:, 2]).item())) < 0.04
        np.testing.assert_allclose(path.pose(path.period_s)[0], poses[0][0], atol=1e-9)


def test_the_camera_is_never_in_things_and_always_sees_some() -> None:
    for seed in range(25):
        world = SyntheticWorld(seed, 64, 48)
        for t_s in (0.0, 6.0, 13.0):
            seen = world.frame(t_s)
            assert np.nanmin(seen.frame.depth_m) > 0.4
            assert len(np.unique(seen.labels)) >= 3


# --- color does not solve it ---------------------------------------------------------------------


def test_the_best_classifier_of_single_pixels_by_color_stays_below_0_30_miou() -> None:
    bins, classes = 16, len(CLASSES) + 1

    def cells(seed: int) -> tuple[Array, Array]:
        seen = SyntheticWorld(seed, 120, 90).frame(seed % 25)
        r, g, b = np.moveaxis(seen.frame.image.astype(np.int64) * bins // 256, -1, 0)
        return ((r * bins + g) * bins + b).ravel(), seen.labels.ravel().astype(np.int64)

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


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "width", "height", "named"), [(-1, 320, 240, "seed"), (0, 8, 240, "width")])
def test_impossible_worlds_are_refused(seed: int, width: int, height: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SyntheticWorld(seed, width, height)
