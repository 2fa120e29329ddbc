"""The kinds of places, and what is typical of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lseg_ros.synthetic import belongings, creatures, furniture, outdoors, vehicles
from lseg_ros.synthetic.camera import CameraPath
from lseg_ros.synthetic.materials import Texture, rgb_paint
from lseg_ros.synthetic.site import Site, WeightedFactories, pick
from lseg_ros.synthetic.things import Thing

__all__ = ["Place", "random_place"]

Rng = np.random.Generator
f, b, c, v, o = furniture, belongings, creatures, vehicles, outdoors

# Per kind of room: factories of the things along the walls, and of the things in the room.
_ROOMS: dict[str, tuple[WeightedFactories, WeightedFactories]] = {
    "living room": (
        ((f.sofa, 3), (f.shelf, 2), (f.cabinet, 2), (o.door, 1.5), (b.potted_plant, 1), (f.lamp, 1.5), (o.window, 1)),
        ((f.table, 1.5), (f.chair, 1), (f.rug, 2), (c.cat, 2), (c.dog, 2), (b.ball, 1.5), (c.person, 2), (f.lamp, 1)),
    ),
    "bedroom": (
        ((f.bed, 8), (f.cabinet, 1.5), (o.door, 1.5), (f.lamp, 1.5), (o.window, 1), (f.shelf, 1)),
        ((f.rug, 3), (c.cat, 2), (b.box, 1.5), (b.ball, 1.5), (f.chair, 1), (c.person, 1.5), (f.lamp, 1)),
    ),
    "kitchen": (
        ((f.cabinet, 5), (f.sofa, 0.6), (o.door, 1.5), (o.window, 1), (f.shelf, 1.5), (f.table, 1)),
        ((f.table, 3), (f.chair, 1), (c.person, 2), (c.dog, 1.5), (c.cat, 1), (b.box, 1), (b.bottle, 0.5)),
    ),
    "office": (
        ((f.shelf, 3), (f.table, 2), (f.cabinet, 2), (o.door, 1.5), (f.sofa, 1.2), (b.potted_plant, 1.5)),
        ((f.table, 3), (f.chair, 2), (f.rug, 1.2), (c.person, 2), (b.potted_plant, 1.5), (b.box, 2), (f.lamp, 1)),
    ),
    "workshop": (
        ((f.table, 3), (f.shelf, 3), (b.ladder, 3), (o.door, 1.5), (b.barrel, 2), (o.window, 1), (v.bicycle, 2)),
        ((f.table, 2), (b.barrel, 2), (b.ladder, 2), (b.box, 2), (c.person, 1.5), (b.hammer, 2), (v.bicycle, 2)),
    ),
}
_OUTDOOR: dict[str, WeightedFactories] = {
    "yard": (
        (f.bench, 2), (f.table, 2), (f.chair, 1), (o.tree, 2), (b.barrel, 2), (b.ladder, 2.5), (b.ball, 2), (c.dog, 2),
        (c.cat, 1.5), (c.bird, 2.5), (c.person, 1.5), (b.potted_plant, 1), (v.bicycle, 2), (c.horse, 2), (b.hammer, 1),
    ),
    "street": (
        (c.person, 2.5), (o.street_lamp, 3), (o.traffic_cone, 3), (v.bicycle, 3), (f.bench, 2), (o.tree, 1.5),
        (c.dog, 1), (b.barrel, 1), (c.bird, 1),
    ),
    "park": (
        (f.bench, 3), (o.tree, 3), (c.person, 2), (c.dog, 2), (c.bird, 3), (v.bicycle, 2.5), (b.ball, 2),
        (o.street_lamp, 2), (c.horse, 3),
    ),
    "car park": (
        (o.traffic_cone, 4), (o.street_lamp, 3), (c.person, 2), (b.barrel, 2), (v.bicycle, 1.5), (b.box, 1.5),
        (c.bird, 1),
    ),
}  # fmt: skip
_VEHICLES: WeightedFactories = ((v.car, 3.6), (v.truck, 2.2), (v.bus, 2.4))
_ANYWHERE: WeightedFactories = (
    (b.barrel, 1), (b.ladder, 1), (v.bicycle, 1), (o.traffic_cone, 1.5), (c.bird, 1.5), (c.horse, 1.5), (b.hammer, 1),
    (f.chair, 1), (b.television, 1.2), (b.ball, 1), (b.potted_plant, 1), (f.bench, 1.5), (c.dog, 1), (c.cat, 1),
    (b.box, 1), (b.bottle, 0.6), (b.cup, 0.6), (f.sofa, 1.2), (f.lamp, 0.6), (f.rug, 0.6),
)  # fmt: skip


_NEAREST = {
    "tree": 2.6,
    "horse": 1.8,
    "street lamp": 1.8,
}  # minimum distance in meters of large things


@dataclass(frozen=True, eq=False)
class Place:
    """A place with its things and its camera.

    Attributes:
        kind: Kind of the place.
        things: The placed things.
        path: Path of the camera.
        focal: Focal length in image widths.
        bounds: Left, right, front and back in meters.
        ceiling: Height of the ceiling in meters, 0 outdoors.
    """

    kind: str
    things: list[Thing]
    path: CameraPath
    focal: float
    bounds: tuple[float, float, float, float]
    ceiling: float


def random_place(rng: Rng) -> Place:
    """Draw a place."""
    kinds = (*_ROOMS, *_OUTDOOR)
    kind = kinds[int(rng.choice(len(kinds), p=[0.14, 0.14, 0.1, 0.1, 0.1, 0.11, 0.12, 0.11, 0.08]))]
    return _room(rng, kind) if kind in _ROOMS else _outdoor_place(rng, kind)


def _path(rng: Rng, sway: float, low: float, high: float) -> CameraPath:
    return CameraPath(
        middle=(0.0, 0.0, float(rng.uniform(low, high))),
        sway=sway,
        heading=float(rng.uniform(-0.15, 0.15)),
        pan=float(rng.uniform(0.5, 0.85)),
        pitch=float(rng.uniform(-0.2, 0.02)),
        nod=float(rng.uniform(0.02, 0.1)),
        period_s=float(rng.uniform(20.0, 30.0)),
        phase=float(rng.uniform(0, 2 * math.pi)),
    )


def _room(rng: Rng, kind: str) -> Place:
    walls, floor = _ROOMS[kind]
    left, right = -rng.uniform(2.3, 3.4), rng.uniform(2.3, 3.4)
    front, back, high = -rng.uniform(0.9, 1.4), rng.uniform(3.4, 5.4), rng.uniform(2.25, 2.7)
    bounds = (float(left), float(right), float(front), float(back))
    site = Site(rng, bounds, 1.1)
    site.things += outdoors.room_shell(rng, *bounds, float(high))
    for wall in ("back", "left", "right"):
        site.fill_wall(wall, walls, 0.6)
    _scatter_things(site, floor, int(rng.integers(4, 8)), 3.6, 0.95)
    _scatter_things(site, _ANYWHERE, int(rng.integers(1, 3)), 3.0, 0.85)
    site.add_tabletop_things(0.85)
    return Place(kind, site.things, _path(rng, 0.35, 0.5, 1.6), float(rng.uniform(0.68, 0.85)), bounds, float(high))


def _scatter_things(site: Site, factories: WeightedFactories, count: int, far: float, spread: float) -> None:
    """Place random things in front of the camera, at most three of a class."""
    for _ in range(count):
        thing = pick(site.rng, factories)(site.rng)
        if sum(other.name == thing.name for other in site.things) >= 3:
            continue
        if thing.name == "rug" and site.back < 7:
            site.put(thing, site.rng.uniform(-1, 1), site.rng.uniform(1.6, 2.8), site.rng.normal(0, 0.3), radius=0.0)
        elif thing.name in ("cup", "bottle", "hammer"):
            site.scatter(thing, 1.0, 1.9, spread)
        elif site.scatter(thing, _NEAREST.get(thing.name, 1.1), far, spread) and thing.name == "table":
            site.add_chairs(thing)


def _outdoor_place(rng: Rng, kind: str) -> Place:
    bounds = (-13.0, 13.0, -6.0, 17.0)
    site = Site(rng, bounds, 1.3)
    base = "road" if kind == "car park" else "grass"
    site.things.append(outdoors.ground(rng, base, -70, 70, -40, 100, 0.0))
    {"yard": _yard, "street": _street, "park": _park, "car park": _car_park}[kind](site)
    _scatter_things(site, _OUTDOOR[kind], int(rng.integers(8, 13)), 6.0, 1.0)
    _scatter_things(site, _ANYWHERE, int(rng.integers(1, 4)), 3.5, 0.9)
    site.add_tabletop_things(0.85)
    return Place(kind, site.things, _path(rng, 0.5, 0.5, 1.7), float(rng.uniform(0.68, 0.85)), bounds, 0.0)


def _put_house(site: Site, x: float, y: float, yaw: float) -> None:
    """Place a house with a door and windows in its front wall."""
    rng = site.rng
    thing, wide, deep = outdoors.house(rng)
    site.put(thing, x, y + deep / 2, yaw, radius=0.0)
    for share in (-0.3, 0.0, 0.3):
        site.occupy(x + wide * share, y + deep / 2, deep / 2 + 0.2)
    places = int(wide / 1.6)
    entrance = int(rng.integers(places))
    glass = rgb_paint(tuple(np.array([96, 120, 146]) * rng.uniform(0.5, 1.5)), Texture.NOISE, 0.8)
    for i in range(places):
        dx, dy = -wide / 2 + wide * (i + 0.5) / places, -deep / 2 - 0.02
        at = (x + math.cos(yaw) * dx - math.sin(yaw) * dy, y + deep / 2 + math.sin(yaw) * dx + math.cos(yaw) * dy)
        if i == entrance:
            site.things.append(outdoors.door(rng).place_at(*at, 0.0, yaw))
        elif rng.random() < 0.85:
            site.things.append(outdoors.window(rng, float(rng.uniform(0.9, 1.2)), glass).place_at(*at, 0.95, yaw))


def _fence_row(site: Site, y: float, gap: float) -> None:
    """Place a row of equal fences across the view, with gaps."""
    seed, x = int(site.rng.integers(2**31)), -11.0
    while x < 11.0:
        thing = outdoors.fence(np.random.Generator(np.random.PCG64(seed)))
        if site.rng.random() > gap and site.is_free(x + thing.reach, y, 0.3):
            site.put(thing, x + thing.reach, y, 0.0, radius=0.3)
        x += 2 * thing.reach + 0.02


def _yard(site: Site) -> None:
    rng = site.rng
    _put_house(site, rng.uniform(-4, 4), rng.uniform(5.5, 8), 0.0)
    _fence_row(site, rng.uniform(4.5, 9), 0.15)
    if rng.random() < 0.5:
        x = rng.uniform(-4, 2)
        site.things.append(outdoors.ground(rng, "road", x, x + rng.uniform(1, 2.5), -30, 6, 0.01))
    if rng.random() < 0.4:
        site.scatter(pick(rng, _VEHICLES)(rng), 2.5, 5.0, 1.0, rng.normal(0, 0.4))


def _street(site: Site) -> None:
    rng = site.rng
    near = rng.uniform(2.2, 3.4)
    site.things.append(outdoors.ground(rng, "road", -70, 70, near, near + 4.2, 0.01))
    for lane in (1.1, 3.1):
        x = rng.uniform(-7, -4)
        while x < 7:
            vehicle = pick(rng, _VEHICLES)(rng)
            if rng.random() < 0.55:
                yaw = (0.0 if lane < 2 else math.pi) + rng.normal(0, 0.03)
                site.put(vehicle, x + vehicle.reach, near + lane, yaw, radius=1.1)
            x += 2 * vehicle.reach + rng.uniform(0.6, 3.0)
    for x in (-7.5, 0.5, 8.0):
        if rng.random() < 0.75:
            _put_house(site, x + rng.uniform(-0.5, 0.5), near + rng.uniform(6.5, 8), 0.0)
    if rng.random() < 0.5:
        _fence_row(site, near + 5.4, 0.3)


def _park(site: Site) -> None:
    rng = site.rng
    if rng.random() < 0.7:
        y = rng.uniform(2.0, 4.0)
        site.things.append(outdoors.ground(rng, "road", -70, 70, y, y + rng.uniform(1.5, 2.5), 0.01))
    for _ in range(int(rng.integers(2, 6))):
        site.scatter(outdoors.tree(rng), 4.0, 11.0, 1.1)
    if rng.random() < 0.5:
        _fence_row(site, rng.uniform(7, 11), 0.2)
    if rng.random() < 0.4:
        _put_house(site, rng.uniform(-7, 7), rng.uniform(10, 12), 0.0)


def _car_park(site: Site) -> None:
    rng = site.rng
    y = rng.uniform(7.5, 10)
    site.things.append(outdoors.ground(rng, "grass", -70, 70, y, 100, 0.01))
    for _ in range(int(rng.integers(3, 6))):
        site.scatter(
            pick(rng, _VEHICLES)(rng), 2.0, 6.0, 1.1, float(rng.uniform(-0.6, 0.6) + (rng.random() < 0.5) * 3.14)
        )
    _fence_row(site, y + 0.4, 0.2)
    if rng.random() < 0.6:
        _put_house(site, rng.uniform(-7, 7), y + 2.5, 0.0)
    for _ in range(2):
        site.scatter(outdoors.tree(rng), 6.0, 11.0, 1.1)
