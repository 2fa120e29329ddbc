"""The page: takes what people type and click, and shows the frames of a ``Feed``."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.errors import describe_error
from lseg_ros.settings import check, setting
from lseg_ros.view.controls import Controls
from lseg_ros.view.feed import Feed, Found, LabeledFrame
from lseg_ros.view.map_view import MapView
from lseg_ros.view.pictures import draw_confidence, draw_similarity, fit, hide_labels
from lseg_ros.view.saving import save_frame
from lseg_ros.view.scene import Scene
from lseg_ros.view.server import close_server, open_server
from lseg_ros.visualization import overlay

__all__ = ["Page", "PageSettings"]

logger = logging.getLogger(__name__)

_LEAST_PX, _MOST_PX = 640, 1280  # longer side of the picture: enough for a sharp legend, and quick to send
_WAIT_S = 0.2  # for a live camera, so that requests do not wait longer
_RATE_OVER = 20  # frames over which the frame rate is measured


@dataclass(frozen=True)
class PageSettings:
    """Where a page is served and what it writes."""

    host: str = setting(
        "127.0.0.1", "address to listen on; 0.0.0.0 lets everyone in the network use the page: it has no password"
    )
    port: int = setting(
        8080, "port to listen on; the next free one if it is taken, 0 for any", minimum=0, maximum=65535
    )
    show_rate_hz: float = setting(
        10.0, "maximum number of frames shown per second", unit="Hz", minimum=0.1, maximum=120.0
    )
    out: str = setting("out/view", "folder for frames that are saved")

    def __post_init__(self) -> None:
        check(self)


class Page:
    """Serves the page. All browsers that open it share its controls.

    The thread that calls ``run`` owns the feed. Callbacks of the browsers only note requests for it.

    Attributes:
        url: Address of the page.
    """

    def __init__(self, feed: Feed, settings: PageSettings, labels: str) -> None:
        """Start to serve the page.

        Args:
            feed: The frames.
            settings: Where to serve it.
            labels: Initial text of the label box.

        Raises:
            OSError: If the address cannot be used.
            ModuleNotFoundError: If viser is not installed.
        """
        self._feed = feed
        self._settings = settings
        self._server = open_server(settings.host, settings.port, feed.title)
        self.url = f"http://{settings.host}:{self._server.get_port()}"
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._requests: dict[str, Any] = {}  # the last of each kind
        self._stopped = False
        self._controls = Controls(self._server, feed, labels, self._request)
        self._scene = Scene(self._server)
        self._map = MapView(self._server, feed, lambda: self._request("redraw"))
        self._server.on_client_connect(lambda _: self._woken.set())
        self._frame: LabeledFrame | None = None
        self._found: Found | None = None
        self._query = ""
        self._index = 0
        self._next_s = 0.0  # monotonic time at which the next frame is due
        self._shown_s: deque[float] = deque(maxlen=_RATE_OVER)

    @property
    def browsers(self) -> int:
        """Number of browser tabs that are connected and have drawn the page once."""
        return len(self._server.get_clients())

    def run(self) -> None:
        """Serve until ``stop``. Without a browser nothing is computed."""
        while not self._stopped:
            self._woken.clear()
            if self.browsers:
                self._update()
            else:
                self._feed.rest()
                self._shown_s.clear()
                self._woken.wait(1.0)

    def stop(self) -> None:
        """End ``run`` and close the connections."""
        self._stopped = True
        self._woken.set()
        close_server(self._server)

    def _request(self, kind: str, value: Any = True) -> None:
        """Note a request; called by the threads of the server."""
        with self._lock:
            if kind == "colors":  # of several labels
                value = {**self._requests.get(kind, {}), **value}
            self._requests[kind] = value
        self._woken.set()

    def _take_requests(self) -> dict[str, Any]:
        with self._lock:
            requests, self._requests = self._requests, {}
        return requests

    def _update(self) -> None:
        """Serve all requests and show a frame if one is due."""
        requests = self._take_requests()
        self._controls.show_feed(self._feed)
        changed = self._change_labels(requests)
        if "query" in requests:
            self._query = requests["query"].strip()
            self._controls.show_similarity(bool(self._query))
        if requests.get("save"):
            self._save()
        now_s = time.monotonic()
        is_due = self._controls.is_playing and now_s >= self._next_s
        wanted = self._wanted_index(requests, is_due)
        if wanted is not None:
            self._next_s = max(self._next_s + 1 / self._settings.show_rate_hz, now_s)
            shown = self._read(lambda: self._feed.read(wanted, _WAIT_S), wanted)
        elif changed:
            shown = self._read(lambda: self._feed.read_again(_WAIT_S), self._index)
        else:
            shown = False
        if shown or requests.keys() & {"query", "redraw"}:
            _attempt(lambda: self._show(is_new=shown), self._controls.show_problem)
        elif wanted is None:
            due_s = self._next_s - now_s if self._controls.is_playing else 1.0
            self._woken.wait(max(due_s, 0.0))

    def _wanted_index(self, requests: dict[str, Any], is_due: bool) -> int | None:
        """Return the number of the frame to read, or None for no other frame."""
        if "index" in requests:
            return int(requests["index"])
        if self._frame is None:
            return self._index
        if is_due or requests.get("step"):
            return (self._index + 1) % max(self._feed.length, 1)
        return None

    def _change_labels(self, requests: dict[str, Any]) -> bool:
        """Change camera, labels, colors and threshold as requested; returns whether one changed."""
        changes: list[tuple[Callable[[str], None], Callable[[], None]]] = []
        if "labels" in requests:
            entries = split_labels(requests["labels"])
            changes.append((self._controls.show_label_problem, lambda: self._feed.set_labels(entries)))
        if self._frame is not None and "colors" in requests:
            labels = self._frame.segmentation.vocabulary.labels
            colors = [requests["colors"].get(label.id, "") for label in labels]
            recolor = [label.entry for label in labels]
            if "labels" not in requests:
                changes.append((self._controls.show_label_problem, lambda: self._feed.set_labels(recolor, colors)))
        for kind, change in (("threshold", self._feed.set_threshold), ("camera", self._feed.select_camera)):
            if kind in requests:
                changes.append((self._controls.show_problem, partial(change, requests[kind])))
        succeeded = [_attempt(change, report) for report, change in changes]
        return any(succeeded)

    def _read(self, read: Callable[[], LabeledFrame | None], index: int) -> bool:
        """Read a frame; returns whether there is a new one."""
        frames: list[LabeledFrame | None] = []
        self._index = index
        if not _attempt(lambda: frames.append(read()), self._controls.show_problem) or frames[0] is None:
            return False
        self._frame = frames[0]
        self._shown_s.append(time.monotonic())
        return True

    def _show(self, is_new: bool) -> None:
        """Show the current frame."""
        if self._frame is None:
            return
        self._found = None
        if self._query:
            _attempt(self._ask, self._controls.show_query)
        else:
            self._controls.show_query("")
        if is_new:
            self._controls.show_frame(self._frame, self._rate_hz())
        self._controls.show_picture(self._draw(self._frame))
        self._scene.show(self._frame, self._controls.hidden)
        self._scene.show_point(self._found, self._query)
        self._map.update(self._query, self._controls.hidden)

    def _ask(self) -> None:
        self._found = self._feed.query(self._query)
        self._controls.show_answer(self._found)

    def _draw(self, shown: LabeledFrame) -> NDArray[np.uint8]:
        """Draw the picture that is selected, (H, W, 3) uint8 RGB."""
        controls = self._controls
        if controls.picture == "similarity" and self._found is not None:
            return draw_similarity(self._found.frame.image, self._found.result, controls.opacity)
        image, segmentation = fit(shown.frame, shown.segmentation, _LEAST_PX, _MOST_PX)
        if controls.picture == "confidence":
            return draw_confidence(image, segmentation.confidence, controls.opacity)
        if controls.picture == "camera":
            return image
        return overlay(image, hide_labels(segmentation, controls.hidden), controls.opacity)

    def _rate_hz(self) -> float:
        times_s = self._shown_s
        return (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0

    def _save(self) -> None:
        def save() -> None:
            assert self._frame is not None
            picture = overlay(
                self._frame.frame.image,
                hide_labels(self._frame.segmentation, self._controls.hidden),
                self._controls.opacity,
            )
            files = save_frame(Path(self._settings.out).expanduser(), self._frame, picture)
            self._controls.show_saved(files, self._feed.command(self._frame, str(files[0])))

        if self._frame is not None:
            _attempt(save, self._controls.show_problem)


def split_labels(text: str) -> list[str]:
    """Split the text of a label box at its commas. Blanks next to commas are no labels."""
    return [label.strip() for label in text.split(",") if label.strip() or "," not in text]


def _attempt(action: Callable[[], object], report: Callable[[str], None]) -> bool:
    """Run an action and report why it failed, or ""; returns whether it succeeded."""
    try:
        action()
    except Exception as error:  # any: whatever a file contains or a person types, the page stays
        logger.debug("", exc_info=True)
        report(describe_error(error))
        return False
    report("")
    return True
