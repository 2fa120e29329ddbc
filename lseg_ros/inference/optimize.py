"""Optimizations for inference: folded batch norms and prepacked weights."""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d, Conv2dSame, Mlp  # type: ignore[attr-defined]
from timm.models.vision_transformer import Attention  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lseg_ros.model.decoder import ResidualConvUnit
from lseg_ros.model.reassemble import Readout
from lseg_ros.model.timm_backbone import TimmBackbone, TimmViTBackbone

__all__ = [
    "PackedAttention",
    "PackedConv",
    "PackedLinear",
    "PackedReadout",
    "PackedResidualUnit",
    "fold_batch_norms",
    "prepack_mkldnn",
    "replace_same_padding",
]

_HEADS_PER_STEP = 2  # their attention weights stay in the cache between the two products
_CONVS, _NORMS = (nn.Conv2d, Conv2dSame), (nn.BatchNorm2d, BatchNormAct2d)  # not of subclasses that change the weights
_OPERATIONS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")  # not in every PyTorch


def fold_batch_norms(module: nn.Module) -> None:
    """Fold every batch norm that follows a convolution into it, in place and in float32.

    The module must be in eval mode. An activation that is part of a batch norm, as in timm, takes its place.
    """
    of_timm = isinstance(module, (TimmBackbone, TimmViTBackbone))
    for conv_name, norm_name in _traced_pairs(module) if of_timm else _adjacent_pairs(module):
        conv: Any = module.get_submodule(conv_name)
        norm: Any = module.get_submodule(norm_name)
        _set_submodule(module, conv_name, fuse_conv_bn_eval(conv.float(), norm.float()))
        _set_submodule(module, norm_name, getattr(norm, "act", nn.Identity()))


