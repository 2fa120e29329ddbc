"""A real browser for tests of pages, with software rendering."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.image_data import decode_rgb

__all__ = ["OpenPage", "find_chromium", "launch_browser", "missing_for_browser"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_THROTTLE_MS = 50  # viser's page sends only the last of several events within this time, whatever they are about
# Reads the colors of the page's picture, as a picture of 32 x 24 pixels.
_READ_IMAGE = """image => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [32, 24];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, 32, 24);
    return [...context.getImageData(0, 0, 32, 24).data];
}"""


def find_chromium() -> str | None:
    """Return the path of an installed Chromium, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def missing_for_browser() -> str:
    """Say what this machine lacks to run the tests with a browser, "" for nothing."""
    for module in ("viser", "playwright"):
        if importlib.util.find_spec(module) is None:
            return f"the package {module} is not installed: `make test` installs it"
    return "" if find_chromium() else "no Chromium: sudo apt install chromium"


class OpenPage:
    """The page in one tab of the browser."""

    def __init__(self, tab: Any, url: str) -> None:
        self.tab = tab
        tab.goto(url)
        self.wait_for("frames/s")

    def box(self, label: str) -> Any:
        """Return the input next to a label."""
        return self.tab.locator(
            f"xpath=//label[normalize-space()='{label}']/following::*[self::input or self::textarea][1]"
        )

    def enter(self, label: str, text: str) -> None:
        """Replace a text and press Enter at once."""
        box = self.box(label)
        if box.input_value() != text:
            box.fill(text)
        box.press("Enter")
        self.wait_until(lambda: "\n" not in box.input_value())  # the page has taken the text
        self.tab.wait_for_timeout(4 * _THROTTLE_MS)

    def click(self, locator: Any) -> None:
        """Click an element, even if the browser is too slow to draw it in time."""
        locator.dispatch_event("click")
        self.tab.wait_for_timeout(2 * _THROTTLE_MS)

    def wait_for(self, text: str) -> str:
        """Wait for an element with a text, and return its whole text."""
        element = self.tab.get_by_text(text).first
        element.wait_for(timeout=30_000)
        return str(element.inner_text())

    def problem(self) -> str:
        """Wait for an error message and return it."""
        alert = self.tab.locator(".lseg-problem").first
        alert.wait_for(timeout=30_000)
        return str(alert.inner_text())

    def picture(self) -> NDArray[np.uint8]:
        """Return the colors of the picture that the page shows, (24, 32, 3) uint8 RGB."""
        image = self.tab.locator("img[src^='blob:'], img[src^='data:image/jpeg']").first
        return np.array(image.evaluate(_READ_IMAGE), np.uint8).reshape(24, 32, 4)[..., :3]

    def canvas(self) -> NDArray[np.uint8]:
        """Return the 3D view as it is drawn, (H, W, 3) uint8 RGB."""
        return decode_rgb(self.tab.locator("canvas").first.screenshot(), "screenshot")

    def wait_for_picture(self, is_expected: Callable[[NDArray[np.uint8]], object]) -> NDArray[np.uint8]:
        """Wait until the picture meets a condition, and return it."""
        pictures: list[NDArray[np.uint8]] = []

        def is_reached() -> object:
            pictures[:] = [self.picture()]
            return is_expected(pictures[0])

        self.wait_until(is_reached)
        return pictures[0]

    def wait_until(self, condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Wait until a condition holds."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, "the page does not change as expected"
            self.tab.wait_for_timeout(100)


@contextmanager
def launch_browser() -> Iterator[Any]:
    """Start the browser; its tabs do not share anything."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],  # no GPU, root in CI
        )
        try:
            yield browser
        finally:
            browser.close()
