"""Optimizers and learning rates: the authors' recipe, the modern one, and Muon."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from lseg_ros.model import LSeg
from lseg_ros.training.config import RECIPES
from lseg_ros.training.optimization import (
    Muon,
    OptimizationConfig,
    build_optimizer,
    lr_factor,
    orthogonalize,
    set_learning_rates,
)
from lseg_ros.training.schedule import SampleSchedule, ScheduleConfig
from test.support.tiny_network import CONFIG

AUTHORS = RECIPES["lseg"].optimization


@pytest.fixture(scope="module")
def model() -> LSeg:
    model = LSeg(dataclasses.replace(CONFIG, arch_option=1))
    model.text_encoder.requires_grad_(False)
    return model


@pytest.mark.parametrize("batch_size", [1, 4])
def test_lseg_recipe_has_the_parameter_groups_of_the_authors(model: LSeg, batch_size: int) -> None:
    optimizer = build_optimizer(model, AUTHORS, batch_size)
    set_learning_rates(optimizer, 1.0)
    pretrained, scratch = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert pretrained["lr"] == pytest.approx(0.004 / 16 * batch_size)
    assert scratch["lr"] == pytest.approx(10 * 0.004 / 16 * batch_size)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {1e-4}
    assert len(pretrained["params"]) == len(list(model.backbone.parameters()))
    assert model.regularization is not None
    others = [*model.decoder.parameters(), *model.head.parameters(), *model.regularization.parameters()]
    assert ids(scratch["params"]) == ids(others)


def test_poly_schedule_decays_once_per_epoch() -> None:
    schedule = SampleSchedule(100, RECIPES["lseg"].schedule, processes=5)  # ten images a step, ten steps an epoch
    factors = [lr_factor(step, schedule, AUTHORS) for step in range(schedule.steps)]
    assert len(factors) == 2400
    for epoch in (0, 1, 120, 239):
        assert factors[10 * epoch : 10 * epoch + 10] == pytest.approx([(1 - epoch / 240) ** 0.9] * 10)


def test_cosine_schedule_warms_up_and_decays_to_zero() -> None:
    schedule = SampleSchedule(100, ScheduleConfig(steps=100))
    factors = [lr_factor(step, schedule, OptimizationConfig()) for step in range(100)]
    assert factors[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[-1] < 0.001


def test_trapezoid_schedule_is_constant_and_then_decays_linearly() -> None:
    schedule = SampleSchedule(100, ScheduleConfig(steps=100))
    config = OptimizationConfig(lr_schedule="trapezoid", cool_down=0.2)
    factors = [lr_factor(step, schedule, config) for step in range(100)]
    assert factors[4:81] == [1.0] * 77
    assert factors[80:] == pytest.approx([1 - step / 20 for step in range(20)])


def test_smaller_batches_after_early_steps_lower_the_rate() -> None:
    config = ScheduleConfig(steps=100, batch_size=4, early_steps=50, early_batch_size=8)
    with_early, without = SampleSchedule(100, config), SampleSchedule(100, ScheduleConfig(steps=100, batch_size=4))
    for step, ratio in ((49, 1.0), (50, 0.5**0.5), (90, 0.5**0.5)):
        expected = ratio * lr_factor(step, without, OptimizationConfig())
        assert lr_factor(step, with_early, OptimizationConfig()) == pytest.approx(expected)


def test_adamw_decays_matrices_only_and_trains_every_parameter(model: LSeg) -> None:
    optimizer = build_optimizer(model, OptimizationConfig(), 8)
    assert isinstance(optimizer, torch.optim.AdamW)
    for group in optimizer.param_groups:
        assert {parameter.ndim >= 2 for parameter in group["params"]} == {group["weight_decay"] > 0}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert ids([parameter for group in optimizer.param_groups for parameter in group["params"]]) == ids(trained)
    assert sorted(group["max_lr"] for group in optimizer.param_groups) == pytest.approx([1e-4, 1e-4, 1e-3, 1e-3])


def test_muon_trains_matrices_and_filters_except_head_and_embeddings(model: LSeg) -> None:
    optimizer = build_optimizer(model, OptimizationConfig(optimizer="muon"), 8)
    assert isinstance(optimizer, Muon)
    groups = optimizer.param_groups
    orthogonal = ids([parameter for group in groups if group["orthogonal"] for parameter in group["params"]])
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    adaptive = {name for name, parameter in trained.items() if id(parameter) not in orthogonal}
    assert {"head.weight", "backbone.vit.pos_embed", "backbone.vit.cls_token"} <= adaptive
    excluded = ("head", "backbone.vit.pos", "backbone.vit.cls")
    assert all(trained[name].ndim == 1 for name in adaptive if not name.startswith(excluded))
    assert ids([parameter for group in groups for parameter in group["params"]]) == ids(list(trained.values()))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20), (2, 20, 6)])
def test_orthogonalize_makes_singular_values_similar(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    result = orthogonalize(matrices)
    assert result.dtype == torch.float32
    before, after = torch.linalg.svdvals(matrices), torch.linalg.svdvals(result)
    large = before > 0.1 * before[:, :1]
    assert (after[large] - 1).abs().max() < 0.35
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(result.flatten(1), (u @ vt).flatten(1)).min() > 0.9


def test_orthogonalize_keeps_zeros() -> None:
    assert not orthogonalize(torch.zeros(1, 4, 6)).any()


def test_muon_step_length_depends_on_the_rate_and_not_on_the_gradient() -> None:
    for scale in (1e-4, 1.0, 1e4):
        torch.manual_seed(1)
        layer = nn.Conv2d(8, 16, 3)  # 16 x 72 as a matrix
        before = layer.weight.detach().clone()
        optimizer = Muon([{"params": [layer.weight], "orthogonal": True}], lr=0.01)
        layer.weight.grad = scale * torch.randn_like(layer.weight)
        optimizer.step()
        rms = (layer.weight - before).square().mean().sqrt().item()
        assert rms == pytest.approx(0.2 * 0.01, rel=0.15)


def test_muon_treats_other_parameters_like_adamw() -> None:
    torch.manual_seed(2)
    ours, reference = (nn.Parameter(torch.ones(5)) for _ in range(2))
    muon = Muon([{"params": [ours], "weight_decay": 0.1}], lr=0.01)
    adamw = torch.optim.AdamW([reference], lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    for _ in range(5):
        ours.grad = torch.randn(5)
        reference.grad = ours.grad.clone()
        muon.step()
        adamw.step()
        torch.testing.assert_close(ours, reference)


def test_muon_saves_and_restores_its_state() -> None:
    torch.manual_seed(3)
    layer = nn.Linear(6, 4)
    groups: list[dict[str, Any]] = [{"params": [layer.weight], "orthogonal": True}, {"params": [layer.bias]}]
    optimizer, x = Muon(groups, lr=0.02), torch.randn(9, 6)

    def train(count: int) -> torch.Tensor:
        for _ in range(count):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
        return layer.weight.detach().clone()

    train(3)
    weights, state = copy.deepcopy((layer.state_dict(), optimizer.state_dict()))
    expected = train(2)
    layer.load_state_dict(weights)
    optimizer = Muon([{**group} for group in groups], lr=0.02)
    optimizer.load_state_dict(state)
    assert not torch.equal(weights["weight"], expected)
    assert torch.equal(train(2), expected)


def ids(parameters: list[nn.Parameter]) -> set[int]:
    return {id(parameter) for parameter in parameters}
