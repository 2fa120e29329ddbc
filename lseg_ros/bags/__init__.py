"""Bags of ROS 1 and ROS 2: the frames of a camera, and results, without ROS."""

from lseg_ros.bags.poses import BagPoses
from lseg_ros.bags.reader import Bag, BagMessage, BagTopic, is_bag
from lseg_ros.bags.recording import BagFrame, BagIndex, BagRecording, IndexEntry
from lseg_ros.bags.topic_choice import CameraTopics, choose_topics
from lseg_ros.bags.writer import BagWriter, join_parts, read_custom_data

__all__ = [
    "Bag",
    "BagFrame",
    "BagIndex",
    "BagMessage",
    "BagPoses",
    "BagRecording",
    "BagTopic",
    "BagWriter",
    "CameraTopics",
    "IndexEntry",
    "choose_topics",
    "is_bag",
    "join_parts",
    "read_custom_data",
]
