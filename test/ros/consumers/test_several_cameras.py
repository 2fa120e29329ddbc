"""Tests that every consumer can use the messages of each of several cameras."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from test.ros.consumers.received import Received, receive
from test.ros.consumers.registry import CONSUMERS
from test.support.executables import Process, run_lseg_node
from test.support.ros_client import RosClient

CAMERAS = ["front", "rear"]


@pytest.fixture(scope="module")
def received(ros_client: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Received]]:
    """The messages of two synthetic cameras in different worlds and one node, by camera."""
    logs = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        for seed, name in enumerate(CAMERAS):
            remap = ("-r", f"__ns:=/pair/{name}")
            stack.enter_context(Process("synthetic_camera", logs / name, *remap, rate_hz=3.0, seed=2 * seed + 6))
        settings = {"cameras": CAMERAS, "labels": ["floor", "wall"]}
        stack.enter_context(run_lseg_node(logs / "node", "-r", "__ns:=/pair", **settings))
        yield {name: receive(ros_client, ["floor", "wall"], f"/pair/lseg/{name}", f"/pair/{name}") for name in CAMERAS}


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("consumer", CONSUMERS)
def test_consumer_can_use_the_messages_of_each_camera(
    received: dict[str, Received], camera: str, consumer: str
) -> None:
    assert list(CONSUMERS[consumer](received[camera])) == []
