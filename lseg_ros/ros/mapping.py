"""The language map of the node: poses in, places and clouds out.

The node loads this module only with ``map: true``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger

from lseg_ros.cdr import cloud_to_cdr
from lseg_ros.errors import describe_error
from lseg_ros.geometry import pack_rgb
from lseg_ros.mapping import LanguageMap, MapConfig, Place, PoseGate, find, label_voxels, load_map, observe, save_map
from lseg_ros.mapping.picture import heat_colors
from lseg_ros.messages import stamp_ns
from lseg_ros.msg import MapPlace
from lseg_ros.pipeline import EncodedFrame, Pipeline
from lseg_ros.ros.camera import Camera
from lseg_ros.ros.conversions import make_header, point_to_message
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.ros.runtime import run_in_temporary_thread
from lseg_ros.ros.topics import (
    FRAME_QOS,
    MAP_CLOUD,
    MAP_FIND,
    MAP_LOAD,
    MAP_MARKERS,
    MAP_RESET,
    MAP_SAVE,
    ODOMETRY,
    POSE,
    Topic,
)
from lseg_ros.ros.transforms import TF_MISSING, TransformListener
from lseg_ros.ros.wait_set import DetachedCallbackGroup, SubscriptionWaitSet
from lseg_ros.srv import MapFile, MapFind
from lseg_ros.structures import CLOUD_DTYPE, Segmentation, StampedTransform
from lseg_ros.transforms import TransformBuffer, parse_pose
from lseg_ros.visualization import palette
from lseg_ros.vocabulary import Vocabulary, parse_synonyms

try:
    from nav_msgs.msg import Odometry
except ImportError:
    Odometry = None
try:
    from visualization_msgs.msg import Marker, MarkerArray
except ImportError:
    MarkerArray = None

__all__ = ["Mapper"]

_PATIENCE_S = 0.3  # how long a frame waits for its pose, off the worker's path
_BODY = "body"  # frame of the odometry in our buffer
_DEFAULT_PLACES = 5


class _Item(NamedTuple):
    """A labeled frame that waits for the map."""

    camera: Camera
    encoded: EncodedFrame
    segmentation: Segmentation


class Mapper:
    """Integrates labeled frames into a map in its own thread, and serves the map.

    The worker only hands over the newest frame of each camera, so masks never wait for the map.
    """

    def __init__(self, node: Node, config: MapConfig, labels: LabelManager, report: Callable[[str, str], None]) -> None:
        """Create the services and topics.

        Args:
            node: The node.
            config: Settings of the map.
            labels: Holds the current settings.
            report: Called with the source and the text of a problem that concerns no single camera.
        """
        self._node = node
        self._config = config
        self._labels = labels
        self._report = report
        self._pipeline: Pipeline | None = None  # while configured
        self._map: LanguageMap | None = None  # while configured
        self._last_stamp_ns = 0
        self._poses: _PoseSource | None = None  # while active
        self._mailbox: Mailbox[_Item] = Mailbox()
        self._thread: threading.Thread | None = None  # while active
        self._gates: dict[str, PoseGate] = {}  # by camera
        self._cloud = node.create_publisher(PointCloud2, MAP_CLOUD.name, FRAME_QOS)
        self._markers: Publisher | None = None
        if MarkerArray is not None:
            self._markers = node.create_publisher(MarkerArray, MAP_MARKERS.name, FRAME_QOS)
        group = MutuallyExclusiveCallbackGroup()
        for kind, topic, answer in (
            (MapFind, MAP_FIND, self._find),
            (MapFile, MAP_SAVE, self._save),
            (MapFile, MAP_LOAD, self._load),
            (Trigger, MAP_RESET, self._reset),
        ):
            node.create_service(kind, topic.name, answer, callback_group=group)
        node.create_timer(1.0, self._publish_cloud, callback_group=group)

    def open(self, pipeline: Pipeline) -> None:
        """Create an empty map for the embeddings of a network."""
        self._pipeline = pipeline
        self._map = LanguageMap(self._config, pipeline.segmenter.channels)

    def close(self) -> None:
        """Forget the map and the network."""
        self._pipeline = self._map = None

    def start(self, transforms: TransformListener | None) -> None:
        """Subscribe to the poses and start to integrate frames.

        Args:
            transforms: Listener of the node for tf, or None if poses do not come from tf.
        """
        self._poses = _PoseSource(self._node, self._labels.state.node, transforms, self._report)
        self._mailbox, self._gates = Mailbox(), {}
        self._thread = threading.Thread(target=self._run, name="lseg map", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the current frame and unsubscribe."""
        self._mailbox.close()
        if self._thread is not None:
            self._thread.join()
        if self._poses is not None:
            self._poses.destroy()
        self._thread = self._poses = None

    def offer(self, camera: Camera, encoded: EncodedFrame, segmentation: Segmentation) -> None:
        """Let the map use a frame. It replaces a frame of the same camera that still waits."""
        self._mailbox.put(camera.name, _Item(camera, encoded, segmentation))

    def values(self) -> dict[str, str]:
        """Return the diagnostic values of the map."""
        return {} if self._map is None else {"map voxels": f"{len(self._map)} of {self._map.capacity}"}

    def _run(self) -> None:
        while (items := self._mailbox.take()) is not None:
            for item in items.values():
                try:
                    self._integrate(item)
                except Exception as error:  # any: one bad frame must not stop the map
                    item.camera.statistics.unmatched("map")
                    item.camera.statistics.problem("map", f"a frame was not used: {describe_error(error)}")

    def _integrate(self, item: _Item) -> None:
        language_map, poses, frame = self._map, self._poses, item.encoded.frame
        if language_map is None or poses is None:
            return
        pose = poses.lookup(frame.frame_id, frame.stamp_ns)
        gate = self._gates.setdefault(item.camera.name, PoseGate(self._config.map_max_speed_m_s))
        gate.check(frame.stamp_ns, pose)
        confidence = item.segmentation.confidence
        language_map.integrate(observe(frame, item.encoded.embeddings, pose, confidence, self._config.map_range_m))
        self._last_stamp_ns = frame.stamp_ns

    def _find(self, request: MapFind.Request, response: MapFind.Response) -> MapFind.Response:
        """Answer ~/map/find.

        Raises:
            ValueError: If the request is invalid or there is no map.
        """
        language_map, node = self._require_map(), self._labels.state.node
        if not -1 <= request.threshold <= 1:
            raise ValueError(f"threshold: expected -1 to 1, or 0 for query_threshold, got {request.threshold}")
        text = self._embed(request.text)
        threshold = request.threshold or node.query_threshold
        places = find(language_map, text, request.max_places or _DEFAULT_PLACES, threshold)
        response.header = make_header(self._last_stamp_ns, node.map_frame)
        response.places = [_place_to_message(place) for place in places]
        response.message = f"nothing in the map matches {request.text!r} (threshold {threshold:.2f})"
        if places:
            x, y, z = places[0].point
            response.message = f"{request.text!r} is at x {x:.2f} y {y:.2f} z {z:.2f} m (score {places[0].score:.2f})"
        self._publish_markers(request.text, places, response.header)
        response.success = True
        return response

    def _save(self, request: MapFile.Request, response: MapFile.Response) -> MapFile.Response:
        language_map = self._require_map()
        path = _check_path(request.path)
        assert self._pipeline is not None  # as long as there is a map
        save_map(language_map, path, self._pipeline.segmenter.fingerprint, self._labels.state.node.map_frame)
        response.success, response.message = True, f"{len(language_map)} voxels saved to {path}"
        return response

    def _load(self, request: MapFile.Request, response: MapFile.Response) -> MapFile.Response:
        self._require_map()
        path = _check_path(request.path)
        assert self._pipeline is not None  # as long as there is a map
        self._map = load_map(path, self._pipeline.segmenter.fingerprint, self._config)
        response.success, response.message = True, f"{len(self._map)} voxels loaded from {path}"
        return response

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._require_map().reset()
        response.success, response.message = True, "the map is empty"
        return response

    def _require_map(self) -> LanguageMap:
        if self._map is None:
            raise ValueError("the node is not configured: there is no map")
        return self._map

    def _embed(self, text: str) -> NDArray[np.float32]:
        """Encode a text, (C,) float32."""
        assert self._pipeline is not None  # as long as there is a map
        parse_synonyms(text, "text")
        vocabulary = Vocabulary.of([text], prompt_templates=self._labels.state.node.prompt_templates)
        encoded = run_in_temporary_thread(self._pipeline.segmenter.encode, vocabulary, competing=False)
        return np.asarray(encoded.embeddings[0].cpu().numpy(), np.float32)

    def _publish_cloud(self) -> None:
        """Publish the map while ~/map/cloud has a subscriber."""
        language_map, state = self._map, self._labels.state
        if language_map is None or state.encoded is None or not self._cloud.get_subscription_count():
            return
        try:
            with language_map.lock:
                voxels = language_map.voxels()
                colors = self._colors(language_map, state.node.map_color)
        except Exception as error:  # such as a text in map_color that is too long
            self._report(MAP_CLOUD.name, describe_error(error))
            return
        points = np.empty(len(voxels.centers), CLOUD_DTYPE)
        for axis, name in enumerate("xyz"):
            points[name] = voxels.centers[:, axis]
        if len(points):
            points["rgb"] = pack_rgb(colors[None])[0]
        header = make_header(self._last_stamp_ns, state.node.map_frame)
        self._cloud.publish(cloud_to_cdr(header, points, is_dense=True))

    def _colors(self, language_map: LanguageMap, text: str) -> NDArray[np.uint8]:
        """Return (N, 3) uint8 colors of the voxels, by similarity to a text or, for "", by label."""
        if text:
            return heat_colors(language_map.similarity(self._embed(text)))
        encoded = self._labels.state.encoded
        assert encoded is not None  # checked by the caller
        label, _ = label_voxels(language_map, encoded.embeddings.cpu().numpy(), encoded.ids.cpu().numpy())
        return palette(encoded.vocabulary)[label]

    def _publish_markers(self, text: str, places: Iterable[Place], header: Any) -> None:
        """Replace the markers of the last search by boxes and texts for these places."""
        if self._markers is None:
            return
        markers = [Marker(header=header, action=Marker.DELETEALL)]
        for rank, place in enumerate(places):
            for kind in (Marker.CUBE, Marker.TEXT_VIEW_FACING):
                marker = Marker(header=header, ns=text[:100], id=2 * rank + (kind == Marker.CUBE), type=kind)
                marker.pose.position = point_to_message((place.lower + place.upper) / 2)
                marker.pose.orientation.w = 1.0
                marker.color.r, marker.color.g, marker.color.b = 1.0, 0.8, 0.1
                marker.color.a = 0.4 if kind == Marker.CUBE else 1.0
                marker.scale.x, marker.scale.y, marker.scale.z = (place.upper - place.lower).tolist()
                if kind == Marker.TEXT_VIEW_FACING:
                    marker.pose.position.z, marker.scale.z = float(place.upper[2]) + 0.1, 0.15
                    marker.text = f"{text} {place.score:.2f}"
                markers.append(marker)
        self._markers.publish(MarkerArray(markers=markers))


