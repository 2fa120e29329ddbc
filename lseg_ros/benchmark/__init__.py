"""Measure the stages of a frame and compare them with the roofline of the device."""

from lseg_ros.benchmark.config import BenchmarkConfig
from lseg_ros.benchmark.machine import busy_warning, describe_machine
from lseg_ros.benchmark.report import Report, format_report
from lseg_ros.benchmark.run import run_benchmark
from lseg_ros.benchmark.timing import Timing, measure, measure_interleaved

__all__ = [
    "BenchmarkConfig",
    "Report",
    "Timing",
    "busy_warning",
    "describe_machine",
    "format_report",
    "measure",
    "measure_interleaved",
    "run_benchmark",
]
