"""The language map in the 3D view of the page, instead of the current frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
import viser
from numpy.typing import NDArray

from lseg_ros.view.feed import Feed, MapCloud
from lseg_ros.view.scene import FRAME, MAP

__all__ = ["MapView"]

_MAX_POINTS = 100_000  # so that a browser without a GPU can draw them
_UPRIGHT = (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0)  # w x y z: z of the map is up, as -y of the frame is
_DISTANCE = np.array((0.0, -0.7, 0.9))  # of the viewer from the middle of the map, in lengths of the map


class MapView:
    """Shows the map of a feed that has one, while a box of the page is checked."""

    def __init__(self, server: viser.ViserServer, feed: Feed, redraw: Callable[[], None]) -> None:
        """Show nothing yet.

        Args:
            server: The server of the page.
            feed: Has the map.
            redraw: Called when the box changes.
        """
        self._server = server
        self._feed = feed
        self._redraw = redraw
        self._box: viser.GuiCheckboxHandle | None = None  # while there is no map
        self._cloud: viser.PointCloudHandle | None = None
        self._root = server.scene.add_frame(MAP, show_axes=False, wxyz=_UPRIGHT, visible=False)
        self._frame = server.scene.add_frame(FRAME, show_axes=False)

    def update(self, query: str, hidden: Collection[int]) -> None:
        """Show the map if it is wanted.

        Args:
            query: The colors show the similarity with this text; "" for the colors of the labels.
            hidden: Ids of the labels that are not shown.
        """
        if self._box is None and self._feed.has_map():
            # A feed that has nothing but a map is no camera that moves.
            self._box = self._server.gui.add_checkbox("map", not self._feed.moving, hint="show the map in 3D")
            self._box.on_update(lambda _: self._redraw())
        is_shown = self._box is not None and self._box.value
        if is_shown and (cloud := self._feed.map_cloud(query, hidden)) is not None:
            self._draw(cloud)
        if is_shown != self._root.visible:
            self._root.visible, self._frame.visible = is_shown, not is_shown

    def _draw(self, cloud: MapCloud) -> None:
        part = slice(None, None, math.ceil(len(cloud.centers) / _MAX_POINTS) or 1)
        centers, is_first = cloud.centers[part], self._cloud is None
        self._cloud = self._server.scene.add_point_cloud(
            f"{MAP}/voxels", centers, cloud.colors[part], point_size=_size_m(cloud.centers), point_shading="flat"
        )
        if is_first and len(centers):
            self._look_at(centers)

    def _look_at(self, centers: NDArray[np.float32]) -> None:
        """Move the camera of every browser so that it sees all points."""
        low, high = np.percentile(centers, (2, 98), axis=0)
        middle = (low + high) / 2
        position = middle + _DISTANCE * max(*(high - low)[:2], 1.0)
        for camera in (self._server.initial_camera, *(x.camera for x in self._server.get_clients().values())):
            camera.position, camera.look_at = _to_scene(position), _to_scene(middle)


def _to_scene(point: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = point.tolist()
    return x, -z, y


def _size_m(centers: NDArray[np.float32]) -> float:
    """Return the edge length of the voxels: the smallest distance of two layers in meters."""
    gaps = np.diff(np.unique(centers[:, 0]))
    return float(gaps.min()) if gaps.size else 0.05
