"""Hostile input: generated messages, requests, files and checkpoints.

``make test`` runs a fixed set of examples. ``make fuzz MINUTES=30`` runs new ones. An input that fails is written to
``test/fuzz/regressions``, whose cases are replayed by every run.
"""
