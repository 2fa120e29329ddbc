"""``~/set_labels`` and ``~/get_labels``."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.parameter import Parameter

from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.ros.conversions import vocabulary_to_message
from lseg_ros.ros.label_set import LabelManager
from lseg_ros.ros.topics import GET_LABELS, SET_LABELS
from lseg_ros.srv import GetLabels, SetLabels

__all__ = ["LabelServices"]


class LabelServices:
    """The services' way to the parameter ``labels``, which so always says what is live. model: its name."""

    def __init__(self, node: Node, labels: LabelManager, model: str) -> None:
        self._node = node
        self._labels = labels
        self._model = model
        node.create_service(SetLabels, SET_LABELS.name, self._set)
        node.create_service(GetLabels, GET_LABELS.name, self._get)

    def _set(self, request: SetLabels.Request, response: SetLabels.Response) -> SetLabels.Response:
        try:
            if request.mode not in (request.REPLACE, request.APPEND):
                raise ValueError(f"mode: expected 0 (REPLACE) or 1 (APPEND), got {request.mode}")
            entries = self._labels.offer(request.labels, request.ids, request.colors, request.mode == request.APPEND)
            wanted = Parameter("labels", Parameter.Type.STRING_ARRAY, list(entries))
            result = self._node.set_parameters_atomically([wanted])
            response.success, response.message = result.successful, result.reason
        except ValueError as error:
            response.success, response.message = False, str(error)
        response.vocabulary = self._live()
        return response

    def _get(self, request: GetLabels.Request, response: GetLabels.Response) -> GetLabels.Response:
        response.vocabulary = self._live()
        return response

    def _live(self) -> VocabularyMessage:
        return vocabulary_to_message(self._labels.vocabulary, self._model, self._node.get_clock().now().to_msg())
