"""Roofline model: bound the time of layers by the peak rates of the device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lseg_ros.benchmark.timing import synchronize

__all__ = ["OpCounter", "Roofline", "Work", "count_bytes", "count_ops", "matmul_work"]

_MATRIX_SIDE = {"cpu": 1536, "cuda": 8192}  # large enough to reach the peak, small enough to be quick
_COPIED_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30}  # larger than any cache
_SECONDS_PER_PEAK = 1.0

_Rule = Callable[[nn.Module, tuple[Any, ...], Any], "Work"]


@dataclass(frozen=True)
class Work:
    """Arithmetic and memory traffic.

    Attributes:
        flop: Additions and multiplications; a multiply-add counts as two.
        bytes: Bytes read and written.
    """

    flop: int = 0
    bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flop + other.flop, self.bytes + other.bytes)


class OpCounter:
    """Sums the work of layers, from the shapes of their inputs and outputs.

    Attributes:
        work: The work counted so far.
    """

    def __init__(self) -> None:
        self.work = Work()

    def add(self, work: Work) -> None:
        """Add the work of one call."""
        self.work += work


@contextmanager
def count_ops(*modules: nn.Module) -> Iterator[OpCounter]:
    """Count the work of all layers in these modules while the context is active.

    Works on the meta device too. Only linear layers, convolutions and attention count: each reads its weights and
    inputs and writes its outputs once. Norms, activations, sums and interpolations count as free, because they need
    little arithmetic and can be fused with a neighboring layer.
    """
    counter = OpCounter()
    hooks = []
    for layer in {id(layer): layer for module in modules for layer in module.modules()}.values():
        rule = _find_rule(layer)
        if rule is not None:

            def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any, rule: _Rule = rule) -> None:
                counter.add(rule(layer, inputs, output))

            hooks.append(layer.register_forward_hook(hook))
    try:
        yield counter
    finally:
        for handle in hooks:
            handle.remove()


def matmul_work(rows: int, inner: int, columns: int, itemsize: int) -> Work:
    """Work of a matrix product (rows, inner) x (inner, columns).

    Elements have ``itemsize`` bytes.
    """
    return Work(2 * rows * inner * columns, (rows * inner + inner * columns + rows * columns) * itemsize)


def count_bytes(*tensors: Tensor | None) -> int:
    """Total size of the tensors in bytes; None counts as 0."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)


class Roofline:
    """Peak rates of a device, measured with large matrix products and copies.

    The fastest run counts.

    Attributes:
        bytes_per_s: Peak memory traffic.
        flop_per_s: Peak arithmetic by dtype name, for the dtypes asked for so far.
    """

    def __init__(self, device: torch.device) -> None:
        """Measure the memory traffic; arithmetic is measured on first use of a dtype."""
        self._device = device
        self.bytes_per_s = self._measure_copy()
        self.flop_per_s: dict[str, float] = {}

    def lower_bound_ms(self, work: Work, dtype: torch.dtype) -> float:
        """Lower bound of the time for this work.

        It is the time for arithmetic or for memory traffic at peak rate, whichever is longer.
        """
        name = str(dtype).removeprefix("torch.")
        if work.flop and name not in self.flop_per_s:
            self.flop_per_s[name] = self._measure_matmul(dtype)
        arithmetic_s = work.flop / self.flop_per_s[name] if work.flop else 0.0
        return 1e3 * max(arithmetic_s, work.bytes / self.bytes_per_s)

    def _measure_matmul(self, dtype: torch.dtype) -> float:
        side = _MATRIX_SIDE.get(self._device.type, _MATRIX_SIDE["cpu"])
        a, b = (torch.randn(side, side, device=self._device).to(dtype) for _ in range(2))
        out = torch.empty(side, side, device=self._device, dtype=dtype)
        return 2 * side**3 / self._fastest_s(lambda: torch.matmul(a, b, out=out))

    def _measure_copy(self) -> float:
        count = _COPIED_BYTES.get(self._device.type, _COPIED_BYTES["cpu"])
        source = torch.ones(count, dtype=torch.uint8, device=self._device)
        target = torch.zeros_like(source)
        return 2 * count / self._fastest_s(lambda: target.copy_(source))

    def _fastest_s(self, call: Callable[[], object]) -> float:
        """Time of the fastest of several calls.

        A peak rate is what the device can do undisturbed.
        """
        fastest_s, end_s = float("inf"), time.perf_counter() + _SECONDS_PER_PEAK
        call()
        while fastest_s == float("inf") or time.perf_counter() < end_s:
            synchronize(self._device)
            start_s = time.perf_counter()
            call()
            synchronize(self._device)
            fastest_s = min(fastest_s, time.perf_counter() - start_s)
        return fastest_s


def _find_rule(layer: nn.Module) -> _Rule | None:
    if isinstance(layer, nn.MultiheadAttention):
        return _multihead_attention_work
    if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        return _layer_work
    if isinstance(getattr(layer, "qkv", None), nn.Linear):  # timm's attention; its class name depends on the version
        return _attention_core_work
    return None


def _layer_work(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Work:
    """Work of a linear layer or convolution; a readout layer has two inputs."""
    assert isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))
    weight = layer.weight
    if isinstance(layer, nn.Conv2d):  # each output element is the product of one filter and its window
        multiply_adds = output.numel() * math.prod(weight.shape[1:])
    elif isinstance(layer, nn.ConvTranspose2d):  # each input element is multiplied with one filter
        multiply_adds = inputs[0].numel() * math.prod(weight.shape[1:])
    else:
        multiply_adds = sum(tensor.numel() for tensor in inputs) * layer.out_features
    return Work(2 * multiply_adds, count_bytes(*inputs, weight, layer.bias, output))


def _attention_core_work(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Work:
    """Work of attention between its linear layers, which count separately; input (B, N, D)."""
    return _attention_work(inputs[0])


def _multihead_attention_work(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Work:
    """Work of PyTorch's attention module; input (B, N, D) or (N, B, D).

    It uses the weights of its linear layers directly, so they do not count separately.
    """
    assert isinstance(layer, nn.MultiheadAttention)
    x = inputs[0] if layer.batch_first else inputs[0].transpose(0, 1)
    tokens, width, itemsize = x.shape[0] * x.shape[1], x.shape[2], x.element_size()
    input_projection = matmul_work(tokens, width, 3 * width, itemsize)
    return input_projection + _attention_work(x) + matmul_work(tokens, width, width, itemsize)


def _attention_work(x: Tensor) -> Work:
    """Work of two products of all tokens with all tokens, (B, N, D).

    The (N, N) matrix can stay on the chip.
    """
    batch, tokens, width = x.shape
    return Work(4 * batch * tokens**2 * width, 4 * count_bytes(x))
