"""Annotated areas are drawn where they lie, and broken ones are rejected."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from lseg_ros.datasets.annotations.regions import (
    Bitmap,
    Region,
    Runs,
    decode_counts,
    ellipse,
    polygon,
    rectangle,
    runs,
)

Points = list[tuple[float, float]]
HEIGHT, WIDTH = 20, 30
COORDINATES = st.one_of(st.floats(-10, 40), st.integers(-5, 35).map(float), st.floats(-1e9, 1e9))
POINTS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9)


def draw(region: Region, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.bool_]:
    target = np.full((height, width), -1, np.int16)
    region.paint(target, 7)
    assert set(np.unique(target)) <= {-1, 7}
    return target == 7


def is_inside(points: Points, x: float, y: float) -> bool:
    """Count the edges to the left of a point: the even-odd rule."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]]):
        if (y0 > y) != (y1 > y):
            crossings += x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x
    return crossings % 2 == 1


def distance_to_outline(points: Points, x: float, y: float) -> float:
    corners = np.array(points)
    edges = np.roll(corners, -1, axis=0) - corners
    offsets = np.array([x, y]) - corners
    lengths = (edges**2).sum(axis=1)
    along = np.divide((edges * offsets).sum(axis=1), lengths, out=np.zeros(len(corners)), where=lengths > 0)
    return float(np.hypot(*(offsets - along.clip(0, 1)[:, None] * edges).T).min())


def encode_counts(counts: list[int]) -> str:
    """Compress run lengths as maskApi.c of COCO does (rleToString)."""
    text = ""
    for index, count in enumerate(counts):
        value = count - (counts[index - 2] if index > 2 else 0)
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            text += chr(48 + bits + 32 * more)
    return text


def count_runs(flat: NDArray[np.bool_]) -> list[int]:
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flat]))).tolist()
    return np.diff([0, *changes, flat.size]).tolist()


def encode_png(mask: NDArray[np.bool_]) -> str:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


class TestPolygons:
    @settings(max_examples=200, deadline=None)
    @given(points=POINTS)
    def test_contains_the_pixels_whose_centers_lie_inside(self, points: Points) -> None:
        drawn = draw(polygon(points))
        for row, column in np.ndindex(drawn.shape):
            x, y = column + 0.5, row + 0.5
            if drawn[row, column] != is_inside(points, x, y):
                assert distance_to_outline(points, x, y) < 1e-4

    def test_neighbors_neither_overlap_nor_leave_a_gap(self) -> None:
        left, right = draw(rectangle(-3, 2, 11.5, 9)), draw(rectangle(11.5, 2, 25, 9))
        assert not (left & right).any()
        assert (left | right).sum() == 25 * 7

    def test_whole_coordinates_are_borders_of_pixels(self) -> None:
        drawn = draw(rectangle(2, 3, 5, 7))
        assert drawn.sum() == 12
        assert drawn[3:7, 2:5].all()

    def test_accepts_the_corners_of_a_rectangle_in_any_order(self) -> None:
        assert np.array_equal(draw(rectangle(5, 7, 2, 3)), draw(rectangle(2, 3, 5, 7)))

    def test_turns_a_rectangle_clockwise(self) -> None:
        assert np.array_equal(draw(rectangle(2, 8, 12, 10, 90)), draw(rectangle(6, 4, 8, 14)))
        drawn = draw(rectangle(5, 9, 25, 11, 30))
        assert drawn[14, 22]  # right of the center and below it
        assert not drawn[5, 22]

    def test_draws_an_ellipse(self) -> None:
        drawn = draw(ellipse(15, 10, 8, 4))
        y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        assert (drawn != (((x - 15) / 8) ** 2 + ((y - 10) / 4) ** 2 < 1)).sum() <= 4

    @pytest.mark.parametrize("outside", [(-50, -50, -3, 70), (40, 2, 60, 9), (3, 25, 9, 26)])
    def test_nothing_is_drawn_outside_the_image(self, outside: tuple[float, float, float, float]) -> None:
        assert not draw(rectangle(*outside)).any()

    @pytest.mark.parametrize(
        "points",
        [
            [],
            [(1, 2), (3, 4)],
            [(1, 2, 3)] * 3,
            [(0, 0), (1, float("nan")), (2, 2)],
            [(0, 0), (1, float("inf")), (2, 2)],
            [(0, 0), (1, 10**400), (2, 2)],
            [(0, 0), (1, "a"), (2, 2)],
            [(0, 0), (1, None), (2, 2)],
            "abc",
            None,
        ],
    )
    def test_rejects_what_is_not_a_polygon(self, points: object) -> None:
        with pytest.raises(ValueError, match="points: expected"):
            polygon(points)

    def test_rejects_a_polygon_that_is_too_complex(self) -> None:
        zigzag = [(index % 7, 4000 * (index % 2)) for index in range(30000)]
        with pytest.raises(ValueError, match="expected a simpler polygon, got 30000 points"):
            draw(polygon(zigzag), 4000, 40)


