"""Colors of labels: from the name, and far from all others."""

from __future__ import annotations

import itertools

from lseg_ros.colors import Color, pick_color
from lseg_ros.vocabulary import MAX_ID, Vocabulary

HOUSEHOLD = ["floor", "wall", "ceiling", "door", "window", "cabinet", "table", "chair", "lamp", "cup", "sofa", "person"]


def nearest(vocabulary: Vocabulary) -> float:
    """How far the two colors are apart that are most alike, Euclidean in RGB."""
    pairs = itertools.combinations([label.color for label in vocabulary.labels], 2)
    return min(apart(*pair) for pair in pairs)


def apart(one: Color, other: Color) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other)) ** 0.5


def test_a_color_follows_from_the_name_alone_where_no_other_is_near() -> None:
    assert pick_color("floor") == pick_color("Floor") == Vocabulary.of(["floor"])["floor"].color
    assert len({pick_color(name) for name in HOUSEHOLD}) == len(HOUSEHOLD)


def test_a_dozen_labels_are_far_apart() -> None:
    assert nearest(Vocabulary.of(HOUSEHOLD)) >= 70


def test_of_254_labels_no_two_look_the_same() -> None:
    assert nearest(Vocabulary.of([f"thing {number}" for number in range(MAX_ID)])) > 15


def test_an_automatic_color_stays_clear_of_those_that_were_asked_for() -> None:
    plain = Vocabulary.of(["floor"])["floor"].color
    wanted = f"#{bytes(plain).hex()}"
    for entries, colors in ((["wall", "floor"], [wanted, ""]), (["floor", "wall"], ["", wanted])):
        vocabulary = Vocabulary.of(entries, colors=colors)
        assert vocabulary["wall"].color == plain
        assert apart(vocabulary["floor"].color, plain) > 50


def test_colors_that_were_retired_are_not_given_to_others() -> None:
    first = Vocabulary.of(HOUSEHOLD)
    later = first.replace([f"another {name}" for name in HOUSEHOLD])
    assert not {label.color for label in later.labels} & {label.color for label in first.labels}
