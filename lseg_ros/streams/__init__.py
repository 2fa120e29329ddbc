"""Frames without a robot: image files and recordings, bags, and a synthetic world with exact labels."""
