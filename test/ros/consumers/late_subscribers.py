"""Requirements of late subscribers: Foxglove, recorders and restarted planners.

foxglove_bridge subscribes when a panel needs a topic, as reliable and transient local if all publishers are. Messages
that are published only on changes must be latched, and must explain the masks that follow.
"""

from __future__ import annotations

from collections.abc import Iterator

from lseg_ros.ros.conversions import vocabulary_from_message
from test.ros.consumers import layout
from test.ros.consumers.received import CLOUD_PREFIX, Received


def violations(received: Received) -> Iterator[str]:
    """Yield what a late subscriber cannot use."""
    for topic in {"vocabulary", "label_info"} & set(received.messages):
        yield from layout.check_qos(topic, received.offered[topic], reliable=True, latched=True)
    vocabulary = vocabulary_from_message(received["vocabulary"])
    if vocabulary.epoch < 1 or not vocabulary.labels:
        yield "vocabulary: empty"
    if {CLOUD_PREFIX + label.slug for label in vocabulary.labels} != set(received.clouds):
        yield "vocabulary: slugs differ from the topics of the clouds"
    if "label_info" in received.messages:
        names = {vision_class.class_id: vision_class.class_name for vision_class in received["label_info"].class_map}
        if not {label.id: label.name for label in vocabulary.labels}.items() <= names.items():
            yield "label_info: a label of the vocabulary is missing"
