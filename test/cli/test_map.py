"""``lseg map`` and ``lseg map find``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from lseg_ros.cli import main
from test.support.bags import make_recording, write_bag

CAMERA = """image_width: 64
image_height: 48
camera_matrix: {rows: 3, cols: 3, data: [60, 0, 32, 0, 60, 24, 0, 0, 1]}
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of a wall; the camera teleports for one of them."""
    folder = tmp_path_factory.mktemp("recording")
    rng, lines, poses = np.random.default_rng(0), [], []
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (48, 64, 3), np.uint8))
        cv2.imwrite(str(folder / f"depth{index}.png"), np.full((48, 64), 2000, np.uint16))
        lines.append(f"{index / 10} {index}.png {index / 10} depth{index}.png\n")
        poses.append(f"{index / 10} {30 if index == 2 else 0} 0 0 0 0 0 1\n")
    (folder / "associations.txt").write_text("".join(lines))
    (folder / "groundtruth.txt").write_text("".join(poses))
    (folder / "camera.yaml").write_text(CAMERA)
    return folder


@pytest.fixture(scope="module")
def saved(recording: Path, checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("map") / "room.safetensors"
    assert main(["map", str(recording), "--out", str(path), "--checkpoint", checkpoint, "--map-memory-mb", "4"]) == 0
    return path


def test_a_recording_becomes_a_map_with_a_picture(
    recording: Path, saved: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "again.safetensors"
    main(["map", str(recording), "--out", str(out), "--checkpoint", checkpoint, "--map-memory-mb", "4"])
    printed = capsys.readouterr().out
    assert "3 of 4 frames" in printed and "again.png" in printed  # the teleporting pose costs its own frame
    again, first = load_file(out), load_file(saved)
    assert all((again[name] == first[name]).all() for name in first)
    assert saved.with_suffix(".png").is_file()


def test_a_bag_with_tf_becomes_a_map(tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / "bag", make_recording(6))
    out = str(tmp_path / "walk.safetensors")
    arguments = ["map", str(bag), "--every", "2", "--out", out, "--checkpoint", checkpoint, "--map-memory-mb", "4"]
    assert main(arguments) == 0
    assert "from 3 of 3 frames" in capsys.readouterr().out
    assert main([*arguments, "--pose", "/odom"]) == 2
    assert "expected the /odom of geometry_msgs" in capsys.readouterr().err


def test_a_text_is_found_in_a_map(
    saved: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "found.png"
    arguments = ["map", "find", str(saved), "fire extinguisher", "--checkpoint", checkpoint]
    assert main([*arguments, "--picture", str(picture), "--places", "2"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("1. x ") and ("z 1.98" in first or "z 2.0" in first)
    assert picture.is_file()
    assert main([*arguments, "--threshold", "1"]) == 1
    assert "nothing in the map matches 'fire extinguisher'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["map", "{folder}", "--poses", "missing.txt"], "missing.txt"),
        (["map", "{folder}", "--out", "/missing/map"], "out: expected an existing folder, got /missing"),
        (["map", "find", "{folder}/missing", "chair"], "expected a map, but it does not exist"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], reason: str, recording: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [argument.format(folder=recording) for argument in arguments]
    assert main([*filled, "--checkpoint", checkpoint]) == 2
    assert reason in capsys.readouterr().err


def test_the_map_of_another_network_is_refused(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "find", str(saved), "chair", "--checkpoint", "demo_small"]) == 2
    assert "expected a map of the network" in capsys.readouterr().err


def test_help_of_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["map", "--help"], ["map", "find", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert f"usage: lseg {' '.join(arguments[:-1])}" in capsys.readouterr().out
