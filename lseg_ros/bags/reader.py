"""Read the messages of ROS 1 and ROS 2 bags, without ROS."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from lseg_ros.cdr import image_from_cdr
from lseg_ros.errors import describe_error

__all__ = ["Bag", "BagMessage", "BagTopic", "is_bag"]

_REPAIR = {".bag": "rosbag reindex", ".mcap": "mcap recover", ".db3": "ros2 bag reindex"}
_SUFFIXES = tuple(_REPAIR)
_STORED = (*_SUFFIXES, *(f"{suffix}.zstd" for suffix in (".mcap", ".db3")))  # files in the folder of a ROS 2 bag
_METADATA = "metadata.yaml"


class BagTopic(NamedTuple):
    """A topic of a bag.

    Attributes:
        name: Name of the topic.
        type: Message type in the notation of ROS 2, such as sensor_msgs/msg/Image.
        message_count: Number of messages.
        latched: Whether late subscribers get the last message.
    """

    name: str
    type: str
    message_count: int
    latched: bool


class BagMessage(NamedTuple):
    """A message of a bag.

    Attributes:
        topic: Name of its topic.
        log_ns: Time at which it was recorded, in nanoseconds.
        data: The message in CDR.
    """

    topic: str
    log_ns: int
    data: bytes


def is_bag(path: str | Path) -> bool:
    """Return whether a path is a bag: by its suffix, or by the files in the folder."""
    path = Path(path)
    if path.is_dir():
        return (path / _METADATA).is_file() or bool(_find_files(path))
    return path.suffix.lower() in _SUFFIXES


class Bag:
    """A bag of ROS 1 (.bag) or ROS 2 (.mcap, .db3), whole or split, compressed or not.

    Messages have the layout of ROS 2 (CDR), also those of ROS 1. They are ordered by the time at which they were
    recorded; messages of the same time keep the order of the file.

    Attributes:
        path: The file, or the folder of a ROS 2 bag or of a split ROS 1 bag.
        topics: Topics with messages, by name.

    Args:
        path: The same.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If it is not a complete bag; the message names it and what was expected.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: expected a bag, but it does not exist")
        self._stack = ExitStack()
        with self._named_errors():
            self._readers = [self._stack.enter_context(reader) for reader in _open_readers(self.path)]
            self.topics = self._list_topics()

    @property
    def is_ros1(self) -> bool:
        """Whether this is a bag of ROS 1."""
        return isinstance(self._readers[0], Ros1Reader)

    def messages(
        self, topics: Collection[str], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """Read messages in the order in which they were recorded.

        Args:
            topics: Names of the topics.
            start_ns: Skip messages that were recorded earlier.
            stop_ns: Skip messages that were recorded at this time or later.

        Raises:
            ValueError: If the bag is damaged, or a topic of ROS 1 has a type that is unknown here.
        """
        for topic, log_ns, raw in self.raw_messages(topics, start_ns, stop_ns):
            yield BagMessage(topic, log_ns, self.to_cdr(topic, raw))

    def raw_messages(
        self, topics: Collection[str], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """Read messages as they are in the file: like ``messages``, without conversion."""
        sources = []
        for reader in self._readers:
            connections = [connection for connection in reader.connections if connection.topic in topics]
            if connections:
                sources.append(reader.messages(connections, start_ns, stop_ns))
        with self._named_errors():
            for connection, log_ns, data in heapq.merge(*sources, key=lambda message: message[1]):
                yield BagMessage(connection.topic, log_ns, data)

    def to_cdr(self, topic: str, raw: bytes) -> bytes:
        """Convert a message from the layout of its file.

        Raises:
            ValueError: If it is not a message of the topic's type.
        """
        if not self.is_ros1:
            return raw
        kind = self.topics[topic].type
        try:
            return bytes(self._types.ros1_to_cdr(raw, kind))
        except Exception as error:  # rosbags raises many types, depending on the fault
            raise ValueError(f"{topic}: expected a {kind}, got {len(raw)} bytes ({describe_error(error)})") from error

    def deserialize(self, topic: str, data: bytes) -> Any:
        """Parse a message in CDR.

        Raises:
            ValueError: If it is not a message of the topic's type.
        """
        kind = self.topics[topic].type
        try:
            return self._types.deserialize_cdr(data, kind)
        except Exception as error:  # rosbags raises many types, depending on the fault
            raise ValueError(f"{topic}: expected a {kind}, got {len(data)} bytes ({describe_error(error)})") from error

    def parse_image(self, topic: str, data: bytes) -> Any:
        """Parse a sensor_msgs/Image, whose pixels are not copied, or a CompressedImage.

        Raises:
            ValueError: If it is not a message of the topic's type.
        """
        if self.topics[topic].type == "sensor_msgs/msg/Image":
            return image_from_cdr(data)
        return self.deserialize(topic, data)

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    @cached_property
    def _types(self) -> Any:
        """The message types of ROS 2, and those of the bag that ROS 2 does not have."""
        store = get_typestore(Stores.ROS2_HUMBLE)
        for connection in (connection for reader in self._readers for connection in reader.connections):
            if connection.msgtype in store.types or connection.msgdef.format.name != "MSG":
                continue
            found = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            store.register({name: fields for name, fields in found.items() if name not in store.types})
        return store

    def _list_topics(self) -> dict[str, BagTopic]:
        topics: dict[str, BagTopic] = {}
        for connection in (connection for reader in self._readers for connection in reader.connections):
            count = connection.msgcount + (topics[connection.topic].message_count if connection.topic in topics else 0)
            latched = bool(getattr(connection.ext, "latching", False)) or any(
                qos.durability.name == "TRANSIENT_LOCAL" for qos in getattr(connection.ext, "offered_qos_profiles", ())
            )
            # tf/tfMessage of ROS 1 is the same message under its older name.
            kind = connection.msgtype.replace("tf/msg/tfMessage", "tf2_msgs/msg/TFMessage")
            if count:
                topics[connection.topic] = BagTopic(connection.topic, kind, count, latched)
        return dict(sorted(topics.items()))

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn what rosbags raises for a damaged file into a ValueError that names the bag."""
        try:
            yield
        except (FileNotFoundError, PermissionError, MemoryError):
            raise
        except Exception as error:
            kind = self.path.suffix if self.path.is_file() else next(iter(_find_files(self.path)), self.path).suffix
            raise ValueError(
                f"{self.path}: expected a complete bag, got a damaged one ({describe_error(error)}); "
                f"if its recording was interrupted, repair it with `{_REPAIR.get(kind, 'ros2 bag reindex')}`"
            ) from error


def _open_readers(path: Path) -> list[Any]:
    """Return the readers of a bag: several for a split bag of ROS 1."""
    if path.is_file():
        return [Ros1Reader(path) if path.suffix.lower() == ".bag" else Ros2Reader(path)]
    if (path / _METADATA).is_file():
        return [Ros2Reader(path)]
    files = _find_files(path)
    if not files:
        raise FileNotFoundError(
            f"{path}: expected {_METADATA} or files that end in {', '.join(_SUFFIXES)}, got neither"
        )
    if any(file.suffix != ".bag" for file in files):
        raise FileNotFoundError(
            f"{path}: expected {_METADATA}, which a recorder writes when it ends: create it with "
            f"`ros2 bag reindex {path}`, or name one of the files ({files[0].name})"
        )
    return [Ros1Reader(file) for file in files]


def _find_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name.lower().endswith(_STORED) and file.is_file())
