"""Tests of serialized messages against rosbags, and against rclpy if it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from lseg_ros.cdr import cloud_from_cdr, cloud_to_cdr, image_from_cdr, image_to_cdr, read_frame_id, transforms_from_cdr
from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE, StampedTransform

STORE = get_typestore(Stores.ROS2_HUMBLE)
FLOAT32, UINT32 = 7, 6
FIELDS = [("x", FLOAT32), ("y", FLOAT32), ("z", FLOAT32), ("rgb", FLOAT32), ("label", UINT32), ("confidence", FLOAT32)]
HEADERS = st.builds(
    lambda sec, nanosec, frame_id: header(sec, nanosec, frame_id),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 999_999_999),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
)


def header(sec: int = 1_700_000_000, nanosec: int = 123_456_789, frame_id: str = "camera") -> Any:
    time = STORE.types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return STORE.types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)


def random_pixels(height: int, width: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), np.uint8)


def random_points(dtype: np.dtype[Any], *shape: int) -> np.ndarray:
    """Make random bytes, which include NaN."""
    octets = random_pixels(int(np.prod(shape)), dtype.itemsize)
    return octets.reshape(-1).view(dtype).reshape(shape)


def image_fields(values: np.ndarray, encoding: str) -> dict[str, Any]:
    """The fields of an Image after its header."""
    height, width = values.shape[:2]
    parts = {"height": height, "width": width, "encoding": encoding, "is_bigendian": 0}
    return {**parts, "step": values.nbytes // height, "data": values.reshape(-1)}


def cloud_fields(values: np.ndarray, *, is_dense: bool, point_field: Any) -> dict[str, Any]:
    """The fields of a PointCloud2 after its header."""
    height, width = values.shape if values.ndim == 2 else (1, len(values))
    named = FIELDS[: len(values.dtype.names or ())]
    fields = [point_field(name=name, offset=4 * i, datatype=kind, count=1) for i, (name, kind) in enumerate(named)]
    step = values.dtype.itemsize
    parts = {"height": height, "width": width, "fields": fields, "is_bigendian": False, "point_step": step}
    return {**parts, "row_step": step * width, "data": values.reshape(-1).view(np.uint8), "is_dense": is_dense}


IMAGES = [(random_pixels(3, 5), "mono8"), (random_pixels(1, 1), "mono8"), (random_pixels(4, 7, 3), "rgb8")]
CLOUDS = [
    (random_points(POINT_DTYPE, 3, 5), False),
    (random_points(CLOUD_DTYPE, 4), True),
    (random_points(CLOUD_DTYPE, 0), True),
]


@given(HEADERS)
@pytest.mark.parametrize(("values", "encoding"), IMAGES)
def test_image_equals_the_serialization_of_rosbags(values: np.ndarray, encoding: str, head: Any) -> None:
    message = STORE.types["sensor_msgs/msg/Image"](header=head, **image_fields(values, encoding))
    expected = bytes(STORE.serialize_cdr(message, "sensor_msgs/msg/Image"))
    assert image_to_cdr(head, values, encoding) == expected


@given(HEADERS)
@pytest.mark.parametrize(("values", "is_dense"), CLOUDS)
def test_cloud_equals_the_serialization_of_rosbags(values: np.ndarray, is_dense: bool, head: Any) -> None:
    parts = cloud_fields(values, is_dense=is_dense, point_field=STORE.types["sensor_msgs/msg/PointField"])
    message = STORE.types["sensor_msgs/msg/PointCloud2"](header=head, **parts)
    expected = bytes(STORE.serialize_cdr(message, "sensor_msgs/msg/PointCloud2"))
    assert cloud_to_cdr(head, values, is_dense=is_dense) == expected


@given(st.booleans(), HEADERS)
@pytest.mark.parametrize(("values", "encoding"), [*IMAGES, (random_pixels(2, 6), "16UC1")])
def test_reads_images_that_rosbags_serialized(values: np.ndarray, encoding: str, little: bool, head: Any) -> None:
    parts = {**image_fields(values, encoding), "is_bigendian": 1, "step": values.nbytes // len(values) + 2}
    message = STORE.types["sensor_msgs/msg/Image"](header=head, **parts)
    read = image_from_cdr(bytes(STORE.serialize_cdr(message, "sensor_msgs/msg/Image", little_endian=little)))
    stamp = read.header.stamp
    assert (stamp.sec, stamp.nanosec, read.header.frame_id) == (head.stamp.sec, head.stamp.nanosec, head.frame_id)
    assert {name: getattr(read, name) for name in parts if name != "data"} | {"data": None} == {**parts, "data": None}
    assert bytes(read.data) == values.tobytes()


def test_accepts_pixels_that_are_not_contiguous() -> None:
    values = random_pixels(6, 8)[::2, ::2]
    assert image_to_cdr(header(), values, "mono8") == image_to_cdr(header(), values.copy(), "mono8")


@pytest.mark.ros
@pytest.mark.parametrize("frame_id", ["", "c", "camera", "camera_optical_frame"])
def test_rclpy_reads_the_message_and_writes_the_same_number_of_bytes(frame_id: str) -> None:
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import Image, PointCloud2, PointField
    from std_msgs.msg import Header

    head = Header(frame_id=frame_id)
    head.stamp.sec, head.stamp.nanosec = 1_700_000_000, 123_456_789
    cases: list[tuple[Any, dict[str, Any], bytes]] = [
        (Image, image_fields(values, encoding), image_to_cdr(head, values, encoding)) for values, encoding in IMAGES
    ]
    for values, is_dense in CLOUDS:
        parts = cloud_fields(values, is_dense=is_dense, point_field=PointField)
        cases.append((PointCloud2, parts, cloud_to_cdr(head, values, is_dense=is_dense)))
    for kind, parts, ours in cases:
        expected = kind(header=head, **{**parts, "data": parts["data"].tobytes()})
        assert deserialize_message(ours, kind) == expected
        theirs = serialize_message(expected)  # padding between numbers has arbitrary values
        assert len(ours) == len(theirs)
        assert all(mine in (0, other) for mine, other in zip(ours, theirs))
        if kind is Image:
            read = image_from_cdr(theirs)
            assert (read.header.frame_id, read.encoding, read.step) == (frame_id, expected.encoding, expected.step)
            assert bytes(read.data) == bytes(expected.data)


@given(st.data())
def test_damaged_messages_raise_value_error(data: st.DataObject) -> None:
    message = bytearray(image_to_cdr(header(), random_pixels(4, 5, 3), "rgb8"))
    for _ in range(data.draw(st.integers(0, 3), "changes")):
        message[data.draw(st.integers(0, 60), "position")] = data.draw(st.integers(0, 255), "byte")
    damaged = bytes(message[: data.draw(st.integers(0, len(message)), "length")])
    try:
        image_from_cdr(damaged)
    except ValueError as error:
        assert "expected a serialized sensor_msgs/Image, got" in str(error)


@given(st.binary(max_size=12), st.booleans())
def test_reads_the_frame_id_of_a_serialized_header(frame_id: bytes, little_endian: bool) -> None:
    frame_id = frame_id.rstrip(b"\0")
    length = (len(frame_id) + 1).to_bytes(4, "little" if little_endian else "big")
    data = bytes([0, int(little_endian), 0, 0]) + bytes(8) + length + frame_id + b"\0" + b"the rest"
    assert read_frame_id(data) == frame_id
    with pytest.raises(ValueError, match="header: expected at least 16 bytes, got 15"):
        read_frame_id(data[:15])


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
TRANSFORMS = st.builds(
    StampedTransform,
    st.integers(-(2**31) * 10**9, (2**31 - 1) * 10**9),
    NAMES,
    NAMES,
    st.tuples(*[st.floats(allow_nan=False)] * 3),
    st.tuples(*[st.floats(allow_nan=False)] * 4),
)


def tf_message(transforms: list[StampedTransform], *, little_endian: bool = True) -> bytes:
    """Serialize a tf2_msgs/TFMessage with rosbags."""
    types = STORE.types
    stamped = []
    for stamp_ns, frame_id, child, translation, rotation in transforms:
        vector = types["geometry_msgs/msg/Vector3"](*translation)
        transform = types["geometry_msgs/msg/Transform"](vector, types["geometry_msgs/msg/Quaternion"](*rotation))
        parent = header(*divmod(stamp_ns, 10**9), frame_id)
        stamped.append(types["geometry_msgs/msg/TransformStamped"](parent, child, transform))
    message = types["tf2_msgs/msg/TFMessage"](stamped)
    return bytes(STORE.serialize_cdr(message, "tf2_msgs/msg/TFMessage", little_endian=little_endian))


@given(st.lists(TRANSFORMS, max_size=4), st.booleans())
def test_transforms_are_read_from_either_byte_order(transforms: list[StampedTransform], little_endian: bool) -> None:
    assert transforms_from_cdr(tf_message(transforms, little_endian=little_endian)) == transforms


@given(st.data())
def test_truncated_or_damaged_transforms_are_an_error_or_other_transforms(data: st.DataObject) -> None:
    message = bytearray(tf_message([StampedTransform(1, "odom", "base", (1, 2, 3), (0, 0, 0, 1))] * 2))
    for index in data.draw(st.lists(st.integers(0, len(message) - 1), max_size=4)):
        message[index] = data.draw(st.integers(0, 255))
    try:
        transforms_from_cdr(bytes(message[: data.draw(st.integers(0, len(message)))]))
    except ValueError as error:
        assert "tf: expected a serialized tf2_msgs/TFMessage" in str(error)


@pytest.mark.parametrize("little_endian", [True, False])
def test_cloud_is_read_from_either_byte_order(little_endian: bool) -> None:
    points = random_points(POINT_DTYPE, 3, 5)
    fields = cloud_fields(points, is_dense=False, point_field=STORE.types["sensor_msgs/msg/PointField"])
    message = STORE.types["sensor_msgs/msg/PointCloud2"](header=header(), **fields)
    data = STORE.serialize_cdr(message, "sensor_msgs/msg/PointCloud2", little_endian=little_endian)
    cloud = cloud_from_cdr(bytes(data))
    assert (cloud.header.frame_id, cloud.header.stamp.nanosec) == ("camera", 123_456_789)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step, cloud.is_bigendian) == (3, 5, 24, 120, 0)
    assert [(field.name, field.offset, field.datatype, field.count) for field in cloud.fields] == [
        (name, 4 * index, kind, 1) for index, (name, kind) in enumerate(FIELDS)
    ]
    assert bytes(cloud.data) == points.tobytes()


@given(st.data())
def test_damaged_cloud_raises_value_error_or_is_another_cloud(data: st.DataObject) -> None:
    message = bytearray(cloud_to_cdr(header(), random_points(CLOUD_DTYPE, 2), is_dense=True))
    for index in data.draw(st.lists(st.integers(0, len(message) - 1), max_size=4)):
        message[index] = data.draw(st.integers(0, 255))
    try:
        cloud_from_cdr(bytes(message[: data.draw(st.integers(0, len(message)))]))
    except ValueError as error:
        assert "cloud: expected a serialized sensor_msgs/PointCloud2" in str(error)
