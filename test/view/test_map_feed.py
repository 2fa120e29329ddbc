"""A saved map as the source of a page."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lseg_ros.cli import main
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.mapping import LanguageMap, MapConfig, observe, save_map
from lseg_ros.mapping.picture import view_from_above
from lseg_ros.structures import Frame, Intrinsics
from lseg_ros.view.map_feed import MapFeed
from lseg_ros.vocabulary import Vocabulary

SIZE = (96, 128)
FACING_X = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)  # z up, as maps are


@pytest.fixture(scope="module")
def segmenter(checkpoint: str) -> Segmenter:
    return Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint, device="cpu"))


@pytest.fixture(scope="module")
def language_map(segmenter: Segmenter) -> LanguageMap:
    """A colorful ramp that leads away from the camera."""
    blocks = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    image = np.ascontiguousarray(blocks.repeat(16, axis=0).repeat(16, axis=1))
    depth_m = np.linspace(3.0, 1.5, SIZE[0], dtype=np.float32)[:, None].repeat(SIZE[1], axis=1)
    frame = Frame(image, depth_m, Intrinsics(100, 100, 64, 48, SIZE[1], SIZE[0]))
    result = LanguageMap(MapConfig(map_memory_mb=16, map_extent_m=20.0), segmenter.channels)
    result.integrate(observe(frame, segmenter.embed(image), FACING_X))
    return result


@pytest.fixture
def feed(segmenter: Segmenter, language_map: LanguageMap) -> MapFeed:
    return MapFeed(segmenter, language_map, Vocabulary.of(["floor", "wall", "chair"]), "map.safetensors")


def test_the_frame_is_the_map_from_above_with_the_labels_of_the_voxels(
    feed: MapFeed, language_map: LanguageMap
) -> None:
    shown = feed.read(0, 0.0)
    labels = shown.segmentation.label_map
    assert shown.frame.size == labels.shape == shown.segmentation.confidence.shape
    is_column = view_from_above(language_map.voxels(), 0.05, max_side_px=640).index >= 0
    assert labels.shape == is_column.shape and is_column.sum() > 100
    assert ((labels > 0) == is_column).all() and set(np.unique(labels)) <= {0, 1, 2, 3}
    feed.set_threshold(1.0)
    reread = feed.read_again(0.0)
    assert not reread.segmentation.label_map.any()


def test_labels_and_colors_change_the_cloud(feed: MapFeed, language_map: LanguageMap) -> None:
    feed.set_labels(["anything"], ["#ff0000"])
    feed.set_labels(["anything", "something"], ["#ff0000", "#00ff00"])
    number = feed.read(0, 0.0).segmentation.vocabulary["anything"].id
    cloud = feed.map_cloud("", set())
    assert len(cloud.centers) == len(language_map)
    assert {tuple(color) for color in np.unique(cloud.colors, axis=0).tolist()} <= {(255, 0, 0), (0, 255, 0)}
    kept = len(feed.map_cloud("", {number}).centers)
    assert kept == int((cloud.colors == (0, 255, 0)).all(axis=1).sum())


def test_a_query_finds_a_place_and_colors_the_cloud_by_similarity(feed: MapFeed, language_map: LanguageMap) -> None:
    found = feed.query("red thing")
    column, row = found.result.pixel
    assert found.result.similarity.shape == found.frame.size
    assert found.result.point is not None and found.result.point in language_map.voxels().centers.astype(np.float64)
    assert 0 <= row < found.frame.size[0] and 0 <= column < found.frame.size[1]
    assert (feed.map_cloud("red thing", set()).colors != feed.map_cloud("", set()).colors).any()
    with pytest.raises(ValueError, match="text: expected a word"):
        feed.query(" ")


def test_an_empty_map_is_refused_and_the_command_shows_the_same_page(feed: MapFeed, segmenter: Segmenter) -> None:
    words = shlex.split(feed.command(feed.read(0, 0.0), ""))
    assert words == ["lseg", "view", "map.safetensors", "--labels", "floor", "wall", "chair"]
    empty = LanguageMap(MapConfig(map_memory_mb=1), segmenter.channels)
    with pytest.raises(ValueError, match=r"empty\.safetensors: expected a map with voxels, got an empty one"):
        MapFeed(segmenter, empty, Vocabulary.of(["floor"]), "empty.safetensors")


def test_the_command_line_names_what_cannot_be_shown(
    segmenter: Segmenter, language_map: LanguageMap, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("viser", reason="the extra view is not installed")
    path = tmp_path / "map.safetensors"
    save_map(language_map, path, "another network")
    network = ["--checkpoint", checkpoint, "--device", "cpu"]
    assert main(["view", str(path), *network]) == 2
    assert "expected a map of the network" in capsys.readouterr().err
    assert main(["view", str(path), str(path), *network]) == 2
    assert "alone, got 2 sources" in capsys.readouterr().err


@pytest.fixture
def url(feed: MapFeed, tmp_path: Path) -> Iterator[str]:
    """The address of the page of the map."""
    from lseg_ros.view.page import Page, PageSettings

    page = Page(feed, PageSettings(port=0, out=str(tmp_path)), "floor, wall, chair")
    thread = threading.Thread(target=page.run)
    thread.start()
    yield page.url
    page.stop()
    thread.join(20)


@pytest.mark.browser
def test_the_page_shows_the_map_from_above_and_in_3d(url: str) -> None:
    from test.support.browser import OpenPage, launch_browser

    with launch_browser() as browser:
        page = OpenPage(browser.new_context(viewport={"width": 1250, "height": 600}).new_page(), url)
        box = page.box("map")
        box.uncheck()
        page.tab.wait_for_timeout(1000)
        without = colorful(page.canvas())  # there may be a message of the browser
        box.check()
        page.wait_until(lambda: colorful(page.canvas()) > without + 500)
        by_label = page.canvas().astype(int)
        page.enter("query", "red thing")
        page.wait_for("score")
        page.wait_until(lambda: abs(page.canvas().astype(int) - by_label).mean() > 1)
        box.uncheck()
        page.wait_until(lambda: colorful(page.canvas()) < without + 50)


def colorful(picture: NDArray[np.uint8]) -> int:
    """Number of pixels that are not gray."""
    return int(np.count_nonzero(np.ptp(picture.astype(int), axis=-1) > 60))
