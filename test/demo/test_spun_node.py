"""A domain for what is not to be met."""

from __future__ import annotations

import pytest

from lseg_ros.demo.spun_node import domain_apart


@pytest.mark.parametrize("own", ["1", "57", "101"])
def test_a_domain_apart_is_never_that_of_the_surroundings(own: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", own)
    drawn = {domain_apart() for _ in range(5000)}  # of 100: one that is never drawn is as good as impossible
    assert drawn == set(range(1, 102)) - {int(own)}
