"""Tests of label sets: validation, and ids, slugs and colors that stay with their labels."""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.vocabulary import MAX_ID, MAX_TEXT_LENGTH, UNLABELED, Color, Vocabulary, parse_synonyms, pick_color, slug

NAMES = st.lists(
    st.text("abcdefgh ", min_size=1).filter(str.strip), min_size=1, max_size=12, unique_by=lambda n: n.strip()
)
HOUSEHOLD = ["floor", "wall", "ceiling", "door", "window", "cabinet", "table", "chair", "lamp", "cup", "sofa", "person"]
MANY = [f"thing {number}" for number in range(MAX_ID)]


class TestOf:
    def test_assigns_the_lowest_ids_in_order(self) -> None:
        vocabulary = Vocabulary.of(["floor", " sofa | couch "])
        assert [(label.id, label.synonyms) for label in vocabulary.labels] == [(1, ("floor",)), (2, ("sofa", "couch"))]
        assert vocabulary.names == ("floor", "sofa")
        assert vocabulary.entries == ("floor", "sofa|couch")
        assert vocabulary.epoch == 1
        assert UNLABELED not in [label.id for label in vocabulary.labels]

    def test_accepts_ids_and_colors(self) -> None:
        vocabulary = Vocabulary.of(["floor", "chair"], ids=[7, 254], colors=["", "#01ff0A"])
        assert [label.id for label in vocabulary.labels] == [7, 254]
        assert vocabulary["chair"].color == (1, 255, 10)
        assert vocabulary["floor"].color == Vocabulary.of(["floor"])["floor"].color
        assert vocabulary[7].name == "floor"

    def test_uses_all_ids(self) -> None:
        assert {label.id for label in Vocabulary.of(MANY).labels} == set(range(1, MAX_ID + 1))

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            ([], "at least one label, got an empty list"),
            ("floor", "expected a list of texts"),
            (["floor", 3], r"labels\[1\]: expected a text, got 3"),
            (["floor", "  "], r"labels\[1\]: expected a word, got a blank"),
            (["sofa|"], r"labels\[0\]: expected a word, got a blank in 'sofa\|'"),
            (["floor", " FLOOR "], "got 'FLOOR' twice"),
            (["sofa|couch", "couch"], r"got 'couch' twice \(also in 'sofa\|couch'\)"),
            (["a\nb"], "printable"),
            (["a\x00"], "printable"),
            ([*MANY, "one more"], "expected at most 254, got 255"),
        ],
    )
    def test_rejects_invalid_label_lists_and_names_the_item(self, entries: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Vocabulary.of(entries)

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ([1], r"ids: expected one per label \(2\), got 1"),
            ([0, 1], "id of 'floor': expected 1 to 254, got 0"),
            ([1, 255], "id of 'chair': expected 1 to 254, got 255"),
            ([-1, 1], "id of 'floor': expected 1 to 254, got -1"),
            ([3, 3], "id of 'chair': expected an unused id, got 3, which belongs to 'floor'"),
        ],
    )
    def test_rejects_invalid_ids(self, ids: list[int], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Vocabulary.of(["floor", "chair"], ids=ids)

    @pytest.mark.parametrize("color", ["red", "#12345", "#1234567", "#gg0000", " #112233", (1, 2, 3)])
    def test_rejects_texts_that_are_not_colors(self, color: str) -> None:
        with pytest.raises(ValueError, match="color of 'chair': expected '#rrggbb' or '' for an automatic one, got"):
            Vocabulary.of(["floor", "chair"], colors=["", color])

    def test_rejects_another_number_of_colors(self) -> None:
        with pytest.raises(ValueError, match=r"colors: expected one per label \(2\), got 1"):
            Vocabulary.of(["floor", "chair"], colors=["#112233"])


class TestPrompts:
    def test_combines_every_synonym_with_every_template(self) -> None:
        vocabulary = Vocabulary.of(["sofa|couch"], prompt_templates=["{}", "a photo of a {}"])
        assert set(vocabulary.prompts(vocabulary["sofa"])) == {
            "sofa",
            "couch",
            "a photo of a sofa",
            "a photo of a couch",
        }

    @pytest.mark.parametrize("templates", [[], ["a photo"], ["{} and {}"], ["{}\n"]])
    def test_rejects_templates_without_placeholder_or_with_control_characters(self, templates: list[str]) -> None:
        with pytest.raises(ValueError, match="prompt_templates: expected"):
            Vocabulary.of(["floor"], prompt_templates=templates)


class TestChange:
    def test_replace_returns_a_new_vocabulary_with_the_next_epoch(self) -> None:
        first = Vocabulary.of(["floor", "chair"])
        second = first.replace(["chair", "person"])
        assert (first.names, first.epoch) == (("floor", "chair"), 1)
        assert (second.names, second.epoch) == (("chair", "person"), 2)
        assert [label.name for label in second.retired] == ["floor"]

    def test_labels_that_stay_or_return_keep_id_and_color(self) -> None:
        first = Vocabulary.of(["floor", "chair"], colors=["#090807", ""])
        last = first.replace(["chair"]).replace(["person"]).replace(["Floor|ground", "chair"])
        assert (last["Floor"].id, last["Floor"].color) == (first["floor"].id, (9, 8, 7))
        assert last["chair"] == first["chair"]

    def test_ids_are_never_reused(self) -> None:
        later = Vocabulary.of(["floor", "chair"]).replace(["person"])
        assert later["person"].id == 3
        with pytest.raises(ValueError, match="expected an unused id, got 1, which belongs to 'floor'"):
            later.replace(["table"], ids=[1])
        with pytest.raises(ValueError, match="expected 3, its id since it was first used, got 5"):
            later.replace(["person"], ids=[5])

    def test_reports_exhausted_ids(self) -> None:
        with pytest.raises(ValueError, match="expected at most 254 different names"):
            Vocabulary.of(MANY).replace(["something new"])

    def test_append_keeps_the_existing_labels(self) -> None:
        first = Vocabulary.of(["floor", "sofa|couch"], ids=[5, 9], prompt_templates=["a {}"])
        second = first.append(["person"], ids=[4], colors=["#010203"])
        assert second.labels[:2] == first.labels
        assert (second["person"].id, second.epoch, second.prompt_templates) == (4, 2, ("a {}",))
        assert second["person"].color == (1, 2, 3)
        with pytest.raises(ValueError, match=r"ids: expected one per label \(1\), got 2"):
            first.append(["person"], ids=[4, 6])
        with pytest.raises(ValueError, match="got 'couch' twice"):
            first.append(["couch"])
        with pytest.raises(ValueError, match="at least one label to append"):
            first.append([])

    def test_replace_can_change_a_color(self) -> None:
        first = Vocabulary.of(["floor", "chair"])
        second = first.replace(["floor", "chair"], colors=["#112233", ""])
        assert (second["floor"].color, second["chair"]) == ((0x11, 0x22, 0x33), first["chair"])

    @given(st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=6))
    def test_id_slug_and_color_belong_to_one_name_after_any_changes(
        self, history: list[tuple[list[str], bool]]
    ) -> None:
        owner: dict[int | str, str] = {}
        color: dict[str, tuple[int, ...]] = {}
        vocabulary = None
        for names, append in history:
            fresh = [name for name in names if vocabulary is None or name.strip() not in vocabulary.names]
            if vocabulary is None:
                vocabulary = Vocabulary.of(names)
            elif append and fresh:
                vocabulary = vocabulary.append(fresh)
            else:
                vocabulary = vocabulary.replace(names)
            for label in vocabulary.labels:
                assert owner.setdefault(label.id, label.name) == label.name
                assert owner.setdefault(label.slug, label.name) == label.name
                assert color.setdefault(label.name, label.color) == label.color
        assert vocabulary is not None
        assert vocabulary.epoch == len(history)


