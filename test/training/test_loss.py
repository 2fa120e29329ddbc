"""The loss against the paper's own definition of it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lseg_ros.datasets import IGNORE
from lseg_ros.model import LSeg
from lseg_ros.model.decoder import upsample2x
from lseg_ros.training.batches import Batch
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.label_sampler import LabelPrompt, LabelSampler, LabelSamplerConfig
from lseg_ros.training.loss import WordPixelLoss, _sample_positions, _to_grid
from test.support.tiny_network import CONFIG

WORDS = LabelSampler.from_classes(("wall", "floor", "chair"), LabelSamplerConfig())


def loss_of(**settings: object) -> WordPixelLoss:
    torch.manual_seed(0)
    return WordPixelLoss(LSeg(CONFIG), WORDS, TrainingConfig(**settings)).eval()  # type: ignore[arg-type]


def batch_of(size: int, *asked: list[int], pixels_per_image: int = 0) -> Batch:
    """As many images as there are lists of the words that they are asked, of classes 0 and 1."""
    random = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (len(asked), 3, 64, 64), generator=random).byte()
    target = torch.randint(-1, 2, (len(asked), size, size), generator=random)
    questions = tuple((question(rows),) for rows in asked)
    return Batch(
        image, target, questions, torch.rand(len(asked), pixels_per_image, generator=random), ("a", "b")[: len(asked)]
    )


def question(rows: list[int]) -> LabelPrompt:
    target_lut = [rows.index(each) if each in rows else IGNORE for each in (*range(3), IGNORE)]
    return LabelPrompt(torch.tensor(rows), torch.tensor(rows), torch.tensor(target_lut))


ALL = [0, 1, 2]


def test_at_full_resolution_it_is_the_cross_entropy_of_the_networks_answer() -> None:
    loss = loss_of(loss_at_full_resolution=True)
    batch = batch_of(64, ALL, ALL)
    with torch.no_grad():
        logits = loss.model((batch.image / 255 - 0.5) / 0.5, ["wall", "floor", "chair"])  # (2, 3, 64, 64)
        expected = F.cross_entropy(logits, batch.target, ignore_index=IGNORE)
        assert loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_each_image_has_the_softmax_of_its_own_words() -> None:
    loss = loss_of()
    batch = batch_of(32, [0, 2], [1, 0, 2])
    with torch.no_grad():
        pixels = loss.model.encode_image((batch.image / 255 - 0.5) / 0.5)
        both = [loss.model.correlate(pixels[i : i + 1], loss.text_embeddings[[[0, 2], [1, 0, 2]][i]]) for i in range(2)]
        places = [torch.tensor(each)[batch.target[i : i + 1]] for i, each in enumerate(([0, -1, -1], [1, 0, -1]))]
        sums = [F.cross_entropy(both[i], places[i], ignore_index=-1, reduction="sum") for i in range(2)]
        count = sum((each >= 0).sum() for each in places)
        assert loss(batch).item() == pytest.approx((sum(sums) / count).item(), rel=1e-5)


def test_of_an_image_that_is_asked_twice_the_loss_is_that_of_both_questions() -> None:
    loss, first, second = loss_of(), batch_of(32, ALL), batch_of(32, [1, 0])
    both = first._replace(prompts=((*first.prompts[0], *second.prompts[0]),))
    with torch.no_grad():
        assert loss(both).item() == pytest.approx((loss(first) + loss(second)).item() / 2, rel=1e-5)


def test_every_pixel_drawn_once_is_the_loss_of_all() -> None:
    loss, drawn = loss_of(), loss_of(pixels_per_image=1024)
    batch = batch_of(32, ALL)
    batch = batch._replace(target=batch.target.clamp(min=0))
    each_once = (torch.arange(1024)[None] + 0.5) / 1024
    with torch.no_grad():
        assert drawn(batch._replace(draws=each_once)).item() == pytest.approx(loss(batch).item(), rel=1e-4)


def test_drawn_pixels_have_a_word_and_rare_ones_come_more_often() -> None:
    weight = torch.tensor([[[0.0, 1.0, 0.0], [2.0, 0.0, 1.0]]])
    draws = (torch.arange(400)[None] + 0.5) / 400
    assert torch.bincount(_sample_positions(weight, draws)[0], minlength=6).tolist() == [0, 100, 0, 200, 0, 100]
    assert (
        _sample_positions(torch.zeros(1, 2, 3), draws).max() < 6
    )  # nothing has a word: anything, which the loss ignores


def test_a_drawn_pixels_embedding_is_that_of_its_place() -> None:
    loss = loss_of(pixels_per_image=4)
    image = batch_of(32, ALL).image
    positions = torch.tensor([[0, 37, 700, 1023]])
    with torch.no_grad():
        normalized = (image / 255 - 0.5) / 0.5
        expected = loss.model.encode_image(normalized).flatten(2)[..., positions[0]]  # (1, C, 4)
        grid = _to_grid(positions, torch.Size((32, 32)))
        found = F.grid_sample(loss.model.encode_low_res(normalized), grid, align_corners=True)[:, :, 0]
        torch.testing.assert_close(F.normalize(found, dim=1), expected, rtol=1e-4, atol=1e-5)


def test_pictures_without_a_known_pixel_teach_nothing_and_break_nothing() -> None:
    loss = loss_of()
    batch = batch_of(32, ALL)
    value = loss(batch._replace(target=torch.full_like(batch.target, IGNORE)))
    value.backward()
    assert value.item() == 0
    drawn = batch_of(32, ALL, pixels_per_image=5)
    assert loss_of(pixels_per_image=5)(drawn._replace(target=torch.full_like(drawn.target, IGNORE))).item() == 0
    assert all(each.grad is None or not each.grad.any() for each in loss.parameters())


def test_rare_classes_weigh_more() -> None:
    loss = loss_of(class_balance=0.5)
    target = torch.zeros(1, 32, 32, dtype=torch.int64)
    target[0, 0] = 1
    target[0, 1] = IGNORE
    weights = loss._weights(target)[0]
    assert (weights[0, 0] / weights[2, 0]).item() == pytest.approx((961 / 33) ** 0.5, rel=1e-3)
    assert not weights[1].any()
    assert loss.pixel_count.tolist() == [961, 33, 1]


def test_frozen_norms_keep_their_statistics(tmp_path: Path) -> None:
    loss = loss_of(batch_norm="frozen").train()
    before = {name: value.clone() for name, value in loss.state_dict().items() if "running" in name}
    loss(batch_of(32, ALL, ALL))
    assert before
    assert all(torch.equal(loss.state_dict()[name], value) for name, value in before.items())


def test_pull_adds_the_distance_between_each_pixel_and_its_word() -> None:
    plain, pulled = loss_of(), loss_of(cosine_weight=2.0)
    batch = batch_of(32, ALL, ALL)
    with torch.no_grad():
        pixels = plain.model.encode_image((batch.image / 255 - 0.5) / 0.5)  # (2, C, 32, 32)
        cosine = torch.einsum("bchw,kc->bkhw", pixels, plain.text_embeddings[ALL])
        known = batch.target != IGNORE
        right = cosine.gather(1, batch.target.clamp(min=0)[:, None])[:, 0][known]
        assert (pulled(batch) - plain(batch)).item() == pytest.approx(2 * (1 - right).mean().item(), rel=1e-4)


def test_others_pull_nothing() -> None:
    plain, pulled = loss_of(), loss_of(cosine_weight=1.0)
    batch = batch_of(32, [0, 1])
    batch = batch._replace(prompts=((question([0, 1])._replace(classes=torch.tensor([-1, 1])),),))
    only_others = batch._replace(target=torch.zeros_like(batch.target))
    with torch.no_grad():
        assert pulled(only_others).item() == pytest.approx(plain(only_others).item(), rel=1e-6)
        assert pulled(batch).item() > plain(batch).item()


def test_a_head_of_classes_is_a_conventional_classifier() -> None:
    settings = dict(head="classes", validation_images=-1, label_sampler=LabelSamplerConfig(complete_share=1.0))
    loss = loss_of(**settings)
    batch = batch_of(32, ALL, ALL)
    with torch.no_grad():
        features = upsample2x(loss.model.decoder(loss.model.backbone((batch.image / 255 - 0.5) / 0.5)))
        scores = F.conv2d(features, loss.model.head.weight, loss.model.head.bias)  # (2, 3, 32, 32)
        expected = F.cross_entropy(scores, batch.target, ignore_index=IGNORE)
        assert loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("settings", [{"cosine_weight": 1.0}, {"pixels_per_image": 5}])
def test_scores_that_are_of_more_than_a_pixel_and_a_word_are_neither_pulled_nor_drawn(settings: dict[str, Any]) -> None:
    model, (name,) = LSeg(dataclasses.replace(CONFIG, arch_option=1)), settings
    with pytest.raises(ValueError, match=f"{name}: expected 0 with a spatial regularization"):
        WordPixelLoss(model, WORDS, TrainingConfig(**settings))


def test_pixels_are_drawn_from_embeddings_not_from_the_images_pixels() -> None:
    with pytest.raises(
        ValueError, match="pixels_per_image: expected 0, all of them, with loss_at_full_resolution, got 5"
    ):
        TrainingConfig(pixels_per_image=5, loss_at_full_resolution=True)
