"""The authors' order of operations, beside ours."""

from __future__ import annotations

import pytest
import torch

from benchmarks.lang_seg.comparison import compare
from benchmarks.lang_seg.official_order import OfficialOrder
from lseg_ros.benchmark.scaling import words
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.model import LSeg, load_lseg

TEXTS = ["floor", "a potted plant in the corner", "person"]


@pytest.fixture(scope="module")
def model(checkpoint: str) -> LSeg:
    return load_lseg(checkpoint)


def test_the_whole_context_gives_what_the_longest_text_gives(model: LSeg) -> None:
    torch.testing.assert_close(OfficialOrder(model).encode_text(TEXTS), model.encode_text(TEXTS))


@torch.no_grad()
def test_both_orders_give_the_same_logits_to_rounding(model: LSeg) -> None:
    image = torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    logits = OfficialOrder(model).logits(image, TEXTS)
    torch.testing.assert_close(logits, model(image, TEXTS), atol=1e-4, rtol=0)
    assert torch.equal(OfficialOrder(model).label_map(image, TEXTS), logits[0].argmax(dim=0))


@pytest.mark.parametrize(("precision", "delta"), [("float32", 1e-4), ("bfloat16", 2.0)])
def test_a_comparison_says_how_far_apart_the_two_are(checkpoint: str, precision: str, delta: float) -> None:
    segmenter = Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint, device="cpu", precision=precision))
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    found = compare(segmenter, load_lseg(checkpoint), segmenter.encode(words(7)), image, 0.01)
    assert found.max_delta < delta
    assert found.agreement > (0.999 if precision == "float32" else 0.8)
    assert found.speedup == found.official.median_ms / found.ours.median_ms