class TestParseSynonyms:
    def test_splits_an_entry_into_stripped_synonyms(self) -> None:
        assert parse_synonyms(" sofa | couch", "text") == ("sofa", "couch")

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ("", "text: expected a word, got a blank in ''"),
            ("sofa||couch", "text: expected a word, got a blank in 'sofa||couch'"),
            ("so\tfa", "text: expected printable characters, got 'so\\tfa'"),
            ("Sofa|sofa", "text: expected every text once, got 'sofa' twice (in 'Sofa|sofa')"),
        ],
    )
    def test_error_messages_start_with_the_name_of_the_entry(self, entry: str, message: str) -> None:
        with pytest.raises(ValueError) as error:
            parse_synonyms(entry, "text")
        assert str(error.value) == message


class TestSlug:
    @given(st.text())
    def test_any_text_becomes_a_valid_part_of_a_topic_name(self, name: str) -> None:
        assert re.fullmatch(r"[a-z_][a-z0-9_]*", slug(name))
        assert "__" not in slug(name)
        assert len(slug(name)) <= 80

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Dining Table", "dining_table"),
            ("3D printer", "label_3d_printer"),
            ("compressed", "label_compressed"),
            ("椅子", "label"),
        ],
    )
    def test_examples(self, name: str, expected: str) -> None:
        assert slug(name) == expected

    def test_similar_names_get_different_slugs(self) -> None:
        assert [label.slug for label in Vocabulary.of(["a b", "a-b", "a_b"]).labels] == ["a_b", "a_b_2", "a_b_3"]


