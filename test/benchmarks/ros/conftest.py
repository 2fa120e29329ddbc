"""Fixtures for tests that start real nodes."""

from __future__ import annotations

from test.support.ros_fixtures import bench, consumer, robot, unsubscribe_after_each_test

__all__ = ["bench", "consumer", "robot", "unsubscribe_after_each_test"]
