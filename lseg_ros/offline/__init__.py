"""Label recordings without ROS, in this process or on a cluster."""
