"""Benchmarks that run from a checkout and are not installed."""
