"""Which image comes when: every one once in an epoch, the same for any number of processes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.training.config import RECIPES
from lseg_ros.training.schedule import Order, ScheduleConfig

configs = st.builds(
    ScheduleConfig,
    steps=st.integers(1, 12),
    batch_size=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    early_steps=st.integers(0, 6),
    early_batch_size=st.integers(1, 4),
)


def seen(order: Order) -> list[int]:
    """Positions in the order of steps, then batches, then processes."""
    return [
        position
        for step in range(order.steps)
        for part in range(order.config.accumulate)
        for process in range(order.processes)
        for position in order.positions(step, part, process)
    ]


@given(configs, st.integers(1, 3))
def test_positions_are_taken_one_after_the_other(config: ScheduleConfig, processes: int) -> None:
    order = Order(10, config, processes=processes)
    assert seen(order) == list(range(order.shown(order.steps)))


@given(st.integers(1, 30), st.integers(0, 5))
def test_every_image_comes_once_in_an_epoch(images: int, seed: int) -> None:
    order = Order(images, ScheduleConfig(), seed)
    epochs = [[order.image(epoch * images + place) for place in range(images)] for epoch in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(images))] * 2


def test_epochs_differ_and_seeds_differ() -> None:
    def epoch(seed: int, number: int) -> list[int]:
        return [Order(50, ScheduleConfig(), seed).image(number * 50 + place) for place in range(50)]

    assert len({tuple(epoch(*each)) for each in [(0, 0), (0, 1), (1, 0)]}) == 3


def test_images_come_as_they_lie_where_they_are_not_shuffled() -> None:
    order = Order(5, ScheduleConfig(), shuffled=False)
    assert [order.image(position) for position in range(7)] == [0, 1, 2, 3, 4, 0, 1]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3))
def test_two_processes_see_what_one_sees_in_batches_twice_as_large(size: int, accumulate: int, step: int) -> None:
    config = ScheduleConfig(batch_size=size, accumulate=accumulate)
    two, one = Order(7, config, processes=2), Order(7, dataclasses.replace(config, batch_size=2 * size))
    for part in range(accumulate):
        together = [*two.positions(step, part, 0), *two.positions(step, part, 1)]
        assert together == list(one.positions(step, part, 0))


@pytest.mark.parametrize(
    ("images", "processes", "steps"),
    [(20_210, 1, 240 * 20_210 // 2), (20_210, 8, -(-240 * 20_210 // 16)), (3, 1, 360)],
)
def test_the_authors_240_epochs_in_steps(images: int, processes: int, steps: int) -> None:
    order = Order(images, RECIPES["lseg"].order, processes=processes)
    assert (order.steps, order.epochs, order.epoch(0), order.epoch(steps - 1)) == (steps, 240, 0, 239)


@given(configs, st.integers(1, 40), st.integers(1, 4))
def test_epochs_end_with_the_first_step_that_completes_them(config: ScheduleConfig, images: int, epochs: int) -> None:
    order = Order(images, dataclasses.replace(config, steps=0, epochs=epochs))
    assert order.shown(order.steps - 1) < epochs * images <= order.shown(order.steps)


def test_the_first_limit_ends_a_run_and_one_is_needed() -> None:
    assert Order(10, ScheduleConfig(steps=3, epochs=5, batch_size=1)).steps == 3
    assert Order(10, ScheduleConfig(steps=300, epochs=5, batch_size=1)).steps == 50
    with pytest.raises(ValueError, match="steps: expected a limit of steps or of epochs, got 0 for both"):
        ScheduleConfig(steps=0)
