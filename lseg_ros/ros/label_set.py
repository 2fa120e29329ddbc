"""The labels that are live, and the one way to change them."""

from __future__ import annotations

from collections.abc import Sequence

from lseg_ros.inference import EncodedVocabulary, Segmenter
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.vocabulary import Vocabulary

__all__ = ["LabelManager", "initial_vocabulary"]


class LabelManager:
    """A vocabulary and what the network makes of it. A change is prepared, which may fail, and then committed.

    ``vocabulary`` is live, and ``encoded`` is it for the network, or None while there is none.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.encoded: EncodedVocabulary | None = None
        self._segmenter: Segmenter | None = None
        self._offered: Vocabulary | None = None
        self._prepared: tuple[Vocabulary, EncodedVocabulary | None] | None = None

    def encode_with(self, segmenter: Segmenter | None) -> None:
        """Encode the vocabulary, and those to come, with a network, or with none. Raises ValueError naming a label."""
        self.encoded = None if segmenter is None else segmenter.encode(self.vocabulary)
        self._segmenter = segmenter

    def offer(self, entries: Sequence[str], ids: Sequence[int], colors: Sequence[str], append: bool) -> tuple[str, ...]:
        """A change that a plain list of labels cannot express; returns that list, with which to ``prepare`` it.

        ids, colors: one per entry, or none. Raises ValueError like ``Vocabulary.replace`` and ``append``.
        """
        change = self.vocabulary.append if append else self.vocabulary.replace
        self._offered = change(list(entries), ids=list(ids) or None, colors=list(colors) or None)
        return self._offered.entries

    def prepare(self, entries: tuple[str, ...]) -> None:
        """Check and encode a label list, slow; what is live stays live. Raises ValueError naming the item."""
        offered, self._offered, self._prepared = self._offered, None, None
        if offered is not None and offered.entries == entries:
            vocabulary = offered
        elif entries == self.vocabulary.entries:
            return
        else:
            vocabulary = self.vocabulary.replace(entries)
        if vocabulary.labels == self.vocabulary.labels:
            return
        self._prepared = (vocabulary, None if self._segmenter is None else self._segmenter.encode(vocabulary))

    def commit(self) -> None:
        """Make live what was prepared, if anything was."""
        if self._prepared is not None:
            self.vocabulary, self.encoded = self._prepared
            self._prepared = None


def initial_vocabulary(config: NodeConfig) -> Vocabulary:
    """What a node starts with. Raises ValueError like ``Vocabulary.of``, in the words of the parameters."""
    for name, values in (("class_ids", config.class_ids), ("colors", config.colors)):
        if values and len(values) != len(config.labels):
            raise ValueError(f"{name}: expected one per label ({len(config.labels)}), got {len(values)}")
    return Vocabulary.of(
        config.labels,
        ids=config.class_ids or None,
        colors=config.colors or None,
        prompt_templates=config.prompt_templates,
    )
