"""The predictor returns the class index of every pixel, by either protocol."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lseg_ros.evaluation import OFFICIAL, EvaluationConfig, OfficialProtocol, official_scores
from lseg_ros.evaluation.distributed import Process
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.model import LSeg, load_lseg
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.vocabulary import Vocabulary
from test.support.tiny_network import write_tiny

WORDS = ("wall", "screen", "dog", "screen", "floor|ground")


@pytest.fixture(scope="module")
def segmenter(checkpoint: str) -> Segmenter:
    return Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint, device="cpu", precision="float32"))


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    blocks = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return blocks.repeat(16, axis=0).repeat(16, axis=1)[:75, :101]


def test_predicts_the_label_map_of_the_segmenter(segmenter: Segmenter, image: NDArray[np.uint8]) -> None:
    words = ("wall", "screen", "dog", "floor|ground")
    expected = segmenter.segment(image, segmenter.encode(Vocabulary.of(words))).label_map.astype(int) - 1
    predictor = Predictor(segmenter)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(predictor.predict(image, predictor.encode_labels(words)), expected)


def test_predicts_the_first_of_equal_class_names(segmenter: Segmenter, image: NDArray[np.uint8]) -> None:
    predictor = Predictor(segmenter)
    found = predictor.predict(image, predictor.encode_labels(("screen", "screen", "screen")))
    assert found.dtype == torch.int16
    assert not found.any()
    assert set(predictor.predict(image, predictor.encode_labels(WORDS)).unique().tolist()) <= {0, 1, 2, 4}


def test_accepts_shared_synonyms_and_more_than_255_classes(segmenter: Segmenter, image: NDArray[np.uint8]) -> None:
    predictor = Predictor(segmenter)
    words = [f"word {number}|anything" for number in range(300)]
    one_by_one = torch.cat([segmenter.encode(Vocabulary.of([word])).embeddings for word in words])
    labels = predictor.encode_labels(words)
    assert torch.allclose(labels.embeddings, one_by_one)
    assert labels.indices.tolist() == list(range(300))
    assert predictor.predict(image, labels).shape == image.shape[:2]


def test_averages_prompt_templates(segmenter: Segmenter) -> None:
    templates = ("a photo of a {}", "{}")
    labels = Predictor(segmenter, prompt_templates=templates).encode_labels(["dog"])
    expected = segmenter.encode(Vocabulary.of(["dog"], prompt_templates=templates)).embeddings
    assert torch.equal(labels.embeddings, expected)


def test_official_protocol_uses_the_image_in_its_own_size(segmenter: Segmenter, image: NDArray[np.uint8]) -> None:
    """The image is neither resized to the network's default size nor padded."""
    protocol = OfficialProtocol(base_px=104, crop_px=96, scales=(0.75, 1.25))
    predictor = Predictor(segmenter, protocol)
    labels = predictor.encode_labels(WORDS)
    normalized = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    scores = official_scores(lambda window: segmenter.model(window, labels.embeddings), normalized, protocol)
    found = predictor.predict(image, labels)
    assert found.shape == image.shape[:2]
    agree = found == labels.indices[scores[0].argmax(0)]
    assert agree.float().mean() > 0.999


def test_builds_the_network_of_the_settings(tmp_path: Path) -> None:
    """A file lacks the depth and activation of its regularization; the settings give them."""
    config = dataclasses.replace(load_lseg(write_tiny(tmp_path)).config, arch_option=2, block_depth=1)
    save_lseg(LSeg(config), tmp_path / "regularized.safetensors")
    settings = EvaluationConfig(
        str(tmp_path / "regularized.safetensors"),
        block_depth=3,
        activation="tanh",
        protocol="official",
        precision="bfloat16",
        device="cpu",
    )
    predictor = Predictor.from_config(settings, Process())
    model = predictor.segmenter.model
    assert (model.config.arch_option, model.config.block_depth, model.config.activation) == (2, 3, "tanh")
    assert predictor.protocol == OFFICIAL
    assert predictor.segmenter.dtype == torch.bfloat16
    image = np.zeros((40, 50, 3), np.uint8)
    assert Predictor(predictor.segmenter).predict(image, predictor.encode_labels(WORDS)).shape == (40, 50)
