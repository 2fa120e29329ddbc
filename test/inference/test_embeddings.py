"""Pixel embeddings at a quarter of the image, and what they are once doubled and normalized."""

from __future__ import annotations

import pytest
import torch

from lseg_ros.inference.embeddings import PixelEmbeddings, doubled_norm
from lseg_ros.model import LSeg
from lseg_ros.model.decoder import double
from test.support.tiny_network import CONFIG


@pytest.mark.parametrize("shape", [(1, 16, 8, 10), (2, 3, 2, 5), (1, 128, 16, 8)])
def test_the_norm_is_that_of_the_doubled_map(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(doubled_norm(x), double(x).norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_pixels_are_the_network_s_own() -> None:
    torch.manual_seed(0)
    model, image = LSeg(CONFIG).eval(), torch.randn(1, 3, 64, 96)
    coarse = model.encode_coarse(image)
    assert coarse.shape == (1, 16, 16, 24)
    embedded = PixelEmbeddings(coarse, doubled_norm(coarse), (64, 96), (64, 96))
    torch.testing.assert_close(embedded.pixels, model.encode_image(image), rtol=0, atol=1e-5)
