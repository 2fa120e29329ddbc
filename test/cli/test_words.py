"""``lseg words``: a page whose pictures are there."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lseg_ros.cli import main
from lseg_ros.cli.words import WordsSettings
from test.support.dataset_trees import write_photo


def test_a_page_has_a_picture_for_each_vocabulary(tmp_path: Path) -> None:
    page = tmp_path / "deep" / "page.md"
    asked = ["animals: dog, cat, else", "things: sofa|couch, else"]
    assert main(["words", "--vocabularies", *asked, "--out", str(page)]) == 0
    text = page.read_text()
    pictures = re.findall(r"!\[(.*)\]\((.*)\)", text)
    assert [title for title, _ in pictures] == ["animals", "things"]
    for _, name in pictures:
        assert cv2.imread(str(page.parent / name)).shape[0] > 400
    assert "Asked: sofa|couch, else." in text


def test_a_picture_of_ones_own_can_be_asked(tmp_path: Path) -> None:
    image = tmp_path / "photo.png"
    cv2.imwrite(str(image), np.full((64, 96, 3), 90, np.uint8))
    page = tmp_path / "page.md"
    assert main(["words", "--image", str(image), "--vocabularies", "a: wall, floor", "--out", str(page)]) == 0
    assert "the picture photo.png" in page.read_text()


def test_a_photo_with_an_exif_orientation_is_shown_upright(tmp_path: Path, checkpoint: str) -> None:
    upright = write_photo(tmp_path / "photo.jpg")
    page = tmp_path / "page.md"
    asked = ["--vocabularies", "a: wall, floor", "--checkpoint", checkpoint]
    assert main(["words", "--image", str(tmp_path / "photo.jpg"), *asked, "--out", str(page)]) == 0
    shown = cv2.imread(str(tmp_path / "page" / "1.jpg"))[..., ::-1]
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
def test_what_cannot_be_asked_is_named(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["words", *words, "--out", str(tmp_path / "page.md")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["no title", ": wall", "title:"])
def test_a_vocabulary_without_title_or_words_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"vocabularies: expected 'title: word, word, ...', got '{text}'"):
        WordsSettings(vocabularies=(text,))
