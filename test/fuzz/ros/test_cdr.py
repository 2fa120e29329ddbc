"""``image_from_cdr`` refuses bytes, or reads them as rclpy does."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from lseg_ros.cdr import image_from_cdr
from test.fuzz.budget import bounded
from test.fuzz.regressions import keep_if_failing, list_cases
from test.fuzz.ros.messages import MESSAGES


def read_fields(message: Any) -> tuple[Any, ...]:
    stamp = message.header.stamp
    texts = (message.header.frame_id.partition("\0")[0], message.encoding.partition("\0")[0])  # rclpy ends at a null
    numbers = (stamp.sec, stamp.nanosec, message.height, message.width, message.is_bigendian, message.step)
    return (*texts, *numbers, bytes(message.data))


def check(octets: bytes) -> None:
    try:
        message = image_from_cdr(octets)
    except ValueError:
        return
    try:
        expected = deserialize_message(octets, Image)
    except Exception:  # rclpy does not document what it raises
        return
    assert read_fields(message) == read_fields(expected)


@given(MESSAGES["image"])
@bounded(300)
def test_images_are_read_as_rclpy_reads_them(octets: bytes) -> None:
    with keep_if_failing("cdr", ".bin", octets):
        check(octets)


def test_images_that_were_once_read_differently_are_read_as_rclpy_reads_them() -> None:
    for case in list_cases("cdr"):
        check(case.read_bytes())
