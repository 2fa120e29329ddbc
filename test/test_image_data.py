"""One rule for every image file, and limits that are checked before anything is decoded."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lseg_ros import image_data
from lseg_ros.datasets.files import list_pairs, read_ids
from lseg_ros.image_data import MAX_FILE_PIXELS, decode_rgb, find_images, open_header
from lseg_ros.recordings import list_images, read_depth, read_rgb


def png_bomb(width: int = 10_000, height: int = 10_000) -> bytes:
    """A valid black PNG of 1 bit per pixel, about 12 kB for 100 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_scales_16_bit_samples_and_rounds(channels: int, suffix: str) -> None:
    deep = np.array([0, 128, 129, 257 * 100, 257 * 100 + 129, 65535], np.uint16)
    bgr = deep[None, :, None].repeat(channels, axis=2)
    rgb = decode_rgb(cv2.imencode(suffix, bgr if channels == 3 else bgr[..., 0])[1].tobytes(), "x")
    assert rgb[0].tolist() == [[value] * 3 for value in (0, 0, 1, 100, 101, 255)]


def test_rejects_floating_point_samples() -> None:
    data = cv2.imencode(".tiff", np.ones((4, 4), np.float32))[1].tobytes()
    with pytest.raises(ValueError, match=r"x\.tiff: expected samples of 8 or 16 bits, got float32"):
        decode_rgb(data, "x.tiff")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_composites_transparent_pixels_on_white(kind: str) -> None:
    rgba = np.full((16, 16, 4), (10, 20, 30, 255), np.uint8)
    rgba[:, 8:, 3] = 0
    rgba[0, 0, 3] = 51
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    rgb = decode_rgb(encode(Image.fromarray(rgba), kind, **options), "x")
    assert rgb[8, 0].tolist() == [10, 20, 30]
    assert (rgb[:, 8:] == 255).all()
    assert rgb[0, 0].tolist() == [206, 208, 210]


def test_composites_gray_and_palette_images_with_transparency() -> None:
    gray = Image.fromarray(np.array([[[50, 255], [50, 0]]], np.uint8), "LA")
    assert decode_rgb(encode(gray, "PNG"), "x").tolist() == [[[50] * 3, [255] * 3]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette([1, 2, 3, 4, 5, 6])
    assert decode_rgb(encode(palette, "PNG", transparency=1), "x").tolist() == [[[1, 2, 3], [255] * 3]]


def test_transparent_images_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(Image.new("RGBA", (30, 20), (9, 8, 7, 255)), "PNG", exif=exif)
    assert decode_rgb(data, "x").shape == (30, 20, 3)


def test_palette_masks_with_transparency_keep_their_ids(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.save(tmp_path / "m.png", transparency=0)
    assert read_ids(tmp_path / "m.png").tolist() == [[0, 1]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM"])
def test_checks_the_size_of_every_format_in_the_header(kind: str) -> None:
    data = encode(Image.new("RGB", (40, 30)), kind)
    assert open_header(data, "x", 1200).size == (40, 30)
    with pytest.raises(ValueError, match=r"x: expected an image of at most 0\.001199 megapixels, got 40x30 pixels"):
        open_header(data, "x", 1199)


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_reads_the_size_of_every_kind_of_webp(mode: str, lossless: bool) -> None:
    data = encode(Image.new(mode, (300, 77)), "WEBP", lossless=lossless)
    with pytest.raises(ValueError, match="got 300x77 pixels"):
        open_header(data, "x", 300 * 77 - 1)
    assert open_header(data, "x", 300 * 77).size == (300, 77)


@pytest.mark.parametrize("read", [read_rgb, read_depth, read_ids])
def test_a_file_that_claims_too_many_pixels_is_rejected_by_name(read: Any, tmp_path: Path) -> None:
    data = png_bomb(16_001, 16_000)
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"bomb\.png: expected an image of at most 256 megapixels, got 16001x16000"):
        read(tmp_path / "bomb.png")


def test_files_above_the_limit_of_pillow_are_read(tmp_path: Path) -> None:
    assert open_header(png_bomb(14_000, 13_000), "x", MAX_FILE_PIXELS).size == (14_000, 13_000)


@pytest.mark.parametrize("read", [read_rgb, read_depth, read_ids])
def test_pipes_sockets_devices_and_folders_are_refused_without_blocking(read: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket.png"))
    for path, kind in (("pipe.png", "named pipe"), ("folder.png", "folder"), ("socket.png", "socket")):
        with pytest.raises(ValueError, match=f"{path}: expected a regular file, got a {kind}"):
            read(tmp_path / path)
    server.close()
    with pytest.raises(ValueError, match="/dev/zero: expected a regular file, got a device"):
        read(Path("/dev/zero"))


def test_folders_skip_hidden_files_and_folders_and_accept_suffixes_in_capitals(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "._a.png", ".hidden.png", "notes.txt", ".ipynb_checkpoints/c.png", "sub/d.Png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.JPG"]
    assert [path.name for path in find_images(tmp_path, recursive=True)] == ["a.png", "b.JPG", "d.Png"]


def test_finds_masks_with_suffixes_in_capitals(tmp_path: Path) -> None:
    for name in ("images/a.JPG", "images/b.jpg", "masks/a.PNG", "masks/b.pNg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    pairs = list_pairs(tmp_path / "images", tmp_path / "masks", lambda image: [image.with_suffix(".png")])
    assert [pair.mask.name for pair in pairs] == ["a.PNG", "b.pNg"]


HEADS = [encode(Image.new("RGBA" if kind in ("PNG", "WEBP") else "RGB", (9, 7)), kind) for kind in
         ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM")]  # fmt: skip


@given(st.sampled_from(HEADS), st.data())
def test_broken_files_raise_only_value_errors_with_the_name(whole: bytes, data: st.DataObject) -> None:
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4)) if broken else 0):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        rgb = decode_rgb(bytes(broken), "file.x", max_pixels=1_000_000)
    except ValueError as error:
        assert str(error).startswith("file.x: expected ")
    else:
        assert rgb.ndim == 3 and rgb.dtype == np.uint8


def make_png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Make a PNG with these chunks after its header."""
    png = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    added = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return png[:33] + b"".join(added) + png[33:]


def test_decoders_write_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    assert decode_rgb(make_png((b"iCCP", b"x\0\0" + zlib.compress(b"junk"))), "photo.png").shape == (64, 64, 3)
    damaged = bytearray(make_png())
    damaged[-20] ^= 0xFF  # in the pixels, so that their checksum is wrong
    with pytest.raises(ValueError, match=r"^photo.png: expected an image, got \d+ bytes that are not a complete one"):
        decode_rgb(bytes(damaged), "photo.png")
    assert capfd.readouterr().err == ""


def test_lines_of_other_threads_reach_stderr_after_the_image_is_decoded(capfd: pytest.CaptureFixture[str]) -> None:
    with image_data._capture_decoder_messages() as messages:
        os.write(2, b"[INFO] a line of the node\nlibpng warning: gAMA: invalid\n[ERROR] another line")
    assert messages == ["libpng warning: gAMA: invalid"]
    assert capfd.readouterr().err == "[INFO] a line of the node\n[ERROR] another line"
