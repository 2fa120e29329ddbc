"""How like a text each pixel is, and what that is good for."""

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
def test_it_is_a_cosine_at_every_pixel_of_the_image(tiny: Segmenter, size: tuple[int, int]) -> None:
    embedded, encoded = tiny.embed(image(*size)), tiny.encode(WORDS)
    for word in encoded.embeddings:
        pixels = similarity(embedded, word)
        assert (pixels.shape, pixels.dtype) == (size, np.float32)
        assert -1 <= pixels.min() < pixels.max() <= 1


def test_the_most_similar_label_is_the_label_of_the_mask(tiny: Segmenter) -> None:
    embedded, encoded = tiny.embed(image(64, 96)), tiny.encode(WORDS)
    stack = np.stack([similarity(embedded, word) for word in encoded.embeddings])
    assert np.array_equal(stack.argmax(axis=0) + 1, tiny.label(embedded, encoded).label_map)


def test_the_default_threshold_tells_what_is_there_from_what_is_not() -> None:
    """In scenes that the embedded network has never seen; docs/embedded-network.md has the figures of 200."""
    torch.set_num_threads(1)
    demo = Segmenter.from_checkpoint(SegmenterConfig(device="cpu"))
    words = demo.encode(Vocabulary.of(CLASSES)).embeddings
    scenes = SyntheticScenes(20, seed=12)
    there, absent = [], []
    for scene in (scenes[index] for index in range(len(scenes))):
        embedded = demo.embed(scene.image)
        for number, word in enumerate(words):
            pixels = int((scene.target == number).sum())
            if pixels >= 60 or not pixels:
                (there if pixels else absent).append(similarity(embedded, word).max() >= THRESHOLD)
    assert np.mean(there) > 0.8
    assert np.mean(absent) < 0.2
