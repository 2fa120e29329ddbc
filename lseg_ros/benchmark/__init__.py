"""How fast it is, and how fast it could be: beside what its device needs at least, and beside the official way."""

from benchmarks.targets import ROS_TARGETS, Check, Target
from lseg_ros.benchmark.config import BenchmarkConfig
from lseg_ros.benchmark.machine import busy, machine
from lseg_ros.benchmark.report import Report, table
from lseg_ros.benchmark.run import benchmark
from lseg_ros.benchmark.timing import Timing, measure, measure_in_turn

__all__ = [
    "ROS_TARGETS",
    "BenchmarkConfig",
    "Check",
    "Report",
    "Target",
    "Timing",
    "benchmark",
    "busy",
    "machine",
    "measure",
    "measure_in_turn",
    "table",
]
