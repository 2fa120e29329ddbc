"""The authors' optimizer and schedule in numbers, and the modern ones."""

import dataclasses

import pytest
import torch

from lseg_ros.model import LSeg
from lseg_ros.training.muon import Muon
from lseg_ros.training.optimization import OptimizationConfig, build_optimizer, lr_factor, set_rates
from lseg_ros.training.recipes import RECIPES
from lseg_ros.training.schedule import Order, ScheduleConfig
from test.support.tiny_network import CONFIG

AUTHORS = RECIPES["lseg"].optimization


@pytest.fixture(scope="module")
def model() -> LSeg:
    model = LSeg(dataclasses.replace(CONFIG, arch_option=1))
    model.text_encoder.requires_grad_(False)
    return model


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_authors_groups(model: LSeg, batch_size: int) -> None:
    optimizer = build_optimizer(model, AUTHORS, batch_size)
    set_rates(optimizer, 1.0)
    pretrained, scratch = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert pretrained["lr"] == pytest.approx(0.004 / 16 * batch_size)
    assert scratch["lr"] == pytest.approx(10 * 0.004 / 16 * batch_size)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {1e-4}
    assert len(pretrained["params"]) == len(list(model.backbone.parameters()))
    others = [*model.decoder.parameters(), *model.head.parameters(), *model.regularization.parameters()]  # type: ignore[union-attr]
    assert {id(each) for each in scratch["params"]} == {id(each) for each in others}


def test_the_authors_rate_falls_once_per_epoch() -> None:
    order = Order(100, RECIPES["lseg"].order, processes=5)  # ten images a step, ten steps an epoch
    factors = [lr_factor(step, order, AUTHORS) for step in range(order.steps)]
    assert len(factors) == 2400
    for epoch in (0, 1, 120, 239):
        assert factors[10 * epoch : 10 * epoch + 10] == pytest.approx([(1 - epoch / 240) ** 0.9] * 10)


def test_the_modern_rate_rises_and_falls_to_nothing() -> None:
    order = Order(100, ScheduleConfig(steps=100))
    factors = [lr_factor(step, order, OptimizationConfig()) for step in range(100)]
    assert factors[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[-1] < 0.001


def test_a_trapezoid_stays_at_its_height_until_it_falls_in_a_straight_line() -> None:
    order, config = Order(100, ScheduleConfig(steps=100)), OptimizationConfig(schedule="trapezoid", cool_down=0.2)
    factors = [lr_factor(step, order, config) for step in range(100)]
    assert factors[4:81] == [1.0] * 77
    assert factors[80:] == pytest.approx([1 - each / 20 for each in range(20)])


def test_smaller_batches_after_early_steps_have_smaller_rates() -> None:
    config = ScheduleConfig(steps=100, batch_size=4, early_steps=50, early_batch_size=8)
    plain = ScheduleConfig(steps=100, batch_size=4)
    with_early, without = (Order(100, each) for each in (config, plain))
    for step, ratio in ((49, 1.0), (50, 0.5**0.5), (90, 0.5**0.5)):
        expected = ratio * lr_factor(step, without, OptimizationConfig())
        assert lr_factor(step, with_early, OptimizationConfig()) == pytest.approx(expected)


def test_modern_decay_is_of_matrices_only_and_everything_has_a_group(model: LSeg) -> None:
    optimizer = build_optimizer(model, OptimizationConfig(), 8)
    assert isinstance(optimizer, torch.optim.AdamW)
    for group in optimizer.param_groups:
        assert {each.ndim >= 2 for each in group["params"]} == {group["weight_decay"] > 0}
    trained = {id(each) for each in model.parameters() if each.requires_grad}
    assert {id(each) for group in optimizer.param_groups for each in group["params"]} == trained
    assert sorted(group["highest"] for group in optimizer.param_groups) == pytest.approx([1e-4, 1e-4, 1e-3, 1e-3])


def test_muon_moves_matrices_and_filters_and_adamw_what_is_neither_or_is_compared_with_words(model: LSeg) -> None:
    optimizer = build_optimizer(model, OptimizationConfig(optimizer="muon"), 8)
    assert isinstance(optimizer, Muon)
    orthogonal = {id(each) for group in optimizer.param_groups if group["orthogonal"] for each in group["params"]}
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    adaptive = {name for name, each in trained.items() if id(each) not in orthogonal}
    assert {"head.weight", "backbone.vit.pos_embed", "backbone.vit.cls_token"} <= adaptive
    assert all(
        trained[name].ndim == 1
        for name in adaptive
        if not name.startswith(("head", "backbone.vit.pos", "backbone.vit.cls"))
    )
    assert {id(each) for group in optimizer.param_groups for each in group["params"]} == {
        id(each) for each in trained.values()
    }