class TestRuns:
    @settings(max_examples=100, deadline=None)
    @given(mask=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=20)))
    def test_decodes_compressed_runs_by_column(self, mask: NDArray[np.bool_]) -> None:
        counts = count_runs(mask.T.ravel())
        assert decode_counts(encode_counts(counts)) == counts
        region = runs(counts, (mask.shape[0], mask.shape[1]))
        assert region.area == mask.sum()
        assert np.array_equal(draw(region, *mask.shape), mask)

    @given(counts=st.lists(st.integers(0, 2**30), max_size=30))
    def test_decodes_runs_of_any_length(self, counts: list[int]) -> None:
        assert decode_counts(encode_counts(counts)) == counts

    def test_decodes_a_mask_by_hand(self) -> None:
        assert decode_counts("5223") == [5, 2, 2, 5]  # the fourth is 3 more than the second
        drawn = draw(runs([5, 2, 2, 5], (2, 7)), 2, 7)
        assert drawn.astype(int).tolist() == [[0, 0, 0, 1, 0, 1, 1], [0, 0, 1, 0, 1, 1, 1]]

    def test_decodes_a_mask_of_pycocotools(self) -> None:
        counts = decode_counts("nYW31n>2N2FNbA48Kf=?XBDe=m0OM3M4YOPB8_>L4JXao5")  # from the tests of mmdetection
        rows, columns = np.nonzero(draw(runs(counts, (480, 640)), 480, 640))
        assert (columns.min(), rows.min()) == (220, 176)
        assert (columns.max() + 1, rows.max() + 1) == (231, 210)

    @settings(max_examples=50, deadline=None)
    @given(
        mask=arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))),
        corner=st.tuples(st.integers(-12, 25), st.integers(-12, 35)),
    )
    def test_draws_a_mask_by_row_at_its_corner(self, mask: NDArray[np.bool_], corner: tuple[int, int]) -> None:
        region = runs(count_runs(mask.ravel()), (mask.shape[0], mask.shape[1]), corner, by_column=False)
        assert np.array_equal(draw(region), place(mask, corner))

    @pytest.mark.parametrize("counts", [[5], [3, 4, 7], [-1, 7], [10**30, 6], [2, 4.0], [True, 5], [2, "4"]])
    def test_rejects_runs_that_do_not_fill_the_mask(self, counts: list[int]) -> None:
        with pytest.raises(ValueError, match="RLE: expected runs of "):
            runs(counts, (2, 3))

    @pytest.mark.parametrize("size", [(-2, -3), (0, 5)])
    def test_rejects_impossible_sizes(self, size: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="RLE: expected runs of "):
            runs([6], size)

    @pytest.mark.parametrize("text", ["5 2", "5\u00e92", "P", "5" + "o" * 20 + "5"])
    def test_rejects_text_that_is_not_compressed_rle(self, text: str) -> None:
        with pytest.raises(ValueError, match="counts: expected compressed RLE, got "):
            decode_counts(text)

    def test_rejects_a_mask_larger_than_the_image(self) -> None:
        region = Runs(np.array([0, 10**12]), (10**6, 10**6))
        with pytest.raises(ValueError, match="expected a mask of at most 30x20 pixels, got 1000000x1000000"):
            draw(region)


class TestBitmaps:
    @settings(max_examples=50, deadline=None)
    @given(
        mask=arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))),
        corner=st.tuples(st.integers(-12, 25), st.integers(-12, 35)),
    )
    def test_draws_a_mask_at_its_corner(self, mask: NDArray[np.bool_], corner: tuple[int, int]) -> None:
        assert np.array_equal(draw(Bitmap(encode_png(mask), corner)), place(mask, corner))

    @pytest.mark.parametrize("data", ["", "####", "bm90IGFuIGltYWdl", encode_png(np.ones((100, 3), bool))])
    def test_rejects_what_is_not_a_mask_of_the_image(self, data: str) -> None:
        with pytest.raises(ValueError, match="expected a mask as an image in base64, got "):
            draw(Bitmap(data, (0, 0)))


def place(mask: NDArray[np.bool_], corner: tuple[int, int]) -> NDArray[np.bool_]:
    expected = np.zeros((HEIGHT, WIDTH), bool)
    for row, column in np.argwhere(mask) + corner:
        if 0 <= row < HEIGHT and 0 <= column < WIDTH:
            expected[row, column] = True
    return expected
