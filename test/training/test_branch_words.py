"""Classes of a classifier branch that occur in the training images are weaker than others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lseg_ros.datasets import SyntheticScenes
from lseg_ros.model import LSeg
from lseg_ros.training.branch_words import choose_strengths, measure_presence, measure_strengths, set_branch_words
from lseg_ros.training.distillation import encode_imagenet_classes
from lseg_ros.training.initialization import InitializationConfig, build_initial_network
from lseg_ros.training.train import train
from test.support.small_run import read_weights, small_run

BRANCH: dict[str, Any] = {"backbone": "timm:tf_efficientnet_lite0", "classifier_branch": True, "pretrained": "random"}
TENCH = 0
SCENES = SyntheticScenes(3, width=64, height=48)


@pytest.fixture(scope="module")
def model() -> LSeg:
    """A network that sees a tench everywhere."""
    torch.manual_seed(0)
    model = build_initial_network(InitializationConfig(**BRANCH, features=8)).eval()
    assert model.decoder.classifier is not None
    torch.nn.init.zeros_(model.decoder.classifier.classes.weight)
    bias = model.decoder.classifier.classes.bias
    assert bias is not None
    bias.data = 20.0 * (torch.arange(1000) == TENCH)
    return model


def test_classes_that_occur_often_are_weak() -> None:
    presence = torch.tensor([1.0, 0.0036, 0.0009, 1e-5])
    torch.testing.assert_close(choose_strengths(presence), torch.tensor([0.96, 1.0, 2.0, 3.0]))


def test_presence_is_the_mean_probability_in_the_images(model: LSeg) -> None:
    presence = measure_presence(model, SCENES, 2, 64)
    assert presence.shape == (1000,)
    assert presence.sum().item() == pytest.approx(1, abs=1e-4)
    assert presence[TENCH].item() == pytest.approx(1, abs=1e-4)


def test_only_classes_in_the_training_images_are_weak(model: LSeg) -> None:
    strengths = measure_strengths(model, [(SCENES, 0.5), (SCENES, 0.5)], 100, 0)
    assert strengths[TENCH].item() == pytest.approx(0.96)
    assert (strengths[1:] == 3.0).all()
    unlabeled = SimpleNamespace(classes=())  # the decoder learns nothing about what is in its images
    strengths = measure_strengths(model, [(SCENES, 0.001), (unlabeled, 0.999)], 1, 0)  # type: ignore[list-item]
    assert strengths[TENCH].item() == pytest.approx((0.0036 / 0.001) ** 0.5, rel=1e-3)


def test_words_are_centered_and_multiplied_by_the_strengths(model: LSeg) -> None:
    assert model.decoder.classifier is not None
    strengths = torch.linspace(0.5, 2.5, 1000)
    set_branch_words(model, strengths)
    embeddings = encode_imagenet_classes(model.encode_text, 0.5)
    expected = strengths[:, None] * (embeddings - embeddings.mean(dim=0))
    torch.testing.assert_close(model.decoder.classifier.words.weight[..., 0, 0].T, expected)


def read_words(file: str | Path) -> torch.Tensor:
    return next(value for name, value in read_weights(file).items() if name.endswith("classifier.words.weight"))


def test_a_run_sets_the_words_only_if_it_is_told_to(tmp_path: Path) -> None:
    first = train(small_run(tmp_path, steps=1, validation_images=-1, init="", **BRANCH, features=8))
    words = []
    for count in (0, 2):
        output = str(tmp_path / str(count))
        config = small_run(tmp_path, steps=1, validation_images=-1, init=str(first), branch_images=count, output=output)
        words.append(read_words(train(config)))
    assert torch.equal(words[0], read_words(first))
    assert not torch.equal(words[1], words[0])


def test_other_networks_have_no_words_to_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="branch_images: expected 0 without a classifier branch, got 3"):
        build_initial_network(small_run(tmp_path, branch_images=3).initialization)
