"""Which image comes when: every one once in an epoch, the same for any number of processes."""

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


def seen(schedule: SampleSchedule) -> list[int]:
    """Positions in the order of steps, then batches, then processes."""
    return [
        position
        for step in range(schedule.steps)
        for part in range(schedule.config.accumulate)
        for process in range(schedule.processes)
        for position in schedule.indices(step, part, process)
    ]


@given(configs, st.integers(1, 3))
def test_positions_are_taken_one_after_the_other(config: ScheduleConfig, processes: int) -> None:
    schedule = SampleSchedule(10, config, processes=processes)
    assert seen(schedule) == list(range(schedule.samples_seen(schedule.steps)))


@given(st.integers(1, 30), st.integers(0, 5))
def test_every_image_comes_once_in_an_epoch(images: int, seed: int) -> None:
    schedule = SampleSchedule(images, ScheduleConfig(), seed)
    epochs = [[schedule.image_index(epoch * images + place) for place in range(images)] for epoch in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(images))] * 2


def test_epochs_differ_and_seeds_differ() -> None:
    def epoch(seed: int, number: int) -> list[int]:
        return [SampleSchedule(50, ScheduleConfig(), seed).image_index(number * 50 + place) for place in range(50)]

    assert len({tuple(epoch(*each)) for each in [(0, 0), (0, 1), (1, 0)]}) == 3


def test_images_come_as_they_lie_where_they_are_not_shuffled() -> None:
    schedule = SampleSchedule(5, ScheduleConfig(), shuffled=False)
    assert [schedule.image_index(position) for position in range(7)] == [0, 1, 2, 3, 4, 0, 1]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3))
def test_two_processes_see_what_one_sees_in_batches_twice_as_large(size: int, accumulate: int, step: int) -> None:
    config = ScheduleConfig(batch_size=size, accumulate=accumulate)
    two, one = (
        SampleSchedule(7, config, processes=2),
        SampleSchedule(7, dataclasses.replace(config, batch_size=2 * size)),
    )
    for part in range(accumulate):
        together = [*two.indices(step, part, 0), *two.indices(step, part, 1)]
        assert together == list(one.indices(step, part, 0))


@pytest.mark.parametrize(
    ("images", "processes", "steps"),
    [(20_210, 1, 240 * 20_210 // 2), (20_210, 8, -(-240 * 20_210 // 16)), (3, 1, 360)],
)
def test_the_authors_240_epochs_in_steps(images: int, processes: int, steps: int) -> None:
    schedule = SampleSchedule(images, RECIPES["lseg"].schedule, processes=processes)
    assert (schedule.steps, schedule.epochs, schedule.epoch(0), schedule.epoch(steps - 1)) == (steps, 240, 0, 239)


@given(configs, st.integers(1, 40), st.integers(1, 4))
def test_epochs_end_with_the_first_step_that_completes_them(config: ScheduleConfig, images: int, epochs: int) -> None:
    schedule = SampleSchedule(images, dataclasses.replace(config, steps=0, epochs=epochs))
    assert schedule.samples_seen(schedule.steps - 1) < epochs * images <= schedule.samples_seen(schedule.steps)


def test_the_first_limit_ends_a_run_and_one_is_needed() -> None:
    assert SampleSchedule(10, ScheduleConfig(steps=3, epochs=5, batch_size=1)).steps == 3
    assert SampleSchedule(10, ScheduleConfig(steps=300, epochs=5, batch_size=1)).steps == 50
    with pytest.raises(ValueError, match="steps: expected a limit of steps or of epochs, got 0 for both"):
        ScheduleConfig(steps=0)
