"""The node goes on to segment good frames, whatever arrives between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from lseg_ros.srv import SetLabels

from lseg_ros.inference import SegmenterConfig
from lseg_ros.pipeline import PipelineConfig
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.settings import list_settings
from test.fuzz.budget import bounded
from test.fuzz.mutations import STRANGE, TEXTS
from test.fuzz.regressions import keep_if_failing, list_cases
from test.fuzz.ros.messages import MESSAGES
from test.fuzz.ros.node import TRANSPORTS, FuzzedNode, Step, to_json
from test.support.ros_client import RosClient

# Few different names, because a node has only 254 ids.
LABELS = st.sampled_from(("floor", "wall", "chair|seat", "sofa|couch", "Wall", *STRANGE))
LABEL_LISTS = st.lists(LABELS, max_size=6) | st.just([f"thing {number}" for number in range(60)])
SETTINGS = [item for config in (NodeConfig, SegmenterConfig, PipelineConfig) for item in list_settings(config)]
PARAMETER_NAMES = st.sampled_from([item.name for item in SETTINGS if item.dynamic]) | st.sampled_from(
    [*(item.name for item in SETTINGS), "use_sim_time", "qos_overrides./rgb/image.subscription.depth"]
)
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 300)
FLOATS = st.floats() | st.sampled_from((0.0, 0.5, 1.0, 5e-324, 0.05))
VALUES: dict[int, st.SearchStrategy[Any]] = {  # by rcl_interfaces/ParameterType
    0: st.none(),
    1: st.booleans(),
    2: INTEGERS,
    3: FLOATS,
    4: TEXTS,
    5: st.lists(st.integers(0, 255), max_size=3),
    6: st.lists(st.booleans(), max_size=3),
    7: st.lists(INTEGERS, max_size=3),
    8: st.lists(FLOATS, max_size=3),
    9: LABEL_LISTS,
    10: st.none(),
    255: st.none(),
}
PARAMETERS = st.builds(
    lambda name, typed: {"name": name, "type": typed[0], "value": typed[1]},
    PARAMETER_NAMES | TEXTS,
    st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])),
)
# The node ends for good with the transitions 5, 6, 7 (shutdown) and 8 (destroy).
TRANSITIONS = st.sampled_from((*range(5), *range(9, 13), 20, 30, 40, 50, 60, 62, 97, 99, 255))
TRANSITION_LABELS = st.sampled_from(("", "configure", "activate", "deactivate", "cleanup")) | TEXTS.filter(
    lambda text: "shutdown" not in text and "destroy" not in text
)


class HostileNeighbors(RuleBasedStateMachine):
    """Programs that send anything to the topics and services of a node.

    After every step, a good frame must give a mask with ids of the active vocabulary.
    """

    def __init__(self, node: FuzzedNode, transport: str) -> None:
        super().__init__()
        self._node = node
        self._transport = transport
        self._steps: list[Step] = []
        node.ensure_running()

    def _do(self, *step: Any) -> None:
        self._steps.append(step)
        with keep_if_failing("node", ".json", to_json(self._transport, self._steps)):
            try:
                self._node.execute(step)
                self._node.check()
            except AssertionError:
                self._node.kill()  # the next run starts with a node that did not see these steps
                raise

    @rule(data=st.data(), current=st.booleans())
    def image(self, data: st.DataObject, current: bool) -> None:
        kind = "image" if self._transport == "raw" else "compressed"
        self._do("publish", "image", data.draw(MESSAGES[kind]).hex(), current)

    @rule(octets=MESSAGES["depth"], current=st.booleans())
    def depth(self, octets: bytes, current: bool) -> None:
        self._do("publish", "depth", octets.hex(), current)

    @rule(octets=MESSAGES["info"], current=st.booleans())
    def camera_info(self, octets: bytes, current: bool) -> None:
        self._do("publish", "info", octets.hex(), current)

    @rule(octets=MESSAGES["cloud"], current=st.booleans())
    def cloud(self, octets: bytes, current: bool) -> None:
        self._do("publish", "cloud", octets.hex(), current)

    @rule(parameters=st.lists(PARAMETERS, max_size=3), atomically=st.booleans())
    def set_parameters(self, parameters: list[dict[str, Any]], atomically: bool) -> None:
        self._do("set_parameters", parameters, atomically)

    @rule(names=st.lists(PARAMETER_NAMES | TEXTS, max_size=3))
    def read_parameters(self, names: list[str]) -> None:
        self._do("read_parameters", names)

    @rule(
        labels=LABEL_LISTS,
        ids=st.just([]) | st.lists(st.integers(0, 255), max_size=6),
        colors=st.just([]) | st.lists(st.sampled_from(("", "#00ff00", "red")) | TEXTS, max_size=6),
        mode=st.sampled_from((SetLabels.Request.REPLACE, SetLabels.Request.APPEND, 2, 255)),
    )
    def set_labels(self, labels: list[str], ids: list[int], colors: list[str], mode: int) -> None:
        self._do("set_labels", labels, ids, colors, mode)

    @rule(
        text=LABELS | TEXTS,
        camera=st.just("") | st.just("") | TEXTS,
        threshold=st.sampled_from((0.0, 0.5, -1.0)) | st.floats(width=32),
        no_image=st.booleans(),
    )
    def query(self, text: str, camera: str, threshold: float, no_image: bool) -> None:
        self._do("query", text, camera, threshold, no_image)

    @rule(enabled=st.booleans())
    def enable(self, enabled: bool) -> None:
        self._do("enable", enabled)

    @rule(number=TRANSITIONS, label=TRANSITION_LABELS)
    def transition(self, number: int, label: str) -> None:
        self._do("transition", number, label)


@pytest.fixture(scope="module")
def start(
    ros_client: RosClient, checkpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], FuzzedNode]]:
    """A function that returns the running node of a transport."""
    nodes: dict[str, FuzzedNode] = {}
    folder = tmp_path_factory.mktemp("fuzz")

    def start(transport: str) -> FuzzedNode:
        if transport not in nodes:
            nodes[transport] = FuzzedNode(ros_client, checkpoint, transport, folder)
        nodes[transport].ensure_running()
        return nodes[transport]

    yield start
    for node in nodes.values():
        node.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_node_segments_good_frames_whatever_arrives(start: Callable[[str], FuzzedNode], transport: str) -> None:
    node = start(transport)
    node.check()
    run_state_machine_as_test(
        lambda: HostileNeighbors(node, transport),  # type: ignore[arg-type]  # it calls any factory
        settings=bounded(5, shrink=False, stateful_step_count=20),
    )


@pytest.mark.parametrize("case", list_cases("node"), ids=lambda path: path.name)
def test_a_run_that_once_failed_passes(start: Callable[[str], FuzzedNode], case: Path) -> None:
    run = json.loads(case.read_bytes())
    node = start(run["transport"])
    for step in run["steps"]:
        node.execute(step)
        node.check()
