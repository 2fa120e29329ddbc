"""Cameras without hardware and the demo that runs the node with one of them."""
