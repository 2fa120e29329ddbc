"""Bags of ROS 1 and ROS 2: reading the frames of a camera and writing results, without ROS."""

from lseg_ros.bags.reader import Bag, BagMessage, BagTopic, is_bag
from lseg_ros.bags.recording import BagFrame, BagIndex, BagRecording, IndexEntry
from lseg_ros.bags.topic_choice import CameraTopics, choose_topics

__all__ = [
    "Bag",
    "BagFrame",
    "BagIndex",
    "BagMessage",
    "BagRecording",
    "BagTopic",
    "CameraTopics",
    "IndexEntry",
    "choose_topics",
    "is_bag",
]
