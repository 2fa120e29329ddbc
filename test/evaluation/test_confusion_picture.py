"""The picture of a confusion matrix."""

import numpy as np

from lseg_ros.evaluation.confusion_picture import confusion_picture


def test_cells_with_all_pixels_of_a_row_are_dark() -> None:
    names = ["cat", "dog", "potted plant"]
    picture = confusion_picture(np.array([[8, 0, 0], [0, 0, 5], [0, 0, 0]]), names, names)
    assert picture.dtype == np.uint8
    dark = (picture == (8, 48, 107)).all(axis=2)
    rows, columns = np.nonzero(dark)
    cells = set(zip((rows - rows.min()) // 30, (columns - columns.min()) // 30))
    assert cells == {(0, 0), (1, 2)}


def test_draws_different_rows_and_columns_and_many_classes() -> None:
    wide = confusion_picture(np.ones((2, 3), np.int64), ["a", "b"], ["x", "y", "z"])
    assert wide.ndim == 3
    names = [f"class {number}" for number in range(150)]
    large = confusion_picture(np.eye(150, dtype=np.int64), names, names)
    assert 14 * 150 < large.shape[0] < 3000
