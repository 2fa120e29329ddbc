"""The page in a real browser, with a tiny network."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lseg_ros.cli import main
from lseg_ros.structures import Frame, Intrinsics
from lseg_ros.vocabulary import Vocabulary
from test.support.browser import OpenPage, launch_browser
from test.support.dataset_trees import read_unchanged

pytestmark = pytest.mark.browser

LABELS = ("floor", "wall", "chair")
SIZE = (96, 128)

Open = Callable[[], OpenPage]


def make_frame(number: int) -> Frame:
    """A frame of colored blocks on a wall 2 m away."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    image = np.ascontiguousarray(blocks.repeat(16, axis=0).repeat(16, axis=1))
    return Frame(image, np.full(SIZE, 2.0, np.float32), Intrinsics(100, 100, 64, 48, 128, 96), number)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launch_browser() as running:
        yield running


@pytest.fixture(scope="module")
def served(checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page of a recording with three frames, paused."""
    from lseg_ros.inference import Segmenter, SegmenterConfig
    from lseg_ros.pipeline import Pipeline
    from lseg_ros.view.local import LocalFeed
    from lseg_ros.view.page import Page, PageSettings
    from lseg_ros.view.sources import FrameSequence

    source = FrameSequence([make_frame(number) for number in range(3)], "blocks")
    pipeline = Pipeline(Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint, device="cpu")))
    feed = LocalFeed(pipeline, source, Vocabulary.of(LABELS), "blocks")
    feed.moving = False
    page = Page(feed, PageSettings(port=0, out=str(tmp_path_factory.mktemp("saved"))), ", ".join(LABELS))
    thread = threading.Thread(target=page.run)
    thread.start()
    yield page
    page.stop()
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def open_page(browser: Any, served: Any) -> Iterator[Open]:
    """Opens the page in a new tab that shares nothing with others."""

    def open_tab() -> OpenPage:
        others = served.browsers
        page = OpenPage(browser.new_context(viewport={"width": 1250, "height": 400}).new_page(), served.url)
        page.wait_until(lambda: served.browsers > others)  # viser ignores requests before that
        return page

    yield open_tab


@pytest.fixture(scope="module")
def tab(open_page: Open) -> OpenPage:
    """A tab that all tests use."""
    return open_page()


@pytest.fixture
def page(tab: OpenPage) -> OpenPage:
    """The page with its first labels and without a query."""
    tab.enter("query", "")
    tab.enter("labels", ", ".join(LABELS))
    tab.tab.get_by_text("chair", exact=True).first.wait_for()
    return tab


def test_labels_that_are_typed_change_the_colors_of_pixels(page: OpenPage) -> None:
    before = page.picture()
    page.enter("labels", "sofa|couch, plant")
    page.wait_for("plant")
    page.wait_for_picture(lambda picture: np.abs(picture.astype(int) - before).mean() > 5)
    page.tab.get_by_text("chair", exact=True).first.wait_for(state="detached")


def test_labels_that_are_typed_within_milliseconds_are_complete(page: OpenPage) -> None:
    page.box("labels").fill("")
    page.box("labels").press_sequentially("lamp, curtain")
    page.box("labels").press("Enter")
    page.wait_for("curtain")
    page.wait_until(lambda: page.box("labels").input_value() == "lamp, curtain")


def test_enter_within_a_label_applies_the_list_and_lines_that_are_pasted_become_labels(page: OpenPage) -> None:
    page.enter("labels", "lamp, bookcase")
    page.wait_for("bookcase")
    for _ in "ase":
        page.box("labels").press("ArrowLeft")
    page.box("labels").press("Enter")
    page.wait_until(lambda: page.box("labels").input_value() == "lamp, bookcase")
    page.box("labels").fill("door\nwindow frame\n")
    page.wait_for("window frame")
    page.wait_until(lambda: page.box("labels").input_value() == "door, window frame")


def test_a_rejected_list_shows_the_reason_and_keeps_the_labels(page: OpenPage) -> None:
    with pytest.raises(ValueError) as reason:
        Vocabulary.of(["floor", "Floor"])
    page.enter("labels", "floor, Floor")
    assert page.problem() == str(reason.value)
    page.wait_for("chair")


def test_a_query_draws_its_heat_map_and_names_its_point(page: OpenPage) -> None:
    before = page.picture()
    page.enter("query", "red thing")
    assert "2.00 m" in page.wait_for("score")
    page.wait_for_picture(lambda picture: np.abs(picture.astype(int) - before).mean() > 10)
    page.enter("query", "")
    page.wait_for_picture(lambda picture: np.abs(picture.astype(int) - before).mean() < 3)


def test_a_color_that_is_picked_changes_the_picture_and_stays(page: OpenPage, served: Any) -> None:
    before = page.picture()
    largest = max(LABELS, key=lambda name: share(page, name))
    number = LABELS.index(largest)
    color = page.tab.locator("input[value^='rgb(']").nth(number)
    color.fill("rgb(0, 0, 0)")
    color.press("Enter")
    page.wait_for_picture(lambda picture: picture.mean() < before.mean() - 5)
    page.tab.reload()
    page.wait_for("frames/s")
    page.wait_until(lambda: served.browsers == 1)
    assert page.tab.locator("input[value^='rgb(']").nth(number).input_value() == "rgb(0, 0, 0)"


def test_a_hidden_label_changes_the_picture(page: OpenPage) -> None:
    before = page.picture()
    largest = max(LABELS, key=lambda name: share(page, name))
    page.click(page.box(largest))
    page.wait_for_picture(lambda picture: np.abs(picture.astype(int) - before).mean() > 5)
    page.click(page.box(largest))
    page.wait_for_picture(lambda picture: np.abs(picture.astype(int) - before).mean() < 3)


def share(page: OpenPage, name: str) -> int:
    """Share of a label in percent, from the row below its name."""
    text = page.tab.locator(f"xpath=//label[normalize-space()='{name}']/following::label[1]").first.inner_text()
    return int(text.split(", ")[1].rstrip("%"))


def test_a_cloud_appears_for_a_frame_with_depth(page: OpenPage) -> None:
    page.wait_until(lambda: colorful(page) > 2000)
    shown = colorful(page)
    for name in LABELS:
        page.click(page.box(name))
    page.wait_until(lambda: colorful(page) < shown / 10)
    for name in LABELS:
        page.click(page.box(name))


def colorful(page: OpenPage) -> int:
    """Number of pixels of the 3D view that are not gray."""
    return int(np.count_nonzero(np.ptp(page.canvas().astype(int), axis=-1) > 60))


def test_a_query_marks_its_point_in_the_scene(page: OpenPage) -> None:
    page.wait_until(lambda: colorful(page) > 2000)
    shown = colorful(page)
    for name in LABELS:  # their colors may resemble that of the mark
        page.click(page.box(name))
    page.wait_until(lambda: colorful(page) < shown / 10)
    before = magenta(page)
    page.enter("query", "red thing")
    page.wait_until(lambda: magenta(page) > before + 20)
    page.enter("query", "")
    page.wait_until(lambda: magenta(page) <= before)
    for name in LABELS:
        page.click(page.box(name))


def magenta(page: OpenPage) -> int:
    """Number of magenta pixels of the 3D view."""
    red, green, blue = page.canvas().astype(int).transpose(2, 0, 1)
    return int(np.count_nonzero(np.minimum(red, blue) > green + 80))


def test_the_page_has_the_same_labels_after_a_reload(page: OpenPage, served: Any) -> None:
    page.enter("labels", "lamp, rug")
    page.wait_for("rug")
    page.tab.reload()
    page.wait_for("rug")
    page.wait_until(lambda: served.browsers == 1)
    assert page.box("labels").input_value() == "lamp, rug"


def test_two_pages_show_the_same(page: OpenPage, open_page: Open) -> None:
    other = open_page()
    other.enter("labels", "door, window")
    page.wait_for("window")
    page.wait_until(lambda: np.abs(page.picture().astype(int) - other.picture()).mean() < 1)
    other.tab.context.close()


def test_a_page_that_disconnects_disturbs_no_other(page: OpenPage, open_page: Open, served: Any) -> None:
    other = open_page()
    other.tab.context.close()
    page.wait_until(lambda: served.browsers == 1)
    page.enter("labels", "bottle, cup")
    page.wait_for("bottle")


def test_a_step_shows_the_next_frame(page: OpenPage) -> None:
    first = page.wait_for("blocks, frame")
    page.click(page.tab.get_by_role("button", name="step"))
    page.tab.wait_for_function("text => !document.body.innerText.includes(text)", arg=first)
    assert page.wait_for("blocks, frame") != first


def test_saved_files_and_the_command_agree(page: OpenPage, tmp_path: Path) -> None:
    page.click(page.tab.get_by_role("button", name="save"))
    command = shlex.split(page.wait_for("lseg segment"))
    image = Path(command[2])
    assert main([*command[1:], "--device", "cpu", "--out", str(tmp_path)]) == 0
    mask = read_unchanged(image.with_name(image.name.replace("image", "mask")))
    assert np.array_equal(read_unchanged(tmp_path / f"{image.stem}_mask.png"), mask)
    kinds = ("confidence.png", "image.png", "mask.png", "overlay.png", "points.ply")
    assert {path.name.rpartition("_")[2] for path in image.parent.iterdir()} == set(kinds)
