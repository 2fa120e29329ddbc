"""Arithmetic and memory traffic that no implementation of a layer gets around, from its shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

__all__ = ["OpCounter", "Work", "counting", "nbytes", "product"]


@dataclass(frozen=True)
class Work:
    """flop: additions and multiplications, two for each pair. bytes: read and written."""

    flop: int = 0
    bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flop + other.flop, self.bytes + other.bytes)


class OpCounter:
    """The work counted so far."""

    def __init__(self) -> None:
        self.work = Work()

    def add(self, work: Work) -> None:
        self.work += work


@contextmanager
def counting(*modules: nn.Module) -> Iterator[OpCounter]:
    """Count what the layers in these modules do meanwhile; works on the meta device too.

    Counted are linear layers, convolutions and attention: each reads its weights and inputs and writes its outputs
    once. Norms, activations, sums and interpolations cost no arithmetic worth counting beside these, and could be done
    on the way; so they count nothing.
    """
    tally = OpCounter()
    hooks = []
    for each in {id(layer): layer for module in modules for layer in module.modules()}.values():
        rule = _rule(each)
        if rule is not None:

            def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any, rule: Any = rule) -> None:
                tally.add(rule(layer, inputs, output))

            hooks.append(each.register_forward_hook(hook))
    try:
        yield tally
    finally:
        for hook_handle in hooks:
            hook_handle.remove()


def product(rows: int, inner: int, columns: int, itemsize: int) -> Work:
    """(rows, inner) times (inner, columns)."""
    return Work(2 * rows * inner * columns, (rows * inner + inner * columns + rows * columns) * itemsize)


def nbytes(*tensors: Tensor | None) -> int:
    return sum(each.numel() * each.element_size() for each in tensors if each is not None)


def _rule(layer: nn.Module) -> Any:
    if isinstance(layer, nn.MultiheadAttention):
        return _multihead_attention
    if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        return _layer
    if isinstance(getattr(layer, "qkv", None), nn.Linear):  # timm's attention, whatever its class is called by now
        return _attention_core
    return None


def _layer(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Work:
    """Each number of a convolution's output, of the others' inputs, meets one filter; a readout has two inputs."""
    assert isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))
    weight = layer.weight
    if isinstance(layer, nn.Conv2d):
        met = output.numel() * math.prod(weight.shape[1:])
    elif isinstance(layer, nn.ConvTranspose2d):
        met = inputs[0].numel() * math.prod(weight.shape[1:])
    else:
        met = sum(each.numel() for each in inputs) * layer.out_features
    return Work(2 * met, nbytes(*inputs, weight, layer.bias, output))


def _attention_core(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Work:
    """Between the linear layers, which are counted themselves: (B, N, D) queries, keys and values."""
    return _attention(inputs[0])


def _multihead_attention(layer: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Work:
    """PyTorch's, which uses its linear layers' weights without calling them: (B, N, D), or (N, B, D)."""
    assert isinstance(layer, nn.MultiheadAttention)
    x = inputs[0] if layer.batch_first else inputs[0].transpose(0, 1)
    tokens, width, itemsize = x.shape[0] * x.shape[1], x.shape[2], x.element_size()
    return product(tokens, width, 3 * width, itemsize) + _attention(x) + product(tokens, width, width, itemsize)


def _attention(x: Tensor) -> Work:
    """(B, N, D): all tokens with all, twice; the table of N x N need never leave the chip."""
    batch, tokens, width = x.shape
    return Work(4 * batch * tokens**2 * width, 4 * nbytes(x))
