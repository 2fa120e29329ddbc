"""A loaded network made ready for inference only: fewer layers, weights as the processor likes them."""

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

_HEADS_AT_ONCE = 2  # whose table of attention is in the cache between the two products
_OPERATIONS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")  # not in every PyTorch


def fold_batch_norms(module: nn.Module) -> None:
    """Every batch norm that follows a convolution becomes part of it, in place and in float32; in eval mode only."""
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv.float(), norm.float()))
                setattr(parent, norm_name, nn.Identity())


def prepack_mkldnn(module: nn.Module) -> None:
    """Give linear layers and residual units, in place, weights in oneDNN's own layout: it else makes that in each call.

    What follows a layer becomes part of it: a GELU behind one called ``fc1``, as in timm's blocks, and all that a
    residual unit does to the outputs of its convolutions, if its batch norms are folded by then. In bfloat16 attention
    is computed by two products and a softmax. Nothing happens where this PyTorch or this processor cannot do it.
    Afterwards the module cannot be moved, trained or saved.
    """
    if all(_can_pack(dtype) for dtype in {each.dtype for each in module.parameters()}):
        _pack(module)


def _pack(module: nn.Module) -> None:
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
            _pack(layer)


def _is_plain(layer: Attention) -> bool:
    """Whether attention is in bfloat16 and no more than a ViT's: no norms of queries and keys, no gates."""
    extras = [getattr(layer, name, None) for name in ("q_norm", "k_norm", "norm", "gate")]  # some in some timm
    return layer.qkv.weight.dtype == torch.bfloat16 and all(isinstance(e, (nn.Identity, type(None))) for e in extras)


def _can_pack(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, each) for each in _OPERATIONS):
        return False
    asked = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}.get(dtype)
    return asked is None or bool(hasattr(torch.ops.mkldnn, asked) and getattr(torch.ops.mkldnn, asked)())


class PackedLinear(nn.Linear):
    """A linear layer of oneDNN, with a GELU behind it where asked for."""

    def __init__(self, weight: Tensor, bias: nn.Parameter | None, *, gelu: bool = False) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = bias  # type: ignore[assignment]  # None as in any linear layer
        self.activation = "gelu" if gelu else "none"

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, self.activation, [], "none")
        return output


class PackedReadout(nn.Module):
    """A readout of two layers, of which the class token's has the bias."""

    def __init__(self, layer: Readout) -> None:
        super().__init__()
        of_patch, of_cls = layer.weight.chunk(2, dim=1)  # (out, D)
        self.of_patch, self.of_cls = PackedLinear(of_patch, None), PackedLinear(of_cls, layer.bias)

    def forward(self, patches: Tensor, cls: Tensor) -> Tensor:
        """(B, N, D), (B, 1, D) -> (B, N, out)."""
        output: Tensor = self.of_patch(patches) + self.of_cls(cls)
        return output


class PackedAttention(nn.Module):
    """Attention of a ViT in bfloat16, for two heads after the other as two products and a softmax.

    PyTorch's fused kernel takes half as long again and more on a CPU in bfloat16; in float32 it is the faster one.
    """

    def __init__(self, layer: Attention) -> None:
        super().__init__()
        self.qkv, self.proj = (PackedLinear(each.weight, each.bias) for each in (layer.qkv, layer.proj))
        self.heads = layer.num_heads

    def forward(self, x: Tensor, **_: object) -> Tensor:
        """(B, N, D) -> the same; timm's blocks hand on masks, of which a ViT has none."""
        queries, keys, values = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries = queries * queries.shape[-1] ** -0.5  # (B, heads, N, d), as keys and values
        mixed = torch.empty_like(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # the same, in the order of x
        for first in range(0, self.heads, _HEADS_AT_ONCE):
            some = slice(first, first + _HEADS_AT_ONCE)
            share = (queries[:, some] @ keys[:, some].mT).softmax(dim=-1)  # (B, 2, N, N)
            mixed[:, some] = share @ values[:, some]
        attended: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return attended


class PackedConv(nn.Conv2d):
    """A 3x3 convolution of oneDNN, with a ReLU behind it where asked for; its output is in channels-last order."""

    def __init__(self, layer: nn.Conv2d, *, relu: bool = False) -> None:
        super().__init__(layer.in_channels, layer.out_channels, 3, padding=1, device="meta")
        self._how = ([1, 1], [1, 1], [1, 1], 1)  # padding, stride, dilation, groups
        packed = torch._C._nn.mkldnn_reorder_conv2d_weight(layer.weight.detach().to_mkldnn(), *self._how)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = layer.bias
        self.activation = "relu" if relu else "none"

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w), with something of that shape added to it (instead of a ReLU)."""
        convolution, weights = torch.ops.mkldnn._convolution_pointwise, (self.weight, self.bias, *self._how)
        output: Tensor
        if residual is None:
            output = convolution(input, *weights, self.activation, [], "")
        else:
            output = convolution.binary(input, residual, *weights, "add", 1.0, None, [], None)
        return output


class PackedResidualUnit(nn.Module):
    """A residual unit without batch norms, in three passes.

    Of a network's other convolutions some are slower with packed weights (1x1, stride 2), and the rest little faster.
    """

    def __init__(self, unit: ResidualConvUnit) -> None:
        super().__init__()
        self.conv1 = PackedConv(unit.conv1, relu=True)
        self.conv2 = PackedConv(unit.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, h, w) -> the same."""
        output: Tensor = self.conv2(self.conv1(F.relu(x)), x)
        return output
