"""``lseg evaluate`` on data sets from files, with known scores.

The masks are predictions of the network; each change to them is an error of the network.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lseg_ros.cli import main
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.vocabulary import Vocabulary

WORDS = ["wall", "dog", "screen", "floor|ground"]


@pytest.fixture(scope="module")
def segmenter(checkpoint: str) -> Segmenter:
    return Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint, device="cpu", precision="float32"))


@pytest.fixture
def folder(tmp_path: Path, segmenter: Segmenter) -> Path:
    """Three images whose masks are right in the upper half and wrong in the lower half."""
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    (root / "labels.txt").write_text("\n".join(WORDS) + "\n")
    for number in range(3):
        image = _image(number)
        mask = _predict(segmenter, image)
        mask[32:] = (mask[32:] + 1) % len(WORDS)
        mask[0, :10] = 255  # not labeled
        cv2.imwrite(str(root / "images" / f"{number}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "masks" / f"{number}.png"), mask)
    return root


def test_scores_a_folder_of_images_masks_and_labels(
    folder: Path, checkpoint: str, segmenter: Segmenter, tmp_path: Path
) -> None:
    file = tmp_path / "scores.json"
    assert _evaluate(checkpoint, "folder", folder, "--json", str(file)) == 0
    scores = json.loads(file.read_text())
    pixels, ignored, wrong = 3 * 64 * 96, 3 * 10, 3 * 32 * 96
    assert scores["pixel_accuracy"] == pytest.approx((pixels - ignored - wrong) / (pixels - ignored))
    predicted = np.stack([_predict(segmenter, _image(number)) for number in range(3)])
    target = np.stack([_read(folder / "masks" / f"{number}.png", cv2.IMREAD_UNCHANGED) for number in range(3)])
    predicted, target = predicted[target != 255], target[target != 255]
    expected = [
        ((predicted == i) & (target == i)).sum() / ((predicted == i) | (target == i)).sum() for i in range(len(WORDS))
    ]
    assert scores["per_class"] == {word: pytest.approx(iou) for word, iou in zip(WORDS, expected)}
    assert scores["miou"] == pytest.approx(np.mean(expected))


def test_never_predicts_the_second_of_two_equal_class_names(checkpoint: str, tmp_path: Path) -> None:
    """In the authors' list for ADE20K, classes 58 and 130 are both "screen"; both are scored."""
    for kind, content in (("images", _image(0)), ("annotations", np.full((64, 96), 131, np.uint8))):
        (tmp_path / kind / "validation").mkdir(parents=True)
        suffix = "jpg" if kind == "images" else "png"
        cv2.imwrite(str(tmp_path / kind / "validation" / f"ADE_val_00000001.{suffix}"), content)
    file = tmp_path / "scores.json"
    assert _evaluate(checkpoint, "ade20k", tmp_path, "--json", str(file)) == 0
    scores = json.loads(file.read_text())
    assert len(scores["per_class"]) == 150
    assert scores["per_class"]["screen (58)"] is None
    assert scores["per_class"]["screen (130)"] == 0
    assert scores["miou"] == 0


def test_runs_the_official_protocol_on_files(folder: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "images" / "1.png").unlink()
    (folder / "images" / "2.png").unlink()
    assert _evaluate(checkpoint, "folder", folder, "--protocol", "official") == 0
    assert "mean IoU" in capsys.readouterr().out


