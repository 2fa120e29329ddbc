"""What ROS costs: ``python -m lseg_ros.ros.benchmark``, where ROS and our messages are."""
