"""``lseg words``: write a page and its pictures."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lseg_ros.cli import main
from lseg_ros.cli.words import WordsSettings
from lseg_ros.recordings import read_rgb
from test.support.dataset_trees import write_photo


def test_writes_a_page_with_a_picture_for_each_label_list(tmp_path: Path) -> None:
    page = tmp_path / "deep" / "page.md"
    label_lists = ["animals: dog, cat, else", "things: sofa|couch, else"]
    assert main(["words", "--vocabularies", *label_lists, "--out", str(page)]) == 0
    text = page.read_text()
    pictures = re.findall(r"!\[(.*)\]\((.*)\)", text)
    assert [title for title, _ in pictures] == ["animals", "things"]
    for _, name in pictures:
        assert read_rgb(page.parent / name).shape[0] > 400
    assert "Labels: sofa|couch, else." in text


def test_segments_an_image_file(tmp_path: Path) -> None:
    image = tmp_path / "photo.png"
    cv2.imwrite(str(image), np.full((64, 96, 3), 90, np.uint8))
    page = tmp_path / "page.md"
    assert main(["words", "--image", str(image), "--vocabularies", "a: wall, floor", "--out", str(page)]) == 0
    assert "the image photo.png" in page.read_text()


def test_applies_the_exif_orientation(tmp_path: Path, checkpoint: str) -> None:
    upright = write_photo(tmp_path / "photo.jpg")
    page = tmp_path / "page.md"
    flags = ["--vocabularies", "a: wall, floor", "--checkpoint", checkpoint]
    assert main(["words", "--image", str(tmp_path / "photo.jpg"), *flags, "--out", str(page)]) == 0
    shown = read_rgb(tmp_path / "page" / "1.jpg").astype(int)
    height, width = 480, 480 * upright.shape[1] // upright.shape[0]  # of the image, to the left of its labels
    assert np.abs(shown[height // 6, width // 2] - np.array((200, 30, 30))).max() < 12
    assert np.abs(shown[height * 2 // 3, width // 4] - np.array((30, 200, 30))).max() < 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vocabularies", "a: wall, wall"], "wall"),
        (["--image", "nowhere.png"], "nowhere.png: expected a file or folder, but it does not exist"),
    ],
)
def test_rejects_unusable_arguments(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["words", *words, "--out", str(tmp_path / "page.md")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["no title", ": wall", "title:"])
def test_rejects_a_label_list_without_title_or_labels(text: str) -> None:
    with pytest.raises(ValueError, match=f"vocabularies: expected 'title: label, label, ...', got '{text}'"):
        WordsSettings(vocabularies=(text,))
