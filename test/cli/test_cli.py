"""The ``lseg`` command: help, errors, segment and demo."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lseg_ros import __version__
from lseg_ros.cli import main
from lseg_ros.cli.demo import DemoSettings
from lseg_ros.recordings import read_rgb
from test.support.dataset_trees import read_unchanged, write_photo


def test_help_does_not_load_pytorch() -> None:
    code = (
        "import sys; from lseg_ros.cli import main; main(['-h']); print({'torch', 'numpy', 'tyro'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "segment" in result.stdout
    assert result.stdout.endswith("set()\n")


def test_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_rejects_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segmnt"]) == 2
    assert "expected one of the commands segment, view, words, demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        (["evaluate"], "torchmetrics", "evaluate"),
        (["train", "--output", "run"], "lightning", "train"),
        (["checkpoint", "fetch", "demo_e200"], "gdown", "fetch"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_installs_it(
    command: list[str], module: str, extra: str, tmp_path: Path
) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from lseg_ros.cli import main; sys.exit(main({command}))"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.returncode == 2
    assert f"expected the package {module}, which is not installed: " in result.stderr
    assert result.stderr.strip().endswith(f"python3 -m pip install 'lseg_ros[{extra}]'")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("error", [TypeError("bad"), KeyError("width"), RuntimeError("out of memory"), MemoryError()])
def test_any_error_becomes_one_line_with_status_2(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lseg_ros.cli import labels

    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(labels, "run", fail)
    assert main(["labels", "floor"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("lseg labels: ")
    assert (str(error) or type(error).__name__) in lines[0]


def test_the_traceback_of_an_error_is_logged_on_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for level, count in (("DEBUG", 1), ("INFO", 0)):
        caplog.clear()
        monkeypatch.setenv("LSEG_LOG_LEVEL", level)
        assert main(["labels", "floor", "Floor"]) == 2
        assert sum(record.exc_info is not None for record in caplog.records) == count


def test_segment_writes_masks_and_overlays(tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "desk.png"), image)
    out = tmp_path / "out"
    files = [str(tmp_path / "one" / "desk.png"), str(tmp_path / "two")]
    words = ["--labels", "floor", "sofa|couch", "person"]
    assert main(["segment", *files, *words, "--checkpoint", checkpoint, "--out", str(out), "--device", "cpu"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    names = {path.name for path in out.iterdir()}
    kinds = ("mask", "confidence", "overlay")
    assert names == {"labels.json", *(f"{stem}_{kind}.png" for stem in ("desk", "desk_2") for kind in kinds)}
    mask = read_unchanged(out / "desk_mask.png")
    assert mask.shape == (60, 80)
    assert set(np.unique(mask)) <= {1, 2, 3}
    assert json.loads((out / "labels.json").read_text())["2"]["name"] == "sofa"


def test_segment_applies_the_exif_orientation(tmp_path: Path, checkpoint: str) -> None:
    upright = write_photo(tmp_path / "photo.jpg")
    cv2.imwrite(str(tmp_path / "upright.png"), read_rgb(tmp_path / "photo.jpg")[..., ::-1])
    files = [str(tmp_path / "photo.jpg"), str(tmp_path / "upright.png")]
    words = ["--labels", "floor", "sofa", "person"]
    out = tmp_path / "out"
    assert main(["segment", *files, *words, "--checkpoint", checkpoint, "--out", str(out), "--device", "cpu"]) == 0
    photo, expected = (read_unchanged(out / f"{stem}_mask.png") for stem in ("photo", "upright"))
    assert photo.shape == upright.shape[:2]
    assert np.array_equal(photo, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png", "--labels", "floor"], "lseg segment: nowhere.png: expected a file or folder"),
        (["nowhere.png", "--labels", "floor", "Floor"], "got 'Floor' twice"),
    ],
)
def test_segment_rejects_unusable_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("flag", [["--fold", "4"], ["--save-every-s", "-1"], ["--frames", "0"]])
def test_rejects_values_outside_their_range(flag: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *flag])
    assert end.value.code == 2
    assert f"{flag[0][2:].replace('-', '_')}: expected a value" in capsys.readouterr().err


def test_demo_scores_every_synthetic_frame_and_draws_the_last_one_of_each_camera(
    tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "new" / "demo.png"
    size = ["--width", "128", "--height", "96"]
    assert main(["demo", "--frames", "2", *size, "--checkpoint", checkpoint, "--out", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "frame 2/2: mean IoU 0." in printed
    assert "median time" in printed
    assert re.search(r"^desk 19/20: .*\d%.*, \d+ ms\ndesk 20/20: .*\d% at [\d.]+ m.*, \d+ ms$", printed, re.MULTILINE)
    for path in (picture, picture.with_name("demo_desk.png")):
        assert read_unchanged(path).shape[1] > 2 * 640


def test_demo_writes_small_jpeg_files_on_request(tmp_path: Path, checkpoint: str) -> None:
    size = ["--width", "128", "--height", "96"]
    assert main(["demo", "--frames", "1", *size, "--checkpoint", checkpoint, "--out", str(tmp_path / "demo.jpg")]) == 0
    desk = tmp_path / "demo_desk.jpg"
    assert desk.read_bytes().startswith(b"\xff\xd8")
    assert desk.stat().st_size < 400_000


def test_demo_rejects_other_picture_files() -> None:
    with pytest.raises(ValueError, match=r"^out: expected a file name that ends with .png or .jpg, got 'demo.gif'$"):
        DemoSettings(out="demo.gif")


@pytest.mark.parametrize("arguments", [["segment", "{}", "--labels", "wall", "floor"], ["words", "--image", "{}"]])
def test_an_error_about_an_image_names_its_file(
    arguments: list[str], tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "thumbnail.png"
    cv2.imwrite(str(image), np.zeros((17, 23, 3), np.uint8))
    filled = [argument.format(image) for argument in arguments]
    assert main([*filled, "--checkpoint", checkpoint, "--out", str(tmp_path / "out")]) == 2
    assert "thumbnail.png: " in capsys.readouterr().err


def test_segment_skips_its_results_in_the_folder_of_images(
    tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "a.jpg", "own_mask.png"):
        cv2.imwrite(str(tmp_path / name), np.full((64, 64, 3), 90, np.uint8))
    arguments = ["segment", str(tmp_path), "--labels", "wall,floor", "--checkpoint", checkpoint, "--out", str(tmp_path)]
    assert main(arguments) == 0
    first = sorted(path.name for path in tmp_path.iterdir())
    assert main(arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == first
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[0].split(":")[0] == lines[3].split(":")[0]
    assert "own_mask_mask.png" in first and "a_2_mask.png" in first
