"""Masks of every kind are read as the ids they hold, and errors name the file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from lseg_ros.datasets.files import read_gray, read_ids, target_reader
from lseg_ros.datasets.sample import IGNORE
from test.support.dataset_trees import write_image, write_mask

IDS = st.integers(0, 65535)
SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=5)
IN_ONE_FOLDER = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class TestIds:
    @IN_ONE_FOLDER
    @given(ids=arrays(np.uint8, SHAPES), palette=st.booleans())
    def test_reads_8_bit_gray_and_palette_masks(self, tmp_path: Path, ids: NDArray[np.uint8], palette: bool) -> None:
        write_mask(tmp_path / "mask.png", ids, palette)
        assert np.array_equal(read_ids(tmp_path / "mask.png"), ids)

    @IN_ONE_FOLDER
    @given(ids=arrays(np.uint16, SHAPES))
    def test_reads_16_bit_gray_masks(self, tmp_path: Path, ids: NDArray[np.uint16]) -> None:
        write_mask(tmp_path / "mask.png", ids)
        assert np.array_equal(read_ids(tmp_path / "mask.png"), ids)

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_reads_small_palettes_as_indices(self, tmp_path: Path, bits: int) -> None:
        image = Image.fromarray(np.array([[0, 1]], np.uint8))
        image.putpalette([0, 0, 0, 200, 100, 50])
        image.save(tmp_path / "mask.png", bits=bits)
        assert read_ids(tmp_path / "mask.png").tolist() == [[0, 1]]

    def test_reads_1_bit_masks_as_0_and_1(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[True, False]])).save(tmp_path / "mask.png")
        assert read_ids(tmp_path / "mask.png").tolist() == [[1, 0]]

    def test_rejects_color_masks(self, tmp_path: Path) -> None:
        write_image(tmp_path / "mask.png")
        with pytest.raises(ValueError, match=r"mask\.png: expected a mask, got mode RGB: expected one channel of ids"):
            read_ids(tmp_path / "mask.png")

    def test_rejects_4_bit_gray_because_it_is_ambiguous(self, tmp_path: Path) -> None:
        (tmp_path / "mask.png").write_bytes(_make_4_bit_gray_png())
        with pytest.raises(ValueError, match="mask.png: expected a mask, got 4-bit gray: expected a palette, or gray"):
            read_ids(tmp_path / "mask.png")


class TestTargets:
    def test_converts_ids_to_indices(self, tmp_path: Path) -> None:
        write_mask(tmp_path / "mask.png", [[7, 0], [255, 9]])
        target = target_reader({0: IGNORE, 255: IGNORE, 7: 0, 9: 1})(tmp_path / "mask.png")
        assert target.dtype == np.int16
        assert target.tolist() == [[0, -1], [-1, 1]]

    @IN_ONE_FOLDER
    @given(ids=arrays(np.uint16, SHAPES), known=st.dictionaries(IDS, st.integers(-1, 200), min_size=1))
    def test_converts_or_rejects_any_ids(self, tmp_path: Path, ids: NDArray[np.uint16], known: dict[int, int]) -> None:
        write_mask(tmp_path / "mask.png", ids)
        unknown = set(ids.ravel().tolist()) - set(known)
        if unknown:
            with pytest.raises(ValueError, match=rf"mask.png: expected the ids .*, got {min(unknown)}\b"):
                target_reader(known)(tmp_path / "mask.png")
        else:
            target = target_reader(known)(tmp_path / "mask.png")
            assert target.tolist() == [[known[number] for number in row] for row in ids.tolist()]

    def test_error_lists_unknown_and_expected_ids(self, tmp_path: Path) -> None:
        write_mask(tmp_path / "mask.png", [[1, 21], [254, 255]])
        with pytest.raises(ValueError, match=r"mask\.png: expected the ids 0 to 20, 255, got 21, 254$"):
            target_reader({255: IGNORE, **{number: number for number in range(21)}})(tmp_path / "mask.png")

    def test_rejects_negative_ids(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[-2, 0]], np.int32)).save(tmp_path / "mask.tif")
        with pytest.raises(ValueError, match="expected the ids 0 to 1, got -2"):
            target_reader({0: 0, 1: 1})(tmp_path / "mask.tif")


class TestFiles:
    def test_reads_black_and_white_masks_as_luminance(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8)).save(tmp_path / "mask.png")
        assert read_gray(tmp_path / "mask.png").tolist() == [[255, 0]]

    @pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
    def test_rejects_broken_files(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "mask.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"mask\.png: expected (a mask|an image), got "):
            read_ids(tmp_path / "mask.png")

    def test_rejects_truncated_files(self, tmp_path: Path) -> None:
        write_image(tmp_path / "mask.png", 40, 30)
        (tmp_path / "mask.png").write_bytes((tmp_path / "mask.png").read_bytes()[:500])
        with pytest.raises(ValueError, match=r"mask\.png: expected a mask, got "):
            read_ids(tmp_path / "mask.png")

    def test_reports_missing_files(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"mask\.png: expected a mask, but it does not exist"):
            read_ids(tmp_path / "mask.png")


def _make_4_bit_gray_png() -> bytes:
    """Build a PNG of two pixels by hand, because no library here writes such files."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 1, 4, 0, 0, 0, 0)
    pixels = zlib.compress(b"\x00\x12")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
