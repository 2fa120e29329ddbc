"""Whoever comes when the node has long been running: Foxglove (foxglove_bridge), a recorder, a planner that restarts.

foxglove_bridge subscribes when a panel wants a topic, as reliable and transient local where all publishers are. What is
only sent when it changes must be kept for it; masks that come later have to be explained by what it was told.
"""

from __future__ import annotations

from collections.abc import Iterator

from lseg_ros.ros.conversions import vocabulary_from_message
from test.ros.consumers import layout
from test.ros.consumers.received import CLOUD, Received


def violations(received: Received) -> Iterator[str]:
    for topic in {"vocabulary", "label_info"} & set(received.messages):
        yield from layout.quality(topic, received.offered[topic], reliable=True, latched=True)
    vocabulary = vocabulary_from_message(received["vocabulary"])
    if vocabulary.epoch < 1 or not vocabulary.labels:
        yield "vocabulary: nothing in it"
    if {CLOUD + label.slug for label in vocabulary.labels} != set(received.clouds):
        yield "vocabulary: other slugs than the topics of the clouds"
    if "label_info" in received.messages:
        listed = {each.class_id: each.class_name for each in received["label_info"].class_map}
        if not {label.id: label.name for label in vocabulary.labels}.items() <= listed.items():
            yield "label_info: lacks a label of the vocabulary"
