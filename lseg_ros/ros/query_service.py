"""The service ``~/query``: finds a text in the last processed frame."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lseg_ros.messages import fill_image
from lseg_ros.pipeline import Pipeline
from lseg_ros.query import QueryResult
from lseg_ros.ros.camera import Camera, LastFrame
from lseg_ros.ros.conversions import point_to_message
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.runtime import run_in_temporary_thread
from lseg_ros.srv import QueryLabel

__all__ = ["QueryService"]

_NO_POINT = (math.nan, math.nan, math.nan)


class QueryService:
    """Answers queries about the last frames of a node's cameras.

    Attributes:
        pipeline: Runs the queries. None while the node is not active.
    """

    def __init__(self, cameras: Iterable[Camera], labels: LabelManager) -> None:
        """Create a service that rejects all queries until it has a pipeline.

        Args:
            cameras: The cameras of the node.
            labels: Holds the current settings.
        """
        self.pipeline: Pipeline | None = None
        self._cameras = {camera.name: camera for camera in cameras}
        self._labels = labels

    def answer(self, request: QueryLabel.Request, response: QueryLabel.Response) -> QueryLabel.Response:
        """Answer one request.

        Raises:
            ValueError: If the request is invalid or there is no frame to search. The numbers of the response are NaN.
        """
        response.score = response.threshold = math.nan
        response.point = point_to_message(_NO_POINT)
        state = self._labels.state
        threshold = _choose_threshold(request.threshold, state.node.query_threshold)
        camera, pipeline, last = self._find_frame(request.camera)
        result = run_in_temporary_thread(
            pipeline.query, last.encoded, request.text, state.node.prompt_templates, state.pipeline
        )
        response.found, response.threshold = result.score >= threshold, threshold
        response.message = _describe(request.text, result, threshold)
        response.header, response.camera = last.header, camera
        if not request.no_image:
            response.similarity.header = last.header
            fill_image(response.similarity, result.similarity, "32FC1")
        response.score, (response.u, response.v) = result.score, result.pixel
        response.has_point = result.point is not None
        if result.point is not None:
            response.point = point_to_message(result.point)
        response.success = True
        return response

    def _find_frame(self, name: str) -> tuple[str, Pipeline, LastFrame]:
        """Find the last frame of a camera, or the newest frame of all cameras for "".

        Returns:
            Name of the camera, pipeline, and frame.

        Raises:
            ValueError: If there is no such camera or no frame.
        """
        if name and name not in self._cameras:
            known = ", ".join(filter(None, self._cameras)) or "none, because the node's camera has no name"
            raise ValueError(f"camera: expected {known}, or '' for the camera with the newest frame, got {name!r}")
        pipeline = self.pipeline
        if pipeline is None:
            raise ValueError("the node is not active: there is no frame to search")
        candidates = [self._cameras[name]] if name else self._cameras.values()
        frames = {camera.name: last for camera in candidates if (last := camera.last_frame_with_depth()) is not None}
        if not frames:
            raise ValueError(f"no frame{f' of camera {name}' * bool(name)} was processed yet")
        newest = max(frames, key=lambda camera: frames[camera].encoded.frame.stamp_ns)
        return newest, pipeline, frames[newest]


def _choose_threshold(requested: float, default: float) -> float:
    if not -1 <= requested <= 1:
        raise ValueError(f"threshold: expected -1 to 1, or 0 for query_threshold, got {requested}")
    return requested or default


def _describe(text: str, result: QueryResult, threshold: float) -> str:
    scores = f"score {result.score:.2f}, threshold {threshold:.2f}"
    if result.score < threshold:
        return f"nothing in view matches {text!r} ({scores})"
    column, row = result.pixel
    distance = "" if result.point is None else f", {math.dist((0, 0, 0), result.point):.2f} m away"
    return f"{text!r} is at column {column}, row {row}{distance} ({scores})"
