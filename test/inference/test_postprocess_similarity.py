"""Tests of the similarity between pixels and a text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lseg_ros.datasets.synthetic import SyntheticScenes
from lseg_ros.inference import Segmenter, SegmenterConfig, similarity
from lseg_ros.synthetic import CLASSES
from lseg_ros.vocabulary import Vocabulary
from test.support.tiny_network import write_tiny

THRESHOLD = 0.55  # the node's query_threshold
WORDS = Vocabulary.of(["floor", "sofa|couch", "person"])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return Segmenter.from_checkpoint(
        SegmenterConfig(checkpoint=write_tiny(tmp_path_factory.mktemp("tiny")), device="cpu", cpu_threads=1)
    )


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(64, 96), (61, 97), (480, 200)])
def test_similarity_is_a_cosine_for_every_pixel_of_the_image(tiny: Segmenter, size: tuple[int, int]) -> None:
    embedded, encoded = tiny.embed(image(*size)), tiny.encode(WORDS)
    for word in encoded.embeddings:
        pixels = similarity(embedded, word)
        assert pixels.shape == size
        assert pixels.dtype == np.float32
        assert -1 <= pixels.min() < pixels.max() <= 1


def test_most_similar_label_is_the_label_of_the_mask(tiny: Segmenter) -> None:
    embedded, encoded = tiny.embed(image(64, 96)), tiny.encode(WORDS)
    stack = np.stack([similarity(embedded, word) for word in encoded.embeddings])
    assert np.array_equal(stack.argmax(axis=0) + 1, tiny.label(embedded, encoded).label_map)


def test_default_threshold_separates_visible_from_absent_objects() -> None:
    """The scenes are not in the training data of the packaged network."""
    torch.set_num_threads(1)
    demo = Segmenter.from_checkpoint(SegmenterConfig(device="cpu"))
    words = demo.encode(Vocabulary.of(CLASSES)).embeddings
    scenes = SyntheticScenes(20, seed=12)
    visible: list[bool] = []
    absent: list[bool] = []
    for scene in (scenes[number] for number in range(len(scenes))):
        embedded = demo.embed(scene.image)
        for index, word in enumerate(words):
            pixels = int((scene.target == index).sum())
            if pixels >= 60 or not pixels:
                (visible if pixels else absent).append(bool(similarity(embedded, word).max() >= THRESHOLD))
    assert np.mean(visible) > 0.6
    assert np.mean(absent) < 0.25
