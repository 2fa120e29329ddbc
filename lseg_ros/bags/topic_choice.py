"""Choose the topics of a camera in a bag."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lseg_ros.bags.reader import Bag, BagTopic
from lseg_ros.cdr import image_from_cdr, read_frame_id
from lseg_ros.quoting import escape, quote

__all__ = ["CameraTopics", "choose_topics"]

_IMAGE, _COMPRESSED, _INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))
_DEPTH_ENCODINGS = ("16UC1", "32FC1", "mono16")


class CameraTopics(NamedTuple):
    """Topics of a camera.

    Attributes:
        image: Topic of the images.
        depth: Topic of the depth images, "" for none.
        camera_info: Topic of the calibration, "" for none.
        is_compressed: Whether the images are CompressedImage messages.
        depth_camera_info: Topic of the calibration of depth that is not registered to the images, "" if it is.
    """

    image: str
    depth: str
    camera_info: str
    is_compressed: bool
    depth_camera_info: str = ""

    def of(self, role: str) -> str:
        """Return the topic of a role, image or depth."""
        return self.image if role == "image" else self.depth


class _Candidate(NamedTuple):
    """A topic of images or calibrations, and what its first message says."""

    topic: BagTopic
    frame_id: str
    format: str

    def __str__(self) -> str:
        kind = self.topic.type.replace("/msg/", "/")
        return escape(
            f"{self.topic.name} ({kind}{f' {self.format}' * bool(self.format)}, {self.topic.message_count} messages)"
        )

    @property
    def is_depth(self) -> bool:
        if self.format.startswith("mono16"):  # either; only the name tells
            return "depth" in self.topic.name
        if self.topic.type == _COMPRESSED:
            return "compressedDepth" in self.format
        return self.topic.type == _IMAGE and self.format in _DEPTH_ENCODINGS

    @property
    def is_color(self) -> bool:
        return not self.is_depth and self.topic.type != _INFO


def choose_topics(
    bag: Bag, image: str = "auto", depth: str = "auto", camera_info: str = "auto", depth_camera_info: str = "none"
) -> CameraTopics:
    """Choose the topics of a camera.

    Args:
        bag: The bag.
        image: Topic of the images, or "auto" for the only one. A topic and its compressed version count as one.
        depth: Topic of the depth images, "auto" for the only one with the frame_id of the image, or "none".
        camera_info: Topic of the calibration, "auto" for the one in the namespace of the image or the only one with
            its frame_id, or "none".
        depth_camera_info: Topic of the calibration of depth that is not registered to the images, "auto" as for the
            images, or "none" if depth is registered. If it is not, "auto" for depth stands for the only depth topic.

    Raises:
        ValueError: If a topic does not exist, has another type, or if there are several and none was named. The
            message lists the candidates.
    """
    candidates = [_inspect(bag, topic) for topic in bag.topics.values() if topic.type in (_IMAGE, _COMPRESSED, _INFO)]
    images = [candidate for candidate in candidates if candidate.is_color]
    chosen = _choose("image", image, bag, images, _without_transports(images))
    if chosen is None:
        raise ValueError(f"{bag.path}: expected a topic of images, got {_list_topics(bag)}")
    depths = [candidate for candidate in candidates if candidate.is_depth]
    infos = [candidate for candidate in candidates if candidate.topic.type == _INFO]
    guesses = _without_transports(depths)
    if depth_camera_info == "none":
        guesses = _same_frame_id(guesses, chosen)
    chosen_depth, depth_info = _choose("depth", depth, bag, depths, guesses), None
    if chosen_depth is not None:
        near = _next_to(infos, chosen_depth)
        depth_info = _choose("depth_camera_info", depth_camera_info, bag, infos, near)
        if depth_info is None and depth_camera_info == "auto":
            raise ValueError(f"depth_camera_info: expected a topic next to {chosen_depth} in {bag.path}, got none")
    return CameraTopics(
        chosen.topic.name,
        _name(chosen_depth),
        _name(_choose("camera_info", camera_info, bag, infos, _next_to(infos, chosen))),
        chosen.topic.type == _COMPRESSED,
        _name(depth_info),
    )


def _choose(role: str, name: str, bag: Bag, allowed: list[_Candidate], guesses: list[_Candidate]) -> _Candidate | None:
    """Return the topic of a role; None if there is none, or if none is wanted."""
    if name == "none" and role != "image":
        return None
    if name != "auto":
        absolute = [candidate for candidate in allowed if candidate.topic.name.strip("/") == name.strip("/")]
        if not absolute:
            raise ValueError(f"{role}: expected one of {_list(allowed) or 'no topic'} in {bag.path}, got {quote(name)}")
        return absolute[0]
    if len(guesses) > 1:
        raise ValueError(
            f"{role}: expected the name of a topic, because {bag.path} has several: {_list(guesses)}; "
            f"name one with --{role.replace('_', '-')}"
        )
    return guesses[0] if guesses else None


def _without_transports(images: list[_Candidate]) -> list[_Candidate]:
    """Drop topics that are the compressed version of another one."""
    names = {candidate.topic.name for candidate in images}
    return [candidate for candidate in images if candidate.topic.name.rpartition("/")[0] not in names]


def _same_frame_id(candidates: list[_Candidate], image: _Candidate) -> list[_Candidate]:
    return [candidate for candidate in candidates if candidate.frame_id == image.frame_id]


def _next_to(infos: list[_Candidate], image: _Candidate) -> list[_Candidate]:
    """Return the camera_info in the namespace of the image, otherwise those with its frame_id."""
    transports = ("/compressed", "/compressedDepth") if image.topic.type == _COMPRESSED else ()
    base = image.topic.name
    for transport in transports:
        base = base.removesuffix(transport)
    sibling = f"{base.rpartition('/')[0]}/camera_info"
    siblings = [candidate for candidate in infos if candidate.topic.name == sibling]
    return siblings or _same_frame_id(infos, image)


def _inspect(bag: Bag, topic: BagTopic) -> _Candidate:
    """Read what the first message of a topic says. A message that cannot be read says nothing."""
    message = next(bag.messages([topic.name]), None)
    data = b"" if message is None else message.data
    try:
        frame_id = read_frame_id(data).decode(errors="replace")
        if topic.type == _IMAGE:
            return _Candidate(topic, frame_id, image_from_cdr(data).encoding)
        kind = str(bag.deserialize(topic.name, data).format) if topic.type == _COMPRESSED else ""
        return _Candidate(topic, frame_id, kind)
    except (ValueError, IndexError):
        return _Candidate(topic, "", "")


def _list(candidates: Iterable[_Candidate]) -> str:
    return ", ".join(map(str, candidates))


def _list_topics(bag: Bag) -> str:
    names = [f"{topic.name} ({topic.type.replace('/msg/', '/')})" for topic in bag.topics.values()]
    return escape(", ".join(names)) or "no messages"


def _name(candidate: _Candidate | None) -> str:
    return "" if candidate is None else candidate.topic.name
