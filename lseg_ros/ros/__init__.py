"""The ROS 2 node ``lseg`` and the ROS code that the demo cameras share with it."""
