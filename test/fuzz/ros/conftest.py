"""Fixtures for tests that start real nodes."""

from __future__ import annotations

from test.support.ros_fixtures import ros_client, unsubscribe_after_each_test

__all__ = ["ros_client", "unsubscribe_after_each_test"]
