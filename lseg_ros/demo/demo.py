"""The demo: a synthetic camera and the node as processes of their own, a change of labels, a score and a picture."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cv2

from lseg_ros.demo.metrics import SegmentationMetrics
from lseg_ros.demo.observer import DemoObserver
from lseg_ros.demo.processes import ChildProcess, wait_for
from lseg_ros.demo.spun_node import domain_apart, spun_node
from lseg_ros.synthetic import CLASSES

__all__ = ["main"]

NODE = "/lseg"
BEFORE = ("floor", "wall", "ceiling", "table", "chair", "person")
AFTER = (
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
MEAN_IOU_FLOOR = 0.3  # below it the masks are wrong: random weights score 0.06 to 0.10
_START_S = 180.0  # a cold disk and a busy machine


def main() -> None:
    """Run the demo; exit status 0, or 1 after a sentence where something is wrong."""
    arguments = _arguments()
    story = _live if arguments.live else _scored
    try:
        sys.exit(story(arguments))
    except (ValueError, RuntimeError) as error:
        _say(f"failed: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(0 if arguments.live else 130)


def _scored(arguments: argparse.Namespace) -> int:
    arguments.out.mkdir(parents=True, exist_ok=True)
    domain = domain_apart()
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain)}
    with _processes(arguments, environment) as children, spun_node(_spectator, domain) as spectator:
        importlib.import_module("lseg_ros.demo.snapshot")  # with PyTorch, which takes seconds: while the node loads it
        wait_for(lambda: spectator.last_mask is not None, children, _START_S, "a first mask")
        _say(f"the node is up and the first mask is here; looking for {', '.join(BEFORE)}")
        before = _watch(spectator, children, arguments.seconds)
        started_s = time.monotonic()
        spectator.change_labels(AFTER)
        _say(f'ros2 param set {NODE} labels "{list(AFTER)}": taken after {time.monotonic() - started_s:.2f} s')
        names = AFTER  # the vocabulary comes with the first mask made with it
        wait_for(
            lambda: spectator.vocabulary is not None and spectator.vocabulary.names == names, children, 30, "new labels"
        )
        after = _watch(spectator, children, arguments.seconds)
        picture = arguments.out / "demo.png"
        _save_picture(spectator, picture)
    _say(f"{picture} shows the last frame\n\n{_table(before, after)}\n")
    return _verdict(before, after, spectator.stale_masks)


def _live(arguments: argparse.Namespace) -> int:
    arguments.out.mkdir(parents=True, exist_ok=True)
    with _processes(arguments, os.environ) as children:
        _say(f"running in ROS domain {os.environ.get('ROS_DOMAIN_ID', '0')} until Ctrl-C; to look on and take part:")
        _say("  rviz2 -d rviz/lseg.rviz    or Foxglove: /lseg/overlay, /lseg/points, /lseg/points/chair")
        _say(f"  ros2 param set {NODE} labels \"['floor', 'wall', 'potted plant']\"")
        while True:
            for child in children:
                child.check()
            time.sleep(0.5)


@contextmanager
def _processes(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Iterator[tuple[ChildProcess, ...]]:
    camera_settings = {"seed": arguments.seed, "rate_hz": 10.0}
    node_settings = {"checkpoint": arguments.checkpoint, "labels": BEFORE}
    logs = [arguments.out / f"demo_{name}.log" for name in ("camera", "node")]
    with (
        ChildProcess("lseg_ros.demo.synthetic_camera", camera_settings, logs[0], environment) as camera,
        ChildProcess("lseg_ros.ros.__main__", node_settings, logs[1], environment) as node,
    ):
        _say(f"synthetic camera and node started as processes, output in {logs[0]} and {logs[1]}")
        yield camera, node


def _spectator() -> DemoObserver:
    return DemoObserver(NODE, {name: number for number, name in enumerate(CLASSES, start=1)})


def _watch(spectator: DemoObserver, children: tuple[ChildProcess, ...], seconds: float) -> SegmentationMetrics:
    """Keep score for some seconds, telling what is seen."""
    board = spectator.keep_score()
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(min(left_s, 3.0))
        for child in children:
            child.check()
        view = ", ".join(f"{name} {share:.0%}" for name, share in list(spectator.in_view().items())[:5])
        _say(f"{board.rate_hz:4.1f} masks a second, mean IoU {board.mean_iou():.2f}, in view: {view}")
    spectator.rest()
    return board


def _save_picture(spectator: DemoObserver, path: Path) -> None:
    from lseg_ros.demo.snapshot import Snapshot

    assert spectator.vocabulary is not None  # its masks have been scored
    picture = Snapshot(spectator, NODE, spectator.vocabulary).picture(timeout_s=30.0)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def _table(before: SegmentationMetrics, after: SegmentationMetrics) -> str:
    rows = [
        ("", "before", "after the change"),
        ("frames", *(str(each.frames) for each in (before, after))),
        ("rate", *(f"{each.rate_hz:.1f} Hz" for each in (before, after))),
        ("latency p50", *(f"{each.latency_ms(50):.0f} ms" for each in (before, after))),
        ("latency p95", *(f"{each.latency_ms(95):.0f} ms" for each in (before, after))),
        ("mean IoU", *(f"{each.mean_iou():.3f}" for each in (before, after))),
    ]
    scores = [each.iou() for each in (before, after)]
    for name in dict.fromkeys((*BEFORE, *AFTER)):
        rows.append((f"  {name}", *(f"{each[name]:.3f}" if name in each else "-" for each in scores)))
    return "\n".join(f"{name:<16}{left:>12}{right:>20}" for name, left, right in rows)


def _verdict(before: SegmentationMetrics, after: SegmentationMetrics, stale_masks: int) -> int:
    problems = []
    for name, board in (("before", before), ("after", after)):
        if not board.frames:
            problems.append(f"no frame {name} the change")
        elif not board.mean_iou() >= MEAN_IOU_FLOOR:  # also where it is NaN
            problems.append(f"mean IoU {name} the change is {board.mean_iou():.3f}, below {MEAN_IOU_FLOOR}")
    if stale_masks:
        problems.append(f"{stale_masks} masks after the change had labels of before")
    _say("; ".join(problems) if problems else "all is well")
    return 1 if problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lseg_demo", description=__doc__)
    parser.add_argument("--live", action="store_true", help="keep running, in the default ROS domain, for RViz")
    parser.add_argument("--seed", type=int, default=8, help="of the synthetic world (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=12.0, help="before and after the change (default: %(default)s)"
    )
    parser.add_argument("--checkpoint", default="demo", help="the network (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture (default: %(default)s)")
    return parser.parse_args()


_START = time.monotonic()


def _say(text: str) -> None:
    print(f"{time.monotonic() - _START:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
