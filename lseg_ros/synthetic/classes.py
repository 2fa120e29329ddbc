"""The classes and color names of the synthetic world."""

from __future__ import annotations

__all__ = ["BACKGROUND", "CLASSES", "COLORS", "class_id"]

CLASSES: tuple[str, ...] = (
    # parts of a room
    "wall", "floor", "ceiling", "door", "window",
    # furniture
    "table", "chair", "sofa", "bed", "shelf", "cabinet", "lamp", "rug", "bench",
    # objects
    "potted plant", "television", "box", "ball", "bottle", "cup", "hammer", "ladder", "barrel",
    # people and animals
    "person", "dog", "cat", "horse", "bird",
    # outdoors
    "grass", "road", "sky", "tree", "house", "fence", "street lamp", "traffic cone",
    # vehicles
    "car", "truck", "bus", "bicycle",
)  # fmt: skip
"""Class names. The label id of a class is its index + 1."""

BACKGROUND = frozenset({"wall", "floor", "ceiling", "grass", "road", "sky"})
"""Classes that are not objects. Their pixels have instance 0 and no color name."""

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
"""Color names and their mean sRGB values, from which all man-made objects are painted."""


def class_id(name: str) -> int:
    """Return the label id of a class.

    Raises:
        ValueError: The class does not exist.
    """
    if name not in CLASSES:
        raise ValueError(f"class: expected one of {', '.join(CLASSES)}, got {name!r}")
    return CLASSES.index(name) + 1
