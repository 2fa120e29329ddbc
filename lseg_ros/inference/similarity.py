"""How much each pixel of a frame looks like a text, from what the network already made of it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.inference.embeddings import PixelEmbeddings
from lseg_ros.inference.postprocess import upsample
from lseg_ros.model.decoder import double

__all__ = ["similarity"]


@torch.inference_mode()
def similarity(embedded: PixelEmbeddings, word: Tensor) -> NDArray[np.float32]:
    """(H, W) float32, -1 to 1: the cosine of every pixel and a text's embedding (C,), upsampled as the labels are.

    It is what the logits are without their scale of 1/0.07, and without the optional blocks of the paper's section 3.4,
    which only mean something among several labels.
    """
    coarse = F.conv2d(embedded.coarse.float(), word[None, :, None, None])  # (1, 1, h'/4, w'/4)
    cosine = double(coarse).div_(embedded.norm)  # (1, 1, h'/2, w'/2)
    pixels: NDArray[np.float32] = upsample(cosine, embedded.filled, embedded.size)[0].clamp(-1, 1).cpu().numpy()
    return pixels