def test_scores_zero_shot_episodes_by_class_and_by_fb_iou(
    tmp_path: Path, checkpoint: str, segmenter: Segmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    root, masks = tmp_path / "fss", {"ac_wall": "right", "abacus": "wrong"}
    (root / "splits" / "fss").mkdir(parents=True)
    (root / "splits" / "fss" / "test.txt").write_text("\n".join(masks) + "\n")
    found = {}
    for number, name in enumerate(masks):
        (root / "FSS-1000" / name).mkdir(parents=True)
        image = cv2.resize(_image(number), (480, 480), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(root / "FSS-1000" / name / "1.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        image = _read(root / "FSS-1000" / name / "1.jpg")[..., ::-1].copy()
        encoded = segmenter.encode(Vocabulary.of(["others", name]))
        found[name] = segmenter.segment(image, encoded).label_map == 2
        mask = found[name] if masks[name] == "right" else ~found[name]
        cv2.imwrite(str(root / "FSS-1000" / name / "1.png"), 255 * mask.astype(np.uint8))
    file, picture = tmp_path / "scores.json", tmp_path / "confusions.png"
    assert _evaluate(checkpoint, "fss_1000", root, "--json", str(file), "--picture", str(picture)) == 0
    scores = json.loads(file.read_text())
    assert scores["per_class"]["ac_wall"] == pytest.approx(1.0, abs=0.02)  # JPEG decoders differ slightly
    assert scores["per_class"]["abacus"] == pytest.approx(0.0, abs=0.02)
    assert scores["miou"] == pytest.approx(0.5, abs=0.02)
    foreground = found["ac_wall"].sum() / (found["ac_wall"].sum() + found["abacus"].size)
    background = (~found["ac_wall"]).sum() / ((~found["ac_wall"]).sum() + found["abacus"].size)
    assert scores["fb_iou"] == pytest.approx((foreground + background) / 2, abs=0.02)
    assert "FB-IoU" in capsys.readouterr().out
    assert picture.exists()


def test_names_the_invalid_file(folder: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(folder / "masks" / "2.png"), np.zeros((8, 8), np.uint8))
    assert _evaluate(checkpoint, "folder", folder) == 2
    assert f"{folder / 'masks' / '2.png'}: expected 96x64 pixels" in capsys.readouterr().err
    for kind in ("images", "masks"):
        cv2.imwrite(str(folder / kind / "2.png"), np.zeros((20, 40), np.uint8))
    assert _evaluate(checkpoint, "folder", folder, "--no-resume") == 2
    message = f"{folder / 'images' / '2.png'}: image: expected at least 32x32 pixels, got 40x20"
    assert message in capsys.readouterr().err
    assert _evaluate(checkpoint, "ade20k", folder / "missing") == 2
    assert f"root: expected a folder, got {folder / 'missing'}" in capsys.readouterr().err


def test_reads_the_masks_again_after_an_error_about_missing_labels(
    folder: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scores.json"
    good = {mask: mask.read_bytes() for mask in (folder / "masks").iterdir()}
    for mask in good:
        cv2.imwrite(str(mask), np.full((64, 96), 255, np.uint8))
    assert _evaluate(checkpoint, "folder", folder, "--json", str(file)) == 2
    assert f"{folder}: scores: expected at least one labeled pixel, got none" in capsys.readouterr().err
    for mask, content in good.items():
        mask.write_bytes(content)
    assert _evaluate(checkpoint, "folder", folder, "--json", str(file)) == 0


@pytest.mark.parametrize("flag", ["--json", "--picture"])
def test_rejects_an_unwritable_output_path_before_the_evaluation(
    folder: Path, checkpoint: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _evaluate(checkpoint, "folder", folder, flag, str(folder)) == 2
    assert f"{flag[2:]}: expected a file to write, got the folder {folder}" in capsys.readouterr().err
    assert _evaluate(checkpoint, "folder", folder, flag, str(folder / "labels.txt" / "x")) == 2
    assert f"{flag[2:]}: expected a writable path, got {folder / 'labels.txt' / 'x'}" in capsys.readouterr().err


def test_continues_after_an_error_in_a_sample(
    folder: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, file = folder / "masks" / "2.png", tmp_path / "scores.json"
    good = mask.read_bytes()
    mask.write_bytes(good[:40])
    assert _evaluate(checkpoint, "folder", folder, "--json", str(file)) == 2
    assert str(mask) in capsys.readouterr().err
    with np.load(tmp_path / "scores.json.partial.0") as partial:
        assert partial["done"].tolist() == [True, True, False]
    mask.write_bytes(good)
    assert _evaluate(checkpoint, "folder", folder, "--json", str(file)) == 0
    assert json.loads(file.read_text())["samples"] == 3
    assert not list(tmp_path.glob("*.partial*"))


def _evaluate(checkpoint: str, dataset: str, root: Path, *more: str) -> int:
    words = ["--checkpoint", checkpoint, "--device", "cpu", "--dataset", dataset, "--root", str(root)]
    return main(["evaluate", *words, *more])


def _read(path: Path, flags: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), flags)
    assert image is not None
    return image.astype(np.uint8)


def _image(seed: int) -> NDArray[np.uint8]:
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return blocks.repeat(16, axis=0).repeat(16, axis=1)  # (64, 96, 3)


def _predict(segmenter: Segmenter, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the label map of the segmenter as indices of WORDS."""
    return segmenter.segment(image, segmenter.encode(Vocabulary.of(WORDS))).label_map - np.uint8(1)
