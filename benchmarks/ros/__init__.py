"""Measure what ROS costs: ``python -m benchmarks.ros``."""
