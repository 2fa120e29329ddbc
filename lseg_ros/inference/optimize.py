"""Optimizations for inference: folded batch norms and prepacked weights."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Attention  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lseg_ros.model.backbone import Readout
from lseg_ros.model.decoder import ResidualConvUnit

__all__ = [
    "PackedAttention",
    "PackedConv",
    "PackedLinear",
    "PackedReadout",
    "PackedResidualUnit",
    "fold_batch_norms",
    "prepack_mkldnn",
]

_HEADS_PER_STEP = 2  # their attention weights stay in the cache between the two products
_OPERATIONS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")  # not in every PyTorch


def fold_batch_norms(module: nn.Module) -> None:
    """Fold every batch norm that follows a convolution into it, in place and in float32.

    The module must be in eval mode.
    """
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv.float(), norm.float()))
                setattr(parent, norm_name, nn.Identity())


def prepack_mkldnn(module: nn.Module) -> None:
    """Replace layers, in place, by ones with weights in the memory layout of oneDNN.

    Otherwise oneDNN converts the weights in each call. Operations that follow a layer become part of it: a GELU after
    a layer named ``fc1``, as in timm's blocks, and the activations and the sum of a residual unit, if its batch norms
    are folded. In bfloat16, attention becomes two matrix products and a softmax. Nothing happens if this PyTorch or
    this processor does not support it. Afterwards the module cannot be moved, trained or saved.
    """
    if all(_is_supported(dtype) for dtype in {parameter.dtype for parameter in module.parameters()}):
        _replace_layers(module)


def _replace_layers(module: nn.Module) -> None:
    activation = getattr(module, "act", None)
    fuses = isinstance(activation, nn.GELU) and activation.approximate == "none"
    for name, layer in list(module.named_children()):
        if type(layer) is nn.Linear:
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
    is_bfloat16 = layer.qkv.weight.dtype == torch.bfloat16
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
