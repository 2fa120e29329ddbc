"""Optimizer, its groups of parameters, and how the rate goes over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lseg_ros.model import LSeg
from lseg_ros.settings import check, setting
from lseg_ros.training.schedule import SampleSchedule

__all__ = ["Muon", "OptimizationConfig", "build_optimizer", "lr_factor", "orthogonalize", "set_learning_rates"]

_MOMENTUM = 0.95
_BETAS, _EPSILON = (0.9, 0.98), 1e-8  # of AdamW
_QUINTIC = (3.4445, -4.7750, 2.0315)  # of the authors: takes singular values from 0.01 up to between 0.7 and 1.2
_RMS = 0.2  # of an AdamW step, in rates (Liu et al., "Muon is Scalable for LLM Training", 2025): both share a rate


@dataclass(frozen=True)
class OptimizationConfig:
    """How the weights move."""

    optimizer: str = setting(
        "adamw",
        "adamw; sgd with momentum 0.9; muon for matrices and filters and adamw for the rest, which comes as far with "
        "fewer images from random weights",
        choices=("adamw", "sgd", "muon"),
    )
    learning_rate: float = setting(1e-4, "highest rate of the image backbone", minimum=0.0)
    learning_rate_batch: int = setting(
        0, "batch_size that learning_rate is for: it follows batch_size; 0: it stays as it is", minimum=0
    )
    decoder_rate: float = setting(10.0, "rate of decoder and head, in rates of the backbone", minimum=0.0)
    weight_decay: float = setting(0.05, "decay of matrices and filters", minimum=0.0)
    decay_everything: bool = setting(False, "decay of norms and biases as well")
    lr_schedule: str = setting(
        "cosine",
        "cosine: to nothing over the steps; poly: (1 - epoch / epochs) ^ 0.9, the same for all of an epoch; trapezoid: "
        "as it is, and in a straight line to nothing in the last steps",
        choices=("cosine", "poly", "trapezoid"),
    )
    cool_down: float = setting(0.25, "share of the last steps of a trapezoid", minimum=0.0, maximum=1.0)
    warm_up: float = setting(0.05, "share of the steps in which the rate rises", minimum=0.0, maximum=1.0)
    gradient_clip: float = setting(1.0, "longest gradient, 0 for any", minimum=0.0)

    def __post_init__(self) -> None:
        check(self)


def build_optimizer(model: LSeg, config: OptimizationConfig, batch_size: int) -> Optimizer:
    """The optimizer of all that is trained; each group remembers its highest rate as ``highest``.

    What was trained before is a group of its own: backbone with readout and reassemble (the authors' ``pretrained``),
    and decoder, head and regularization (``scratch``) at ``decoder_rate`` times its rate.
    """
    rate = config.learning_rate * (batch_size / config.learning_rate_batch if config.learning_rate_batch else 1.0)
    scratch: list[nn.Module] = [model.decoder, model.head]
    scratch += [model.regularization] if model.regularization is not None else []
    parts: list[tuple[list[nn.Module], float]] = [([model.backbone], rate), (scratch, config.decoder_rate * rate)]
    groups = [group for modules, max_lr in parts for group in _parameter_groups(modules, max_lr, config)]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9)
    if config.optimizer == "muon":
        return Muon([part for group in groups for part in _split_for_muon(group, model)], lr=rate)
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def lr_factor(step: int, schedule: SampleSchedule, config: OptimizationConfig) -> float:
    """What the highest rates are multiplied by in a step.

    Where the batches of the later steps are smaller than the early ones, so is their rate, by the root of the ratio:
    their gradients are noisier by as much.
    """
    warm = round(config.warm_up * schedule.steps)
    if step < warm:
        return (step + 1) / warm
    early = schedule.config.early_steps
    smaller = (schedule.config.batch_size / schedule.config.early_batch_size) ** 0.5 if 0 < early <= step else 1.0
    if config.lr_schedule == "poly":
        return float(smaller * (1 - schedule.epoch(step) / schedule.epochs) ** 0.9)
    if config.lr_schedule == "trapezoid":
        return smaller * min(1.0, (schedule.steps - step) / max(1.0, config.cool_down * schedule.steps))
    return smaller * (0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, schedule.steps - warm)))


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Every group's rate: its max_lr times the factor."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["max_lr"]


def _split_for_muon(group: dict[str, Any], model: LSeg) -> list[dict[str, Any]]:
    """The group in two: what Muon moves, and what AdamW does.

    AdamW has vectors, the head, whose outputs are compared with words, and the ViT's tables and class token.
    """
    apart = {id(each) for each in model.head.parameters()}
    apart |= {id(each) for name, each in model.named_parameters() if name.endswith(("pos_embed", "cls_token"))}
    parts = {False: [], True: []}  # type: dict[bool, list[nn.Parameter]]
    for each in group["params"]:
        parts[each.ndim >= 2 and id(each) not in apart].append(each)
    return [{**group, "params": part, "orthogonal": wanted} for wanted, part in parts.items() if part]


def _parameter_groups(modules: list[nn.Module], max_lr: float, config: OptimizationConfig) -> list[dict[str, Any]]:
    trained = [each for module in modules for each in module.parameters() if each.requires_grad]
    decays = [config.decay_everything or each.ndim >= 2 for each in trained]
    return [
        {
            "params": [each for each, decayed in zip(trained, decays) if decayed is wanted],
            "weight_decay": config.weight_decay if wanted else 0.0,
            "max_lr": max_lr,
        }
        for wanted in (True, False)
        if wanted in decays
    ]


class Muon(Optimizer):
    """Muon for groups with ``orthogonal``, whose parameters are matrices or filters, AdamW for the others.

    A filter is the matrix of its outputs by all that it reads. torch.optim.Muon takes matrices only.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient; there is no closure."""
        for group in self.param_groups:
            parameters = [each for each in group["params"] if each.grad is not None]
            moves = self._orthogonal(parameters) if group["orthogonal"] else self._adaptive(parameters)
            for parameter, move in zip(parameters, moves):
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(move, alpha=-group["lr"])

    def _orthogonal(self, parameters: list[Tensor]) -> list[Tensor]:
        """What each parameter moves by at rate 1."""
        matrices = []
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            assert gradient is not None
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
            matrices.append(gradient.lerp(momentum, _MOMENTUM).flatten(1))  # Nesterov's
        by_shape: dict[torch.Size, list[int]] = {}
        for number, matrix in enumerate(matrices):
            by_shape.setdefault(matrix.shape, []).append(number)
        for shape, numbers in by_shape.items():
            alike = orthogonalize(torch.stack([matrices[number] for number in numbers]))
            for number, matrix in zip(numbers, alike * (_RMS * max(shape) ** 0.5)):
                matrices[number] = matrix
        return [matrix.view_as(parameter) for matrix, parameter in zip(matrices, parameters)]

    def _adaptive(self, parameters: list[Tensor]) -> list[Tensor]:
        """What each parameter moves by at rate 1."""
        moves = []
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            assert gradient is not None
            if not state:
                state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
            state["step"] += 1
            mean = state["mean"].lerp_(gradient, 1 - _BETAS[0])
            square = state["square"].lerp_(gradient.square(), 1 - _BETAS[1])
            root = (square / (1 - _BETAS[1] ** state["step"])).sqrt_().add_(_EPSILON)
            moves.append(mean / (1 - _BETAS[0] ** state["step"]) / root)
        return moves


def orthogonalize(matrices: Tensor) -> Tensor:
    """(n, rows, columns) -> the same with singular values near 1, by five Newton-Schulz steps in bfloat16, float32."""
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = (wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    first, third, fifth = _QUINTIC
    for _ in range(5):
        square = x @ x.mT
        x = torch.baddbmm(x, third * square + fifth * square @ square, x, beta=first)
    return (x if wide is matrices else x.mT).float()
