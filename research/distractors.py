"""List words that occur in no synthetic scene, for ``lseg train --distractors``.

``python -m research.distractors --output out/distractors.txt`` writes the most used WordNet nouns for visible things,
without those that the text encoder finds close to a class and without all words of the language suites.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from lseg_ros.datasets import SyntheticScenes
from lseg_ros.datasets.language_probes import GENERAL, SYNONYMS
from lseg_ros.model import LSeg, load_lseg
from lseg_ros.settings import check, setting
from research.command_line import run_script
from research.text_distillation import wordnet
from research.text_distillation.corpus import can_tokenize

__all__ = ["DistractorConfig", "main", "select_distractors"]

_LOG = logging.getLogger(__name__)
_BATCH = 128  # words that are encoded at once


@dataclass(frozen=True)
class DistractorConfig:
    """List words that occur in no scene of the synthetic world, one per line."""

    output: str = setting("out/distractors.txt", "file to write")
    wordnet: str = setting("/usr/share/wordnet", "folder of WordNet 3.0 (Debian package wordnet-base)")
    checkpoint: str = setting("demo", "network whose text encoder compares the words with the classes")
    max_words: int = setting(2500, "number of WordNet words to consider, the most used ones first", minimum=1)
    max_cosine: float = setting(0.4, "leave out words with at least this cosine to a class", minimum=-1.0, maximum=1.0)

    def __post_init__(self) -> None:
        check(self)


def select_distractors(words: Iterable[str], model: LSeg, max_words: int, max_cosine: float) -> list[str]:
    """Select the words that are far from each class.

    Args:
        words: Candidates, the most important first.
        model: Network whose text encoder compares the words with the classes.
        max_words: Number of candidates to consider, not counting the words of the language suites.
        max_cosine: Upper bound of the cosine to each class, exclusive.
    """
    classes = [*SyntheticScenes(1).classes, *GENERAL]
    tested = {synonym for _, synonym in SYNONYMS} | set(classes)
    excluded = tested | {part for text in tested for part in text.split()}
    candidates = [word for word in words if word not in excluded][:max_words]
    class_embeddings = model.encode_text(classes)
    batches = [
        model.encode_text(candidates[first : first + _BATCH]) @ class_embeddings.T
        for first in range(0, len(candidates), _BATCH)
    ]
    cosines = torch.cat(batches).amax(dim=1) if batches else torch.zeros(0)
    return [word for word, cosine in zip(candidates, cosines.tolist()) if cosine < max_cosine]


def main(config: DistractorConfig) -> None:
    """Write the words to ``config.output``."""
    model = load_lseg(config.checkpoint)
    visible = [word for word in wordnet.words(Path(config.wordnet)) if word.visible]
    by_use = sorted(visible, key=lambda word: -word.weight)
    words = dict.fromkeys(word.text.lower() for word in by_use if can_tokenize(model.text_encoder, word.text))
    distractors = select_distractors(words, model, config.max_words, config.max_cosine)
    path = Path(config.output).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(distractors) + "\n", encoding="utf-8")
    _LOG.info("wrote %d words to %s", len(distractors), path)


if __name__ == "__main__":
    sys.exit(run_script("research.distractors", DistractorConfig, main))
