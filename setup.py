"""For tools that look for setup.py. All settings are in pyproject.toml."""

from setuptools import setup

setup()
