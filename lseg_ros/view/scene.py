"""The 3D view of the page: a cloud per label, and the camera."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import viser

from lseg_ros.geometry import label_clouds, organized_cloud
from lseg_ros.structures import Frame, LabelCloud
from lseg_ros.view.feed import Found, LabeledFrame
from lseg_ros.view.pictures import take_every

__all__ = ["FRAME", "MAP", "Scene"]

FRAME = "/frame"  # all that belongs to the current frame
MAP = "/map"  # all that belongs to the language map, whose z is up

_MAX_POINTS = 50_000  # of a frame, so that a browser without a GPU can draw them
_FRUSTUM_M = 0.2
_MARK_SHARE, _LEAST_MARK_M = 0.03, 0.005  # radius of the mark of a query as a share of its distance
_MAP_MARK_M = 0.1  # its radius in a map
_MARK_COLOR = (255, 0, 255)  # rare among the colors of labels
_COLOR_SHARE = 0.6  # of the label in the color of a point; the rest is the image


class Scene:
    """Shows frames with depth in the axes of the camera: x right, y down, z forward."""

    def __init__(self, server: viser.ViserServer) -> None:
        self._scene = server.scene
        self._scene.set_up_direction("-y")
        server.initial_camera.position = (-0.6, -0.7, -1.0)
        server.initial_camera.look_at = (0.0, 0.0, 1.5)
        self._clouds: dict[str, viser.PointCloudHandle] = {}  # by slug
        self._camera: viser.CameraFrustumHandle | None = None
        self._mark: list[viser.SceneNodeHandle] = []
        self._lens: tuple[float, float] = (0.0, 0.0)

    def show(self, shown: LabeledFrame, hidden: Collection[int]) -> None:
        """Show a frame.

        Args:
            shown: The frame. Without depth or intrinsics nothing is shown.
            hidden: Ids of the labels without a cloud.
        """
        self._show_clouds(*_clouds(shown, hidden))
        self._show_camera(shown.frame)

    def show_point(self, found: Found | None, text: str) -> None:
        """Mark the point at which a text was found.

        Args:
            found: The answer to the query; without a point, and with None, the mark is removed.
            text: The text.
        """
        point = None if found is None else found.result.point
        if found is None or point is None:
            while self._mark:
                self._mark.pop().remove()
            return
        root = MAP if found.in_map else FRAME
        radius_m = _MAP_MARK_M if found.in_map else max(_MARK_SHARE * float(np.linalg.norm(point)), _LEAST_MARK_M)
        # These replace the last ones.
        sphere = self._scene.add_icosphere(f"{root}/query", radius_m, _MARK_COLOR, position=point)
        above = (0.0, 0.0, 1.5 * radius_m) if found.in_map else (0.0, -1.5 * radius_m, 0.0)
        self._mark = [sphere, self._scene.add_label(f"{root}/query/text", text, position=above)]

    def _show_clouds(self, clouds: Collection[LabelCloud], point_size_m: float) -> None:
        visible = {cloud.label.slug: cloud for cloud in clouds if len(cloud.points)}
        for slug in self._clouds.keys() - visible.keys():
            self._clouds.pop(slug).remove()
        for slug, cloud in visible.items():
            color = np.array(cloud.label.color, np.float32) * _COLOR_SHARE
            self._clouds[slug] = self._scene.add_point_cloud(
                f"{FRAME}/labels/{slug}",
                cloud.xyz,
                (cloud.rgb * (1 - _COLOR_SHARE) + color).astype(np.uint8),
                point_size=point_size_m,
                point_shading="flat",
            )

    def _show_camera(self, frame: Frame) -> None:
        camera = frame.intrinsics
        lens = (0.0, 0.0) if camera is None else (camera.fy / camera.height, camera.width / camera.height)
        if lens == self._lens:
            return
        self._lens = lens
        if self._camera is not None:
            self._camera.remove()
            self._camera = None
        if camera is not None:
            fov = 2 * math.atan(0.5 / lens[0])
            self._camera = self._scene.add_camera_frustum(f"{FRAME}/camera", fov=fov, aspect=lens[1], scale=_FRUSTUM_M)


def _clouds(shown: LabeledFrame, hidden: Collection[int]) -> tuple[tuple[LabelCloud, ...], float]:
    """Compute the clouds of the visible labels, with at most ``_MAX_POINTS`` points in total.

    Returns:
        The clouds, and the size of points in meters that closes the gaps between them at the median depth.
    """
    if shown.frame.depth_m is None or shown.frame.intrinsics is None:
        return (), 0.0
    step = math.ceil(math.sqrt(shown.frame.depth_m.size / _MAX_POINTS))
    frame, segmentation = take_every(step, shown.frame, shown.segmentation)
    assert frame.depth_m is not None and frame.intrinsics is not None  # as those of the whole frame
    labels = [label for label in segmentation.vocabulary.labels if label.id not in hidden]
    clouds = label_clouds(organized_cloud(frame, segmentation), segmentation.label_map, labels)
    known = frame.depth_m[np.isfinite(frame.depth_m)]
    return clouds, float(np.median(known)) / frame.intrinsics.fx if len(known) else 0.0
