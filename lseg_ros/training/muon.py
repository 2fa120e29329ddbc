"""Muon (Jordan et al., 2024): steps along the gradient's momentum with all its singular values made alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["Muon", "orthogonalized"]

_MOMENTUM = 0.95
_BETAS, _EPSILON = (0.9, 0.98), 1e-8  # of AdamW
_QUINTIC = (3.4445, -4.7750, 2.0315)  # of the authors: takes singular values from 0.01 up to between 0.7 and 1.2
_RMS = 0.2  # of an AdamW step, in rates (Liu et al., "Muon is Scalable for LLM Training", 2025): both share a rate


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
            alike = orthogonalized(torch.stack([matrices[number] for number in numbers]))
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


def orthogonalized(matrices: Tensor) -> Tensor:
    """(n, rows, columns) -> the same with singular values near 1, by five Newton-Schulz steps in bfloat16, float32."""
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = (wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    first, third, fifth = _QUINTIC
    for _ in range(5):
        square = x @ x.mT
        x = torch.baddbmm(x, third * square + fifth * square @ square, x, beta=first)
    return (x if wide is matrices else x.mT).float()
