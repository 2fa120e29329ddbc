"""Class names of the known data sets, and label list files."""

import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lseg_ros.datasets import labels
from lseg_ros.datasets.labels import read_label_list, read_words
from test.support.dataset_trees import write_text

WORDS = st.from_regex(r"[a-zé][a-zé |]{0,8}[a-zé]", fullmatch=True)
COUNTS = {"ADE20K": 150, "VOC": 20, "PASCAL_CONTEXT": 59, "COCO": 80, "COCO_STUFF": 171}


def test_plain_lines_count_from_0(tmp_path: Path) -> None:
    file = write_text(tmp_path / "labels.txt", "# things", "floor", "", " sofa|couch ")
    assert read_label_list(file) == {0: "floor", 1: "sofa|couch"}


def test_numbered_lines_bring_their_ids_and_an_empty_word_is_not_counted(tmp_path: Path) -> None:
    file = write_text(tmp_path / "labels.txt", "0:", "7: traffic light", "12:car")
    assert read_label_list(file) == {0: "", 7: "traffic light", 12: "car"}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(0, 65535), WORDS, min_size=1))
def test_what_was_written_is_read(tmp_path: Path, entries: dict[int, str]) -> None:
    (tmp_path / "labels.txt").write_text("".join(f"{key}: {word}\r\n" for key, word in entries.items()), "utf-8-sig")
    assert read_label_list(tmp_path / "labels.txt") == entries


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "expected one word per line, got none"),
        (["# only a comment"], "expected one word per line, got none"),
        (["1: car", "bus"], "expected 'id: word' in every line or in none, got 'bus'"),
        (["1: car", "1: bus"], "expected every id once, got 1 for 'car' and 'bus'"),
        (["65536: car"], "expected ids from 0 to 65535, got 65536"),
        (["0:", "1:"], "expected at least one word, got only ids"),
    ],
)
def test_a_list_that_cannot_be_meant_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    write_text(tmp_path / "labels.txt", *lines)
    with pytest.raises(ValueError, match=rf"labels\.txt: {message}"):
        read_label_list(tmp_path / "labels.txt")


def test_a_list_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"labels\.txt: expected a text file, it is not there"):
        read_label_list(tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"labels\.txt: expected text in UTF-8"):
        read_label_list(tmp_path / "labels.txt")


def test_a_known_set_wants_a_word_for_each_class(tmp_path: Path) -> None:
    file = write_text(tmp_path / "labels.txt", "1: b", "0: a")
    assert read_words(file, 2) == ("a", "b")
    with pytest.raises(ValueError, match=r"labels\.txt: expected 3 words, one for each class of the data set, got 2"):
        read_words(file, 3)


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_every_set_has_as_many_words_as_classes_and_none_twice(name: str, count: int) -> None:
    known = getattr(labels, name)
    assert len(known) == len(set(known)) == count


@pytest.mark.parametrize(
    ("authors", "checksum"),
    [
        (labels.first_words(labels.ADE20K), 3241849121),
        (labels.join_words(labels.VOC), 1033196908),
        (labels.join_words(labels.COCO), 4168917731),
    ],
    ids=["ADE20K", "PASCAL-5i", "COCO-20i"],
)
def test_shortened_they_are_those_of_the_authors_label_files_to_the_letter(
    authors: tuple[str, ...], checksum: int
) -> None:
    assert zlib.crc32(",".join(authors).encode()) == checksum


def test_the_authors_words_for_ade20k_are_cut_and_have_two_screens() -> None:
    cut = labels.first_words(labels.ADE20K)
    assert [index for index, word in enumerate(cut) if word == "screen"] == [58, 130]
    shortened = dict(zip(labels.ADE20K, cut))
    for full in ("pool table", "coffee table", "swivel chair", "traffic light", "swimming pool", "chest of drawers"):
        assert shortened[full] == full.split()[0]


def test_the_authors_words_of_the_folds_are_joined() -> None:
    assert {"diningtable", "pottedplant", "tvmonitor"} < set(labels.join_words(labels.VOC))
    assert {"trafficlight", "firehydrant", "hairdrier", "cellphone"} < set(labels.join_words(labels.COCO))
