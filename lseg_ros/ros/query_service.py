"""``~/query``: where in the last processed frame something is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rclpy.node import Node

from lseg_ros.messages import fill_image
from lseg_ros.pipeline import Pipeline
from lseg_ros.query import QueryResult
from lseg_ros.ros.camera import Camera, LastFrame
from lseg_ros.ros.conversions import point_to_message
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.ros.passing import run_in_temporary_thread
from lseg_ros.ros.topics import QUERY
from lseg_ros.srv import QueryLabel

__all__ = ["QueryService"]

_NOWHERE = (math.nan, math.nan, math.nan)


class QueryService:
    """Answers for the cameras of a node, which come by name.

    pipeline: called for what to ask, None while the node is not active. config: called for the settings that hold now.
    """

    def __init__(
        self,
        node: Node,
        cameras: Mapping[str, Camera],
        pipeline: Callable[[], Pipeline | None],
        config: Callable[[], NodeConfig],
    ) -> None:
        self._cameras = cameras
        self._pipeline = pipeline
        self._config = config
        node.create_service(QueryLabel, QUERY.name, self._answer)

    def _answer(self, request: QueryLabel.Request, response: QueryLabel.Response) -> QueryLabel.Response:
        config = self._config()
        try:
            threshold = _threshold(request.threshold, config.query_threshold)
            name, pipeline, seen = self._last(request.camera)
            finding = run_in_temporary_thread(pipeline.query, seen.embedded, request.text, config.prompt_templates)
        except (ValueError, RuntimeError) as error:  # RuntimeError: also out of memory
            response.success, response.message = False, str(error)
            response.score = response.threshold = math.nan
            response.point = point_to_message(_NOWHERE)
            return response
        response.success = True
        response.found, response.threshold = finding.score >= threshold, threshold
        response.message = _sentence(request.text, finding, threshold)
        response.header, response.camera = seen.header, name
        if not request.no_image:
            response.similarity.header = seen.header
            fill_image(response.similarity, finding.similarity, "32FC1")
        response.score, (response.u, response.v) = finding.score, finding.pixel
        response.has_point = finding.point is not None
        response.point = point_to_message(_NOWHERE if finding.point is None else finding.point)
        return response

    def _last(self, camera: str) -> tuple[str, Pipeline, LastFrame]:
        """Whose frame to look at, with what, and the frame. Raises ValueError with a sentence where there is none."""
        if camera and camera not in self._cameras:
            known = ", ".join(filter(None, self._cameras)) or "none, for the node's camera has no name"
            raise ValueError(f"camera: expected {known}, or '' for the one with the newest frame, got {camera!r}")
        pipeline = self._pipeline()
        if pipeline is None:
            raise ValueError("the node is not active: there is no frame to look at")
        asked = [self._cameras[camera]] if camera else self._cameras.values()
        frames = {each.name: seen for each in asked if (seen := each.last()) is not None}
        if not frames:
            raise ValueError(f"no frame{f' of {camera}' * bool(camera)} was processed yet")
        name = max(frames, key=lambda each: frames[each].embedded.frame.stamp_ns)
        return name, pipeline, frames[name]


def _threshold(asked: float, usual: float) -> float:
    if not -1 <= asked <= 1:
        raise ValueError(f"threshold: expected -1 to 1, or 0 for query_threshold, got {asked}")
    return asked or usual


def _sentence(text: str, finding: QueryResult, threshold: float) -> str:
    figures = f"score {finding.score:.2f}, threshold {threshold:.2f}"
    if finding.score < threshold:
        return f"nothing in view fits {text!r} ({figures})"
    column, row = finding.pixel
    away = "" if finding.point is None else f", {math.dist((0, 0, 0), finding.point):.2f} m away"
    return f"{text!r} is at column {column}, row {row}{away} ({figures})"
