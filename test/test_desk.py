"""The recording of a desk that is part of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lseg_ros.desk import DESK_FOLDER, DESK_LABELS
from lseg_ros.recordings import RgbdFolder
from lseg_ros.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 4_000_000
SYNC_SLOP_NS = 50_000_000  # default of the node


def test_has_20_frames_with_the_depth_of_a_real_sensor() -> None:
    frames = list(RgbdFolder(DESK_FOLDER))
    assert len(frames) == 20
    for frame in frames:
        assert frame.image.shape == (480, 640, 3)
        assert frame.depth_m is not None
        known = np.isfinite(frame.depth_m)
        assert 0.2 < known.mean() < 1  # a real sensor has holes
        assert 0.4 < np.median(frame.depth_m[known]) < 4  # meters, across a desk


def test_stamps_increase_and_depth_matches_its_image() -> None:
    pairs = RgbdFolder(DESK_FOLDER).associations
    assert all(np.diff([pair.rgb_ns for pair in pairs]) > 0)
    assert all(abs(pair.rgb_ns - pair.depth_ns) < SYNC_SLOP_NS for pair in pairs)


def test_is_small() -> None:
    assert sum(path.stat().st_size for path in DESK_FOLDER.rglob("*") if path.suffix != ".pyc") <= MAX_BYTES


@pytest.mark.shared_data
def test_images_and_intrinsics_are_those_of_the_source(shared_data: Path) -> None:
    source = shared_data / "tum_fr1_rpy"
    recording = RgbdFolder(DESK_FOLDER)
    assert recording.calibration == RgbdFolder(source).calibration
    for pair in recording.associations:
        for path in (pair.rgb, pair.depth):
            assert path.read_bytes() == (source / path.relative_to(DESK_FOLDER)).read_bytes()


def test_authors_and_license_are_named_next_to_the_images_and_in_the_readme() -> None:
    attribution = (DESK_FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for text in ("J. Sturm", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", "Changes:"):
        assert text in attribution
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in readme and "lseg_ros/desk/ATTRIBUTION.md" in readme


def test_the_labels_are_a_vocabulary() -> None:
    assert Vocabulary.of(DESK_LABELS).entries == DESK_LABELS


def test_launch_files_can_import_the_labels_without_other_packages() -> None:
    command = "import sys, lseg_ros.desk; raise SystemExit(bool({'numpy', 'cv2', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", command], cwd=ROOT).returncode == 0
