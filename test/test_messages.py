"""Tests of message conversion with messages of rosbags, and of rclpy if it is installed."""

from __future__ import annotations

import array
import struct
import zlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rosbags.typesys import Stores, get_typestore

from lseg_ros import messages
from test.test_rvl import encode_rvl

STORE = get_typestore(Stores.ROS2_HUMBLE)
Image = STORE.types["sensor_msgs/msg/Image"]

IMAGES = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def image_message(
    pixels: np.ndarray, encoding: str, *, padding: int = 0, bigendian: bool = False, height: int = 0
) -> Any:
    """Make a message of (rows, W[, C]) samples.

    Each row is followed by ``padding`` meaningless bytes.
    """
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if bigendian else "<")).view(np.uint8).reshape(len(pixels), -1)
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    height = height or len(pixels)
    return Image(header(), height, pixels.shape[1], encoding, int(bigendian), data.shape[1], data.reshape(-1))


def header(sec: int = 0, nanosec: int = 0) -> Any:
    time = STORE.types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return STORE.types["std_msgs/msg/Header"](stamp=time, frame_id="camera")


class TestColor:
    @given(IMAGES, st.integers(0, 5))
    def test_reads_rgb_and_bgr_with_and_without_alpha(self, rgb: np.ndarray, padding: int) -> None:
        alpha = np.full((*rgb.shape[:2], 1), 77, np.uint8)
        for encoding, pixels in {
            "rgb8": rgb,
            "bgr8": rgb[..., ::-1],
            "rgba8": np.concatenate([rgb, alpha], axis=2),
            "bgra8": np.concatenate([rgb[..., ::-1], alpha], axis=2),
        }.items():
            message = image_message(np.ascontiguousarray(pixels), encoding, padding=padding)
            assert np.array_equal(messages.image_to_rgb(message), rgb), encoding

    @given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.booleans(), st.integers(0, 5))
    def test_mono16_is_scaled_to_8_bits(self, gray: np.ndarray, bigendian: bool, padding: int) -> None:
        rgb = messages.image_to_rgb(image_message(gray, "mono16", bigendian=bigendian, padding=padding))
        assert np.array_equal(rgb, np.repeat(np.round(gray / 257).astype(np.uint8)[..., None], 3, axis=2))

    @pytest.mark.parametrize("bigendian", [False, True])
    @pytest.mark.parametrize(
        ("encoding", "order"),
        [("rgb16", [0, 1, 2]), ("bgr16", [2, 1, 0]), ("16UC3", [2, 1, 0]), ("rgba16", [0, 1, 2, 1]),
         ("bgra16", [2, 1, 0, 1]), ("16UC4", [2, 1, 0, 1]), ("8UC3", [2, 1, 0]), ("8UC4", [2, 1, 0, 1])],
    )  # fmt: skip
    def test_reads_16_bits_and_the_names_of_opencv(self, encoding: str, order: list[int], bigendian: bool) -> None:
        rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        samples: np.ndarray = np.ascontiguousarray(rgb[..., order])
        if "16" in encoding:
            samples = samples * np.uint16(257)
        message = image_message(samples, encoding, padding=3, bigendian=bigendian)
        assert np.array_equal(messages.image_to_rgb(message), rgb)

    @pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
    def test_one_channel_becomes_gray_rgb(self, encoding: str) -> None:
        gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
        rgb = messages.image_to_rgb(image_message(gray, encoding, padding=3))
        assert np.array_equal(rgb, np.repeat(gray[..., None], 3, axis=2))

    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize(
        ("pattern", "red", "blue"),
        [("rggb", (0, 0), (1, 1)), ("bggr", (1, 1), (0, 0)), ("gbrg", (1, 0), (0, 1)), ("grbg", (0, 1), (1, 0))],
    )
    def test_decodes_bayer_patterns(self, pattern: str, red: tuple[int, int], blue: tuple[int, int], bits: int) -> None:
        mosaic = np.full((8, 10), 100, np.uint16)  # green, except for the red and blue samples of the pattern
        mosaic[red[0] :: 2, red[1] :: 2] = 200
        mosaic[blue[0] :: 2, blue[1] :: 2] = 50
        samples = mosaic.astype(np.uint8) if bits == 8 else mosaic * np.uint16(257)
        for bigendian in (False, True):
            message = image_message(samples, f"bayer_{pattern}{bits}", padding=4, bigendian=bigendian)
            assert np.array_equal(
                messages.image_to_rgb(message), np.broadcast_to(np.array([200, 100, 50], np.uint8), (8, 10, 3))
            )

    @pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21"])
    def test_decodes_yuv(self, encoding: str) -> None:
        color = np.array([180, 90, 60], np.uint8)
        y, cr, cb = cv2.cvtColor(color[None, None], cv2.COLOR_RGB2YCrCb)[0, 0]
        y = np.uint8(16 + int(y) * 219 / 255)  # cameras use the limited range
        cb, cr = (np.uint8(128 + (int(chroma) - 128) * 224 / 255) for chroma in (cb, cr))
        height, width = 6, 8
        if encoding.startswith("nv"):
            chroma = [cb, cr] if encoding == "nv12" else [cr, cb]
            luma = np.full((height, width), y, np.uint8)
            rows = np.concatenate([luma, np.tile(np.array(chroma, np.uint8), (height // 2, width // 2))])
            message = image_message(rows, encoding, padding=5, height=height)
        else:
            pair = [cb, y, cr, y] if encoding in ("yuv422", "uyvy") else [y, cb, y, cr]
            rows = np.tile(np.array(pair, np.uint8), (height, width // 2)).reshape(height, width, 2)
            message = image_message(rows, encoding, padding=5)
        rgb = messages.image_to_rgb(message)
        assert rgb.shape == (height, width, 3)
        assert np.abs(rgb.astype(int) - color).max() <= 4

    def test_accepts_every_bytes_container(self) -> None:
        rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
        message = image_message(rgb, "rgb8")
        for data in (
            rgb.tobytes(),
            bytearray(rgb.tobytes()),
            array.array("B", rgb.tobytes()),
            memoryview(rgb.tobytes()),
        ):
            message.data = data
            assert np.array_equal(messages.image_to_rgb(message), rgb)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"encoding": "jpeg2000"}, "encoding: expected one of .*, got 'jpeg2000'"),
            ({"encoding": ""}, "encoding: expected one of .*, got ''"),
            *(({"encoding": depth}, f"encoding: expected .*, got '{depth}'") for depth in ("16UC1", "32FC1", "8SC3")),
            ({"encoding": "nv24"}, "encoding: expected .* nv12, nv21, got 'nv24'"),
            ({"encoding": "\n[FATAL]" + 10_000 * "x"}, r"got '\\n\[FATAL\]x{52}'\.\.\. \(10008 characters\)$"),
            ({"step": 11}, "step of at least 12 bytes, got 11"),
            ({"height": 3}, "expected 36 bytes of data, got 24"),
            ({"height": 0}, "at least one pixel"),
            ({"width": 0}, "at least one pixel"),
            ({"encoding": "nv12", "height": 1}, "expected an even size"),
        ],
    )
    def test_rejects_inconsistent_messages(self, change: dict[str, Any], reason: str) -> None:
        message = image_message(np.zeros((2, 4, 3), np.uint8), "rgb8")
        for name, value in change.items():
            setattr(message, name, value)
        with pytest.raises(ValueError, match=reason):
            messages.image_to_rgb(message)


class TestCompressed:
    @staticmethod
    def message(data: bytes, kind: str = "rgb8; png compressed bgr8") -> Any:
        octets = np.frombuffer(data, np.uint8)
        return STORE.types["sensor_msgs/msg/CompressedImage"](header(), kind, octets)

    def read(self, pixels: np.ndarray, kind: str) -> np.ndarray:
        """Compress pixels (gray or BGR) with OpenCV and read the message."""
        codec = next(name for name in ("png", "tiff", "jpeg") if name in kind or name == "jpeg")
        return messages.compressed_to_rgb(self.message(cv2.imencode(f".{codec}", pixels)[1].tobytes(), kind))

    @pytest.mark.parametrize(
        "kind", ["png", "rgb8; png compressed bgr8", "bgr8; png compressed bgr8", "bgr8; tiff compressed ", "tiff"]
    )
    def test_lossless_images_are_unchanged(self, kind: str) -> None:
        rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
        assert np.array_equal(self.read(rgb[..., ::-1], kind), rgb)

    @pytest.mark.parametrize(
        "kind",
        ["jpeg", "jpg", "", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8", "yuv422; jpeg compressed bgr8",
         "bayer_rggb8; jpeg compressed bgr8"],
    )  # fmt: skip
    def test_jpeg_images_change_little(self, kind: str) -> None:
        rgb = np.broadcast_to(np.array([200, 100, 50], np.uint8), (16, 24, 3))
        assert np.abs(self.read(rgb[..., ::-1], kind).astype(int) - rgb).max() <= 3

    @pytest.mark.parametrize(
        "kind",
        ["rgb8; tiff compressed ", "rgb8; png compressed rgb8", "rgba8; tiff compressed", "rgb16; png compressed"],
    )
    def test_reads_rgb_samples_that_were_compressed_without_conversion(self, kind: str) -> None:
        rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
        sent = np.concatenate([rgb, np.full((7, 5, 1), 77, np.uint8)], axis=2) if "rgba" in kind else rgb
        sent = np.minimum(sent * 257.0 + 100, 65535).astype(np.uint16) if "16" in kind else sent
        assert np.array_equal(self.read(sent, kind), rgb)

    @pytest.mark.parametrize("kind", ["png", "rgb16; png compressed bgr16", "mono16; png compressed "])
    def test_16_bit_png_is_scaled_to_8_bits(self, kind: str) -> None:
        rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
        rgb = rgb[..., :1].repeat(3, axis=2) if "mono" in kind else rgb
        deep = np.minimum(rgb * 257.0 + 100, 65535).astype(np.uint16)
        assert np.array_equal(self.read(deep[..., 0] if "mono" in kind else deep[..., ::-1], kind), rgb)

    @pytest.mark.parametrize("kind", ["jpeg", "mono8; jpeg compressed mono8", "bayer_rggb8; jpeg compressed mono8"])
    def test_gray_images_stay_gray(self, kind: str) -> None:
        assert np.abs(self.read(np.full((16, 16), 90, np.uint8), kind).astype(int) - 90).max() <= 1

    @pytest.mark.parametrize("bits", [8, 16])
    def test_decodes_bayer_patterns_that_were_compressed_without_conversion(self, bits: int) -> None:
        mosaic = np.full((8, 10), 100, np.uint16)
        mosaic[0::2, 0::2], mosaic[1::2, 1::2] = 200, 50  # red, blue
        samples = mosaic.astype(np.uint8) if bits == 8 else mosaic * np.uint16(257)
        rgb = self.read(samples, f"bayer_rggb{bits}; png compressed ")
        assert np.array_equal(rgb, np.broadcast_to(np.array([200, 100, 50], np.uint8), (8, 10, 3)))

    def test_rejects_other_transports_and_names_the_format(self) -> None:
        png = cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes()
        for data, kind in ((bytes(12) + png, "16UC1; compressedDepth png"), (b"\0\0\0\1\x67\x42", "h264")):
            with pytest.raises(ValueError, match=f"expected an image, got {len(data)} bytes of format '{kind}'"):
                messages.compressed_to_rgb(self.message(data, kind))

    def test_rejects_an_image_that_claims_too_many_pixels_before_decoding_it(self) -> None:
        header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 10_000, 10_000, 1, 0, 0, 0, 0)
        data = header + struct.pack(">II4s", zlib.crc32(header[12:]), 0, b"IDAT")
        with pytest.raises(ValueError, match="CompressedImage: expected .* at most 64 megapixels, got 10000x10000"):
            messages.compressed_to_rgb(self.message(data, "png"))

    @given(st.binary(max_size=40))
    def test_rejects_random_bytes(self, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"expected an image, got .* bytes of format"):
            messages.compressed_to_rgb(self.message(data))


class TestDepth:
    @given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.booleans(), st.integers(0, 5))
    def test_converts_millimeters_and_treats_zero_as_unknown(self, raw: np.ndarray, big: bool, padding: int) -> None:
        for encoding in ("16UC1", "mono16"):
            depth_m = messages.depth_to_meters(image_message(raw, encoding, bigendian=big, padding=padding))
            assert depth_m.dtype == np.float32
            assert np.array_equal(np.isnan(depth_m), raw == 0)
            assert np.array_equal(np.round(np.nan_to_num(depth_m) * 1000), raw)

    @given(
        arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(width=32)),
        st.booleans(),
    )
    def test_keeps_meters_and_treats_invalid_values_as_unknown(self, raw: np.ndarray, big: bool) -> None:
        depth_m = messages.depth_to_meters(image_message(raw, "32FC1", bigendian=big, padding=2))
        known = np.isfinite(raw) & (raw > 0)
        assert np.array_equal(np.isfinite(depth_m), known)
        assert np.array_equal(depth_m[known], raw[known])
        assert np.isnan(depth_m[~known]).all()

    def test_meters_to_millimeters_rounds_clips_and_marks_unknown_as_zero(self) -> None:
        depth_m = np.array([[1.2345, np.nan, np.inf], [-np.inf, -1.0, 70.0]], np.float32)
        assert messages.meters_to_millimeters(depth_m).tolist() == [[1234, 0, 0], [0, 0, 65535]]

    @given(arrays.arrays(np.uint16, (3, 4)))
    def test_meters_to_millimeters_inverts_depth_to_meters(self, raw: np.ndarray) -> None:
        depth_m = messages.depth_to_meters(image_message(raw, "16UC1"))
        assert np.array_equal(messages.meters_to_millimeters(depth_m), raw)

    def test_rejects_other_encodings_and_names_them(self) -> None:
        with pytest.raises(ValueError, match="encoding of depth: expected one of 16UC1, mono16, 32FC1, got 'rgb8'"):
            messages.depth_to_meters(image_message(np.zeros((2, 2, 3), np.uint8), "rgb8"))


