"""``lseg train``: train a network."""

from __future__ import annotations

from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.train import train

__all__ = ["SETTINGS", "run"]

SETTINGS = TrainingConfig


def run(settings: TrainingConfig) -> int:
    """Train to the end, or on from where an earlier run was stopped."""
    train(settings)
    return 0
