"""Read image files and RGB-D recordings, both valid and broken."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lseg_ros.geometry import project, unproject
from lseg_ros.recordings import RgbdFolder, list_images, read_calibration, read_depth, read_rgb

CAMERA = """\
image_width: 8
image_height: 6
camera_name: test
camera_matrix: {rows: 3, cols: 3, data: [10, 0, 3.5, 0, 11, 2.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, 0, 0, 0, 0]}
"""


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def recording(tmp_path: Path, rgb: NDArray[np.uint8]) -> Path:
    """Write a recording of two frames, 0.1 s apart."""
    (tmp_path / "camera.yaml").write_text(CAMERA)
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), rgb[..., ::-1])
        cv2.imwrite(str(tmp_path / f"{name}_depth.png"), np.arange(48, dtype=np.uint16).reshape(6, 8) * 100)
    lines = [
        "# stamp file stamp file",
        "1305031237.529735 a.png 1305031237.537650 a_depth.png",
        "",
        "1305031237.629735001 b.png 1305031237.630 b_depth.png",
    ]
    (tmp_path / "associations.txt").write_text("\n".join(lines))
    return tmp_path


class TestRecording:
    def test_reads_frames_with_depth_intrinsics_and_stamps(self, recording: Path, rgb: NDArray[np.uint8]) -> None:
        folder = RgbdFolder(recording, frame_id="kinect")
        assert len(folder) == len(list(folder)) == len(folder[:]) == 2
        frame = folder[0]
        assert np.array_equal(frame.image, rgb)
        assert np.isnan(frame.depth_m[0, 0])
        assert frame.depth_m[1, 0] == pytest.approx(0.8)
        assert (frame.intrinsics.fx, frame.intrinsics.cy) == (10, 2.5)
        assert (frame.stamp_ns, frame.frame_id) == (1305031237_529735000, "kinect")
        assert folder[-1].stamp_ns == 1305031237_629735001  # exact: a float would round it
        assert folder.associations[0].depth_ns == 1305031237_537650000
        assert folder.calibration.distortion == (0.1, 0, 0, 0, 0)

    @pytest.mark.parametrize("name", ["associations.txt", "camera.yaml"])
    def test_reports_missing_files(self, recording: Path, name: str) -> None:
        (recording / name).unlink()
        with pytest.raises(FileNotFoundError, match=name):
            RgbdFolder(recording)

    @pytest.mark.parametrize(
        "line", ["1.0 a.png 1.0", "1.0 a.png x a_depth.png", "1.0 a.png NaN a_depth.png", "a b c d e"]
    )
    def test_rejects_invalid_lines(self, recording: Path, line: str) -> None:
        (recording / "associations.txt").write_text(f"# comment\n{line}\n")
        with pytest.raises(ValueError, match=r"associations\.txt, line 2: expected 'stamp file stamp file', got"):
            RgbdFolder(recording)

    def test_reports_missing_images(self, recording: Path) -> None:
        (recording / "b_depth.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"line 4: expected the file .*b_depth\.png"):
            RgbdFolder(recording)

    def test_rejects_an_empty_list(self, recording: Path) -> None:
        (recording / "associations.txt").write_text("# nothing\n")
        with pytest.raises(ValueError, match="at least one line"):
            RgbdFolder(recording)

    @pytest.mark.parametrize(
        "content", ["", "a: [", "image_width: 8", CAMERA.replace("10, 0, 3.5", "0, 0, 3.5"), "- 1"]
    )
    def test_rejects_an_invalid_calibration(self, recording: Path, content: str) -> None:
        (recording / "camera.yaml").write_text(content)
        with pytest.raises(ValueError, match=r"camera\.yaml: expected a camera_info file"):
            read_calibration(recording / "camera.yaml")

    def test_rejects_depth_of_another_size(self, recording: Path) -> None:
        cv2.imwrite(str(recording / "b_depth.png"), np.ones((3, 4), np.uint16))
        folder = RgbdFolder(recording)
        assert folder[0].size == (6, 8)
        with pytest.raises(ValueError, match=r"frame 1 of .*b_depth\.png\): depth_m: expected \(6, 8\)"):
            folder[1]

    @pytest.mark.shared_data
    def test_points_of_a_real_recording_project_onto_their_pixels(self, shared_data: Path) -> None:
        folder = RgbdFolder(shared_data / "tum_fr1_rpy")
        assert len(folder) == 100
        frame = folder[50]
        assert frame.size == (480, 640)
        xyz = unproject(frame.depth_m, frame.intrinsics)
        row, column = np.nonzero(np.isfinite(frame.depth_m))
        assert len(row) > 100_000
        miss = project(xyz[row, column], frame.intrinsics) - np.stack([column, row], axis=1)
        assert np.abs(miss).max() < 0.01


class TestFiles:
    def test_lists_images_sorted_by_name(self, recording: Path) -> None:
        (recording / "notes.txt").write_text("no image")
        names = [path.name for path in list_images(recording)]
        assert names == ["a.png", "a_depth.png", "b.png", "b_depth.png"]
        assert list_images(recording / "a.png") == [recording / "a.png"]

    def test_rejects_a_folder_without_images(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="expected images"):
            list_images(tmp_path)

    def test_rejects_files_that_are_not_complete_images(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "whole.png"), np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
        truncated = (tmp_path / "whole.png").read_bytes()[:500]
        for content in (b"", b"no image", b"\x89PNG\r\n\x1a\n", truncated):
            (tmp_path / "x.png").write_bytes(content)
            with pytest.raises(ValueError, match=r"x\.png: expected an image"):
                read_rgb(tmp_path / "x.png")
        with pytest.raises(FileNotFoundError, match=r"y\.png"):
            read_rgb(tmp_path / "y.png")

    @pytest.mark.parametrize("suffix", [".jpg", ".png"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_applies_every_exif_orientation(self, tmp_path: Path, suffix: str, orientation: int) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"photo{suffix}"
        Image.fromarray(pixels).save(path, exif=exif, quality=95, subsampling=0)
        with Image.open(path) as image:
            upright = np.array(ImageOps.exif_transpose(image))
        assert upright.shape[0] == (32 if orientation < 5 else 48)
        assert np.abs(read_rgb(path).astype(int) - upright).max() <= 2

    def test_converts_gray_palette_and_16_bit_images_to_rgb(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "gray.png"), np.array([[0, 200]], np.uint8))
        assert read_rgb(tmp_path / "gray.png").tolist() == [[[0, 0, 0], [200, 200, 200]]]
        cv2.imwrite(str(tmp_path / "deep.png"), np.array([[0, 200 * 257]], np.uint16))
        assert read_rgb(tmp_path / "deep.png").tolist() == [[[0, 0, 0], [200, 200, 200]]]
        palette = Image.fromarray(np.array([[0, 1]], np.uint8))
        palette.putpalette([0, 7, 14, 21, 28, 35])
        palette.save(tmp_path / "palette.png")
        assert read_rgb(tmp_path / "palette.png").tolist() == [[[0, 7, 14], [21, 28, 35]]]

    def test_depth_must_be_one_16_bit_channel(self, recording: Path) -> None:
        with pytest.raises(ValueError, match=r"a\.png: expected one channel of 16-bit millimeters"):
            read_depth(recording / "a.png")
