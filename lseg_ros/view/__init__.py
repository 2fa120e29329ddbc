"""A page in the browser that shows frames, labels, queries and clouds, without ROS."""