class _PoseSource:
    """Poses of cameras in the map, from tf, odometry or the poses of a localization."""

    def __init__(
        self,
        node: Node,
        config: NodeConfig,
        transforms: TransformListener | None,
        report: Callable[[str, str], None],
    ) -> None:
        self._node = node
        self._frame = config.map_frame
        self._camera_pose = (
            parse_pose(config.map_camera_pose, "map_camera_pose") if config.map_camera_pose else np.eye(4)
        )
        self._report = report
        self._listener = transforms if config.map_pose == "tf" else None
        self._wait_set: SubscriptionWaitSet | None = None
        self._subscription: Any = None
        self._missing = ""
        self._topic: Topic | None = None
        if self._listener is not None:
            self._buffer = self._listener.buffer
            self._missing = "" if self._listener.available else f"{TF_MISSING}; use map_pose odometry or pose"
            return
        self._buffer = TransformBuffer()
        self._topic, kind = (ODOMETRY, Odometry) if config.map_pose == "odometry" else (POSE, PoseStamped)
        if kind is None:
            self._missing = "nav_msgs is not installed, so odometry cannot be received; use map_pose pose"
            return
        self._kind = kind
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        group = DetachedCallbackGroup()
        self._subscription = node.create_subscription(
            kind, self._topic.name, self._receive, qos, callback_group=group, raw=True
        )
        self._wait_set = SubscriptionWaitSet(node, [self._subscription])

    def lookup(self, frame_id: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return the pose (4, 4) of a camera in the map; raises ValueError if it is not known."""
        if self._missing:
            raise ValueError(self._missing)
        if self._listener is not None:
            return self._buffer.lookup(self._frame, frame_id, stamp_ns, _PATIENCE_S)
        return self._buffer.lookup(self._frame, _BODY, stamp_ns, _PATIENCE_S) @ self._camera_pose

    def destroy(self) -> None:
        """Unsubscribe."""
        if self._wait_set is not None:
            self._wait_set.close()
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)

    def _receive(self, data: bytes) -> None:
        """Store a serialized message. An invalid pose is reported and not used."""
        message = deserialize_message(data, self._kind)
        pose = message.pose if self._kind is PoseStamped else message.pose.pose
        p, q = pose.position, pose.orientation
        assert self._topic is not None  # set before the subscription
        try:
            if message.header.frame_id.lstrip("/") != self._frame:
                raise ValueError(f"frame_id: expected map_frame {self._frame!r}, got {message.header.frame_id[:60]!r}")
            stamp = stamp_ns(message.header)
            self._buffer.add(StampedTransform(stamp, self._frame, _BODY, (p.x, p.y, p.z), (q.x, q.y, q.z, q.w)))
        except ValueError as error:
            self._report(self._topic.name, describe_error(error))


def _check_path(text: str) -> Path:
    path = Path(text).expanduser()
    if path.suffix != ".safetensors" or not path.parent.is_dir():
        raise ValueError(f"path: expected a file name ending in .safetensors in an existing folder, got {text[:200]!r}")
    return path


def _place_to_message(place: Place) -> MapPlace:
    message = MapPlace(score=place.score, voxels=place.voxels)
    for name in ("point", "centroid", "lower", "upper"):
        setattr(message, name, point_to_message(getattr(place, name)))
    message.last_seen = make_header(place.last_seen_ns, "").stamp
    return message
