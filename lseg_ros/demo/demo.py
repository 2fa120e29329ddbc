"""Run the node with a synthetic camera and with a recording of a real desk.

The masks of the synthetic camera are scored before and after a change of labels.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from lseg_ros.demo.metrics import SegmentationMetrics
from lseg_ros.demo.observer import DemoObserver, Snapshot
from lseg_ros.demo.processes import ChildProcess, choose_free_domain, run_node, wait_for
from lseg_ros.desk import DESK_FOLDER, DESK_LABELS
from lseg_ros.synthetic import CLASSES
from lseg_ros.vocabulary import Vocabulary

__all__ = ["main"]

NODE = "/lseg"
LABELS_BEFORE = ("floor", "wall", "ceiling", "table", "chair", "person")
LABELS_AFTER = (
    "floor",
    "wall",
    "ceiling",
    "table",
    "chair",
    "door",
    "window",
    "cabinet",
    "lamp",
    "potted plant",
    "cup",
    "bottle",
)
MIN_MEAN_IOU = 0.3  # a lower value means that the masks are wrong: random weights score 0.06 to 0.10
_START_TIMEOUT_S = 180.0  # for a cold disk and a busy machine
_ADDRESS = re.compile(r"open http\S+ in a browser")
_PLAY_TIMEOUT_S = 60.0  # the recording takes 8.3 s


def main() -> None:
    """Run the demo; the exit status is 0, or 1 with a message if something is wrong."""
    arguments = _parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the child processes end too
    is_live = arguments.live or arguments.view
    run_mode = _run_live if is_live else _run_scored
    try:
        sys.exit(run_mode(arguments))
    except (ValueError, RuntimeError) as error:
        _print(f"failed: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(0 if is_live else 130)


def _run_scored(arguments: argparse.Namespace) -> int:
    """Score the synthetic camera, play the desk, and return the exit status."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    domain = choose_free_domain()
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain)}
    with _start_node(arguments, environment) as node, run_node(_create_observer, domain) as observer:
        with _start_synthetic_camera(arguments, environment) as camera:
            children = (camera, node)
            wait_for(lambda: observer.last_mask is not None, children, _START_TIMEOUT_S, "a first mask")
            _print(f"received the first mask; labels: {', '.join(LABELS_BEFORE)}")
            before = _score(observer, children, arguments.seconds)
            _change_labels(observer, children, LABELS_AFTER)
            after = _score(observer, children, arguments.seconds)
            _save_picture(observer.start_snapshot(), arguments.out / "demo.png")
        _play_desk(arguments, environment, node, observer)
    _print(f"scores of the synthetic camera:\n\n{_format_table(before, after)}\n")
    return _report_problems(before, after, observer.stale_masks)


