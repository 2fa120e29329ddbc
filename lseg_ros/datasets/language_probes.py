"""What the synthetic world is asked beside its own words, and what is kept out of training so that asking means much.

The first part of ``demo``'s training (docs/demo-model.md) is older than these lists and was asked with the classes' own
words alone; whatever was trained since was trained after them.
"""

from __future__ import annotations

__all__ = ["COLORED", "FOLDS", "GENERAL", "SYNONYMS", "UNSEEN"]

SYNONYMS: tuple[tuple[str, str], ...] = (
    # the same synset of WordNet 3.0 ...
    ("sofa", "couch"), ("car", "automobile"), ("car", "auto"), ("car", "motorcar"), ("bicycle", "bike"),
    ("bicycle", "cycle"), ("bus", "coach"), ("bus", "motorcoach"), ("bus", "omnibus"), ("television", "tv"),
    ("television", "television set"), ("television", "telly"), ("rug", "carpet"), ("rug", "carpeting"),
    ("person", "individual"), ("person", "somebody"), ("floor", "flooring"), ("road", "route"), ("fence", "fencing"),
    ("barrel", "cask"), ("street lamp", "streetlight"), ("truck", "motortruck"), ("dog", "domestic dog"),
    # ... or near it there: a kind of it, or what people also call such a thing
    ("table", "desk"), ("chair", "armchair"), ("shelf", "bookshelf"), ("cabinet", "cupboard"), ("bench", "park bench"),
    ("lamp", "floor lamp"), ("potted plant", "houseplant"), ("box", "carton"), ("cup", "mug"), ("bottle", "flask"),
    ("ladder", "stepladder"), ("dog", "puppy"), ("cat", "kitty"), ("horse", "pony"), ("person", "man"),
    ("truck", "lorry"), ("house", "cottage"), ("grass", "lawn"), ("road", "street"), ("bed", "cot"),
)  # fmt: skip
"""(class, another word for it that training never uses)."""

COLORED: tuple[str, ...] = (
    "table", "chair", "sofa", "bed", "shelf", "cabinet", "lamp", "bench", "potted plant", "box", "ball", "bottle",
    "cup", "ladder", "barrel", "person", "house", "street lamp", "traffic cone", "car", "truck", "bus", "bicycle",
)  # fmt: skip
"""Classes of which people would name the color; what they are in the world has one of ``COLORS`` each."""

UNSEEN: tuple[tuple[str, str], ...] = (
    ("ball", "red"), ("ball", "purple"), ("car", "blue"), ("car", "pink"), ("chair", "green"), ("chair", "white"),
    ("sofa", "red"), ("bed", "yellow"), ("cup", "orange"), ("bottle", "black"), ("box", "blue"), ("bus", "green"),
    ("truck", "yellow"), ("barrel", "pink"), ("person", "orange"), ("person", "white"), ("traffic cone", "purple"),
    ("bicycle", "red"), ("lamp", "gray"), ("bench", "blue"), ("potted plant", "black"), ("ladder", "pink"),
)  # fmt: skip
"""(class, color) of things of which no pixel counts in training; each color and each class does, in other company."""

FOLDS: tuple[tuple[str, ...], ...] = (
    ("door", "table", "lamp", "box", "person", "house", "car", "dog"),
    ("window", "chair", "bench", "ball", "cat", "tree", "truck", "cup"),
    ("sofa", "shelf", "potted plant", "bottle", "horse", "fence", "bus", "ladder"),
    ("bed", "cabinet", "television", "barrel", "bird", "street lamp", "bicycle", "traffic cone"),
)
"""Zero-shot folds in the manner of PASCAL-5i: 32 classes of things, each in one fold."""

GENERAL: dict[str, tuple[str, ...]] = {
    "furniture": ("table", "chair", "sofa", "bed", "shelf", "cabinet", "bench"),
    "vehicle": ("car", "truck", "bus", "bicycle"),
    "animal": ("dog", "cat", "horse", "bird"),
    "furry": ("dog", "cat"),
}
"""A general word, and the classes that it covers; it is asked beside the names of all other classes."""
