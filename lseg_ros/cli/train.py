"""``lseg train``: train a network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lseg_ros.training.config import RECIPES, TrainingConfig

__all__ = ["SETTINGS", "run"]


def SETTINGS(arguments: Sequence[str]) -> TrainingConfig:
    """Return the recipe that the flags name; its values are the defaults of the other flags."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--recipe", default="modern")
    flags, _ = parser.parse_known_args(arguments)
    return RECIPES.get(flags.recipe, RECIPES["modern"])  # parsing the flags rejects unknown names


def run(settings: TrainingConfig) -> int:
    """Train, or resume an interrupted run."""
    from lseg_ros.training.train import train  # imports Lightning

    train(settings)
    return 0
