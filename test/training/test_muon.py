"""Muon's steps against their definition, and beside torch's own optimizers."""

import copy

import pytest
import torch
from torch import nn

from lseg_ros.training.muon import Muon, orthogonalized


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20), (2, 20, 6)])
def test_singular_values_become_alike(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    made = orthogonalized(matrices)
    assert made.dtype == torch.float32
    before, after = torch.linalg.svdvals(matrices), torch.linalg.svdvals(made)
    clear = before > 0.1 * before[:, :1]
    assert (after[clear] - 1).abs().max() < 0.35
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(made.flatten(1), (u @ vt).flatten(1)).min() > 0.9


def test_a_zero_gradient_moves_nothing() -> None:
    assert not orthogonalized(torch.zeros(1, 4, 6)).any()


def test_a_step_is_as_long_for_matrices_as_the_rate_says_whatever_the_gradients_length() -> None:
    for scale in (1e-4, 1.0, 1e4):
        torch.manual_seed(1)
        layer = nn.Conv2d(8, 16, 3)  # 16 x 72 as a matrix
        before = layer.weight.detach().clone()
        optimizer = Muon([{"params": [layer.weight], "orthogonal": True}], lr=0.01)
        layer.weight.grad = scale * torch.randn_like(layer.weight)
        optimizer.step()
        rms = (layer.weight - before).square().mean().sqrt().item()
        assert rms == pytest.approx(0.2 * 0.01, rel=0.15)


def test_other_parameters_move_as_with_adamw() -> None:
    torch.manual_seed(2)
    mine, theirs = (nn.Parameter(torch.ones(5)) for _ in range(2))
    muon = Muon([{"params": [mine], "weight_decay": 0.1}], lr=0.01)
    adamw = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    for _ in range(5):
        mine.grad = torch.randn(5)
        theirs.grad = mine.grad.clone()
        muon.step()
        adamw.step()
        torch.testing.assert_close(mine, theirs)


def test_what_it_remembers_is_kept_and_taken_over() -> None:
    torch.manual_seed(3)
    layer = nn.Linear(6, 4)
    groups = [{"params": [layer.weight], "orthogonal": True}, {"params": [layer.bias]}]
    optimizer, x = Muon(groups, lr=0.02), torch.randn(9, 6)

    def steps(count: int) -> torch.Tensor:
        for _ in range(count):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
        return layer.weight.detach().clone()

    steps(3)
    weights, state = copy.deepcopy((layer.state_dict(), optimizer.state_dict()))
    expected = steps(2)
    layer.load_state_dict(weights)
    optimizer = Muon([{**group} for group in groups], lr=0.02)
    optimizer.load_state_dict(state)
    assert not torch.equal(weights["weight"], expected)
    assert torch.equal(steps(2), expected)
