"""The compiled loops and their versions in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from lseg_ros.mapping import kernels

needs_numba = pytest.mark.skipif(not kernels.COMPILED, reason="numba is not installed")
RNG = np.random.default_rng(0)


@pytest.fixture(params=[pytest.param(True, marks=needs_numba), False], ids=["numba", "numpy"], autouse=True)
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(kernels, "COMPILED", request.param)
    return bool(request.param)


def test_rows_are_columns_with_the_factor_that_makes_them_unit_vectors() -> None:
    channels = RNG.normal(size=(20, 30)).astype(np.float32)
    channels[:, 3], channels[5, 4] = 0, np.nan
    rows, factors = kernels.gather_rows(channels, np.array([2, 3, 4, 9]))
    assert np.allclose(rows[[0, 3]], channels.T[[2, 9]])
    assert np.allclose(np.linalg.norm(rows[[0, 3]], axis=1) * factors[[0, 3]], 1)
    assert (rows[1:3] == 0).all() and (factors[1:3] == 0).all()


def test_means_move_by_their_share_and_are_rounded_once() -> None:
    means = RNG.normal(size=(6, 20)).astype(np.float16)
    before, rows = means.astype(np.float32), RNG.normal(size=(4, 20)).astype(np.float32)
    slots, share = np.array([4, 1], np.int32), np.array([0.25, 1], np.float32)
    means[1] = np.nan  # of an unused row
    weights = np.array([0.1, 0.15, 1], np.float32)
    kernels.mix_rows(means, slots, share, np.array([0, 2, 3]), np.array([0, 3, 2]), weights, rows)
    assert np.allclose(means[4], 0.75 * before[4] + 0.1 * rows[0] + 0.15 * rows[3], rtol=2**-10, atol=1e-6)
    assert (means[1] == rows[2].astype(np.float16)).all()
    assert (means[[0, 2, 3, 5]] == before[[0, 2, 3, 5]]).all()


def test_scores_of_quantized_rows_are_cosines() -> None:
    means, text = RNG.normal(size=(50, 64)).astype(np.float16), RNG.normal(size=64)
    index, scale = np.zeros((50, 64), np.int8), np.zeros(50, np.float32)
    kernels.quantize_rows(means, np.arange(50, dtype=np.int32), index, scale)
    text /= np.linalg.norm(text)
    result = kernels.scores(index, scale, np.rint(text * 4095).astype(np.int16))
    exact = means.astype(np.float64) @ text / np.linalg.norm(means.astype(np.float64), axis=1)
    assert abs(result / 4095 - exact).max() < 0.005


def test_quantized_rows_are_the_nearest_integers() -> None:
    means = RNG.normal(size=(30, 33)).astype(np.float16)
    means[7] = 0
    index, scale = np.zeros((40, 33), np.int8), np.zeros(40, np.float32)
    kernels.quantize_rows(means, np.arange(30, dtype=np.int32), index, scale)
    largest = np.maximum(abs(means).max(axis=1).astype(np.float64), 1e-12)[:, None]
    assert abs(index[:30] - means.astype(np.float64) / largest * 127).max() < 0.501
    assert (abs(index[:30].astype(int)).max(axis=1) == np.where(np.arange(30) == 7, 0, 127)).all()
    assert (index[[7, *range(30, 40)]] == 0).all() and (scale[30:] == 0).all()


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    voxels, pixels, channels = 2 * kernels._SEARCHED_ROWS + 5, 3000, 20
    inputs = rng.normal(size=(channels, pixels)).astype(np.float32)
    before = rng.normal(size=(voxels, channels)).astype(np.float16)
    starts = np.arange(0, 2 * pixels + 1, 2)
    used = rng.integers(0, pixels, 2 * pixels)
    weights = rng.uniform(0, 0.5, 2 * pixels).astype(np.float32)
    slots = rng.permutation(voxels)[:pixels].astype(np.int32)
    query = rng.integers(-4095, 4095, channels).astype(np.int16)

    def compute(threads: int) -> list[bytes]:
        monkeypatch.setattr(kernels, "_THREADS", threads)
        rows, factors = kernels.gather_rows(inputs, np.arange(pixels))
        means, index, scale = before.copy(), np.zeros(before.shape, np.int8), np.zeros(voxels, np.float32)
        share = np.full(pixels, 0.5, np.float32)
        kernels.mix_rows(means, slots, share, starts, used, weights, rows)
        kernels.quantize_rows(means, np.arange(voxels, dtype=np.int32), index, scale)
        scores = kernels.scores(index, scale, query)
        return [array.tobytes() for array in (rows, factors, means, index, scale, scores)]

    assert compute(1) == compute(2) == compute(3)
