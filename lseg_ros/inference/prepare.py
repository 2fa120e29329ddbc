"""A loaded network made ready for inference only: fewer layers, weights as the processor likes them."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lseg_ros.model.decoder import ResidualConvUnit

__all__ = ["PackedConv", "PackedLinear", "PackedResidualUnit", "fold_batch_norms", "pack"]

_OPERATIONS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")  # not in every PyTorch


def fold_batch_norms(module: nn.Module) -> None:
    """Every batch norm that follows a convolution becomes part of it, in place and in float32; in eval mode only."""
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv.float(), norm.float()))
                setattr(parent, norm_name, nn.Identity())


def pack(module: nn.Module) -> None:
    """Give linear layers and residual units, in place, weights in oneDNN's own layout: it else makes that in each call.

    What follows a layer becomes part of it: a GELU behind one called ``fc1``, as in timm's blocks, and all that a
    residual unit does to the outputs of its convolutions, if its batch norms are folded by then. Nothing happens where
    this PyTorch or this processor cannot do it. Afterwards the module cannot be moved, trained or saved.
    """
    if all(_can_pack(dtype) for dtype in {each.dtype for each in module.parameters()}):
        _pack(module)


def _pack(module: nn.Module) -> None:
    activation = getattr(module, "act", None)
    fuses = isinstance(activation, nn.GELU) and activation.approximate == "none"
    for name, layer in list(module.named_children()):
        if type(layer) is nn.Linear:
            setattr(module, name, PackedLinear(layer, gelu=fuses and name == "fc1"))
            if fuses and name == "fc1":
                module.act = nn.Identity()
        elif type(layer) is ResidualConvUnit and isinstance(layer.bn1, nn.Identity):
            setattr(module, name, PackedResidualUnit(layer))
        else:
            _pack(layer)


def _can_pack(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, each) for each in _OPERATIONS):
        return False
    asked = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}.get(dtype)
    return asked is None or bool(hasattr(torch.ops.mkldnn, asked) and getattr(torch.ops.mkldnn, asked)())


class PackedLinear(nn.Linear):
    """A linear layer of oneDNN, with a GELU behind it where asked for."""

    def __init__(self, layer: nn.Linear, *, gelu: bool = False) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")
        packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = layer.bias
        self.activation = "gelu" if gelu else "none"

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, self.activation, [], "none")
        return output


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
