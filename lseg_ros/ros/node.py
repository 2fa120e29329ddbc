"""The lifecycle node ``lseg``: lifecycle transitions, parameters and services.

The worker processes the frames.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.service import Service
from std_srvs.srv import SetBool

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.mapping.config import MapConfig
from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.pipeline import Pipeline, PipelineConfig
from lseg_ros.quoting import quote
from lseg_ros.ros.camera import Camera
from lseg_ros.ros.conversions import vocabulary_to_message
from lseg_ros.ros.diagnostics import UNLABELED_THRESHOLD, Diagnostics
from lseg_ros.ros.labels import ActiveState, LabelManager, VocabularyPublisher
from lseg_ros.ros.lidar import Lidar
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.parameters import NodeConfig, declare, explain_wrong_type, read
from lseg_ros.ros.query_service import QueryService
from lseg_ros.ros.runtime import Attempt, LogForwarding, run_in_temporary_thread
from lseg_ros.ros.subscriptions import RawImage
from lseg_ros.ros.topics import ENABLE, GET_LABELS, QUERY, SET_LABELS
from lseg_ros.ros.transforms import TransformListener
from lseg_ros.ros.worker import Worker
from lseg_ros.srv import GetLabels, QueryLabel, SetLabels

if TYPE_CHECKING:
    from lseg_ros.ros.mapping import Mapper

try:
    from bondpy.bondpy import Bond
except ImportError:
    Bond = None

__all__ = ["SegmentationNode"]

_TRANSITIONS = ("configure", "activate", "deactivate", "cleanup", "shutdown")
_WARM_UP_SIZE = (480, 640)
_THROTTLE_S = 1.0  # shortest time between two lines in the log about requests of one kind that failed


class SegmentationNode(LifecycleNode):  # type: ignore[misc]  # rclpy is Any to mypy
    """The lifecycle node ``lseg``.

    ``configure`` loads the network and creates the topics, ``activate`` subscribes to the cameras and starts the
    worker, ``deactivate`` undoes the latter and keeps network and labels, ``cleanup`` frees them.

    The parameter ``labels`` and the service ``~/set_labels`` change the labels in the same way: ``propose`` a new
    active state, then ``commit`` it between two frames.
    """

    def __init__(self, name: str = "lseg", **options: Any) -> None:
        """Declare the parameters and create the services.

        Args:
            name: Name of the node.
            **options: Passed to ``LifecycleNode``.

        Raises:
            ValueError: If a start-up parameter is invalid.
        """
        super().__init__(name, **options)
        self._log_forwarding = LogForwarding(self.get_logger())
        for config in (NodeConfig, SegmenterConfig, PipelineConfig, MapConfig):
            declare(self, config)
        self._labels = LabelManager(read(self, NodeConfig), read(self, SegmenterConfig), read(self, PipelineConfig))
        camera_names = self._labels.state.node.cameras or ("",)
        uses_lidar = self._labels.state.node.points_source != "depth"
        self._lidar = Lidar(self, self._labels) if uses_lidar else None
        self._cameras = tuple(Camera(self, camera_name, self._labels, self._lidar) for camera_name in camera_names)
        self._between_frames = threading.Lock()  # held while a frame is published or the active state changes
        self._pipeline: Pipeline | None = None  # while configured
        self._vocabulary_publisher: VocabularyPublisher | None = None  # while configured
        self._active = False
        self._enabled = True  # False while paused
        self._worker: Worker | None = None  # while active and enabled
        self._transforms: TransformListener | None = None  # the same, if a feature uses tf
        self._bond: Any = None  # while active
        self._proposal: ActiveState | None = None  # accepted parameters, until they are applied
        self._service_proposal: ActiveState | None = None  # while set_labels sets the parameter
        self.add_on_set_parameters_callback(self._check_parameters)
        self._has_post_set_callback = hasattr(self, "add_post_set_parameters_callback")  # not in Humble
        if self._has_post_set_callback:
            self.add_post_set_parameters_callback(self._apply_parameters)
        self._mapper = self._create_mapper()
        self._query = QueryService(self._cameras, self._labels)
        self.create_service(SetLabels, SET_LABELS.name, self._set_labels)
        self.create_service(GetLabels, GET_LABELS.name, self._get_labels)
        self.create_service(QueryLabel, QUERY.name, self._query.answer)
        self.create_service(SetBool, ENABLE.name, self._enable)
        for service in self.services:  # also those of rclpy: it does not answer an invalid transition or parameter type
            self._answer_always(service)
        self._diagnostics = Diagnostics(self)
        # A steady clock, because with use_sim_time and no publisher of /clock, diagnostics must still report that.
        clock, group = Clock(clock_type=ClockType.STEADY_TIME), MutuallyExclusiveCallbackGroup()
        self.create_timer(1.0, self._every_second, callback_group=group, clock=clock)

    def _create_mapper(self) -> Mapper | None:
        """Create the language map if the parameter ``map`` is set."""
        config = read(self, MapConfig)
        if not self._labels.state.node.map:
            return None
        from lseg_ros.ros.mapping import Mapper  # a node without a map does not load it

        return Mapper(self, config, self._labels, self._report_problem)

    def autostart(self) -> bool:
        """Configure and activate if the parameter ``autostart`` is set.

        Returns:
            False if a transition fails.
        """
        if not self._labels.state.node.autostart:
            return True
        success = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == success and self.trigger_activate() == success)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm up the network, encode the labels, and create the topics."""
        return self._transition("configure", self._configure, undo=self._close)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and start the worker."""
        return self._transition("activate", self._activate, undo=self._deactivate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the worker and unsubscribe. Network, labels and publishers stay."""
        return self._transition("deactivate", self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Destroy the topics and free the network."""
        return self._transition("clean up", self._close)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate and clean up, from any state."""
        return self._transition("shut down", self._shut_down)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate and clean up after a failed transition.

        The node is then unconfigured, and can be configured again.
        """
        return self._transition("recover", self._shut_down)

    def _transition(
        self, name: str, act: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Run a transition.

        Args:
            name: Verb that describes it in the log.
            act: Does the work.
            undo: Restores the previous state if ``act`` fails.

        Returns:
            SUCCESS; FAILURE if the previous state was restored; otherwise ERROR, so that ``on_error`` follows.
        """
        with Attempt(self.get_logger(), f"cannot {name}") as attempt:
            act()
        if attempt.reason is None:
            return TransitionCallbackReturn.SUCCESS
        if undo is None:
            return TransitionCallbackReturn.ERROR
        undo()
        return TransitionCallbackReturn.FAILURE

    def _configure(self) -> None:
        segmenter = run_in_temporary_thread(self._load)
        active = self._labels.state
        self._pipeline = Pipeline(segmenter)
        if self._mapper is not None:
            self._mapper.open(self._pipeline)
        with self._between_frames:
            for camera in self._cameras:
                camera.open()
            if self._lidar is not None:
                self._lidar.open()
            self._vocabulary_publisher = VocabularyPublisher(self, active.segmenter.checkpoint, active.node.cameras)
        self._commit(active)

    def _load(self) -> Segmenter:
        """Load the network, encode the labels with it, and run it once."""
        segmenter = Segmenter.from_checkpoint(self._labels.state.segmenter)
        self._labels.load(segmenter)
        segmenter.warm_up(*_WARM_UP_SIZE, max_batch=len(self._cameras))
        return segmenter

    def _activate(self) -> None:
        with self._between_frames:
            self._publish_vocabulary()  # before the first mask
        self._active, self._query.pipeline = True, self._pipeline
        self._start()
        self._start_bond()
        names = ", ".join(self._labels.state.vocabulary.names)
        self.get_logger().info(f"looking for {names}{'' if self._enabled else ' (paused)'}")

    def _shut_down(self) -> None:
        self._deactivate()
        self._close()

    def destroy_node(self) -> None:
        """Stop the worker, destroy the topics and destroy the node."""
        if hasattr(self, "_query"):  # since Kilted, rclpy.shutdown also destroys a node whose __init__ failed
            self._deactivate()
            self._close()
        self._log_forwarding.close()
        super().destroy_node()

    def _answer_always(self, service: Service) -> None:
        """Let a service respond even if its callback raises, with the reason if possible."""
        answer = service.callback

        def respond(request: Any, response: Any) -> Any:
            with Attempt(self.get_logger(), f"{service.srv_name} failed", _THROTTLE_S) as attempt:
                if isinstance(request, ChangeState.Request):
                    _check_transition(request)
                return answer(request, response)
            result = SetParametersResult(successful=False, reason=attempt.reason)
            if isinstance(response, SetParameters.Response):
                response.results = [result for _ in request.parameters]
            if isinstance(response, SetParametersAtomically.Response):
                response.result = result
            if hasattr(response, "success"):
                response.success = False
            if hasattr(response, "message"):
                response.message = attempt.reason
            return response

        service.callback = respond

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Set parameters, all or none. If one has the wrong type, the reason names it."""
        reason = explain_wrong_type(self, parameter_list)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        return super().set_parameters_atomically(parameter_list)

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Validate a change of parameters without applying it."""
        self._proposal = None
        with Attempt(self.get_logger(), "parameters rejected", _THROTTLE_S) as attempt:
            self._proposal = self._service_proposal or run_in_temporary_thread(self._labels.propose, parameters)
        if attempt.reason is not None:
            return SetParametersResult(successful=False, reason=attempt.reason)
        if not self._has_post_set_callback:
            self._apply_parameters(parameters)  # safe, because no other callback can still reject the change
        return SetParametersResult(successful=True)

    def _apply_parameters(self, _: list[Parameter]) -> None:
        proposal, self._proposal = self._proposal, None
        if proposal is not None:
            with Attempt(self.get_logger(), "parameters accepted, but not all topics follow"):
                self._commit(proposal)

    def _commit(self, state: ActiveState) -> None:
        """Activate a state between two frames, and announce it."""
        with self._between_frames:
            self._labels.commit(state)
            if self._lidar is not None:
                self._lidar.clear()  # its pending clouds have the old labels
            for camera in self._cameras:
                camera.set_labels(state.pipeline.labels_with_cloud(state.vocabulary))
            if self._active:
                self._publish_vocabulary()

    def _set_labels(self, request: SetLabels.Request, response: SetLabels.Response) -> SetLabels.Response:
        """Change the labels through the parameter ``labels``.

        In this way, the parameter always lists the active labels.

        Raises:
            ValueError: If a label, id, color or the mode is invalid.
        """
        response.vocabulary = self._vocabulary_message()
        try:
            if request.mode not in (request.REPLACE, request.APPEND):
                raise ValueError(f"mode: expected 0 (REPLACE) or 1 (APPEND), got {request.mode}")
            self._service_proposal = proposal = run_in_temporary_thread(
                self._labels.propose_labels,
                request.labels,
                request.ids,
                request.colors,
                append=request.mode == request.APPEND,
            )
            entries = Parameter("labels", Parameter.Type.STRING_ARRAY, list(proposal.node.labels))
            result = self.set_parameters_atomically([entries])
            response.success, response.message = result.successful, result.reason
        finally:
            self._service_proposal = None
        response.vocabulary = self._vocabulary_message()
        return response

    def _get_labels(self, request: GetLabels.Request, response: GetLabels.Response) -> GetLabels.Response:
        response.vocabulary = self._vocabulary_message()
        return response

    def _vocabulary_message(self) -> VocabularyMessage:
        state = self._labels.state
        return vocabulary_to_message(state.vocabulary, state.segmenter.checkpoint, self.get_clock().now().to_msg())

    def _publish_vocabulary(self) -> None:
        """Publish the vocabulary if it changed. The caller holds the lock."""
        if self._vocabulary_publisher is not None:
            self._vocabulary_publisher.publish(self._labels.state, self.get_clock().now().to_msg())

    def _every_second(self) -> None:
        with Attempt(self.get_logger(), "cannot report diagnostics", 10 * _THROTTLE_S):
            self._report()

    def _report(self) -> None:
        with self._between_frames:
            if self._active:
                self._publish_vocabulary()  # label_info changes when the grace period of a removed label ends
            for camera in self._cameras:
                camera.destroy_retired()
            self._check_name()
            idle = "paused" if self._active and not self._enabled else "not active"
            problems = [] if self._pipeline is None else self._pipeline.segmenter.problems
            reports = [camera.report(self._node_values(), idle, problems) for camera in self._cameras]
        self._diagnostics.publish(reports)

    def _report_problem(self, source: str, text: str) -> None:
        """Report a problem that concerns every camera."""
        for camera in self._cameras:
            camera.statistics.problem(source, text)

    def _check_name(self) -> None:
        """Report another node of the same name."""
        if self.get_node_names_and_namespaces().count((self.get_name(), self.get_namespace())) > 1:
            text = f"another node is called {self.get_fully_qualified_name()}, so masks and answers mix: rename one"
            self._report_problem("name", text)

    def _node_values(self) -> dict[str, str]:
        """Collect the diagnostic values of the node itself."""
        vocabulary = self._labels.state.vocabulary
        values = {"labels": str(len(vocabulary)), "vocabulary epoch": str(vocabulary.epoch)}
        if self._pipeline is not None:
            segmenter = self._pipeline.segmenter
            values[UNLABELED_THRESHOLD] = f"{self._labels.state.unlabeled_threshold:g}"
            values |= {"device": str(segmenter.device), "engine": segmenter.engine}
            values |= {f"{name} [MiB]": f"{mib:.0f}" for name, mib in segmenter.memory_mib().items()}
        return values | (self._mapper.values() if self._mapper is not None else {})

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Pause or resume.

        A paused node unsubscribes, so a camera driver without other subscribers can idle.
        """
        self._enabled = request.data
        if not self._active:
            later = "start processing" if self._enabled else "stay paused"
            response.message = f"not active; the node will {later} when it is activated"
        elif self._enabled:
            self._start()
            response.message = "processing"
        else:
            self._stop()
            response.message = "paused"
        response.success = True
        return response

    def _start(self) -> None:
        """Subscribe and start the worker, unless the node is paused or already running."""
        if self._worker is not None or not self._enabled:
            return
        assert self._pipeline is not None  # the lifecycle allows activation only after configuration
        mailbox: Mailbox[RawImage] = Mailbox()
        try:
            if self._labels.state.node.uses_tf:
                self._transforms = TransformListener(self, lambda text: self._report_problem("tf", text))
            for camera in self._cameras:
                camera.subscribe(mailbox, self._transforms)
            if self._lidar is not None:
                self._lidar.subscribe(self._transforms)
            if self._mapper is not None:
                self._mapper.start(self._transforms)
        except Exception:
            self._stop()
            raise
        on_labeled = None if self._mapper is None else self._mapper.offer
        self._worker = Worker(self._pipeline, self._labels, self._cameras, mailbox, self._between_frames, on_labeled)

    def _stop(self) -> None:
        """Finish the current frames and unsubscribe."""
        if self._worker is not None:
            self._worker.stop()
        if self._mapper is not None:
            self._mapper.stop()
        for camera in self._cameras:
            camera.unsubscribe()
        if self._lidar is not None:
            self._lidar.unsubscribe()
        if self._transforms is not None:
            self._transforms.destroy()
        self._worker = self._transforms = None

    def _start_bond(self) -> None:
        """Tell Nav2's lifecycle manager that this node is alive, if bondpy is installed.

        A node that activates itself needs no manager. The bonds of all nodes share one topic, and an rclpy executor
        that receives them is not free.
        """
        if Bond is not None and not self._labels.state.node.autostart:
            self._bond = Bond(self, "bond", self.get_name())  # topic and id as in nav2_util::LifecycleNode
            self._bond.start()

    def _deactivate(self) -> None:
        if self._bond is not None:
            self._bond.shutdown()
        self._bond = None
        self._active, self._query.pipeline = False, None
        self._stop()

    def _close(self) -> None:
        with self._between_frames:
            for camera in self._cameras:
                camera.close()
            if self._lidar is not None:
                self._lidar.close()
            if self._vocabulary_publisher is not None:
                self._vocabulary_publisher.destroy()
            self._vocabulary_publisher = self._pipeline = None
        if self._mapper is not None:
            self._mapper.close()
        self._labels.unload()


def _check_transition(request: ChangeState.Request) -> None:
    """Raise ValueError if the request has an unknown label, which rclpy would log as it is."""
    label = request.transition.label
    if label and label not in _TRANSITIONS:
        raise ValueError(f"transition: expected one of {', '.join(_TRANSITIONS)}, got {quote(label)}")
