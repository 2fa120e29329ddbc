"""The words of the known sets."""

import zlib

import pytest

from lseg_ros.datasets import words

COUNTS = {"ADE20K": 150, "VOC": 20, "PASCAL_CONTEXT": 59, "COCO": 80, "COCO_STUFF": 171}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_every_set_has_as_many_words_as_classes_and_none_twice(name: str, count: int) -> None:
    known = getattr(words, name)
    assert len(known) == len(set(known)) == count


@pytest.mark.parametrize(
    ("authors", "checksum"),
    [
        (words.cut(words.ADE20K), 3241849121),
        (words.joined(words.VOC), 1033196908),
        (words.joined(words.COCO), 4168917731),
    ],
    ids=["ADE20K", "PASCAL-5i", "COCO-20i"],
)
def test_shortened_they_are_those_of_the_authors_label_files_to_the_letter(
    authors: tuple[str, ...], checksum: int
) -> None:
    assert zlib.crc32(",".join(authors).encode()) == checksum


def test_the_authors_words_for_ade20k_are_cut_and_have_two_screens() -> None:
    cut = words.cut(words.ADE20K)
    assert [index for index, word in enumerate(cut) if word == "screen"] == [58, 130]
    shortened = dict(zip(words.ADE20K, cut))
    for full in ("pool table", "coffee table", "swivel chair", "traffic light", "swimming pool", "chest of drawers"):
        assert shortened[full] == full.split()[0]


def test_the_authors_words_of_the_folds_are_joined() -> None:
    assert {"diningtable", "pottedplant", "tvmonitor"} < set(words.joined(words.VOC))
    assert {"trafficlight", "firehydrant", "hairdrier", "cellphone"} < set(words.joined(words.COCO))
