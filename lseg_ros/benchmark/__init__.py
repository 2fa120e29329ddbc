"""Measure the stages of a frame and compare them with the roofline of the device."""

from lseg_ros.benchmark.config import BenchmarkConfig
from lseg_ros.benchmark.machine import busy, machine
from lseg_ros.benchmark.report import Report, table
from lseg_ros.benchmark.run import benchmark
from lseg_ros.benchmark.timing import Timing, measure, measure_in_turn

__all__ = [
    "BenchmarkConfig",
    "Report",
    "Timing",
    "benchmark",
    "busy",
    "machine",
    "measure",
    "measure_in_turn",
    "table",
]