def _run_live(arguments: argparse.Namespace) -> int:
    """Keep camera and node running until Ctrl-C."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (
        _start_synthetic_camera(arguments, os.environ) as camera,
        _start_node(arguments, os.environ) as node,
        _start_viewer(arguments) as viewer,
    ):
        children = [child for child in (camera, node, viewer) if child is not None]
        _print(f"running in ROS domain {os.environ.get('ROS_DOMAIN_ID', '0')} until Ctrl-C; to watch and interact:")
        _print("  rviz2 -d rviz/lseg.rviz    or Foxglove: /lseg/overlay, /lseg/points, /lseg/points/chair")
        _print(f"  ros2 param set {NODE} labels \"['floor', 'wall', 'potted plant']\"")
        while True:
            for child in children:
                child.check()
            time.sleep(0.5)


@contextmanager
def _start_viewer(arguments: argparse.Namespace) -> Iterator[ChildProcess | None]:
    """Serve the page of the node with ``--view``, and print its address."""
    if not arguments.view:
        yield None
        return
    with _start("lseg_ros.ros.viewer", {}, arguments.out / "demo_viewer.log", os.environ) as viewer:
        wait_for(lambda: bool(_ADDRESS.search(viewer.output)), (viewer,), _START_TIMEOUT_S, "a page")
        _print(_ADDRESS.findall(viewer.output)[0])
        yield viewer


def _start_synthetic_camera(arguments: argparse.Namespace, environment: Mapping[str, str]) -> ChildProcess:
    parameters = {"seed": arguments.seed, "rate_hz": 10.0}
    return _start("lseg_ros.demo.synthetic_camera", parameters, arguments.out / "demo_camera.log", environment)


def _start_node(arguments: argparse.Namespace, environment: Mapping[str, str]) -> ChildProcess:
    parameters = {"checkpoint": arguments.checkpoint, "labels": LABELS_BEFORE}
    return _start("lseg_ros.ros.__main__", parameters, arguments.out / "demo_node.log", environment)


def _start(module: str, parameters: Mapping[str, Any], log: Path, environment: Mapping[str, str]) -> ChildProcess:
    """Run a module as a child process."""
    _print(f"starting {module}; log: {log}")
    return ChildProcess(("-m", module), parameters, log, environment)


def _change_labels(observer: DemoObserver, children: Sequence[ChildProcess], labels: tuple[str, ...]) -> None:
    """Set the parameter ``labels`` and wait until the new vocabulary arrives."""
    started_s = time.monotonic()
    observer.change_labels(labels)
    took_s = time.monotonic() - started_s
    _print(f'ros2 param set {NODE} labels "{list(labels)}": accepted after {took_s:.2f} s')
    names = Vocabulary.of(labels).names  # without synonyms
    wait_for(lambda: observer.vocabulary is not None and observer.vocabulary.names == names, children, 30, "new labels")


def _play_desk(
    arguments: argparse.Namespace, environment: Mapping[str, str], node: ChildProcess, observer: DemoObserver
) -> None:
    """Play the recording of the desk once, with its labels, and draw its last frame.

    The desk has no ground truth, so its masks are not scored.
    """
    _change_labels(observer, (node,), DESK_LABELS)
    snapshot = observer.start_snapshot()
    end_s = time.monotonic() + _PLAY_TIMEOUT_S
    log = arguments.out / "demo_desk.log"
    with _start("lseg_ros.demo.replay_camera", {"folder": DESK_FOLDER}, log, environment) as camera:
        while camera.alive:
            if time.monotonic() > end_s:
                raise ValueError(f"desk: expected the recording to end within {_PLAY_TIMEOUT_S:.0f} s")
            time.sleep(2.0)
            node.check()
            if snapshot.frames:  # before that, the last mask is of the synthetic camera
                _print(f"{snapshot.frames:2} frames of the desk, in view: {_format_shares(observer)}")
        if camera.wait(0):
            camera.check()
    _save_picture(snapshot, arguments.out / "demo_desk.png")


def _save_picture(snapshot: Snapshot, path: Path) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(snapshot.draw(timeout_s=30.0), cv2.COLOR_RGB2BGR))
    _print(f"saved the last frame as {path}")


def _create_observer() -> DemoObserver:
    return DemoObserver(NODE, {name: number for number, name in enumerate(CLASSES, start=1)})


def _score(observer: DemoObserver, children: Sequence[ChildProcess], seconds: float) -> SegmentationMetrics:
    """Score the masks for a while and print a line every 3 s."""
    metrics = observer.start_scoring()
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(min(left_s, 3.0))
        for child in children:
            child.check()
        _print(f"{metrics.rate_hz:4.1f} Hz, mean IoU {metrics.mean_iou():.2f}, in view: {_format_shares(observer)}")
    observer.stop_scoring()
    return metrics


def _format_shares(observer: DemoObserver) -> str:
    """Format the largest labels of the last mask."""
    return ", ".join(f"{name} {share:.0%}" for name, share in list(observer.shares_in_view().items())[:5])


def _format_table(before: SegmentationMetrics, after: SegmentationMetrics) -> str:
    both = (before, after)
    rows = [
        ("", "before", "after the change"),
        ("frames", *(str(metrics.frames) for metrics in both)),
        ("rate", *(f"{metrics.rate_hz:.1f} Hz" for metrics in both)),
        ("latency p50", *(f"{metrics.latency_ms(50):.0f} ms" for metrics in both)),
        ("latency p95", *(f"{metrics.latency_ms(95):.0f} ms" for metrics in both)),
        ("mean IoU", *(f"{metrics.mean_iou():.3f}" for metrics in both)),
    ]
    scores = [metrics.iou() for metrics in both]
    for name in dict.fromkeys((*LABELS_BEFORE, *LABELS_AFTER)):
        rows.append((f"  {name}", *(f"{iou[name]:.3f}" if name in iou else "-" for iou in scores)))
    return "\n".join(f"{name:<16}{left:>12}{right:>20}" for name, left, right in rows)


def _report_problems(before: SegmentationMetrics, after: SegmentationMetrics, stale_masks: int) -> int:
    """Print what is wrong with the masks; returns the exit status."""
    problems = []
    for name, metrics in (("before", before), ("after", after)):
        if not metrics.frames:
            problems.append(f"no frame {name} the change")
        elif not metrics.mean_iou() >= MIN_MEAN_IOU:  # also if it is NaN
            problems.append(f"mean IoU {name} the change is {metrics.mean_iou():.3f}, below {MIN_MEAN_IOU}")
    if stale_masks:
        problems.append(f"{stale_masks} masks after the change contained removed labels")
    _print("; ".join(problems) if problems else "passed")
    return 1 if problems else 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lseg_demo", description=__doc__)
    parser.add_argument("--live", action="store_true", help="keep running in the current ROS domain, for RViz")
    parser.add_argument("--view", action="store_true", help="like --live, with a page in the browser")
    parser.add_argument("--seed", type=int, default=8, help="seed of the synthetic world (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=12.0, help="time to score before and after the change (default: %(default)s)"
    )
    parser.add_argument("--checkpoint", default="demo", help="preset or weights file (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="folder for picture and logs (default: %(default)s)"
    )
    return parser.parse_args()


_START_S = time.monotonic()


def _print(text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.monotonic() - _START_S:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
