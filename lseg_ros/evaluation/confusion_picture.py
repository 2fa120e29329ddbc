"""Draw a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["confusion_picture"]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE, _BLACK = (255, 255, 255), (32, 32, 32)
_MAX_CLASSES_WITH_NUMBERS = 40  # with more classes the cells are too small for numbers
_MARGIN = 8


def confusion_picture(counts: NDArray[np.int64], rows: Sequence[str], columns: Sequence[str]) -> NDArray[np.uint8]:
    """Draw a confusion matrix: rows are target classes, columns are predicted classes.

    The color of a cell is its share of the row, white for 0 and dark blue for 1. Cells contain the share in percent
    unless there are too many classes. Rows of classes without pixels stay white.

    Args:
        counts: (R, C) pixel counts.
        rows: Names of the R target classes.
        columns: Names of the C predicted classes.

    Returns:
        (H, W, 3) uint8 RGB image.
    """
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = 30 if len(rows) <= _MAX_CLASSES_WITH_NUMBERS else 14
    scale = 0.42 if len(rows) <= _MAX_CLASSES_WITH_NUMBERS else 0.36
    left = _draw_names(rows, cell, scale, right_aligned=True)
    above = np.rot90(_draw_names(columns, cell, scale, right_aligned=False))  # reads upwards, the first name leftmost
    grid = _draw_cells(share, cell, numbers=len(rows) <= _MAX_CLASSES_WITH_NUMBERS)
    corner = np.full((above.shape[0], left.shape[1], 3), _WHITE, np.uint8)
    body = np.vstack([np.hstack([corner, above]), np.hstack([left, grid])])
    title = _draw_title("rows: target; columns: prediction; numbers: percent of the row", body.shape[1])
    body = np.pad(body, ((0, 0), (0, title.shape[1] - body.shape[1]), (0, 0)), constant_values=255)
    picture = np.vstack([title, body])
    return np.pad(picture, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), constant_values=255)


def _draw_names(names: Sequence[str], cell: int, scale: float, *, right_aligned: bool) -> NDArray[np.uint8]:
    """Draw names below each other, one per cell height."""
    width = max(_text_width(name, scale) for name in names) + _MARGIN
    picture = np.full((cell * len(names), width, 3), _WHITE, np.uint8)
    for number, name in enumerate(names):
        space = width - _text_width(name, scale) - _MARGIN
        origin = (_MARGIN // 2 + space * right_aligned, number * cell + cell * 2 // 3)
        cv2.putText(picture, name, origin, _FONT, scale, _BLACK, 1, cv2.LINE_AA)
    return picture


def _draw_cells(share: NDArray[np.float64], cell: int, *, numbers: bool) -> NDArray[np.uint8]:
    """Draw the cells; the square root keeps small shares visible."""
    depth = np.sqrt(share)[..., None]
    colors = np.rint(255 - depth * (255 - np.array([8, 48, 107]))).astype(np.uint8)
    picture = np.ascontiguousarray(colors.repeat(cell, axis=0).repeat(cell, axis=1))
    picture[::cell], picture[:, ::cell] = 225, 225
    if numbers:
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.005:
                text = f"{100 * value:.0f}"
                origin = (column * cell + (cell - _text_width(text, 0.36)) // 2 + 1, row * cell + cell * 3 // 5 + 1)
                cv2.putText(picture, text, origin, _FONT, 0.36, _WHITE if value > 0.3 else _BLACK, 1, cv2.LINE_AA)
    return picture


def _draw_title(text: str, width: int) -> NDArray[np.uint8]:
    """Draw a line of text that is at least ``width`` pixels wide."""
    picture = np.full((24, max(width, _text_width(text, 0.42) + 4), 3), _WHITE, np.uint8)
    cv2.putText(picture, text, (2, 16), _FONT, 0.42, _BLACK, 1, cv2.LINE_AA)
    return picture


def _text_width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, _FONT, scale, 1)[0][0])
