"""Goals of the example that drives to a place of the map."""

from __future__ import annotations

import math

import pytest

from lseg_ros.demo.go_to import GoToConfig, approach


def test_the_goal_is_in_front_of_the_place_and_faces_it() -> None:
    assert approach((1.0, 4.0, 0.8), (1.0, 1.0), 0.5) == pytest.approx((1.0, 3.5, math.pi / 2))


def test_a_robot_that_is_near_enough_only_turns() -> None:
    assert approach((0.0, -0.3), (0.0, 0.0), 0.5) == pytest.approx((0.0, 0.0, -math.pi / 2))
    assert approach((0.0, 0.0), (0.0, 0.0), 0.5) == (0.0, 0.0, 0.0)


def test_a_text_is_required() -> None:
    with pytest.raises(ValueError, match="text: expected what to drive to, got ''"):
        GoToConfig()
