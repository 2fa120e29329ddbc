"""List the WordNet hypernyms of the ImageNet classes, for the classifier branch.

``python -m research.imagenet_hypernyms`` writes ``lseg_ros/training/imagenet_hypernyms.txt``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from timm.data.imagenet_info import ImageNetInfo

from lseg_ros.settings import check, setting
from lseg_ros.training import distillation
from research.command_line import run_script
from research.text_distillation import wordnet

__all__ = ["HypernymConfig", "main"]

_WORDS = 2  # of each hypernym
_NOTICE = "# Hypernyms of the ImageNet classes, in their order. WordNet 3.0, Copyright 2006 by Princeton University."


@dataclass(frozen=True)
class HypernymConfig:
    """List the WordNet hypernym of each ImageNet class, one per line."""

    output: str = setting(str(Path(distillation.__file__).with_name("imagenet_hypernyms.txt")), "file to write")
    wordnet: str = setting("/usr/share/wordnet", "folder of WordNet 3.0 (Debian package wordnet-base)")

    def __post_init__(self) -> None:
        check(self)


def main(config: HypernymConfig) -> None:
    """Write the words to ``config.output``."""
    offsets = [name.removeprefix("n") for name in ImageNetInfo("imagenet-1k").label_names()]
    found = wordnet.hypernyms(Path(config.wordnet), offsets)
    lines = [_NOTICE, *("|".join(words[:_WORDS]) for words in found)]
    Path(config.output).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_script("research.imagenet_hypernyms", HypernymConfig, main))
