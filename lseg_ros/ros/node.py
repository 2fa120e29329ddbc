"""The node ``lseg``: lifecycle and parameters; what it does with a frame is the worker's."""

from __future__ import annotations

import threading
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.pipeline import Pipeline, PipelineConfig
from lseg_ros.ros.announcement import VocabularyPublisher
from lseg_ros.ros.camera import Camera
from lseg_ros.ros.diagnostics import Diagnostics
from lseg_ros.ros.label_services import LabelServices
from lseg_ros.ros.label_set import LabelManager, initial_vocabulary
from lseg_ros.ros.log_forwarding import LogForwarding
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.parameters import NodeConfig, changed, declare, read
from lseg_ros.ros.passing import run_in_temporary_thread
from lseg_ros.ros.query_service import QueryService
from lseg_ros.ros.subscriptions import RawImage
from lseg_ros.ros.topics import ENABLE
from lseg_ros.ros.worker import ActiveState, Worker

__all__ = ["SegmentationNode"]

_WARM_UP_SIZE = (480, 640)


class SegmentationNode(LifecycleNode):  # type: ignore[misc]  # rclpy is Any to mypy
    """configure loads the network, activate subscribes, deactivate keeps words and network, cleanup frees them.

    Raises ValueError with a sentence where a start-up parameter cannot be used.
    """

    def __init__(self, name: str = "lseg", **options: Any) -> None:
        super().__init__(name, **options)
        self._log_forwarding = LogForwarding(self.get_logger())
        for config in (NodeConfig, SegmenterConfig, PipelineConfig):
            declare(self, config)
        self._config = read(self, NodeConfig)
        self._segmenter_config = read(self, SegmenterConfig)
        self._pipeline_config = read(self, PipelineConfig)
        self._labels = LabelManager(initial_vocabulary(self._config))
        self._cameras = tuple(Camera(self, name, lambda: self._config) for name in self._config.cameras or ("",))
        self._between_frames = threading.Lock()  # for whoever publishes, or changes what is published
        self._pipeline: Pipeline | None = None  # while configured
        self._announcement: VocabularyPublisher | None = None  # while configured
        self._active = False
        self._enabled = True  # while not, an active node does nothing either
        self._worker: Worker | None = None  # while active and enabled
        self._pending: tuple[NodeConfig, SegmenterConfig, PipelineConfig] | None = None
        self.add_on_set_parameters_callback(self._check_parameters)
        self._post_set = hasattr(self, "add_post_set_parameters_callback")  # not in Humble
        if self._post_set:
            self.add_post_set_parameters_callback(lambda parameters: self._apply_parameters())
        LabelServices(self, self._labels, self._segmenter_config.checkpoint)
        QueryService(
            self,
            {camera.name: camera for camera in self._cameras},
            lambda: self._pipeline if self._active else None,
            lambda: self._config,
        )
        self.create_service(SetBool, ENABLE.name, self._enable)
        self._diagnostics = Diagnostics(self)
        # Not by the node's own clock: with use_sim_time and nobody who publishes /clock, that is what has to be told.
        clock, group = Clock(clock_type=ClockType.STEADY_TIME), MutuallyExclusiveCallbackGroup()
        self.create_timer(1.0, self._every_second, callback_group=group, clock=clock)

    def autostart(self) -> bool:
        """Configure and activate, if the parameters ask for it; False where that does not succeed."""
        if not self._config.autostart:
            return True
        wanted = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == wanted and self.trigger_activate() == wanted)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network, warm it up, encode the labels, open the topics."""
        try:
            segmenter = run_in_temporary_thread(self._load)
        except (ValueError, OSError, RuntimeError, ImportError) as error:  # RuntimeError: also out of memory
            self.get_logger().error(f"cannot configure: {error}")
            self._labels.encode_with(None)
            return TransitionCallbackReturn.FAILURE
        self._pipeline = Pipeline(segmenter, self._pipeline_config)
        with self._between_frames:
            for camera in self._cameras:
                camera.open()
            self._announcement = VocabularyPublisher(self, self._segmenter_config.checkpoint, self._config.cameras)
        self._go_live()
        return super().on_configure(state)

    def _load(self) -> Segmenter:
        """The network, with its words encoded, having seen an image."""
        segmenter = Segmenter.from_checkpoint(self._segmenter_config)
        self._labels.encode_with(segmenter)
        segmenter.warm_up(*_WARM_UP_SIZE, most=len(self._cameras))
        return segmenter

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and start the worker."""
        with self._between_frames:
            self._tell()  # before the first mask
        self._active = True
        self._start()
        when = "" if self._enabled else ", once resumed"
        self.get_logger().info(f"looking for {', '.join(self._labels.vocabulary.names)}{when}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the worker and unsubscribe; network, words and publishers stay."""
        self._active = False
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the topics and let the network go."""
        self._close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what deactivate and cleanup do, from any state."""
        self._active = False
        self._stop()
        self._close()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        if hasattr(self, "_worker"):  # from Kilted on, rclpy.shutdown also destroys what could not be made to the end
            self._stop()
            self._close()
        self._log_forwarding.close()
        super().destroy_node()

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Check everything and encode new labels, changing nothing; or refuse with a reason."""
        try:
            self._pending = (
                changed(self._config, parameters),
                changed(self._segmenter_config, parameters),
                changed(self._pipeline_config, parameters),
            )
            run_in_temporary_thread(self._labels.prepare, self._pending[0].labels)
        except (ValueError, RuntimeError) as error:  # RuntimeError: out of memory, for the words to encode
            self._pending = None
            return SetParametersResult(successful=False, reason=str(error))
        if not self._post_set:
            # There is no other callback that could still refuse, and nothing between this one and the commit.
            self._apply_parameters()
        return SetParametersResult(successful=True)

    def _apply_parameters(self) -> None:
        if self._pending is not None:
            self._config, self._segmenter_config, self._pipeline_config = self._pending
            self._pending = None
            self._go_live()

    def _go_live(self) -> None:
        """Let the next frame be made with the settings and the labels as they are now."""
        with self._between_frames:
            self._labels.commit()
            if self._pipeline is not None:
                self._pipeline.config = self._pipeline_config
            for camera in self._cameras:
                camera.set_labels(self._pipeline_config.labels_with_cloud(self._labels.vocabulary))
            if self._worker is not None:
                self._worker.live = self._live()
            if self._active:
                self._tell()

    def _live(self) -> ActiveState:
        assert self._labels.encoded is not None  # while configured
        return ActiveState(self._labels.encoded, self._segmenter_config.unlabeled_threshold)

    def _tell(self) -> None:
        """Tell the words, where they are new; needs the lock between frames."""
        if self._announcement is not None:
            stamp = self.get_clock().now().to_msg()
            grace_s, threshold = self._config.retire_grace_s, self._segmenter_config.unlabeled_threshold
            self._announcement.tell(self._labels.vocabulary, stamp, grace_s, threshold)

    def _every_second(self) -> None:
        with self._between_frames:
            if self._active:
                self._tell()  # that labels which were retired are now forgotten
            for camera in self._cameras:
                camera.sweep()
            idle = "paused" if self._active and not self._enabled else "not active"
            reports = [camera.report(self._values(), idle) for camera in self._cameras]
        self._diagnostics.publish(reports)

    def _values(self) -> dict[str, str]:
        """What diagnostics say of the node itself."""
        vocabulary = self._labels.vocabulary
        values = {"labels": str(len(vocabulary)), "vocabulary epoch": str(vocabulary.epoch)}
        if self._pipeline is not None:
            segmenter = self._pipeline.segmenter
            values["device"] = str(segmenter.device)
            values |= {f"{name} [MiB]": f"{used:.0f}" for name, used in segmenter.memory_mib().items()}
        return values

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Pause or resume: a paused node is subscribed to nothing, so that a camera nobody else wants may rest too."""
        self._enabled = request.data
        if not self._active:
            later = "process" if self._enabled else "be paused"
            response.message = f"not active; it will {later} when it is activated"
        elif self._enabled:
            self._start()
            response.message = "processing"
        else:
            self._stop()
            response.message = "paused"
        response.success = True
        return response

    def _start(self) -> None:
        """Subscribe and process, unless paused, or at it already."""
        if self._worker is not None or not self._enabled:
            return
        assert self._pipeline is not None  # the lifecycle sees to it
        mailbox: Mailbox[RawImage] = Mailbox()
        for camera in self._cameras:
            camera.subscribe(mailbox)
        self._worker = Worker(self._pipeline, self._live(), self._cameras, mailbox, self._between_frames)

    def _stop(self) -> None:
        """Finish the frames at hand and unsubscribe."""
        if self._worker is not None:
            self._worker.stop()
        for camera in self._cameras:
            camera.unsubscribe()
        self._worker = None

    def _close(self) -> None:
        with self._between_frames:
            for camera in self._cameras:
                camera.close()
            if self._announcement is not None:
                self._announcement.destroy()
            self._announcement = self._pipeline = None
        self._labels.encode_with(None)
