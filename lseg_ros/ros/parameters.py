"""Settings dataclasses as ROS parameters: typed, described, ranged, and checked by the dataclass itself."""

from __future__ import annotations

import array
import dataclasses
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from lseg_ros.ros.topics import check_cameras
from lseg_ros.settings import Setting, check, list_settings, setting

__all__ = ["NodeConfig", "changed", "declare", "parameter_default", "read"]

C = TypeVar("C")

_LARGEST_INTEGER = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class NodeConfig:
    """What belongs to the node itself: the words, the topics and the pace."""

    labels: tuple[str, ...] = setting(
        ("floor", "wall", "chair", "table", "person", "plant"),
        "what to look for, one text per label; | joins synonyms that share one id, such as 'sofa|couch'",
        dynamic=True,
    )
    class_ids: tuple[int, ...] = setting(
        (), "an id from 1 to 254 for each of the labels that the node starts with; [0] to have them given out"
    )
    colors: tuple[str, ...] = setting(
        (), "a color for each of the labels that the node starts with, '#rrggbb', or '' for one that follows from it"
    )
    prompt_templates: tuple[str, ...] = setting(
        ("{}",), "sentences that every text is put into, at the {}; their embeddings are averaged"
    )
    query_threshold: float = setting(
        0.55,
        "cosine of the best pixel from which ~/query says that a text was found; a network of yours may want another",
        minimum=-1.0,
        maximum=1.0,
        dynamic=True,
    )
    max_rate_hz: float = setting(
        0.0,
        "most frames to process in a second, 0 for as many as the device manages",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
        dynamic=True,
    )
    sync_slop_s: float = setting(
        0.05,
        "furthest that the stamps of depth and camera_info may be from the image's",
        unit="s",
        minimum=0.0,
        maximum=1.0,
        dynamic=True,
    )
    max_frame_age_s: float = setting(
        0.0,
        "drop an image whose stamp is older than this when its turn comes, 0 to drop none",
        unit="s",
        minimum=0.0,
        maximum=3600.0,
        dynamic=True,
    )
    retire_grace_s: float = setting(
        5.0,
        "how long label_info goes on listing labels that are no longer looked for",
        unit="s",
        minimum=0.0,
        maximum=3600.0,
        dynamic=True,
    )
    image_transport: str = setting(
        "raw",
        "which topic the images come on: rgb/image (raw) or rgb/image/compressed (compressed)",
        choices=("raw", "compressed"),
    )
    cameras: tuple[str, ...] = setting(
        (), "names of several cameras, each with its own topics under its name; empty for one camera without a name"
    )
    autostart: bool = setting(
        True, "configure and activate by itself; otherwise wait for the lifecycle services to ask for it"
    )

    def __post_init__(self) -> None:
        check(self)
        check_cameras(self.cameras)


def declare(node: Node, config: type) -> None:
    """Declare every setting of a dataclass; raises ValueError with a sentence where a start-up value cannot be one."""
    for each in list_settings(config):
        try:
            node.declare_parameter(each.name, parameter_default(each), _descriptor(each))
            node.get_parameter(each.name)
        except ParameterUninitializedException:  # an empty list in a file; some distributions raise when it is declared
            expected = f"expected a value like {parameter_default(each)!r}"
            raise ValueError(f"{each.name}: {expected}, got an empty one") from None
        except InvalidParameterTypeException as error:
            expected = f"expected a value like {parameter_default(each)!r}"
            raise ValueError(f"{each.name}: {expected}, got another type ({error})") from None
        except InvalidParameterValueException as error:
            raise ValueError(str(error)) from None


def read(node: Node, config: type[C]) -> C:
    """The dataclass with the node's values; raises ValueError naming the setting that is not as declared."""
    names = (each.name for each in list_settings(config))
    return config(**{name: _from_ros(node.get_parameter(name).value) for name in names})


def changed(config: C, parameters: Iterable[Parameter]) -> C:
    """The dataclass with those of the parameters that are its own; ValueError like ``read``; config is untouched."""
    names = {each.name for each in list_settings(type(config))}
    news = {each.name: _from_ros(each.value) for each in parameters if each.name in names}
    return dataclasses.replace(config, **news) if news else config  # type: ignore[type-var]


def parameter_default(each: Setting) -> Any:
    """A setting's default as a parameter's value. An empty list has no type in ROS: [''] or [0] stands for it."""
    if not isinstance(each.default, tuple):
        return each.default
    return list(each.default) or ([0] if each.type == tuple[int, ...] else [""])


def _from_ros(value: Any) -> Any:
    if isinstance(value, (list, tuple, array.array)):
        return () if list(value) in ([""], [0]) else tuple(value)
    return value


def _descriptor(each: Setting) -> ParameterDescriptor:
    unit = f" [{each.unit}]" if each.unit else ""
    descriptor = ParameterDescriptor(description=each.description + unit, read_only=not each.dynamic)
    if each.choices:
        descriptor.additional_constraints = f"one of: {', '.join(each.choices)}"
    if each.minimum is None and each.maximum is None:
        return descriptor
    if each.type is int:
        low = int(-_LARGEST_INTEGER if each.minimum is None else each.minimum)
        high = int(_LARGEST_INTEGER if each.maximum is None else each.maximum)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    elif each.type is float:
        lowest, highest = (-sys.float_info.max, sys.float_info.max)
        least = lowest if each.minimum is None else float(each.minimum)
        most = highest if each.maximum is None or each.maximum == float("inf") else float(each.maximum)
        descriptor.floating_point_range = [FloatingPointRange(from_value=least, to_value=most)]
    return descriptor
