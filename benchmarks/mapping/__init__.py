"""Accuracy and speed of the language map."""
