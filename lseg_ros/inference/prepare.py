"""A loaded network made ready for inference only: fewer layers, weights as the processor likes them."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["PackedLinear", "fold_batch_norms", "pack_linears"]


def fold_batch_norms(module: nn.Module) -> None:
    """Every batch norm that follows a convolution becomes part of it, in place and in float32; in eval mode only."""
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv.float(), norm.float()))
                setattr(parent, norm_name, nn.Identity())


def pack_linears(module: nn.Module) -> None:
    """Give every linear layer, in place, its weights in oneDNN's own layout, which it else makes anew in each call.

    A GELU after a first layer called ``fc1``, as in timm's blocks, becomes part of that layer. Nothing happens where
    PyTorch has no oneDNN. Afterwards the module cannot be moved, trained or saved.
    """
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return
    for parent in list(module.modules()):
        activation = getattr(parent, "act", None)
        fuses = isinstance(activation, nn.GELU) and activation.approximate == "none"
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear:
                setattr(parent, name, PackedLinear(layer, gelu=fuses and name == "fc1"))
                if fuses and name == "fc1":
                    parent.act = nn.Identity()


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
