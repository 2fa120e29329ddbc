"""What there is in the synthetic world, and what it may be colored like."""

from __future__ import annotations

__all__ = ["BACKGROUND", "CLASSES", "COLORS", "class_id"]

CLASSES: tuple[str, ...] = (
    # the shell of a room
    "wall", "floor", "ceiling", "door", "window",
    # furniture
    "table", "chair", "sofa", "bed", "shelf", "cabinet", "lamp", "rug", "bench",
    # things
    "potted plant", "television", "box", "ball", "bottle", "cup", "hammer", "ladder", "barrel",
    # living
    "person", "dog", "cat", "horse", "bird",
    # outdoors
    "grass", "road", "sky", "tree", "house", "fence", "street lamp", "traffic cone",
    # vehicles
    "car", "truck", "bus", "bicycle",
)  # fmt: skip
"""Class names; a name's exact label id is its index + 1, and 0 is nothing."""

BACKGROUND = frozenset({"wall", "floor", "ceiling", "grass", "road", "sky"})
"""Classes that are surroundings and not things: their pixels have instance 0 and no color."""

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (196, 42, 40),
    "green": (52, 138, 60),
    "blue": (44, 82, 184),
    "yellow": (232, 200, 52),
    "orange": (230, 126, 38),
    "purple": (122, 58, 158),
    "pink": (232, 144, 176),
    "brown": (116, 76, 46),
    "black": (38, 38, 42),
    "white": (236, 234, 228),
    "gray": (134, 134, 136),
}
"""Color adjectives and the sRGB centers they stand for: one palette for all made things."""


def class_id(name: str) -> int:
    """The exact label id of a class name; ValueError where there is no such class."""
    if name not in CLASSES:
        raise ValueError(f"class: expected one of {', '.join(CLASSES)}, got {name!r}")
    return CLASSES.index(name) + 1
