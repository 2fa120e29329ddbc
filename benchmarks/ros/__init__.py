"""What ROS costs: ``python -m benchmarks.ros``, where ROS and our messages are."""
