"""Training LSeg, and distilling the small text tower that ships with the demo preset."""
