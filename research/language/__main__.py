"""Run one language suite: ``python -m research.language SUITE``."""

from __future__ import annotations

import os
import sys

from research.command_line import run_script
from research.language import SuiteConfig, run_suite


def main(config: SuiteConfig) -> None:
    """Run the suite and print its table, once if torchrun started several processes."""
    scores = run_suite(config)
    if os.environ.get("RANK", "0") == "0":
        print(scores.table())


if __name__ == "__main__":
    sys.exit(run_script("research.language", SuiteConfig, main))
