"""``lseg view``: a page in the browser that shows images and recordings with labels."""

from __future__ import annotations

import dataclasses
import ipaddress
import sys
from dataclasses import dataclass

import tyro

from lseg_ros.cli.flags import read_vocabulary
from lseg_ros.desk import DESK_FOLDER, DESK_LABELS
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.mapping import load_map
from lseg_ros.pipeline import Pipeline
from lseg_ros.settings import check, setting
from lseg_ros.synthetic import CLASSES
from lseg_ros.view.feed import Feed
from lseg_ros.view.local import LocalFeed
from lseg_ros.view.map_feed import MapFeed
from lseg_ros.view.page import Page, PageSettings
from lseg_ros.view.sources import open_source

__all__ = ["SETTINGS", "ViewSettings", "describe_access", "run"]

_LABELS = ("floor", "wall", "chair", "table", "person", "plant")


@dataclass(frozen=True)
class ViewSettings:
    """Show images and recordings with labels on a page in the browser.

    Type labels in the page, or a text to find. Only this computer can open the page unless --host says otherwise; it
    has no password. Ctrl-C ends it.
    """

    sources: tyro.conf.Positional[tuple[str, ...]] = setting(  # noqa: RUF009 - a tuple is immutable
        (),
        "image files, folders of images, RGB-D recordings, video files, bags, synthetic or synthetic:SEED, webcam or "
        "webcam:NUMBER, a language map (FILE.safetensors), node or node:NAME (a running ROS node, needs ROS 2); none "
        "for the desk in the package",
    )
    image: str = setting("auto", "topic of the images of a bag")
    depth: str = setting("auto", "topic of the depth of a bag, none to ignore it")
    camera_info: str = setting("auto", "topic of the camera_info of a bag, none to ignore it")
    labels: tuple[str, ...] = setting((), "initial labels, as of lseg segment; none for labels that suit the source")
    prompt_templates: tuple[str, ...] = setting(
        ("{}",), "prompts in which {} stands for a label; their embeddings are averaged"
    )
    page: PageSettings = dataclasses.field(default_factory=PageSettings)
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)

    def __post_init__(self) -> None:
        check(self)


SETTINGS = ViewSettings


def run(settings: ViewSettings) -> int:
    """Serve the page until Ctrl-C."""
    if settings.sources and settings.sources[0].partition(":")[0] == "node":
        return _view_node(settings)
    names = settings.sources or (str(DESK_FOLDER),)
    vocabulary = read_vocabulary(settings.labels or _suitable_labels(settings.sources), settings.prompt_templates)
    title = "desk" if not settings.sources else ", ".join(names)
    feed: Feed
    if names[0].endswith(".safetensors"):
        _check_single(settings.sources)
        segmenter = Segmenter.from_checkpoint(settings.network)
        feed = MapFeed(segmenter, load_map(names[0], segmenter.fingerprint), vocabulary, title)
    else:
        source = open_source(names, (settings.image, settings.depth, settings.camera_info))
        feed = LocalFeed(Pipeline(Segmenter.from_checkpoint(settings.network)), source, vocabulary, title)
    page = Page(feed, settings.page, ", ".join(vocabulary.entries))
    print(f"open {page.url} in a browser{describe_access(settings.page.host)}; Ctrl-C ends the page", flush=True)
    try:
        page.run()
    finally:
        page.stop()
    return 0


def _view_node(settings: ViewSettings) -> int:
    """Run the executable ``viewer`` in this process."""
    _check_single(settings.sources)
    try:
        from lseg_ros.ros.runtime import run as run_node
        from lseg_ros.ros.viewer import Viewer
    except ImportError as error:
        raise ValueError(
            f"sources: expected a sourced ROS 2 with lseg_ros for {settings.sources[0]} ({error})"
        ) from error
    target = settings.sources[0].partition(":")[2] or "/lseg"
    values = {"target": target, **dataclasses.asdict(settings.page)}
    sys.argv = [
        "viewer",
        "--ros-args",
        *(word for name, value in values.items() for word in ("-p", f"{name}:={value}")),
    ]
    return run_node(Viewer)


def _check_single(sources: tuple[str, ...]) -> None:
    if len(sources) > 1:
        raise ValueError(f"sources: expected {sources[0]} alone, got {len(sources)} sources")


def describe_access(host: str) -> str:
    """Say who can use a page that listens on an address, "" if only this computer can."""
    try:
        is_private = ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        is_private = host == "localhost"
    return "" if is_private else "; it has no password: everyone who can reach this address can see and use it"


def _suitable_labels(sources: tuple[str, ...]) -> tuple[str, ...]:
    if not sources:
        return DESK_LABELS
    return CLASSES if sources[0].startswith("synthetic") else _LABELS
