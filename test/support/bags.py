"""Write small bags of ROS 1 and ROS 2."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_HUMBLE)
ROS1_STORE = get_typestore(Stores.ROS1_NOETIC)
ROS1_STORE.register({name: STORE.fielddefs[name] for name in ("tf2_msgs/msg/TFMessage",)})
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
MS = 1_000_000
FRAME_ID = "camera_optical_frame"
HEIGHT, WIDTH = 48, 64
IMAGE, DEPTH, INFO = "/camera/color/image_raw", "/camera/depth/image_raw", "/camera/color/camera_info"
KINDS = (
    "mcap",
    "mcap zstd",
    "mcap split",
    "db3",
    "db3 file",
    "db3 message",
    "db3 split",
    "bag",
    "bag lz4",
    "bag split",
)


class Recorded(NamedTuple):
    """A message to record."""

    topic: str
    type: str
    log_ns: int
    data: bytes  # CDR


def new(kind: str, **fields: Any) -> Any:
    """Make a message of a type such as std_msgs/msg/Header."""
    return STORE.types[kind](**fields)


def record(topic: str, log_ns: int, message: Any) -> Recorded:
    """Serialize a message."""
    kind = message.__msgtype__
    return Recorded(topic, kind, log_ns, bytes(STORE.serialize_cdr(message, kind)))


def header(stamp_ns: int, frame_id: str = FRAME_ID) -> Any:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return new(
        "std_msgs/msg/Header", stamp=new("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec), frame_id=frame_id
    )


def image(pixels: NDArray[Any], encoding: str, stamp_ns: int, frame_id: str = FRAME_ID) -> Any:
    """Make a sensor_msgs/Image without row padding."""
    height, width = pixels.shape[:2]
    parts = dict(height=height, width=width, encoding=encoding, is_bigendian=0, step=pixels.nbytes // height)
    data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
    return new("sensor_msgs/msg/Image", header=header(stamp_ns, frame_id), data=data, **parts)


def camera_info(stamp_ns: int, frame_id: str = FRAME_ID, focal: float = 60.0) -> Any:
    """Make the sensor_msgs/CameraInfo of a camera with its principal point at the center."""
    k = np.array([focal, 0, WIDTH / 2, 0, focal, HEIGHT / 2, 0, 0, 1], float)
    roi = new("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return new(
        "sensor_msgs/msg/CameraInfo", header=header(stamp_ns, frame_id), height=HEIGHT, width=WIDTH,
        distortion_model="plumb_bob", d=np.zeros(5), k=k, r=np.eye(3).reshape(-1), p=np.zeros(12),
        binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def transform(stamp_ns: int, parent: str = "map", child: str = "base_link") -> Any:
    """Make a tf2_msgs/TFMessage with one transform."""
    moved = new(
        "geometry_msgs/msg/Transform",
        translation=new("geometry_msgs/msg/Vector3", x=stamp_ns % 10**9 / 1e9, y=0.0, z=0.0),
        rotation=new("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    )
    stamped = dict(header=header(stamp_ns, parent), child_frame_id=child, transform=moved)
    return new("tf2_msgs/msg/TFMessage", transforms=[new("geometry_msgs/msg/TransformStamped", **stamped)])


def make_pixels(number: int) -> NDArray[np.uint8]:
    """Return the (HEIGHT, WIDTH, 3) uint8 RGB pixels of a frame: patches of noise."""
    patches = np.random.default_rng(number).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    return patches.repeat(8, axis=0).repeat(8, axis=1)


def make_depth(number: int) -> NDArray[np.uint16]:
    """Return the (HEIGHT, WIDTH) uint16 millimeters of a frame, unknown in the first row."""
    depth_mm = np.full((HEIGHT, WIDTH), 1000 + number, np.uint16)
    depth_mm[0] = 0
    return depth_mm


def make_recording(frames: int) -> list[Recorded]:
    """Make a recording of an RGB-D camera at 10 Hz, with tf.

    Depth is 3 ms later than its image and recorded after it.
    """
    messages = [record("/tf_static", START_NS - 500 * MS, transform(START_NS, "base_link", FRAME_ID))]
    for number in range(frames):
        stamp_ns = START_NS + number * PERIOD_NS
        messages += [
            record("/tf", stamp_ns - 50 * MS, transform(stamp_ns - 50 * MS)),
            record("/tf", stamp_ns, transform(stamp_ns)),
            record(INFO, stamp_ns + 10 * MS, camera_info(stamp_ns)),
            record(IMAGE, stamp_ns + 12 * MS, image(make_pixels(number), "rgb8", stamp_ns)),
            record(DEPTH, stamp_ns + 30 * MS, image(make_depth(number), "16UC1", stamp_ns + 3 * MS)),
        ]
    return messages


def write_bag(folder: Path, messages: Iterable[Recorded], kind: str = "mcap") -> Path:
    """Write a bag of one of KINDS into a new folder, and return its path."""
    storage, _, option = kind.partition(" ")
    messages = sorted(messages, key=lambda message: message.log_ns)
    folder.mkdir(parents=True)
    if option == "split":
        half = len(messages) // 2
        parts = [
            write_bag(folder / f"part{n}", part, storage) for n, part in enumerate((messages[:half], messages[half:]))
        ]
        return _join(folder / "recording", parts)
    if storage == "bag":
        return _write_ros1(folder / "recording.bag", messages, option)
    return _write_ros2(folder / "recording", messages, storage, option)


def _write_ros2(path: Path, messages: Sequence[Recorded], storage: str, option: str) -> Path:
    plugin = {"mcap": StoragePlugin.MCAP, "db3": StoragePlugin.SQLITE3}[storage]
    modes = {"": "NONE", "zstd": "STORAGE", "file": "FILE", "message": "MESSAGE"}
    writer = Ros2Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(CompressionMode[modes[option]], CompressionFormat.ZSTD)
    with writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=STORE)
            for topic, kind in dict.fromkeys((message.topic, message.type) for message in messages)
        }
        for message in messages:
            writer.write(connections[message.topic], message.log_ns, message.data)
    return path


def _write_ros1(path: Path, messages: Sequence[Recorded], option: str) -> Path:
    writer = Ros1Writer(path)
    if option:
        writer.set_compression(Ros1Writer.CompressionFormat[option.upper()])
    with writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=ROS1_STORE, latching=int(topic == "/tf_static"))
            for topic, kind in dict.fromkeys((message.topic, message.type) for message in messages)
        }
        for message in messages:
            data = STORE.cdr_to_ros1(message.data, message.type)
            writer.write(connections[message.topic], message.log_ns, data)
    return path


def _join(path: Path, parts: Sequence[Path]) -> Path:
    """Make one split bag of the parts."""
    path.mkdir()
    if parts[0].is_file():
        for number, part in enumerate(parts):
            shutil.move(part, path / f"{number}.bag")
        return path
    contents = [yaml.safe_load((part / "metadata.yaml").read_text())["rosbag2_bagfile_information"] for part in parts]
    names, counts = [], dict[str, Any]()
    for number, (part, content) in enumerate(zip(parts, contents)):
        (name,) = content["relative_file_paths"]
        names.append(f"{number}{Path(name).suffix}")
        shutil.move(part / name, path / names[-1])
        for topic in content["topics_with_message_count"]:
            known = counts.setdefault(topic["topic_metadata"]["name"], {**topic, "message_count": 0})
            known["message_count"] += topic["message_count"]
    whole = contents[0]
    ends = [item["starting_time"]["nanoseconds_since_epoch"] + item["duration"]["nanoseconds"] for item in contents]
    whole["duration"] = {"nanoseconds": max(ends) - whole["starting_time"]["nanoseconds_since_epoch"]}
    whole["files"] = list(itertools.chain.from_iterable(content["files"] for content in contents))
    for file, name in zip(whole["files"], names):
        file["path"] = name
    whole.update(relative_file_paths=names, topics_with_message_count=list(counts.values()))
    whole["message_count"] = sum(content["message_count"] for content in contents)
    (path / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": whole}))
    return path
