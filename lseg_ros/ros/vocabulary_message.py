"""Vocabulary <-> lseg_ros/Vocabulary."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from std_msgs.msg import ColorRGBA

from lseg_ros.msg import Label as LabelMessage
from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.vocabulary import Label, Vocabulary

__all__ = ["vocabulary_message", "vocabulary_of"]


def vocabulary_message(vocabulary: Vocabulary, model: str, stamp: Time) -> VocabularyMessage:
    """A vocabulary as lseg_ros/Vocabulary. model: name of the preset or checkpoint."""
    message = VocabularyMessage(
        epoch=vocabulary.epoch,
        labels=[_label_message(each) for each in vocabulary.labels],
        retired=[_label_message(each) for each in vocabulary.retired],
        prompt_templates=list(vocabulary.prompt_templates),
        model=model,
    )
    message.header.stamp = stamp
    return message


def _label_message(label: Label) -> LabelMessage:
    red, green, blue = (channel / 255 for channel in label.color)
    color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
    return LabelMessage(id=label.id, name=label.name, synonyms=list(label.synonyms), slug=label.slug, color=color)


def vocabulary_of(message: VocabularyMessage) -> Vocabulary:
    """The vocabulary that a lseg_ros/Vocabulary tells of."""
    labels, retired = (tuple(_label(each) for each in some) for some in (message.labels, message.retired))
    return Vocabulary(labels, tuple(message.prompt_templates), message.epoch, retired)


def _label(message: LabelMessage) -> Label:
    red, green, blue = (round(channel * 255) for channel in (message.color.r, message.color.g, message.color.b))
    return Label(message.id, tuple(message.synonyms), (red, green, blue), message.slug)
