"""Sample schedule: every image once per epoch, independent of the number of processes."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.training.config import RECIPES
from lseg_ros.training.schedule import SampleSchedule, ScheduleConfig

configs = st.builds(
    ScheduleConfig,
    steps=st.integers(1, 12),
    batch_size=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    early_steps=st.integers(0, 6),
    early_batch_size=st.integers(1, 4),
)


def all_indices(schedule: SampleSchedule) -> list[int]:
    """The sample indices of a run, ordered by step, batch and process."""
    return [
        index
        for step in range(schedule.steps)
        for part in range(schedule.config.accumulate)
        for process in range(schedule.processes)
        for index in schedule.indices(step, part, process)
    ]


@given(configs, st.integers(1, 3))
def test_visits_sample_indices_in_order(config: ScheduleConfig, processes: int) -> None:
    schedule = SampleSchedule(10, config, processes=processes)
    assert all_indices(schedule) == list(range(schedule.samples_seen(schedule.steps)))


@given(st.integers(1, 30), st.integers(0, 5))
def test_visits_every_image_once_per_epoch(images: int, seed: int) -> None:
    schedule = SampleSchedule(images, ScheduleConfig(), seed)
    epochs = [[schedule.image_index(epoch * images + position) for position in range(images)] for epoch in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(images))] * 2


def test_shuffles_differently_by_epoch_and_seed() -> None:
    def epoch(seed: int, number: int) -> list[int]:
        schedule = SampleSchedule(50, ScheduleConfig(), seed)
        return [schedule.image_index(number * 50 + position) for position in range(50)]

    assert len({tuple(epoch(seed, number)) for seed, number in [(0, 0), (0, 1), (1, 0)]}) == 3


def test_keeps_the_order_of_the_data_set_without_shuffling() -> None:
    schedule = SampleSchedule(5, ScheduleConfig(), shuffled=False)
    assert [schedule.image_index(index) for index in range(7)] == [0, 1, 2, 3, 4, 0, 1]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3))
def test_two_processes_see_the_same_as_one_with_twice_the_batch_size(size: int, accumulate: int, step: int) -> None:
    config = ScheduleConfig(batch_size=size, accumulate=accumulate)
    two = SampleSchedule(7, config, processes=2)
    one = SampleSchedule(7, dataclasses.replace(config, batch_size=2 * size))
    for part in range(accumulate):
        together = [*two.indices(step, part, 0), *two.indices(step, part, 1)]
        assert together == list(one.indices(step, part, 0))


@pytest.mark.parametrize(
    ("images", "processes", "steps"),
    [(20_210, 1, 240 * 20_210 // 2), (20_210, 8, -(-240 * 20_210 // 16)), (3, 1, 360)],
)
def test_converts_the_240_epochs_of_the_authors_to_steps(images: int, processes: int, steps: int) -> None:
    schedule = SampleSchedule(images, RECIPES["lseg"].schedule, processes=processes)
    assert (schedule.steps, schedule.epochs) == (steps, 240)
    assert (schedule.epoch(0), schedule.epoch(steps - 1)) == (0, 239)


@given(configs, st.integers(1, 40), st.integers(1, 4))
def test_ends_with_the_first_step_that_completes_the_epochs(config: ScheduleConfig, images: int, epochs: int) -> None:
    schedule = SampleSchedule(images, dataclasses.replace(config, steps=0, epochs=epochs))
    assert schedule.samples_seen(schedule.steps - 1) < epochs * images <= schedule.samples_seen(schedule.steps)


def test_ends_at_the_first_of_both_limits() -> None:
    assert SampleSchedule(10, ScheduleConfig(steps=3, epochs=5, batch_size=1)).steps == 3
    assert SampleSchedule(10, ScheduleConfig(steps=300, epochs=5, batch_size=1)).steps == 50


def test_rejects_a_schedule_without_a_limit() -> None:
    with pytest.raises(ValueError, match="steps: expected a limit of steps or of epochs, got 0 for both"):
        ScheduleConfig(steps=0)