class TestCameraInfo:
    @staticmethod
    def info(k: list[float], **changes: Any) -> Any:
        roi = SimpleNamespace(**{"x_offset": 0, "y_offset": 0, "width": 0, "height": 0, **changes.pop("roi", {})})
        fixed = {"k": k, "d": [], "p": [0.0] * 12, "width": 640, "height": 480, "binning_x": 0, "binning_y": 0}
        return SimpleNamespace(**{**fixed, "roi": roi, **changes})

    K = (500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0)

    def test_uses_k(self) -> None:
        camera = messages.intrinsics_from_camera_info(self.info(list(self.K)))
        assert camera is not None
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 510, 320, 240)
        assert (camera.width, camera.height) == (640, 480)

    P = (400.0, 0.0, 310.0, 0.0, 0.0, 405.0, 235.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    @pytest.mark.parametrize(
        ("d", "p", "expected"),
        [
            ([], P, (500, 510, 320, 240)),
            ([0.0] * 5, P, (500, 510, 320, 240)),
            ([0.1, 0.0, 0.0, 0.0, 0.0], P, (400, 405, 310, 235)),
            ([0.1, 0.0, 0.0, 0.0, 0.0], [0.0] * 12, (500, 510, 320, 240)),
        ],
        ids=["no coefficients", "all 0", "distorted", "distorted, no P"],
    )
    def test_uses_p_if_the_lens_has_distortion(
        self, d: list[float], p: Sequence[float], expected: tuple[float, ...]
    ) -> None:
        camera = messages.intrinsics_from_camera_info(self.info(list(self.K), d=d, p=list(p)))
        assert camera is not None
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == expected

    def test_uses_p_if_k_is_zero(self) -> None:
        camera = messages.intrinsics_from_camera_info(self.info([0.0] * 9, p=list(self.P)))
        assert camera is not None
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == (400, 405, 310, 235)

    @pytest.mark.parametrize("k", [K, (0.0,) * 9])
    @pytest.mark.parametrize("p", [P, (0.0,) * 12])
    @pytest.mark.parametrize("d", [[], [0.1, 0.0]])
    def test_names_the_matrix(self, k: Sequence[float], p: Sequence[float], d: list[float]) -> None:
        name = messages.camera_matrix(self.info(list(k), p=list(p), d=d))
        if k[0] and p[0]:
            assert name == ("p" if d else "k")
        else:
            assert name == ("k" if k[0] else "p" if p[0] else "")

    def test_lens_is_distorted_if_any_coefficient_is_not_zero(self) -> None:
        assert not any(messages.is_distorted(self.info(list(self.K), d=d)) for d in ([], [0.0] * 4, [0.0] * 8))
        assert messages.is_distorted(self.info(list(self.K), d=[0.0, -0.02, 0.0, 0.0]))

    def test_returns_none_for_an_uncalibrated_camera(self) -> None:
        assert messages.intrinsics_from_camera_info(self.info([0.0] * 9)) is None

    def test_applies_binning_and_region_of_interest(self) -> None:
        roi = {"x_offset": 100, "y_offset": 40, "width": 320, "height": 240}
        camera = messages.intrinsics_from_camera_info(self.info(list(self.K), binning_x=2, binning_y=2, roi=roi))
        assert camera is not None
        assert (camera.fx, camera.cx, camera.cy, camera.width, camera.height) == (250, 110, 100, 160, 120)

    @pytest.mark.parametrize("fx", [-500.0, float("nan"), float("inf")])
    def test_rejects_invalid_matrices(self, fx: float) -> None:
        with pytest.raises(ValueError, match=r"CameraInfo\.k|Intrinsics"):
            messages.intrinsics_from_camera_info(self.info([fx, *self.K[1:]]))


def test_stamp_ns_is_exact() -> None:
    assert messages.stamp_ns(header(1_700_000_000, 123_456_789)) == 1_700_000_000_123_456_789


class TestFillImage:
    @given(IMAGES)
    def test_written_image_reads_back(self, rgb: np.ndarray) -> None:
        message = image_message(np.zeros((1, 1), np.uint8), "mono8")
        messages.fill_image(message, rgb, "rgb8")
        assert message.step == 3 * rgb.shape[1]
        STORE.serialize_cdr(message, "sensor_msgs/msg/Image")
        assert np.array_equal(messages.image_to_rgb(message), rgb)
        messages.fill_image(message, np.ascontiguousarray(rgb[..., 0]), "mono8")
        assert message.step == message.width == rgb.shape[1]
        assert message.data.tobytes() == rgb[..., 0].tobytes()

    @pytest.mark.parametrize(("encoding", "kind"), [("16UC1", np.uint16), ("32FC1", np.float32)])
    def test_written_depth_reads_back(self, encoding: str, kind: type) -> None:
        message = image_message(np.zeros((1, 1), np.uint8), "mono8")
        pixels: np.ndarray = np.arange(1, 13).reshape(3, 4).astype(kind)
        messages.fill_image(message, pixels, encoding)
        assert (message.height, message.width, message.step) == (3, 4, 4 * pixels.itemsize)
        meters = pixels * (0.001 if encoding == "16UC1" else 1)
        assert np.allclose(messages.depth_to_meters(message), meters)

    def test_png_preserves_all_ids(self) -> None:
        message: Any = STORE.types["sensor_msgs/msg/CompressedImage"](header(), "", np.zeros(0, np.uint8))
        ids = np.random.default_rng(0).integers(0, 255, (31, 57), np.uint8)
        messages.fill_png(message, ids)
        assert message.format == "mono8; png compressed"
        assert np.array_equal(messages.compressed_to_rgb(message)[..., 0], ids)

    def test_rejects_pixels_that_do_not_match_the_encoding(self) -> None:
        message = image_message(np.zeros((1, 1), np.uint8), "mono8")
        for pixels, encoding in (
            (np.zeros((2, 2), np.uint8), "rgb8"),
            (np.zeros((2, 2), np.uint16), "mono8"),
            (np.zeros((2, 2), np.uint8), "mono16"),
            (np.zeros((2, 2)), "32FC1"),
            (np.zeros((2, 2), np.int16), "16UC1"),
        ):
            with pytest.raises(ValueError, match="pixels: expected those of mono8, rgb8, 16UC1, 32FC1, got"):
                messages.fill_image(message, pixels, encoding)

    def test_keeps_the_container_type_of_the_message(self) -> None:
        message = SimpleNamespace(data=array.array("B"))  # as in messages of rclpy
        messages.fill_image(message, np.arange(6, dtype=np.uint8).reshape(2, 3), "mono8")
        assert message.data == array.array("B", range(6))


@pytest.mark.ros
def test_works_with_messages_of_rclpy() -> None:
    from sensor_msgs.msg import Image as RosImage

    rgb = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    message = RosImage()
    messages.fill_image(message, rgb, "rgb8")
    assert np.array_equal(messages.image_to_rgb(message), rgb)


XYZ = np.array([[1, 2, 3], [4, np.nan, -6], [0, 0, 0], [7, 8, np.inf]], np.float64)


def make_point_cloud(
    offsets: tuple[int, int, int] = (0, 4, 8), step: int = 12, kind: str = "<f4", height: int = 1, padding: int = 0
) -> SimpleNamespace:
    """Make a PointCloud2 of ``XYZ``."""
    dtype = np.dtype(kind)
    octets = np.zeros((height, 4 // height * step + padding), np.uint8)
    for values, offset in zip(XYZ.T.reshape(3, height, -1), offsets):
        size = dtype.itemsize
        points = octets[:, : 4 // height * step].reshape(height, -1, step)
        points[..., offset : offset + size] = values.astype(dtype)[..., None].view(np.uint8)
        octets[:, : 4 // height * step] = points.reshape(height, -1)
    datatype = 7 if dtype.itemsize == 4 else 8
    return SimpleNamespace(
        height=height, width=4 // height, point_step=step, row_step=octets.shape[1], is_bigendian=dtype.str[0] == ">",
        fields=[SimpleNamespace(name=n, offset=o, datatype=datatype, count=1) for n, o in zip("xyz", offsets)],
        data=octets.reshape(-1).data,
    )  # fmt: skip


@pytest.mark.parametrize(
    "layout",
    [{}, {"offsets": (20, 4, 12), "step": 26}, {"kind": ">f4"}, {"height": 2, "padding": 5},
     {"offsets": (0, 8, 16), "step": 24, "kind": "<f8"}],
)  # fmt: skip
def test_coordinates_of_a_cloud_of_any_layout(layout: dict[str, Any]) -> None:
    xyz = messages.cloud_to_xyz(make_point_cloud(**layout))
    assert xyz.dtype == np.float32
    assert np.array_equal(xyz, XYZ, equal_nan=True)


def test_empty_cloud_has_no_coordinates() -> None:
    cloud = make_point_cloud()
    cloud.width, cloud.row_step, cloud.data = 0, 0, b""
    assert messages.cloud_to_xyz(cloud).shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cloud: cloud.fields.pop(), "expected the fields x, y and z, got no z among 'x', 'y'"),
        (lambda cloud: cloud.fields.clear(), "got no x and no y and no z among none"),
        (lambda cloud: setattr(cloud, "width", 10_000_000), "at most 4000000 points, got 10000000"),
        (lambda cloud: setattr(cloud, "width", 5), "expected 1 rows of 5 points of 12 bytes"),
        (lambda cloud: setattr(cloud, "point_step", 8), "expected z within the 8 bytes of a point, got offset 8"),
        (lambda cloud: setattr(cloud.fields[1], "datatype", 6), "expected one FLOAT32 or FLOAT64 as y"),
        (lambda cloud: setattr(cloud.fields[1], "count", 2), "expected one FLOAT32 or FLOAT64 as y, got 2"),
    ],
)
def test_unusable_cloud_is_an_error(change: Any, message: str) -> None:
    cloud = make_point_cloud()
    change(cloud)
    with pytest.raises(ValueError, match=message):
        messages.cloud_to_xyz(cloud)


MILLIMETERS = np.array([[0, 1, 2, 1000], [65535, 0, 0, 7], [1234, 1235, 0, 0]], np.uint16)


def make_compressed_depth(payload: bytes, kind: str, scale: float = 0.0, offset: float = 0.0) -> SimpleNamespace:
    """Make a CompressedImage as compressed_depth_image_transport writes it."""
    return SimpleNamespace(format=kind, data=struct.pack("<iff", 1, scale, offset) + payload)


def encode_png(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def encode_rvl_image(pixels: np.ndarray) -> bytes:
    return struct.pack("<II", pixels.shape[1], pixels.shape[0]) + encode_rvl(pixels.reshape(-1).tolist())


@pytest.mark.parametrize(
    ("kind", "encode"),
    [
        ("16UC1; compressedDepth png", encode_png),
        ("16UC1; compressedDepth", encode_png),
        ("16UC1; compressedDepth rvl", encode_rvl_image),
    ],
)
def test_compressed_depth_in_millimeters_is_exact(kind: str, encode: Any) -> None:
    depth_m = messages.compressed_depth_to_meters(make_compressed_depth(encode(MILLIMETERS), kind))
    raw = SimpleNamespace(height=3, width=4, encoding="16UC1", is_bigendian=0, step=8, data=MILLIMETERS.tobytes())
    assert np.array_equal(depth_m, messages.depth_to_meters(raw), equal_nan=True)


@pytest.mark.parametrize(("codec", "encode"), [("png", encode_png), ("rvl", encode_rvl_image)])
def test_compressed_depth_in_meters_is_inverse_depth(codec: str, encode: Any) -> None:
    """The transport stores a / depth + b with a = q (q + 1) and b = 1 - a / depth_max."""
    depth_m = np.array([[0.5, 1.0, 2.5], [9.9, np.nan, 5.0]], np.float32)
    scale = 100.0 * 101.0
    offset = 1 - scale / 10.0
    stored = np.nan_to_num(scale / depth_m + offset).astype(np.uint16)
    message = make_compressed_depth(encode(stored), f"32FC1; compressedDepth {codec}", scale, offset)
    decoded = messages.compressed_depth_to_meters(message)
    assert np.isnan(decoded[1, 1])
    expected = scale / (stored.astype(np.float64) - offset)
    assert np.allclose(np.delete(decoded, 4), np.delete(expected, 4), rtol=1e-6)
    assert np.allclose(np.delete(decoded, 4), np.delete(depth_m, 4), rtol=0.01)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (make_compressed_depth(b"", "16UC1; jpeg compressed"), "16UC1; jpeg compressed"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=b"123"), "a header of 12 bytes, got 3 bytes"),
        (make_compressed_depth(b"123", "16UC1; compressedDepth png"), "expected an image, got 3 bytes"),
        (make_compressed_depth(encode_png(MILLIMETERS.astype(np.uint8)), "16UC1; compressedDepth png"), "16 bits"),
        (make_compressed_depth(b"\0", "16UC1; compressedDepth rvl"), "got 0x0 pixels"),
        (make_compressed_depth(struct.pack("<II", 70_000, 70_000), "16UC1; compressedDepth rvl"), "at most 64 megapix"),
        (make_compressed_depth(struct.pack("<II", 9, 9), "16UC1; compressedDepth rvl"), "RVL: expected 81 pixels"),
    ],
)
def test_unusable_compressed_depth_is_an_error(message: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        messages.compressed_depth_to_meters(message)
