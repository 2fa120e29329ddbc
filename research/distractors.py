"""Words that are in no picture of the synthetic world, for ``lseg train --distractors``.

``python -m research.distractors --output out/distractors.txt``: WordNet's most used nouns for what can be
seen, without those that the text tower finds near to a class, and without any word that a suite asks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from lseg_ros.datasets import SyntheticScenes
from lseg_ros.datasets.language_probes import GENERAL, SYNONYMS
from lseg_ros.model import LSeg, load_lseg
from lseg_ros.settings import check, setting
from research.text_distillation import wordnet

__all__ = ["DistractorConfig", "distractors", "main"]


@dataclass(frozen=True)
class DistractorConfig:
    """The defaults are those of the network in the package."""

    output: str = setting("out/distractors.txt", "file to write, one word per line")
    wordnet: str = setting("/usr/share/wordnet", "folder of WordNet 3.0 (Debian package wordnet-base)")
    checkpoint: str = setting("demo", "network whose text tower says what is near")
    most: int = setting(2500, "words that are looked at, the most used first", minimum=1)
    nearest: float = setting(0.4, "cosine to a class from which a word is left out", minimum=-1.0, maximum=1.0)

    def __post_init__(self) -> None:
        check(self)


def distractors(words: Iterable[str], model: LSeg, most: int, nearest: float) -> list[str]:
    """Of the first ``most`` of ``words`` that no suite asks, those farther than ``nearest`` from each class."""
    classes = [*SyntheticScenes(1).classes, *GENERAL]
    asked = {text for _, text in SYNONYMS} | set(classes)
    parts = {part for text in asked for part in text.split()}
    free = [word for word in words if word not in asked | parts][:most]
    near = model.encode_text(classes)
    found = [model.encode_text(free[first : first + 128]) for first in range(0, len(free), 128)]
    highest = (torch.cat(found) @ near.T).amax(dim=1) if free else torch.zeros(0)
    return [word for word, cosine in zip(free, highest.tolist()) if cosine < nearest]


def main(config: DistractorConfig) -> None:
    model = load_lseg(config.checkpoint)
    visible = [word for word in wordnet.words(Path(config.wordnet)) if word.visible]
    by_use = sorted(visible, key=lambda word: -word.weight)
    words = dict.fromkeys(word.text.lower() for word in by_use if _fits(word.text, model))
    chosen = distractors(words, model, config.most, config.nearest)
    path = Path(config.output).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    logging.getLogger(__name__).info("%d words: %s", len(chosen), path)


def _fits(text: str, model: LSeg) -> bool:
    try:
        model.text_encoder.tokenize([text])
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    import tyro

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(tyro.cli(DistractorConfig))
