"""The loss against the paper's own definition of it."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lseg_ros.datasets import IGNORE
from lseg_ros.model import LSeg
from lseg_ros.training.batches import Batch
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.module import WordPixelLoss
from lseg_ros.training.questions import QuestionConfig, Words
from test.tiny_network import CONFIG

WORDS = Words.of(("wall", "floor", "chair"), QuestionConfig())


def loss_of(**settings: object) -> WordPixelLoss:
    torch.manual_seed(0)
    return WordPixelLoss(LSeg(CONFIG), WORDS, TrainingConfig(**settings)).eval()  # type: ignore[arg-type]


def batch_of(size: int, rows: tuple[torch.Tensor, ...]) -> Batch:
    random = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (len(rows), 3, 64, 64), generator=random).byte()
    target = torch.randint(-1, 2, (len(rows), size, size), generator=random)
    return Batch(image, target, rows, tuple(each.clone() for each in rows), ("a", "b")[: len(rows)])


def test_at_full_resolution_it_is_the_cross_entropy_of_the_networks_answer() -> None:
    loss, everything = loss_of(full_resolution=True), torch.arange(3)
    batch = batch_of(64, (everything, everything))
    with torch.no_grad():
        logits = loss.model((batch.image / 255 - 0.5) / 0.5, ["wall", "floor", "chair"])  # (2, 3, 64, 64)
        expected = F.cross_entropy(logits, batch.target, ignore_index=IGNORE)
        assert loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_each_image_has_the_softmax_of_its_own_words() -> None:
    loss = loss_of()
    batch = batch_of(32, (torch.tensor([0, 2]), torch.tensor([1, 0, 2])))
    with torch.no_grad():
        pixels = loss.model.encode_image((batch.image / 255 - 0.5) / 0.5)
        both = [loss.model.correlate(pixels[i : i + 1], loss.words[batch.rows[i]]) for i in range(2)]
        sums = [F.cross_entropy(both[i], batch.target[i : i + 1], ignore_index=-1, reduction="sum") for i in range(2)]
        assert loss(batch).item() == pytest.approx((sum(sums) / (batch.target >= 0).sum()).item(), rel=1e-5)


def test_pictures_without_a_known_pixel_teach_nothing_and_break_nothing() -> None:
    loss = loss_of()
    batch = batch_of(32, (torch.arange(3),))
    value = loss(batch._replace(target=torch.full_like(batch.target, IGNORE)))
    value.backward()
    assert value.item() == 0
    assert all(each.grad is None or not each.grad.any() for each in loss.parameters())


def test_rare_classes_weigh_more() -> None:
    loss = loss_of(class_balance=0.5)
    target = torch.zeros(1, 32, 32, dtype=torch.int64)
    target[0, 0] = 1
    batch = batch_of(32, (torch.arange(3),))._replace(target=target)
    weights = loss._class_weights(batch)
    assert weights[1] / weights[0] == pytest.approx((993 / 33) ** 0.5, rel=1e-3)
    assert loss.pixel_count.tolist() == [993, 33, 1]


def test_frozen_norms_keep_their_statistics(tmp_path: Path) -> None:
    loss = loss_of(batch_norm="frozen").train()
    before = {name: value.clone() for name, value in loss.state_dict().items() if "running" in name}
    loss(batch_of(32, (torch.arange(3), torch.arange(3))))
    assert before
    assert all(torch.equal(loss.state_dict()[name], value) for name, value in before.items())


def test_pull_adds_the_distance_between_each_pixel_and_its_word() -> None:
    plain, pulled, rows = loss_of(), loss_of(pull=2.0), torch.arange(3)
    batch = batch_of(32, (rows, rows))
    with torch.no_grad():
        pixels = plain.model.encode_image((batch.image / 255 - 0.5) / 0.5)  # (2, C, 32, 32)
        cosine = torch.einsum("bchw,kc->bkhw", pixels, plain.words[rows])
        known = batch.target != IGNORE
        right = cosine.gather(1, batch.target.clamp(min=0)[:, None])[:, 0][known]
        assert (pulled(batch) - plain(batch)).item() == pytest.approx(2 * (1 - right).mean().item(), rel=1e-4)


def test_others_pull_nothing_and_weigh_one() -> None:
    loss, rows = loss_of(pull=1.0, class_balance=0.5), torch.tensor([0, 2])
    batch = batch_of(32, (rows,))._replace(classes=(torch.tensor([-1, 2]),), names=("a",))
    only_others = batch._replace(target=torch.zeros_like(batch.target))
    with torch.no_grad():
        plain = loss_of(class_balance=0.5)
        assert loss(only_others).item() == pytest.approx(plain(only_others).item(), rel=1e-6)
        assert loss(batch).item() > plain(batch).item()


def test_a_head_of_classes_is_a_conventional_classifier() -> None:
    settings = dict(head="classes", validation_images=-1, questions=QuestionConfig(complete_share=1.0))
    loss, rows = loss_of(**settings), torch.arange(3)
    batch = batch_of(32, (rows, rows))
    with torch.no_grad():
        features = loss.model.decoder(loss.model.backbone((batch.image / 255 - 0.5) / 0.5))
        scores = F.conv2d(features, loss.model.head.weight, loss.model.head.bias)  # (2, 3, 32, 32)
        expected = F.cross_entropy(scores, batch.target, ignore_index=IGNORE)
        assert loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_scores_that_are_no_cosines_cannot_be_pulled() -> None:
    model = LSeg(dataclasses.replace(CONFIG, arch_option=1))
    with pytest.raises(ValueError, match="pull: expected 0 with a spatial regularisation"):
        WordPixelLoss(model, WORDS, TrainingConfig(pull=1.0))
