"""The only room that knows rclpy: the node `lseg` and the cameras that go with it."""
