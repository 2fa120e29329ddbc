"""Of several cameras, each gives every consumer what the only one would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from test.ros.consumers.readers import CONSUMERS
from test.ros.consumers.received import Received, receive
from test.support.executables import Process
from test.support.ros_client import RosClient, wait_until

CAMERAS = ["front", "rear"]


@pytest.fixture(scope="module")
def each(ros_client: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Received]]:
    """What comes of each of two synthetic cameras, in two worlds, through one node."""
    logs = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        for seed, name in enumerate(CAMERAS):
            remap = ("-r", f"__ns:=/pair/{name}")
            stack.enter_context(Process("synthetic_camera", logs / name, *remap, rate_hz=3.0, seed=2 * seed + 6))
        settings = {"cameras": CAMERAS, "labels": ["floor", "wall"]}
        node = stack.enter_context(Process("lseg_node", logs / "node", "-r", "__ns:=/pair", **settings))
        wait_until(lambda: not node.alive or "looking for" in node.output, 90, "the node did not start")
        assert node.alive, node.output
        yield {name: receive(ros_client, ["floor", "wall"], f"/pair/lseg/{name}", f"/pair/{name}") for name in CAMERAS}


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("reader", CONSUMERS)
def test_a_consumer_takes_what_comes_of_each_camera(each: dict[str, Received], camera: str, reader: str):
    assert list(CONSUMERS[reader](each[camera])) == []