def _adjacent_pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Return the names of adjacent convolutions and batch norms, as in our own modules."""
    return [
        (f"{parent_name}.{name}".lstrip("."), f"{parent_name}.{norm_name}".lstrip("."))
        for parent_name, parent in module.named_modules()
        for (name, conv), (norm_name, norm) in itertools.pairwise(parent.named_children())
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    ]


def _traced_pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Return the names of convolutions and of the batch norms that read their output.

    They are found with a forward on the meta device: in networks of timm, the order of modules may differ from that of
    the computation.
    """
    outputs: dict[int, str] = {}  # id of a tensor -> name of the convolution that returned it
    kept: list[Tensor] = []  # so that no id is used twice
    readers: defaultdict[str, list[str]] = defaultdict(list)
    calls: Counter[str] = Counter()

    def observe(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[name] += 1
        kept.extend((inputs[0], output))
        if type(layer) in _NORMS and id(inputs[0]) in outputs:
            readers[outputs[id(inputs[0])]].append(name)
        elif type(layer) in _CONVS:
            outputs[id(output)] = name

    observed = [(name, layer) for name, layer in module.named_modules() if type(layer) in (*_NORMS, *_CONVS)]
    hooks = [layer.register_forward_hook(functools.partial(observe, name)) for name, layer in observed]
    state = {
        name: torch.empty_like(value, device="meta", dtype=torch.float32 if value.is_floating_point() else None)
        for name, value in (*module.named_parameters(), *module.named_buffers())
    }
    try:
        with torch.no_grad():
            torch.func.functional_call(module, state, torch.empty(1, 3, 64, 64, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return [(conv, norms[0]) for conv, norms in readers.items() if len(norms) == calls[conv] == calls[norms[0]] == 1]


def _set_submodule(module: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, layer)


def replace_same_padding(module: nn.Module) -> None:
    """Replace convolutions of stride 2 that pad as TensorFlow does by ordinary ones, in place.

    TensorFlow pads an input with even sides by one pixel more on the right and below than on the left and above, which
    takes a copy of the input. A kernel with a zero row and column in front does the same with symmetric padding. All
    inputs have even sides, because those of the network are multiples of 32.
    """
    for name, layer in list(module.named_children()):
        if type(layer) is Conv2dSame and _is_plain_stride2(layer):
            setattr(module, name, _with_symmetric_padding(layer))
        else:
            replace_same_padding(layer)


def _is_plain_stride2(layer: nn.Conv2d) -> bool:
    height, width = layer.kernel_size
    return height == width and height % 2 == 1 and layer.stride == (2, 2) and layer.dilation == (1, 1)


def _with_symmetric_padding(layer: nn.Conv2d) -> nn.Conv2d:
    size = layer.kernel_size[0]
    conv = nn.Conv2d(
        layer.in_channels, layer.out_channels, size + 1, 2, size // 2, groups=layer.groups, bias=False, device="meta"
    )
    conv.weight = nn.Parameter(F.pad(layer.weight.detach(), (1, 0, 1, 0)), requires_grad=False)
    conv.bias = layer.bias
    return conv.eval()


def prepack_mkldnn(module: nn.Module) -> None:
    """Replace layers, in place, by ones with weights in the memory layout of oneDNN.

    Otherwise oneDNN converts the weights in each call. Operations that follow a layer become part of it: a GELU after
    a layer named ``fc1``, as in timm's blocks, and the activations and the sum of a residual unit, if its batch norms
    are folded. In bfloat16, attention becomes two matrix products and a softmax. Nothing happens if this PyTorch or
    this processor does not support it. Modules of timm that may read the weights of their layers keep them. Afterwards
    the module cannot be moved, trained or saved.
    """
    if all(_is_supported(dtype) for dtype in {parameter.dtype for parameter in module.parameters()}):
        _replace_layers(module)


def _replace_layers(module: nn.Module) -> None:
    activation = getattr(module, "act", None)
    fuses = type(module) is Mlp and isinstance(activation, nn.GELU) and activation.approximate == "none"
    calls_layers = type(module) in (Attention, Mlp) or not type(module).__module__.startswith("timm.")
    for name, layer in list(module.named_children()):
        if type(layer) is nn.Linear and calls_layers:
            setattr(module, name, PackedLinear(layer.weight, layer.bias, gelu=fuses and name == "fc1"))
            if fuses and name == "fc1":
                module.act = nn.Identity()
        elif type(layer) is ResidualConvUnit and isinstance(layer.bn1, nn.Identity):
            setattr(module, name, PackedResidualUnit(layer))
        elif type(layer) is Readout:
            setattr(module, name, PackedReadout(layer))
        elif type(layer) is Attention and _is_plain(layer):
            setattr(module, name, PackedAttention(layer))
        else:
            _replace_layers(layer)


def _is_plain(layer: Attention) -> bool:
    """Check for plain ViT attention in bfloat16: no norms of queries and keys, no gates."""
    extras = [getattr(layer, name, None) for name in ("q_norm", "k_norm", "norm", "gate")]  # depends on timm's version
    weight = layer.qkv.weight
    is_bfloat16 = weight.dtype == torch.bfloat16 and weight.shape[0] == 3 * weight.shape[1]
    return is_bfloat16 and all(isinstance(extra, (nn.Identity, type(None))) for extra in extras)


def _is_supported(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS):
        return False
    probe = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}.get(dtype)
    return probe is None or bool(hasattr(torch.ops.mkldnn, probe) and getattr(torch.ops.mkldnn, probe)())


class PackedLinear(nn.Linear):
    """Linear layer of oneDNN, optionally followed by a GELU."""

    def __init__(self, weight: Tensor, bias: nn.Parameter | None, *, gelu: bool = False) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = bias  # type: ignore[assignment]  # None, as in any linear layer
        self.activation = "gelu" if gelu else "none"

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, self.activation, [], "none")
        return output


class PackedReadout(nn.Module):
    """Readout as two linear layers; the one of the class token has the bias."""

    def __init__(self, layer: Readout) -> None:
        super().__init__()
        patch_weight, cls_weight = layer.weight.chunk(2, dim=1)  # (out, D)
        self.patch, self.cls = PackedLinear(patch_weight, None), PackedLinear(cls_weight, layer.bias)

    def forward(self, patches: Tensor, cls: Tensor) -> Tensor:
        """(B, N, D), (B, 1, D) -> (B, N, out)."""
        output: Tensor = self.patch(patches) + self.cls(cls)
        return output


class PackedAttention(nn.Module):
    """Attention of a ViT in bfloat16, for two heads at a time.

    It consists of two matrix products and a softmax. On a CPU in bfloat16, PyTorch's fused kernel takes at least 1.5
    times as long; in float32 it is faster.
    """

    def __init__(self, layer: Attention) -> None:
        super().__init__()
        self.qkv, self.proj = (PackedLinear(linear.weight, linear.bias) for linear in (layer.qkv, layer.proj))
        self.heads = layer.num_heads

    def forward(self, x: Tensor, **_: object) -> Tensor:
        """(B, N, D) -> (B, N, D). timm's blocks also pass masks, which are None in a ViT."""
        queries, keys, values = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries = queries * queries.shape[-1] ** -0.5  # (B, heads, N, d), like keys and values
        mixed = torch.empty_like(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, d), stored like x
        for first in range(0, self.heads, _HEADS_PER_STEP):
            heads = slice(first, first + _HEADS_PER_STEP)
            attention = (queries[:, heads] @ keys[:, heads].mT).softmax(dim=-1)  # (B, 2, N, N)
            mixed[:, heads] = attention @ values[:, heads]
        attended: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return attended


class PackedConv(nn.Conv2d):
    """3x3 convolution of oneDNN, optionally followed by a ReLU.

    The output has the channels-last memory format.
    """

    def __init__(self, layer: nn.Conv2d, *, relu: bool = False) -> None:
        super().__init__(layer.in_channels, layer.out_channels, 3, padding=1, device="meta")
        self._geometry = ([1, 1], [1, 1], [1, 1], 1)  # padding, stride, dilation, groups
        packed = torch._C._nn.mkldnn_reorder_conv2d_weight(layer.weight.detach().to_mkldnn(), *self._geometry)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = layer.bias
        self.activation = "relu" if relu else "none"

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w), plus a residual of that shape instead of the ReLU."""
        convolution, weights = torch.ops.mkldnn._convolution_pointwise, (self.weight, self.bias, *self._geometry)
        output: Tensor
        if residual is None:
            output = convolution(input, *weights, self.activation, [], "")
        else:
            output = convolution.binary(input, residual, *weights, "add", 1.0, None, [], None)
        return output


class PackedResidualUnit(nn.Module):
    """Residual unit without batch norms, in three passes.

    The other convolutions are not replaced: 1x1 and strided ones get slower with packed weights, the rest hardly gains.
    """

    def __init__(self, unit: ResidualConvUnit) -> None:
        super().__init__()
        self.conv1 = PackedConv(unit.conv1, relu=True)
        self.conv2 = PackedConv(unit.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, h, w) -> (B, F, h, w)."""
        output: Tensor = self.conv2(self.conv1(F.relu(x)), x)
        return output