class TestColors:
    def test_color_depends_only_on_the_name_without_similar_colors(self) -> None:
        assert pick_color("floor") == pick_color("Floor") == Vocabulary.of(["floor"])["floor"].color
        assert len({pick_color(name) for name in HOUSEHOLD}) == len(HOUSEHOLD)

    def test_twelve_labels_have_distinct_colors(self) -> None:
        assert smallest_distance(Vocabulary.of(HOUSEHOLD)) >= 70

    def test_254_labels_have_different_colors(self) -> None:
        assert smallest_distance(Vocabulary.of(MANY)) > 15

    def test_automatic_color_differs_from_requested_colors(self) -> None:
        automatic = Vocabulary.of(["floor"])["floor"].color
        requested = f"#{bytes(automatic).hex()}"
        for entries, colors in ((["wall", "floor"], [requested, ""]), (["floor", "wall"], ["", requested])):
            vocabulary = Vocabulary.of(entries, colors=colors)
            assert vocabulary["wall"].color == automatic
            assert color_distance(vocabulary["floor"].color, automatic) > 50

    def test_colors_of_retired_labels_are_not_reused(self) -> None:
        first = Vocabulary.of(HOUSEHOLD)
        later = first.replace([f"another {name}" for name in HOUSEHOLD])
        assert not {label.color for label in later.labels} & {label.color for label in first.labels}


def smallest_distance(vocabulary: Vocabulary) -> float:
    """Distance between the two most similar colors of a vocabulary."""
    pairs = itertools.combinations([label.color for label in vocabulary.labels], 2)
    return min(color_distance(*pair) for pair in pairs)


def color_distance(one: Color, other: Color) -> float:
    """Euclidean distance in RGB."""
    return sum((a - b) ** 2 for a, b in zip(one, other)) ** 0.5


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


class TestTextRules:
    def test_composed_and_decomposed_letters_are_the_same_label(self) -> None:
        assert Vocabulary.of([DECOMPOSED]).names == (COMPOSED,)
        assert Vocabulary.of([COMPOSED])[DECOMPOSED].id == 1
        for entries in ([COMPOSED, DECOMPOSED], [f"{COMPOSED}|{DECOMPOSED}"], ["bar|" + COMPOSED, DECOMPOSED]):
            with pytest.raises(ValueError, match="expected every text once"):
                Vocabulary.of(entries)
        first = Vocabulary.of(["floor", COMPOSED], colors=["", "#010203"])
        again = first.replace(["floor"]).replace([DECOMPOSED])
        assert again[COMPOSED] == first[COMPOSED]

    @given(st.text(max_size=20))
    def test_texts_are_normalized_or_rejected(self, text: str) -> None:
        try:
            synonyms = parse_synonyms(text, "text")
        except ValueError as error:
            assert str(error).startswith("text: expected ")
        else:
            assert all(unicodedata.is_normalized("NFC", synonym) and synonym.isprintable() for synonym in synonyms)

    @pytest.mark.parametrize("separator", "\u2028\u2029\x85\x0b\x0c\x1c\n\r")
    def test_rejects_line_separators(self, separator: str) -> None:
        with pytest.raises(ValueError, match="expected printable characters"):
            Vocabulary.of([f"cha{separator}ir"])

    def test_limits_the_length_of_a_label_and_shortens_it_in_the_message(self) -> None:
        assert Vocabulary.of(["x" * MAX_TEXT_LENGTH])
        with pytest.raises(ValueError, match=r"labels\[0\]: expected at most 1000 characters, got 1000000") as caught:
            Vocabulary.of(["x" * 1_000_000])
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize("word", [True, float("nan"), 12])
    def test_asks_for_quotes_around_words_that_yaml_reads_as_other_types(self, word: Any) -> None:
        with pytest.raises(ValueError, match=r"labels\[1\]: expected a text, got .*put them in quotes"):
            Vocabulary.of(["floor", word])
