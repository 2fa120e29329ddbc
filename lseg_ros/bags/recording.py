"""The frames of a camera in a bag."""

from __future__ import annotations

import dataclasses
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from lseg_ros.assembly import Assembled, assemble
from lseg_ros.bags.reader import Bag
from lseg_ros.bags.registration import DepthRegistration
from lseg_ros.bags.topic_choice import CameraTopics, choose_topics
from lseg_ros.cdr import read_frame_id, read_stamp_ns
from lseg_ros.matching import CameraInfoCache, StampedCache
from lseg_ros.structures import Frame

__all__ = ["BagFrame", "BagIndex", "BagRecording", "IndexEntry"]

_PATIENCE_NS = 500_000_000  # how long an image waits for depth and camera_info that were recorded after it
_STAMP_END = 12  # of the stamp in a serialized header: 4 bytes of CDR or of seq, and 8 of the stamp

MessageId = tuple[int, int]  # time at which it was recorded, and number among the messages of its topic at that time


class IndexEntry(NamedTuple):
    """Where the messages of a frame are.

    Attributes:
        log_ns: Time at which the image was recorded, in nanoseconds.
        image: The image.
        depth: Its depth, or None.
        camera_info: Its camera_info as it is in the file, or None.
    """

    log_ns: int
    image: MessageId
    depth: MessageId | None
    camera_info: bytes | None


class BagIndex(NamedTuple):
    """The frames of a camera in a bag.

    It can be sent to another process, which then opens the bag without a search.

    Attributes:
        topics: Topics of the camera.
        entries: Its frames, in the order in which the images were recorded.
        depth_extrinsics: See ``DepthRegistration``.
    """

    topics: CameraTopics
    entries: tuple[IndexEntry, ...]
    depth_extrinsics: str = ""


@dataclass(frozen=True, eq=False)
class BagFrame:
    """The messages of one frame.

    Attributes:
        index: Number of the frame in the recording, from 0.
        log_ns: Time at which the image was recorded, in nanoseconds.
        image: sensor_msgs/Image or CompressedImage in CDR.
        depth: sensor_msgs/Image, or CompressedImage of compressedDepth, in CDR, or None.
        camera_info: The sensor_msgs/CameraInfo, or None.
    """

    index: int
    log_ns: int
    image: bytes
    depth: bytes | None
    camera_info: Any
    _bag: Bag = dataclasses.field(repr=False)
    _topics: CameraTopics = dataclasses.field(repr=False)
    _registration: DepthRegistration | None = dataclasses.field(repr=False, default=None)

    def assemble(self) -> Assembled:
        """Build the frame, with depth and intrinsics if they can be used.

        Raises:
            ValueError: If the image cannot be read.
        """
        image = self._bag.parse_image(self._topics.image, self.image)
        problems, depth, depth_camera = {}, None, None
        if self.depth is not None:
            try:
                message = self._bag.parse_image(self._topics.depth, self.depth)
                if self._registration is not None:
                    depth_camera = self._registration.find(image, message, self.log_ns)
                depth = message
            except ValueError as error:
                problems["depth"] = str(error)
        frame, others = assemble(image, depth, self.camera_info, depth_camera)
        return Assembled(frame, {**problems, **others})


