"""``lseg train``: train a network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lseg_ros.training.config import RECIPES, TrainingConfig

__all__ = ["SETTINGS", "run"]


def SETTINGS(words: Sequence[str]) -> TrainingConfig:
    """The recipe that the words ask for, whose values are the flags' defaults."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--recipe", default="modern")
    asked, _ = parser.parse_known_args(words)
    return RECIPES.get(asked.recipe, RECIPES["modern"])  # an unknown name is refused with the other flags


def run(settings: TrainingConfig) -> int:
    """Train to the end, or on from where an earlier run was stopped."""
    from lseg_ros.training.train import train  # imports Lightning

    train(settings)
    return 0
