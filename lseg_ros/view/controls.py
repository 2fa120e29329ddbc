"""The controls of the page: boxes, sliders and buttons, and the texts next to them."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import viser
from numpy.typing import NDArray

from lseg_ros.view.feed import Feed, Found, LabeledFrame
from lseg_ros.vocabulary import Label, Vocabulary

__all__ = ["PICTURES", "Controls"]

PICTURES = ("labels", "confidence", "similarity", "camera")
_PICTURE_WIDTH_PX = 640
_JPEG_QUALITY = 88


class Controls:
    """The panels of the page. Values that only change the drawing are read from here.

    Everything else is a request: labels, colors (by id), query, threshold, camera, index, step, save, and redraw.
    """

    def __init__(self, server: viser.ViserServer, feed: Feed, labels: str, request: Callable[..., None]) -> None:
        """Create the panels.

        Args:
            server: The server of the page.
            feed: Its title and length.
            labels: Initial text of the label box.
            request: Called with the kind and the value of a request, in threads of the server.
        """
        self._gui = gui = server.gui
        self._request = request
        self._rows: dict[int, tuple[viser.GuiCheckboxHandle, viser.GuiRgbHandle]] = {}
        self._listed: tuple[Label, ...] = ()
        self._last_entries: tuple[str, ...] = ()
        self._threshold_known: float | None = None
        self._camera: viser.GuiDropdownHandle[str] | None = None
        self._texts = {"labels": labels, "query": ""}  # what the boxes contained last
        panel = gui.add_panel()
        with panel.add_tab(feed.title):
            self._image = gui.add_image(np.zeros((2, 2, 3), np.uint8), format="jpeg", jpeg_quality=_JPEG_QUALITY)
            self._status = gui.add_html("")
            self._problem = gui.add_html("")
        panel.dock_left()
        panel.set_width(_PICTURE_WIDTH_PX)
        gui.main_panel.dock_right()
        self._add_texts(labels)
        self._add_drawing()
        self._add_playing(feed)
        self._add_saving()
        self._folder = gui.add_folder("id and share of each label")
        self.show_feed(feed)

    @property
    def picture(self) -> str:
        """What the picture shows, one of ``PICTURES``."""
        return self._picture.value

    @property
    def hidden(self) -> set[int]:
        """Ids of the labels that are not shown."""
        return {number for number, (visible, _) in self._rows.items() if not visible.value}

    @property
    def opacity(self) -> float:
        """Opacity of the colors, 0 to 1."""
        return float(self._opacity.value)

    @property
    def is_playing(self) -> bool:
        """Whether the next frame follows by itself."""
        return bool(self._playing.value)

    def show_picture(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture, (H, W, 3) uint8 RGB."""
        self._image.image = picture

    def show_feed(self, feed: Feed) -> None:
        """Show the threshold and the cameras of a feed when they become known."""
        if feed.threshold != self._threshold_known:
            self._threshold_known = feed.threshold
            if feed.threshold is not None:
                self._threshold.value = feed.threshold
        if self._camera is None and feed.cameras:
            self._camera = self._gui.add_dropdown("camera", tuple(feed.cameras), initial_value=feed.camera, order=-1)
            self._camera.on_update(self._select_camera)

    def show_frame(self, shown: LabeledFrame, rate_hz: float) -> None:
        """Show the name and the figures of a frame, and the shares of its labels."""
        height, width = shown.frame.size
        name = html.escape(shown.name)
        figures = f"{rate_hz:.1f} frames/s, latency {shown.latency_ms:.0f} ms, {width}x{height}"
        _write(self._status, f"<div>{figures}</div><div>{name}</div>")
        if self._index is not None and self._index.value != shown.index + 1:
            self._index.value = shown.index + 1
        self._list_labels(shown.segmentation.vocabulary)
        counts = np.bincount(shown.segmentation.label_map.reshape(-1), minlength=256)
        for number, (_, color) in self._rows.items():
            text = f"id {number}, {counts[number] / shown.segmentation.label_map.size:.0%}"
            if color.label != text:
                color.label = text

    def show_similarity(self, is_shown: bool) -> None:
        """Show the heat map of a query, or the labels again."""
        if is_shown:
            self._picture.value = "similarity"
        elif self._picture.value == "similarity":
            self._picture.value = "labels"

    def show_answer(self, found: Found) -> None:
        """Show score, best pixel and 3D point of a query."""
        result = found.result
        column, row = result.pixel
        text = f"score {result.score:.2f} at column {column}, row {row}"
        if result.point is not None:
            x, y, z = result.point
            text += f"; point {x:.2f}, {y:.2f}, {z:.2f} m"
            text += "" if found.in_map else f", {math.hypot(x, y, z):.2f} m away"
        _write(self._answer, f"<div>{text}</div>")

    def show_query(self, problem: str) -> None:
        """Show why a query failed; "" keeps the answer of a query that did not."""
        if problem or not self._query.value.strip():
            _write(self._answer, _format_problem(problem))

    def show_label_problem(self, problem: str) -> None:
        """Show why labels were rejected; "" removes the text."""
        _write(self._label_problem, _format_problem(problem))

    def show_problem(self, problem: str) -> None:
        """Show why a frame cannot be shown; "" removes the text."""
        _write(self._problem, _format_problem(problem))

    def show_saved(self, files: Sequence[Path], command: str) -> None:
        """List saved files and the command line that gives the same mask."""
        names = "".join(f"<div>{html.escape(str(path))}</div>" for path in files)
        _write(self._saved, f"{names}<pre style='white-space:pre-wrap'>{html.escape(command)}</pre>")

    def _add_texts(self, labels: str) -> None:
        gui = self._gui
        # Enter is a line break in the text: browsers send only the last of several events within 50 ms, so that a form
        # which is submitted right after the last letter would be sent without this letter.
        hint = "floor, sofa|couch, person: Enter applies the list"
        self._labels = gui.add_text("labels", labels, hint=hint, multiline=True)
        self._labels.on_update(partial(self._submit, "labels"))
        self._label_problem = gui.add_html("")
        hint = "a text to find in the frame: Enter applies it"
        self._query = gui.add_text("query", "", hint=hint, multiline=True)
        self._query.on_update(partial(self._submit, "query"))
        self._answer = gui.add_html("")

    def _add_drawing(self) -> None:
        gui = self._gui
        self._picture = gui.add_dropdown("picture", PICTURES)
        self._opacity = gui.add_slider("opacity", min=0.0, max=1.0, step=0.05, initial_value=0.5)
        for control in (self._picture, self._opacity):
            control.on_update(lambda _: self._request("redraw"))
        self._threshold = gui.add_slider(
            "threshold", min=0.0, max=1.0, step=0.01, initial_value=0.0, hint="unlabeled_threshold"
        )
        self._threshold.on_update(self._set_threshold)

    def _add_playing(self, feed: Feed) -> None:
        gui = self._gui
        self._playing = gui.add_checkbox("play", feed.moving and feed.length != 1)
        self._playing.on_update(lambda _: self._request("redraw"))
        gui.add_button("step", hint="pause and show the next frame").on_click(lambda _: self._step())
        self._index = None
        if feed.length > 1:
            self._index = gui.add_slider("frame", min=1, max=feed.length, step=1, initial_value=1)
            self._index.on_update(self._seek)

    def _add_saving(self) -> None:
        self._gui.add_button("save", hint="image, mask, confidence, overlay and points").on_click(
            lambda _: self._request("save")
        )
        self._saved = self._gui.add_html("")

    async def _submit(self, kind: str, event: Any) -> None:
        """Request the text of a box after Enter, and remove the line break.

        This is a coroutine because viser runs those in order. Functions run in its threads and may overtake each other.
        """
        box, last = event.target, self._texts[kind]
        text = self._texts[kind] = box.value
        if event.client is None or "\n" not in text:  # set by this program, or still being typed
            return
        typed = text.replace("\n", "")
        lines = [line.strip() for line in text.split("\n")]
        pasted = (", " if kind == "labels" else " ").join(line for line in lines if line)
        box.value = self._texts[kind] = typed if typed == last else pasted
        self._request(kind, box.value)

    def _step(self) -> None:
        self._playing.value = False
        self._request("step")

    def _seek(self, event: Any) -> None:
        if event.client is not None:  # not set by show_frame
            self._request("index", event.target.value - 1)

    def _set_threshold(self, event: Any) -> None:
        if event.client is not None:  # not set by show_feed
            self._request("threshold", event.target.value)

    def _select_camera(self, event: Any) -> None:
        self._request("camera", event.target.value)

    def _list_labels(self, vocabulary: Vocabulary) -> None:
        """Create a row per label: whether it is visible, its color, and its id and share."""
        if vocabulary.labels == self._listed:
            return
        self._listed = vocabulary.labels
        if vocabulary.entries != self._last_entries:  # also if a program changed the labels of a node
            self._last_entries = vocabulary.entries
            self._labels.value = ", ".join(vocabulary.entries)
        hidden = self.hidden
        for row in self._rows.values():
            for control in row:
                control.remove()
        with self._folder:
            self._rows = {label.id: self._add_row(label, label.id not in hidden) for label in vocabulary.labels}

    def _add_row(self, label: Label, is_visible: bool) -> tuple[viser.GuiCheckboxHandle, viser.GuiRgbHandle]:
        visible = self._gui.add_checkbox(label.name, is_visible, hint=label.entry)
        color = self._gui.add_rgb(f"id {label.id}", label.color)
        visible.on_update(lambda _: self._request("redraw"))
        color.on_update(lambda _: self._request("colors", {label.id: "#{:02x}{:02x}{:02x}".format(*color.value)}))
        return visible, color


def _write(element: viser.GuiHtmlHandle, text: str) -> None:
    """Replace the text of an element; an equal text is not sent again."""
    if element.content != text:
        element.content = text


def _format_problem(problem: str) -> str:
    text = html.escape(problem)
    return f"<div class='lseg-problem' role='alert' style='color:#c92a2a'>{text}</div>" if problem else ""
