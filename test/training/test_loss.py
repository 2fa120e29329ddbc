"""The loss against its definition in the paper."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lseg_ros.datasets import IGNORE
from lseg_ros.model import LSeg
from lseg_ros.model.decoder import upsample2x
from lseg_ros.training.batches import Batch, PixelHint
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.label_sampler import LabelPrompt, LabelSampler, LabelSamplerConfig
from lseg_ros.training.loss import WordPixelLoss, _sample_positions, _to_grid
from test.support.tiny_network import CONFIG

SAMPLER = LabelSampler.from_classes(("wall", "floor", "chair"), LabelSamplerConfig())
ALL = [0, 1, 2]


def make_loss(**settings: Any) -> WordPixelLoss:
    torch.manual_seed(0)
    return WordPixelLoss(LSeg(CONFIG), SAMPLER, TrainingConfig(**settings)).eval()


def make_batch(size: int, *classes: list[int], pixels_per_image: int = 0) -> Batch:
    """One image per list of classes of its prompt, with targets of the classes 0 and 1."""
    random, count = torch.Generator().manual_seed(1), len(classes)
    image = torch.randint(0, 256, (count, 3, 64, 64), generator=random).byte()
    target = torch.randint(-1, 2, (count, size, size), generator=random)
    prompts = tuple((make_prompt(indices),) for indices in classes)
    return Batch(image, target, prompts, torch.rand(count, pixels_per_image, generator=random), ("a", "b")[:count])


def make_prompt(classes: list[int]) -> LabelPrompt:
    target_lut = [classes.index(index) if index in classes else IGNORE for index in (*range(3), IGNORE)]
    return LabelPrompt(torch.tensor(classes), torch.tensor(classes), torch.tensor(target_lut))


def normalize(batch: Batch) -> torch.Tensor:
    return (batch.image / 255 - 0.5) / 0.5


def test_full_resolution_loss_is_the_cross_entropy_of_the_logits() -> None:
    loss = make_loss(loss_at_full_resolution=True)
    batch = make_batch(64, ALL, ALL)
    with torch.no_grad():
        logits = loss.model(normalize(batch), ["wall", "floor", "chair"])  # (2, 3, 64, 64)
        expected = F.cross_entropy(logits, batch.target, ignore_index=IGNORE)
        assert loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_each_image_has_a_softmax_over_its_own_prompt() -> None:
    loss = make_loss()
    prompts, luts = ([0, 2], [1, 0, 2]), ([0, -1, -1], [1, 0, -1])
    batch = make_batch(32, *prompts)
    with torch.no_grad():
        pixels = loss.model.encode_image(normalize(batch))
        total, count = 0.0, 0
        for number, (prompt, lut) in enumerate(zip(prompts, luts)):
            logits = loss.model.correlate(pixels[number : number + 1], loss.text_embeddings[prompt])
            position = torch.tensor(lut)[batch.target[number : number + 1]]
            total += F.cross_entropy(logits, position, ignore_index=-1, reduction="sum").item()
            count += int((position >= 0).sum())
        assert loss(batch).item() == pytest.approx(total / count, rel=1e-5)


def test_loss_of_two_prompts_is_the_mean_of_both() -> None:
    loss, first, second = make_loss(), make_batch(32, ALL), make_batch(32, [1, 0])
    both = first._replace(prompts=((*first.prompts[0], *second.prompts[0]),))
    with torch.no_grad():
        assert loss(both).item() == pytest.approx((loss(first) + loss(second)).item() / 2, rel=1e-5)


def test_sampling_every_pixel_once_equals_the_loss_over_all() -> None:
    loss, sampled = make_loss(), make_loss(pixels_per_image=1024)
    batch = make_batch(32, ALL)
    batch = batch._replace(target=batch.target.clamp(min=0))
    every_pixel_once = (torch.arange(1024)[None] + 0.5) / 1024
    with torch.no_grad():
        assert sampled(batch._replace(draws=every_pixel_once)).item() == pytest.approx(loss(batch).item(), rel=1e-4)


def test_samples_pixels_in_proportion_to_their_weights() -> None:
    weight = torch.tensor([[[0.0, 1.0, 0.0], [2.0, 0.0, 1.0]]])
    draws = (torch.arange(400)[None] + 0.5) / 400
    assert torch.bincount(_sample_positions(weight, draws)[0], minlength=6).tolist() == [0, 100, 0, 200, 0, 100]
    assert _sample_positions(torch.zeros(1, 2, 3), draws).max() < 6  # arbitrary, but valid


def test_sampled_pixels_have_the_embedding_of_their_position() -> None:
    loss = make_loss(pixels_per_image=4)
    normalized = normalize(make_batch(32, ALL))
    positions = torch.tensor([[0, 37, 700, 1023]])
    with torch.no_grad():
        expected = loss.model.encode_image(normalized).flatten(2)[..., positions[0]]  # (1, C, 4)
        grid = _to_grid(positions, torch.Size((32, 32)))
        sampled = F.grid_sample(loss.model.encode_low_res(normalized), grid, align_corners=True)[:, :, 0]
        torch.testing.assert_close(F.normalize(sampled, dim=1), expected, rtol=1e-4, atol=1e-5)


def test_images_without_labels_have_zero_loss_and_gradient() -> None:
    loss = make_loss()
    batch = make_batch(32, ALL)
    value = loss(batch._replace(target=torch.full_like(batch.target, IGNORE)))
    value.backward()
    assert value.item() == 0
    batch = make_batch(32, ALL, pixels_per_image=5)
    batch = batch._replace(target=torch.full_like(batch.target, IGNORE))
    assert make_loss(pixels_per_image=5)(batch).item() == 0
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in loss.parameters())


def make_hinted_batch(*hints: PixelHint) -> Batch:
    """An image whose left half is unlabeled, without prompts."""
    unlabeled = torch.zeros(1, 16, 16, dtype=torch.bool)
    unlabeled[:, :, :8] = True
    return make_batch(32, [])._replace(prompts=((),), unlabeled=unlabeled, hints=(hints,))


def make_hint(first_row: int, end_row: int) -> PixelHint:
    """Pixels in these rows show a floor, neither wall nor chair."""
    return PixelHint(first_row, end_row, torch.tensor([1]), torch.tensor([0, 2]))


def test_unlabeled_pixels_should_be_closer_to_a_possible_word_than_to_any_absent_one() -> None:
    loss = make_loss(hint_weight=0.5)
    not_wall = PixelHint(10, 20, torch.tensor([1, 2]), torch.tensor([0]))  # the image has 16 rows
    batch = make_hinted_batch(make_hint(0, 4), not_wall)
    with torch.no_grad():
        pixels = F.normalize(loss.model.encode_low_res(normalize(batch))[:, :, :, :8], dim=1)  # (1, C, 16, 8)
        wall, floor, chair = loss.model.correlate(pixels, loss.text_embeddings[ALL])[0]  # (16, 8) each
        margins = torch.maximum(wall, chair)[:4] - floor[:4], wall[10:] - torch.maximum(floor, chair)[10:]
        expected = torch.cat(margins).clamp(min=0).mean()
        assert expected > 0
        assert loss(batch).item() == pytest.approx(0.5 * expected.item(), rel=1e-4)


def test_training_moves_unlabeled_pixels_away_from_absent_words() -> None:
    loss = make_loss(hint_weight=1.0).train()
    batch = make_hinted_batch(make_hint(0, 16))
    optimizer = torch.optim.Adam(loss.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        loss(batch).backward()
        optimizer.step()
    labels = loss.eval().model(normalize(batch), ["wall", "floor", "chair"])[0, :, :, :24].argmax(0)
    assert (labels == 1).all()


def test_images_without_hints_add_nothing_to_the_loss() -> None:
    assert make_loss()(make_hinted_batch()).item() == 0
    assert make_loss(hint_weight=0.0)(make_hinted_batch(make_hint(0, 16))).item() == 0
    labeled = make_hinted_batch(make_hint(0, 16))._replace(unlabeled=torch.zeros(1, 16, 16, dtype=torch.bool))
    assert make_loss()(labeled).item() == 0


def test_rare_classes_have_larger_weights() -> None:
    loss = make_loss(class_balance=0.5)
    target = torch.zeros(1, 32, 32, dtype=torch.int64)
    target[0, 0] = 1
    target[0, 1] = IGNORE
    weights = loss._weights(target)[0]
    assert (weights[0, 0] / weights[2, 0]).item() == pytest.approx((961 / 33) ** 0.5, rel=1e-3)
    assert not weights[1].any()
    assert loss.pixel_count.tolist() == [961, 33, 1]


def test_frozen_batch_norm_keeps_its_statistics() -> None:
    loss = make_loss(batch_norm="frozen").train()
    before = {name: value.clone() for name, value in loss.state_dict().items() if "running" in name}
    loss(make_batch(32, ALL, ALL))
    assert before
    assert all(torch.equal(loss.state_dict()[name], value) for name, value in before.items())


def test_a_frozen_backbone_is_neither_trained_nor_updated() -> None:
    loss = make_loss(freeze_backbone=True).train()
    before = {name: value.clone() for name, value in loss.model.backbone.state_dict().items()}
    loss(make_batch(32, ALL, ALL)).backward()
    assert all(parameter.grad is None for parameter in loss.model.backbone.parameters())
    assert loss.model.head.weight.grad is not None
    assert all(torch.equal(loss.model.backbone.state_dict()[name], value) for name, value in before.items())


def test_cosine_weight_adds_the_distance_to_the_label() -> None:
    plain, weighted = make_loss(), make_loss(cosine_weight=2.0)
    batch = make_batch(32, ALL, ALL)
    with torch.no_grad():
        pixels = plain.model.encode_image(normalize(batch))  # (2, C, 32, 32)
        cosine = torch.einsum("bchw,kc->bkhw", pixels, plain.text_embeddings[ALL])
        known = batch.target != IGNORE
        right = cosine.gather(1, batch.target.clamp(min=0)[:, None])[:, 0][known]
        assert (weighted(batch) - plain(batch)).item() == pytest.approx(2 * (1 - right).mean().item(), rel=1e-4)


def test_cosine_weight_does_not_apply_to_others() -> None:
    plain, weighted = make_loss(), make_loss(cosine_weight=1.0)
    batch = make_batch(32, [0, 1])
    batch = batch._replace(prompts=((make_prompt([0, 1])._replace(classes=torch.tensor([-1, 1])),),))
    only_others = batch._replace(target=torch.zeros_like(batch.target))
    with torch.no_grad():
        assert weighted(only_others).item() == pytest.approx(plain(only_others).item(), rel=1e-6)
        assert weighted(batch).item() > plain(batch).item()


def test_head_of_classes_is_a_conventional_classifier() -> None:
    loss = make_loss(head="classes", validation_images=-1, label_sampler=LabelSamplerConfig(complete_share=1.0))
    batch = make_batch(32, ALL, ALL)
    with torch.no_grad():
        features = upsample2x(loss.model.decoder(loss.model.backbone(normalize(batch))))
        scores = F.conv2d(features, loss.model.head.weight, loss.model.head.bias)  # (2, 3, 32, 32)
        expected = F.cross_entropy(scores, batch.target, ignore_index=IGNORE)
        assert loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("settings", [{"cosine_weight": 1.0}, {"pixels_per_image": 5}])
def test_rejects_settings_that_do_not_work_with_a_regularization(settings: dict[str, Any]) -> None:
    model, (name,) = LSeg(dataclasses.replace(CONFIG, arch_option=1)), settings
    with pytest.raises(ValueError, match=f"{name}: expected 0 with a spatial regularization"):
        WordPixelLoss(model, SAMPLER, TrainingConfig(**settings))
