"""The node in this process: it survives every exception and gives the reason."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lseg_ros.srv import QueryLabel
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool

from lseg_ros.inference import Segmenter, onnx_engine, segmenter
from lseg_ros.ros.camera import Camera
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.node import SegmentationNode
from lseg_ros.ros.query_service import QueryService
from test.support.ros_client import RosClient, wait_until

SUCCESS, FAILURE, ERROR = (getattr(TransitionCallbackReturn, name) for name in ("SUCCESS", "FAILURE", "ERROR"))
NODE = "/inside/lseg"


@pytest.fixture
def node(checkpoint: str) -> Iterator[SegmentationNode]:
    """The node ``/inside/lseg`` with a tiny network, unconfigured."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    overrides = [Parameter("checkpoint", value=checkpoint), Parameter("device", value="cpu")]
    node = SegmentationNode(namespace="/inside", context=context, parameter_overrides=overrides)
    executor = MultiThreadedExecutor(2, context=context)
    executor.add_node(node)
    stopped = threading.Event()

    def spin() -> None:
        while not stopped.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    yield node
    stopped.set()
    thread.join()
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, str], Callable[[], None]]:
    """Let a method raise a KeyError, until the function that this returns is called."""

    def break_method(owner: type, name: str) -> Callable[[], None]:
        working = getattr(owner, name)

        def fail(*_: Any, **__: Any) -> None:
            raise KeyError(name)

        monkeypatch.setattr(owner, name, fail)
        return lambda: monkeypatch.setattr(owner, name, working)

    return break_method


Broken = Callable[[type, str], Callable[[], None]]


@pytest.mark.parametrize(("owner", "method"), [(Segmenter, "warm_up"), (LabelManager, "load"), (Camera, "open")])
def test_a_node_that_cannot_be_configured_stays_unconfigured_and_logs_why(
    node: SegmentationNode, broken: Broken, owner: type, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    repair = broken(owner, method)
    assert node.trigger_configure() == FAILURE
    assert f"cannot configure: KeyError: '{method}' (test_node.py, line" in capfd.readouterr().err
    repair()
    assert node.trigger_configure() == node.trigger_activate() == SUCCESS


def test_a_node_that_cannot_be_activated_stays_inactive_and_logs_why(
    node: SegmentationNode, broken: Broken, capfd: pytest.CaptureFixture[str]
) -> None:
    assert node.trigger_configure() == SUCCESS
    repair = broken(Camera, "subscribe")
    assert node.trigger_activate() == FAILURE
    assert "cannot activate: KeyError: 'subscribe'" in capfd.readouterr().err
    repair()
    assert node.trigger_activate() == SUCCESS


@pytest.mark.parametrize(
    ("method", "transition"), [("unsubscribe", "deactivate"), ("close", "cleanup"), ("close", "shutdown")]
)
def test_after_another_failed_transition_the_node_can_be_configured_again(
    node: SegmentationNode, broken: Broken, method: str, transition: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert node.trigger_configure() == SUCCESS
    if transition == "deactivate":
        assert node.trigger_activate() == SUCCESS
    calls = []
    working = getattr(Camera, method)

    def fail_once(camera: Camera) -> None:
        calls.append(camera)
        if len(calls) == 1:
            raise KeyError(method)
        working(camera)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Camera, method, fail_once)
        assert getattr(node, f"trigger_{transition}")() == ERROR
    assert f"KeyError: '{method}'" in capfd.readouterr().err
    assert node.trigger_configure() == node.trigger_activate() == SUCCESS


def test_every_request_is_answered_with_the_reason_of_a_failure(
    node: SegmentationNode, broken: Broken, ros_client: RosClient, capfd: pytest.CaptureFixture[str]
) -> None:
    assert node.trigger_configure() == SUCCESS
    repairs = [
        broken(LabelManager, "propose_labels"),
        broken(LabelManager, "propose"),
        broken(QueryService, "_find_frame"),
        broken(Camera, "subscribe"),
        broken(Camera, "unsubscribe"),
    ]
    labels = ros_client.set_labels(["lamp"], node=NODE)
    assert not labels.success
    assert "KeyError: 'propose_labels'" in labels.message
    assert [label.name for label in labels.vocabulary.labels][:2] == ["floor", "wall"]
    parameter = ros_client.set_parameter("max_rate_hz", 3.0, NODE)
    assert not parameter.successful
    assert "KeyError: 'propose'" in parameter.reason
    query = ros_client.call_with_retry(QueryLabel, f"{NODE}/query", QueryLabel.Request(text="lamp"))
    assert not query.success
    assert "KeyError: '_find_frame'" in query.message
    assert query.score != query.score and query.point.x != query.point.x  # NaN
    for repair in repairs[:-1]:
        repair()
    assert node.trigger_activate() == SUCCESS
    paused = ros_client.call_with_retry(SetBool, f"{NODE}/enable", SetBool.Request(data=False))
    assert not paused.success
    assert "KeyError: 'unsubscribe'" in paused.message
    repairs[-1]()
    assert ros_client.call_with_retry(SetBool, f"{NODE}/enable", SetBool.Request(data=False)).success
    assert ros_client.set_labels(["lamp"], node=NODE).success
    assert ros_client.set_parameter("max_rate_hz", 3.0, NODE).successful
    log = capfd.readouterr().err
    for name in ("set_labels", "query", "enable"):
        assert f"~/{name} failed: KeyError: " in log
    assert "parameters rejected: KeyError: 'propose'" in log


def test_parameters_whose_topics_cannot_follow_are_answered(
    node: SegmentationNode, broken: Broken, ros_client: RosClient, capfd: pytest.CaptureFixture[str]
) -> None:
    assert node.trigger_configure() == SUCCESS
    broken(Camera, "set_labels")
    assert ros_client.set_parameter("labels", ["lamp"], NODE).successful
    assert "parameters accepted, but not all topics follow: KeyError: 'set_labels'" in capfd.readouterr().err
    assert [label.name for label in ros_client.get_labels(NODE).labels] == ["lamp"]


def test_diagnostics_continue_after_an_error(
    node: SegmentationNode, broken: Broken, ros_client: RosClient, capfd: pytest.CaptureFixture[str]
) -> None:
    repair = broken(Camera, "report")
    lines: list[str] = []

    def is_reported() -> bool:
        lines.append(capfd.readouterr().err)
        return "cannot report diagnostics: KeyError: 'report'" in "".join(lines)

    wait_until(is_reported, 10, "no error in the log")
    repair()
    diagnostics = ros_client.listen(DiagnosticArray, "/diagnostics")
    wait_until(lambda: [status for message in list(diagnostics.messages) for status in message.status], 10)


def test_faster_code_that_fails_is_a_warning_in_the_diagnostics(
    node: SegmentationNode, ros_client: RosClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any) -> bytes:
        raise RuntimeError("an operator is not supported")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(segmenter, "is_installed", lambda: True)
    monkeypatch.setattr(onnx_engine, "export_onnx", fail)
    diagnostics = ros_client.listen(DiagnosticArray, "/diagnostics")
    assert node.trigger_configure() == node.trigger_activate() == SUCCESS

    def find_status() -> Any:
        statuses = [status for message in diagnostics.messages for status in message.status]
        return next((status for status in statuses if "ONNX Runtime is not used" in status.message), None)

    status = wait_until(find_status, 10, "no warning")
    assert "RuntimeError: an operator is not supported" in status.message
    assert status.level == DiagnosticStatus.WARN
    assert {"engine": "PyTorch"}.items() <= {value.key: value.value for value in status.values}.items()
