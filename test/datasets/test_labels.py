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


def test_ids_of_plain_lines_count_from_0(tmp_path: Path) -> None:
    file = write_text(tmp_path / "labels.txt", "# things", "floor", "", " sofa|couch ")
    assert read_label_list(file) == {0: "floor", 1: "sofa|couch"}


def test_reads_numbered_lines_and_empty_labels(tmp_path: Path) -> None:
    file = write_text(tmp_path / "labels.txt", "0:", "7: traffic light", "12:car")
    assert read_label_list(file) == {0: "", 7: "traffic light", 12: "car"}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(0, 65535), WORDS, min_size=1))
def test_reads_any_valid_list(tmp_path: Path, entries: dict[int, str]) -> None:
    (tmp_path / "labels.txt").write_text("".join(f"{key}: {word}\r\n" for key, word in entries.items()), "utf-8-sig")
    assert read_label_list(tmp_path / "labels.txt") == entries


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "expected one label per line, got none"),
        (["# only a comment"], "expected one label per line, got none"),
        (["1: car", "bus"], "expected 'id: label' in every line or in none, got 'bus'"),
        (["1: car", "1: bus"], "expected every id once, got 1 for 'car' and 'bus'"),
        (["65536: car"], "expected ids from 0 to 65535, got 65536"),
        (["0:", "1:"], "expected at least one label, got only ids"),
    ],
)
def test_rejects_invalid_lists(tmp_path: Path, lines: list[str], message: str) -> None:
    write_text(tmp_path / "labels.txt", *lines)
    with pytest.raises(ValueError, match=rf"labels\.txt: {message}"):
        read_label_list(tmp_path / "labels.txt")


def test_reports_missing_files_and_files_that_are_not_text(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"labels\.txt: expected a text file, but it does not exist"):
        read_label_list(tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"labels\.txt: expected text in UTF-8"):
        read_label_list(tmp_path / "labels.txt")


def test_known_data_sets_need_one_label_per_class(tmp_path: Path) -> None:
    file = write_text(tmp_path / "labels.txt", "1: b", "0: a")
    assert read_words(file, 2) == ("a", "b")
    with pytest.raises(ValueError, match=r"labels\.txt: expected 3 labels, one for each class of the data set, got 2"):
        read_words(file, 3)


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_every_data_set_has_a_different_name_for_each_class(name: str, count: int) -> None:
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
def test_abbreviated_names_equal_the_label_files_of_the_authors(authors: tuple[str, ...], checksum: int) -> None:
    assert zlib.crc32(",".join(authors).encode()) == checksum


def test_abbreviated_names_of_ade20k_contain_screen_twice() -> None:
    cut = labels.first_words(labels.ADE20K)
    assert [index for index, word in enumerate(cut) if word == "screen"] == [58, 130]
    shortened = dict(zip(labels.ADE20K, cut))
    for full in ("pool table", "coffee table", "swivel chair", "traffic light", "swimming pool", "chest of drawers"):
        assert shortened[full] == full.split()[0]


def test_names_of_the_zero_shot_folds_have_no_spaces() -> None:
    assert {"diningtable", "pottedplant", "tvmonitor"} < set(labels.join_words(labels.VOC))
    assert {"trafficlight", "firehydrant", "hairdrier", "cellphone"} < set(labels.join_words(labels.COCO))


@pytest.mark.parametrize("separator", "\u2028\u2029\x85\x0b\x0c\x1c")
def test_only_line_feeds_and_carriage_returns_end_a_line(tmp_path: Path, separator: str) -> None:
    path = write_text(tmp_path / "labels.txt", f"background\ntable{separator}top\nchair\n")
    with pytest.raises(ValueError, match=rf"labels\.txt: expected printable characters, got U\+{ord(separator):04X}"):
        read_label_list(path)
    assert read_label_list(write_text(path, "wall\r\nfloor\rchair")) == {0: "wall", 1: "floor", 2: "chair"}


def test_normalizes_composed_and_decomposed_letters(tmp_path: Path) -> None:
    path = write_text(tmp_path / "labels.txt", "cafe\u0301\n")
    assert read_label_list(path) == {0: "caf\u00e9"}


def test_rejects_a_label_of_a_megabyte(tmp_path: Path) -> None:
    path = write_text(tmp_path / "labels.txt", "x" * 1_000_000)
    with pytest.raises(ValueError, match=r"labels\.txt: expected at most 1000 characters per line, got 1000000"):
        read_label_list(path)


def test_rejects_a_list_of_more_than_a_megabyte_before_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "labels.txt").open("wb") as file:
        file.truncate(1 << 40)  # sparse: reading it would take all memory
    with pytest.raises(ValueError, match=r"labels\.txt: expected at most 1048576 bytes, got 1099511627776"):
        read_label_list(tmp_path / "labels.txt")
