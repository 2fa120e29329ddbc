"""Words and classes that test language on the synthetic world.

Training must not use them, so that the tests measure generalization.
"""

from __future__ import annotations

__all__ = ["COLORED", "FOLDS", "GENERAL", "SYNONYMS", "UNSEEN"]

SYNONYMS: tuple[tuple[str, str], ...] = (
    # in the same synset of WordNet 3.0
    ("sofa", "couch"), ("car", "automobile"), ("car", "auto"), ("car", "motorcar"), ("bicycle", "bike"),
    ("bicycle", "cycle"), ("bus", "coach"), ("bus", "motorcoach"), ("bus", "omnibus"), ("television", "tv"),
    ("television", "television set"), ("television", "telly"), ("rug", "carpet"), ("rug", "carpeting"),
    ("person", "individual"), ("person", "somebody"), ("floor", "flooring"), ("road", "route"), ("fence", "fencing"),
    ("barrel", "cask"), ("street lamp", "streetlight"), ("truck", "motortruck"), ("dog", "domestic dog"),
    # close in WordNet: a hyponym, or another common name
    ("table", "desk"), ("chair", "armchair"), ("shelf", "bookshelf"), ("cabinet", "cupboard"), ("bench", "park bench"),
    ("lamp", "floor lamp"), ("potted plant", "houseplant"), ("box", "carton"), ("cup", "mug"), ("bottle", "flask"),
    ("ladder", "stepladder"), ("dog", "puppy"), ("cat", "kitty"), ("horse", "pony"), ("person", "man"),
    ("truck", "lorry"), ("house", "cottage"), ("grass", "lawn"), ("road", "street"), ("bed", "cot"),
)  # fmt: skip
"""Pairs of a class and another word for it, which training never uses."""

COLORED: tuple[str, ...] = (
    "table", "chair", "sofa", "bed", "shelf", "cabinet", "lamp", "bench", "potted plant", "box", "ball", "bottle",
    "cup", "ladder", "barrel", "person", "house", "street lamp", "traffic cone", "car", "truck", "bus", "bicycle",
)  # fmt: skip
"""Classes whose color people would name. Each object of these classes has one of ``COLORS``."""

UNSEEN: tuple[tuple[str, str], ...] = (
    ("ball", "red"), ("ball", "purple"), ("car", "blue"), ("car", "pink"), ("chair", "green"), ("chair", "white"),
    ("sofa", "red"), ("bed", "yellow"), ("cup", "orange"), ("bottle", "black"), ("box", "blue"), ("bus", "green"),
    ("truck", "yellow"), ("barrel", "pink"), ("person", "orange"), ("person", "white"), ("traffic cone", "purple"),
    ("bicycle", "red"), ("lamp", "gray"), ("bench", "blue"), ("potted plant", "black"), ("ladder", "pink"),
)  # fmt: skip
"""Combinations of class and color that training ignores. Each class and each color occurs in other combinations."""

FOLDS: tuple[tuple[str, ...], ...] = (
    ("door", "table", "lamp", "box", "person", "house", "car", "dog"),
    ("window", "chair", "bench", "ball", "cat", "tree", "truck", "cup"),
    ("sofa", "shelf", "potted plant", "bottle", "horse", "fence", "bus", "ladder"),
    ("bed", "cabinet", "television", "barrel", "bird", "street lamp", "bicycle", "traffic cone"),
)
"""Zero-shot folds like those of PASCAL-5i: 32 classes of objects, each in one fold."""

GENERAL: dict[str, tuple[str, ...]] = {
    "furniture": ("table", "chair", "sofa", "bed", "shelf", "cabinet", "bench"),
    "vehicle": ("car", "truck", "bus", "bicycle"),
    "animal": ("dog", "cat", "horse", "bird"),
    "furry": ("dog", "cat"),
}
"""General words and the classes that each covers. It is tested together with the names of all other classes."""
