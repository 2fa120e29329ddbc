"""Tests of pixel embeddings and their norm after upsampling."""

from __future__ import annotations

import pytest
import torch

from lseg_ros.inference.embeddings import PixelEmbeddings, upsampled_norm
from lseg_ros.model import LSeg
from lseg_ros.model.decoder import upsample2x
from test.support.tiny_network import CONFIG


@pytest.mark.parametrize("shape", [(1, 16, 8, 10), (2, 3, 2, 5), (1, 128, 16, 8)])
def test_norm_equals_that_of_the_upsampled_map(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(upsampled_norm(x), upsample2x(x).norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_pixels_equal_those_of_the_network() -> None:
    torch.manual_seed(0)
    model, image = LSeg(CONFIG).eval(), torch.randn(1, 3, 64, 96)
    low_res = model.encode_low_res(image)
    assert low_res.shape == (1, 16, 16, 24)
    embedded = PixelEmbeddings(low_res, upsampled_norm(low_res), (64, 96), (64, 96))
    torch.testing.assert_close(embedded.pixels, model.encode_image(image), rtol=0, atol=1e-5)
