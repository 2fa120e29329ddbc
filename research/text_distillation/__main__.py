"""Distill the embedded text encoder: ``python -m research.text_distillation``."""

from __future__ import annotations

import logging
import sys

from research.command_line import run_script
from research.text_distillation.distillation import DistillationConfig, distill_text_encoder


def main(config: DistillationConfig) -> None:
    """Distill the text encoder and log its scores."""
    logging.getLogger(__name__).info("%s", distill_text_encoder(config))


if __name__ == "__main__":
    sys.exit(run_script("research.text_distillation", DistillationConfig, main))
