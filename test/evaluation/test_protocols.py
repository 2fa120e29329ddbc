"""The official protocol against recorded scores of the authors' evaluator."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lseg_ros.evaluation.protocols import CITYSCAPES, OFFICIAL, OfficialProtocol, official_scores

CASES = json.loads((Path(__file__).parent / "data" / "evaluator_figures.json").read_text())["cases"]
TOLERANCE = 1e-4


class Formula:
    """A network whose logits are a mixture of the colors plus a wave.

    It records the shapes of its inputs.
    """

    def __init__(self, classes: int = 5) -> None:
        self.mixture = torch.tensor([[math.cos(1.3 * k + 2.1 * c) for c in range(3)] for k in range(classes)])
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, window: Tensor) -> Tensor:
        self.shapes.append(tuple(window.shape))
        rows, columns = (torch.arange(size, dtype=torch.float32) for size in window.shape[2:])
        classes = torch.arange(len(self.mixture))[:, None, None]
        wave = 0.1 * torch.sin(0.7 * classes + rows[:, None] / 7 + columns / 5)  # (K, h, w)
        return torch.einsum("kc,bchw->bkhw", self.mixture, window) + wave


def _image(*size: int) -> Tensor:
    return torch.randn((1, 3, *size), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CASES)
def test_scores_match_the_authors_evaluator(name: str) -> None:
    case, network = CASES[name], Formula()
    protocol = OfficialProtocol(scales=tuple(case["scales"]), flip=case["flip"])
    scores = official_scores(network, _image(*case["image"][2:]), protocol)
    expected = case["scores"]
    assert list(scores.shape) == expected["shape"]
    assert len(network.shapes) == case["n_forwards"]
    assert {shape[2:] for shape in network.shapes} == {tuple(shape) for shape in case["forward_shapes"]}
    index, recorded = zip(*expected["samples"])
    assert (scores.flatten()[list(index)] - torch.tensor(recorded)).abs().max() <= TOLERANCE
    figures = {"mean": scores.mean(), "std": scores.std(), "min": scores.min(), "max": scores.max()}
    for figure, value in figures.items():
        assert float(value) == pytest.approx(expected[figure], abs=TOLERANCE), figure
    histogram = torch.bincount(scores.argmax(1).flatten(), minlength=5)
    assert (histogram - torch.tensor(case["argmax_hist"])).abs().sum() <= 0.001 * scores[0, 0].numel()


@pytest.mark.parametrize(
    ("size", "all_scales", "one_scale"),
    [((360, 480), 36, 2), ((480, 640), 36, 2), ((512, 683), 36, 2), ((480, 480), 46, 4), ((300, 700), 22, 2)],
)
def test_runs_the_network_as_often_as_the_authors(size: tuple[int, int], all_scales: int, one_scale: int) -> None:
    for expected, protocol in ((all_scales, OFFICIAL), (one_scale, OfficialProtocol(scales=(1.0,), flip=False))):
        for shape in (size, size[::-1]):
            network = Formula(1)
            assert official_scores(network, _image(*shape), protocol).shape == (1, 1, *shape)
            assert len(network.shapes) == expected


@pytest.mark.parametrize("size", [(37, 90), (90, 37), (64, 64), (33, 200), (71, 130)])
def test_scores_match_a_direct_implementation_of_the_rules(size: tuple[int, int]) -> None:
    """Small windows give many borders; the direct implementation sums one window at a time."""
    protocol = OfficialProtocol(base_px=70, crop_px=48, scales=(0.5, 0.7, 1.0, 1.3))
    image, padding = _image(*size), (-1.0, 0.5, 2.0)
    assert torch.allclose(
        official_scores(Formula(3), image, protocol, padding),
        _scores_by_the_rules(Formula(3), image, protocol, padding),
        atol=1e-5,
    )


def test_cityscapes_has_other_windows_and_scales() -> None:
    assert (OFFICIAL.stride_px, CITYSCAPES.stride_px) == (320, 512)
    assert CITYSCAPES.scales == (0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25)
    network = Formula(1)
    official_scores(network, _image(64, 128), OfficialProtocol(2048, 768, (0.75, 1.0), flip=False))
    # 768x1536: 1 by 3 windows; 1024x2048: 2 by 4
    assert network.shapes == [(1, 3, 768, 768)] * (3 + 8)


def test_rejects_an_invalid_image_or_protocol() -> None:
    with pytest.raises(ValueError, match=r"image: expected \(1, 3, H, W\), got \(2, 3, 8, 8\)"):
        official_scores(Formula(), torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match="scales: expected at least one"):
        OfficialProtocol(scales=())


def _scores_by_the_rules(
    network: Callable[[Tensor], Tensor], image: Tensor, protocol: OfficialProtocol, padding: tuple[float, ...]
) -> Tensor:
    def resized(maps: Tensor, *size: int) -> Tensor:
        return torch.nn.functional.interpolate(maps, size=size, mode="bilinear", align_corners=True)

    def canvas(height: int, width: int) -> Tensor:
        return torch.tensor(padding)[None, :, None, None].repeat(1, 1, height, width)

    height, width = image.shape[2:]
    crop, stride = protocol.crop_px, int(protocol.crop_px * 2 / 3)
    result = torch.zeros(1, 3, height, width)
    for scale in protocol.scales:
        longer = math.ceil(protocol.base_px * scale)
        h = longer if height > width else int(height * longer / width + 0.5)
        w = int(width * longer / height + 0.5) if height > width else longer
        padded = canvas(max(h, crop), max(w, crop))
        padded[..., :h, :w] = resized(image, h, w)
        total, count = torch.zeros(3, *padded.shape[2:]), torch.zeros(padded.shape[2:])
        for row in range(math.ceil((padded.shape[2] - crop) / stride) + 1):
            for column in range(math.ceil((padded.shape[3] - crop) / stride) + 1):
                window = canvas(crop, crop)
                piece = padded[..., row * stride : row * stride + crop, column * stride : column * stride + crop]
                window[..., : piece.shape[2], : piece.shape[3]] = piece
                both = network(window) + network(window.flip(3)).flip(3)
                for i in range(piece.shape[2]):
                    total[:, row * stride + i, column * stride : column * stride + piece.shape[3]] += both[
                        0, :, i, : piece.shape[3]
                    ]
                    count[row * stride + i, column * stride : column * stride + piece.shape[3]] += 1
        result += resized((total / count)[None, :, :h, :w], height, width)
    return result
