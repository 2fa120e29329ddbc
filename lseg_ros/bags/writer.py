"""Write ROS 2 bags (mcap) whose bytes depend only on their messages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from lseg_ros.bags.message_types import result_types

__all__ = ["BagWriter", "join_parts", "read_custom_data"]

_METADATA, _ROOT = "metadata.yaml", "rosbag2_bagfile_information"
_CUSTOM_KEY = "lseg_ros"
_FOREVER = QosTime(9223372036, 854775807)  # the infinite duration of ROS 2
_LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    avoid_ros_namespace_conventions=False,
)


class BagWriter:
    """A bag with one compressed mcap file.

    It is complete once it is closed without an exception.

    Args:
        folder: The folder of the bag, which does not exist yet.
        topics: Message type, and whether late subscribers get the last message, by name of the topic.
    """

    def __init__(self, folder: Path, topics: dict[str, tuple[str, bool]]) -> None:
        self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._topics = topics
        self._connections: dict[str, Any] = {}

    def write(self, topic: str, log_ns: int, data: bytes) -> None:
        """Write a message in CDR."""
        self._writer.write(self._connections[topic], log_ns, data)

    def write_message(self, topic: str, log_ns: int, message: Any) -> None:
        """Serialize and write a message of ``result_types``."""
        self.write(topic, log_ns, bytes(result_types().serialize_cdr(message, self._topics[topic][0])))

    def __enter__(self) -> BagWriter:
        self._writer.open()
        for topic, (kind, latched) in self._topics.items():
            qos = [_LATCHED] if latched else []
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=result_types(), offered_qos_profiles=qos
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)


def join_parts(parts: Sequence[Path], folder: Path, custom_data: str) -> None:
    """Make one split bag of bags with the same topics. An interrupted call can be repeated.

    Args:
        parts: Folders of bags with one file each, in the order of their messages. Their files are moved.
        folder: Folder of the new bag.
        custom_data: Text for ``read_custom_data``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = [_read_metadata(part) for part in parts]
    files = []
    for number, (part, content) in enumerate(zip(parts, contents)):
        (file,) = content["files"]
        source, name = part / file["path"], f"{folder.name}_{number}.mcap"
        if source.exists():  # otherwise an earlier call has moved it
            source.replace(folder / name)
        files.append({**file, "path": name})
    whole = _add_up(contents, files)
    whole["custom_data"] = {_CUSTOM_KEY: custom_data}
    temporary = folder / f"{_METADATA}.tmp"
    temporary.write_text(yaml.safe_dump({_ROOT: whole}, sort_keys=False), encoding="utf-8")
    temporary.replace(folder / _METADATA)
    for part in parts:
        shutil.rmtree(part)


def read_custom_data(folder: Path) -> str | None:
    """Return the text that ``join_parts`` stored in a bag, None if it is another bag or none."""
    try:
        custom = _read_metadata(folder).get("custom_data") or {}
        return str(custom[_CUSTOM_KEY])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        return None


def _read_metadata(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / _METADATA).read_text(encoding="utf-8"))[_ROOT]
    return content


def _add_up(contents: Sequence[dict[str, Any]], files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the metadata of a split bag."""
    whole: dict[str, Any] = json.loads(json.dumps(contents[0]))
    spans = [
        (start, start + content["duration"]["nanoseconds"])
        for content in contents
        if content["message_count"]
        for start in (content["starting_time"]["nanoseconds_since_epoch"],)
    ]
    begin, end = min(start for start, _ in spans), max(stop for _, stop in spans)
    whole["starting_time"] = {"nanoseconds_since_epoch": begin}
    whole["duration"] = {"nanoseconds": end - begin}
    whole["message_count"] = sum(content["message_count"] for content in contents)
    whole["relative_file_paths"] = [file["path"] for file in files]
    whole["files"] = files
    for topic, *others in zip(*(content["topics_with_message_count"] for content in contents)):
        name = topic["topic_metadata"]["name"]
        total = topic["message_count"] + sum(other["message_count"] for other in others)
        next(item for item in whole["topics_with_message_count"] if item["topic_metadata"]["name"] == name)[
            "message_count"
        ] = total
    return whole
