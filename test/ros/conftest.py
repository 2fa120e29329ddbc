"""Fixtures for tests that start real nodes."""

from __future__ import annotations

from test.support.ros_fixtures import active, harness, robot, ros_client, unsubscribe_after_each_test

__all__ = ["active", "harness", "robot", "ros_client", "unsubscribe_after_each_test"]