class BagRecording(Sequence[Frame]):
    """The frames of a camera in a bag, in the order in which its images were recorded.

    Depth and camera_info are matched by the rules of the node. The bag is read once when it is opened, to match the
    stamps. Images are read when a frame is accessed.

    Attributes:
        bag: The bag.
        frame_index: Topics and frames.

    Args:
        path: See ``Bag``.
        image: Topic of the images, sensor_msgs/Image or CompressedImage; "auto" for the only one.
        depth: Topic of the depth images; "auto" for the only one with the frame_id of the image, "none" for no depth.
        camera_info: Topic of the calibration; "auto" for the one next to the image, "none" for no calibration.
        sync_slop_s: Maximum difference between the stamps of an image and its depth, in seconds.
        depth_camera_info: Topic of the calibration of depth that is not registered to the images, "auto" for the one
            next to it; "none" if depth is registered.
        depth_extrinsics: See ``DepthRegistration``.
        frame_index: That of an earlier instance, to open the same bag without reading it.
        progress: Called during the search with the numbers of messages that were read and that exist.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If the bag is damaged, has no such topic, or has several and none was named.
    """

    def __init__(
        self,
        path: str | Path,
        image: str = "auto",
        depth: str = "auto",
        camera_info: str = "auto",
        *,
        sync_slop_s: float = 0.05,
        depth_camera_info: str = "none",
        depth_extrinsics: str = "",
        frame_index: BagIndex | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.bag = Bag(path)
        if frame_index is None:
            topics = choose_topics(self.bag, image, depth, camera_info, depth_camera_info)
            entries = _match_all(self.bag, topics, round(sync_slop_s * 1e9), progress)
            frame_index = BagIndex(topics, tuple(entries), depth_extrinsics)
        self.frame_index = frame_index
        self._registration: DepthRegistration | None = None
        if info_topic := frame_index.topics.depth_camera_info:
            self._registration = DepthRegistration(self.bag, info_topic, frame_index.depth_extrinsics)

    @property
    def path(self) -> Path:
        """The path of the bag."""
        return self.bag.path

    def __len__(self) -> int:
        return len(self.frame_index.entries)

    def __getitem__(self, index: Any) -> Any:
        """Return the frame at an index, or a list of frames for a slice.

        Raises:
            ValueError: If the image cannot be read; the message names the frame.
        """
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        return self._to_frame(next(self.read(position, position + 1)))

    def __iter__(self) -> Iterator[Frame]:
        return map(self._to_frame, self.read())

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[BagFrame]:
        """Read the messages of consecutive frames, without decoding them.

        Args:
            start: First frame.
            stop: Frame after the last one; None for all.

        Raises:
            ValueError: If the bag is damaged.
        """
        topics, wanted = self.frame_index.topics, self.frame_index.entries[start:stop]
        if not wanted:
            return
        pending = Counter(key for entry in wanted for key in _keys(entry))  # number of frames that need a message
        messages, source = {}, self._numbered(min(key[1] for key in pending), max(key[1] for key in pending) + 1)
        for index, entry in enumerate(wanted, start):
            keys = _keys(entry)
            while not all(key in messages for key in keys):
                key, raw = next(source, (None, b""))
                if key is None:
                    raise ValueError(f"{self.path}: expected frame {index}, but the bag changed while it was read")
                if key in pending:
                    messages[key] = raw
            image, *depth = (self.bag.to_cdr(topics.of(key[0]), messages[key]) for key in keys)
            yield BagFrame(
                index,
                entry.log_ns,
                image,
                depth[0] if depth else None,
                self._read_camera_info(entry.camera_info),
                self.bag,
                topics,
                self._registration,
            )
            for key in keys:
                pending[key] -= 1
                if not pending[key]:
                    del messages[key]

    def close(self) -> None:
        """Close the bag."""
        if self._registration is not None:
            self._registration.close()
        self.bag.close()

    def __enter__(self) -> BagRecording:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _to_frame(self, raw: BagFrame) -> Frame:
        try:
            return raw.assemble().frame
        except ValueError as error:
            raise ValueError(f"frame {raw.index} of {self.path}: {error}") from error

    def _numbered(self, start_ns: int, stop_ns: int) -> Iterator[tuple[Any, bytes]]:
        """Read images and depth with their keys (see ``_keys``)."""
        topics = self.frame_index.topics
        numbers = _Numbers()
        for topic, log_ns, raw in self.bag.raw_messages([topics.image, topics.depth], start_ns, stop_ns):
            role = "image" if topic == topics.image else "depth"
            yield (role, *numbers.next(role, log_ns)), raw

    def _read_camera_info(self, raw: bytes | None) -> Any:
        topic = self.frame_index.topics.camera_info
        return None if raw is None else self.bag.deserialize(topic, self.bag.to_cdr(topic, raw))


def _keys(entry: IndexEntry) -> list[tuple[str, int, int]]:
    """Return role and id of the messages of a frame, the image first."""
    depth = [] if entry.depth is None else [("depth", *entry.depth)]
    return [("image", *entry.image), *depth]


class _Numbers:
    """Numbers the messages of a topic that were recorded at the same time."""

    def __init__(self) -> None:
        self._last: dict[str, MessageId] = {}

    def next(self, role: str, log_ns: int) -> MessageId:
        last_ns, number = self._last.get(role, (None, 0))
        self._last[role] = log_ns, number + 1 if last_ns == log_ns else 0
        return self._last[role]


@dataclass
class _Waiting:
    """An image whose depth or camera_info may still follow."""

    id: MessageId
    stamp_ns: int
    frame_id: bytes
    expects_info: bool
    depth: MessageId | None = None
    camera_info: bytes | None = None
    has_depth: bool = False
    has_info: bool = False


class _Matcher:
    """Matches depth and camera_info to images, as the node does while it receives them."""

    def __init__(self, topics: CameraTopics, slop_ns: int) -> None:
        self._topics = topics
        self._slop_ns = slop_ns
        self._depth: StampedCache[MessageId] = StampedCache()
        self._infos: CameraInfoCache[bytes] = CameraInfoCache()
        self._waiting: deque[_Waiting] = deque()
        self._known_infos: dict[bytes, bytes] = {}  # one copy of equal messages, which differ only in their stamps

    def add(self, topic: str, message_id: MessageId, header: tuple[int, bytes], raw: bytes) -> None:
        """Take the next message of the bag."""
        stamp_ns, frame_id = header
        if topic == self._topics.depth:
            self._depth.add(stamp_ns, message_id)
        elif topic == self._topics.camera_info:
            self._infos.add(frame_id, stamp_ns, self._known_infos.setdefault(raw[_STAMP_END:], raw))
        else:
            expects_info = self._infos.expects_own(frame_id, stamp_ns, self._slop_ns)
            image = _Waiting(message_id, stamp_ns, frame_id, expects_info)
            image.camera_info = self._infos.find(frame_id, stamp_ns, self._slop_ns)
            image.has_depth, image.has_info = not self._topics.depth, not self._topics.camera_info
            self._waiting.append(image)

    def settled(self, now_ns: float) -> Iterator[IndexEntry]:
        """Return the images that wait no longer, in order.

        Args:
            now_ns: Time at which the last message was recorded; infinite at the end of the bag.
        """
        for image in self._waiting:
            self._match(image, is_last_chance=now_ns >= image.id[0] + _PATIENCE_NS)
        while self._waiting and self._waiting[0].has_depth and self._waiting[0].has_info:
            image = self._waiting.popleft()
            yield IndexEntry(image.id[0], image.id, image.depth, image.camera_info)

    def _match(self, image: _Waiting, *, is_last_chance: bool) -> None:
        if not image.has_depth:
            match = self._depth.match(image.stamp_ns, self._slop_ns)
            image.depth, image.has_depth = match.item, is_last_chance or self._depth.is_final(match)
        if not image.has_info:
            cache = self._infos.of_frame_id(image.frame_id)
            own = cache.match(image.stamp_ns, self._slop_ns)
            if own.item is not None or image.camera_info is None:
                image.camera_info = self._infos.find(image.frame_id, image.stamp_ns, self._slop_ns)
            is_own = own.item is not None and cache.is_final(own)
            image.has_info = is_last_chance or is_own or (not image.expects_info and image.camera_info is not None)


def _match_all(
    bag: Bag, topics: CameraTopics, slop_ns: int, progress: Callable[[int, int], None] | None
) -> Iterator[IndexEntry]:
    """Read the bag once and match the messages of its frames."""
    names = [name for name in (topics.image, topics.depth, topics.camera_info) if name]
    total = sum(bag.topics[name].message_count for name in names)
    matcher, numbers = _Matcher(topics, slop_ns), _Numbers()
    for count, (topic, log_ns, raw) in enumerate(bag.raw_messages(names), 1):
        matcher.add(topic, numbers.next(topic, log_ns), _read_header(raw, bag.is_ros1), raw)
        yield from matcher.settled(log_ns)
        if progress is not None:
            progress(count, total)
    yield from matcher.settled(float("inf"))


def _read_header(raw: bytes, is_ros1: bool) -> tuple[int, bytes]:
    """Return stamp and frame_id of a message; 0 and "" if it is too short to have them."""
    try:
        if not is_ros1:
            return read_stamp_ns(raw), read_frame_id(raw)
        _, seconds, nanoseconds, length = struct.unpack_from("<4I", raw)
    except (struct.error, IndexError, ValueError):
        return 0, b""
    return seconds * 1_000_000_000 + nanoseconds, raw[16 : 16 + length]
