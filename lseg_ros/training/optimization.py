"""Optimizers, their parameter groups, and the learning rate over a run."""

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
_QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: maps singular values above 0.01 to between 0.7 and 1.2
_RMS = 0.2  # RMS of an AdamW step, which lets both share a rate (Liu et al., "Muon is Scalable for LLM Training", 2025)


@dataclass(frozen=True)
class OptimizationConfig:
    """Optimizer and learning rate."""

    optimizer: str = setting(
        "adamw",
        "adamw, sgd with momentum 0.9, or muon for matrices and filters with adamw for the rest, which needs fewer "
        "images when training from random weights",
        choices=("adamw", "sgd", "muon"),
    )
    learning_rate: float = setting(1e-4, "peak learning rate of the image backbone", minimum=0.0)
    learning_rate_batch: int = setting(
        0,
        "batch_size that learning_rate is meant for; the rate scales with the actual batch_size; 0: it does not scale",
        minimum=0,
    )
    decoder_rate: float = setting(
        10.0, "learning rate of decoder and head relative to that of the backbone", minimum=0.0
    )
    weight_decay: float = setting(0.05, "weight decay of matrices and filters", minimum=0.0)
    decay_everything: bool = setting(False, "apply weight decay to norms and biases too")
    lr_schedule: str = setting(
        "cosine",
        "learning rate over the run: cosine decay to zero; poly: (1 - epoch / epochs) ^ 0.9, constant in an epoch; "
        "trapezoid: constant, then linear decay to zero",
        choices=("cosine", "poly", "trapezoid"),
    )
    cool_down: float = setting(
        0.25, "share of the steps in which the rate of a trapezoid decays", minimum=0.0, maximum=1.0
    )
    warm_up: float = setting(0.05, "share of the steps in which the rate rises", minimum=0.0, maximum=1.0)
    gradient_clip: float = setting(1.0, "maximum norm of the gradient; 0 for no limit", minimum=0.0)

    def __post_init__(self) -> None:
        check(self)


def build_optimizer(model: LSeg, config: OptimizationConfig, batch_size: int) -> Optimizer:
    """Build the optimizer of all trainable parameters.

    The parameters form two parts, as in the authors' code: the backbone with readout and reassemble stages
    (``pretrained``), and decoder, head and regularization (``scratch``), whose rate is ``decoder_rate`` times as high.
    The entry ``max_lr`` of each group is its peak learning rate.
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
    return torch.optim.AdamW(groups, lr=rate, betas=_BETAS)


def lr_factor(step: int, schedule: SampleSchedule, config: OptimizationConfig) -> float:
    """Return the factor that a step multiplies all peak learning rates by.

    If the batches become smaller after the early steps, the rate decreases by the square root of the ratio, because the
    gradients become noisier by as much.
    """
    warm_up = round(config.warm_up * schedule.steps)
    if step < warm_up:
        return (step + 1) / warm_up
    sizes = schedule.config
    batch_factor = (sizes.batch_size / sizes.early_batch_size) ** 0.5 if 0 < sizes.early_steps <= step else 1.0
    if config.lr_schedule == "poly":
        return float(batch_factor * (1 - schedule.epoch(step) / schedule.epochs) ** 0.9)
    if config.lr_schedule == "trapezoid":
        return batch_factor * min(1.0, (schedule.steps - step) / max(1.0, config.cool_down * schedule.steps))
    return batch_factor * (0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / max(1, schedule.steps - warm_up)))


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Set the learning rate of every group to its peak times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["max_lr"]


def _split_for_muon(group: dict[str, Any], model: LSeg) -> list[dict[str, Any]]:
    """Split a group into a part for AdamW and a part for Muon's orthogonal steps.

    AdamW gets vectors, the head, because its outputs are compared with text embeddings, and the position embeddings and
    class token of the ViT.
    """
    excluded = {id(parameter) for parameter in model.head.parameters()}
    excluded |= {
        id(parameter)
        for name, parameter in model.named_parameters()
        if name.endswith(("pos_embed", "cls_token", "reg_token"))
    }
    parts: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for parameter in group["params"]:
        parts[parameter.ndim >= 2 and id(parameter) not in excluded].append(parameter)
    return [{**group, "params": part, "orthogonal": orthogonal} for orthogonal, part in parts.items() if part]


def _parameter_groups(modules: list[nn.Module], max_lr: float, config: OptimizationConfig) -> list[dict[str, Any]]:
    """Group the trainable parameters of modules by whether they have weight decay."""
    trained = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    decays = [config.decay_everything or parameter.ndim >= 2 for parameter in trained]
    return [
        {
            "params": [parameter for parameter, decayed in zip(trained, decays) if decayed is wanted],
            "weight_decay": config.weight_decay if wanted else 0.0,
            "max_lr": max_lr,
        }
        for wanted in (True, False)
        if wanted in decays
    ]


class Muon(Optimizer):
    """Muon (Jordan et al., 2024): momentum steps whose singular values are all made similar.

    Groups with the entry ``orthogonal`` use Muon and must contain matrices or filters; all other groups use AdamW. A
    filter counts as a matrix of outputs by inputs. torch.optim.Muon supports matrices only.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. ``closure`` is ignored."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            updates = self._orthogonal(parameters) if group["orthogonal"] else self._adaptive(parameters)
            for parameter, update in zip(parameters, updates):
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"])

    def _orthogonal(self, parameters: list[Tensor]) -> list[Tensor]:
        """Return Muon's update of each parameter at a learning rate of 1."""
        matrices = []
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            assert gradient is not None
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
            matrices.append(gradient.lerp(momentum, _MOMENTUM).flatten(1))  # Nesterov momentum
        by_shape: dict[torch.Size, list[int]] = {}
        for number, matrix in enumerate(matrices):
            by_shape.setdefault(matrix.shape, []).append(number)
        for shape, numbers in by_shape.items():
            updates = orthogonalize(torch.stack([matrices[number] for number in numbers]))
            for number, update in zip(numbers, updates * (_RMS * max(shape) ** 0.5)):
                matrices[number] = update
        return [matrix.view_as(parameter) for matrix, parameter in zip(matrices, parameters)]

    def _adaptive(self, parameters: list[Tensor]) -> list[Tensor]:
        """Return AdamW's update of each parameter at a learning rate of 1."""
        updates = []
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            assert gradient is not None
            if not state:
                state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
            state["step"] += 1
            mean = state["mean"].lerp_(gradient, 1 - _BETAS[0])
            square = state["square"].lerp_(gradient.square(), 1 - _BETAS[1])
            root = (square / (1 - _BETAS[1] ** state["step"])).sqrt_().add_(_EPSILON)
            updates.append(mean / (1 - _BETAS[0] ** state["step"]) / root)
        return updates


def orthogonalize(matrices: Tensor) -> Tensor:
    """Make all singular values of matrices close to 1.

    This takes five Newton-Schulz iterations in bfloat16.

    Args:
        matrices: (n, rows, columns).

    Returns:
        (n, rows, columns) float32 with the same singular vectors.
    """
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = (wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    first, third, fifth = _QUINTIC
    for _ in range(5):
        square = x @ x.mT
        x = torch.baddbmm(x, third * square + fifth * square @ square, x, beta=first)
    return (x if wide is matrices else x.mT).float()
