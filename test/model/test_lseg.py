"""Tests of the network, partly against recorded figures of the official code."""

import dataclasses
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lseg_ros.model import PRESETS, LSeg, LSegConfig
from lseg_ros.model.decoder import upsample2x
from lseg_ros.model.key_mapping import to_official_key
from lseg_ros.model.lseg import LOGIT_SCALE, SpatialRegularization
from test.support.fill import fill
from test.support.official_half import OfficialHalf
from test.support.tiny_network import CONFIG

DATA = Path(__file__).parent / "data"
FIGURES = json.loads((DATA / "network_figures.json").read_text())
MORE_FIGURES = json.loads((DATA / "more_figures.json").read_text())["cases"]
TOLERANCE = 1e-4  # differences of float32 sums in another order


@pytest.fixture(scope="module")
def official() -> LSeg:
    """The official ViT-L/16 with a regularization and the weights of the recorded figures."""
    return build_filled(dataclasses.replace(PRESETS["vitl16"], arch_option=1, block_depth=2))


def build_filled(config: LSegConfig) -> LSeg:
    """Build a network with the weights of the recorded figures."""
    with torch.device("meta"):
        model = LSeg(config)
    names = {name: to_official_key(name, config) for name in model.state_dict()}
    weights = fill({names[name]: value for name, value in model.state_dict().items()})
    model.load_state_dict({name: weights[official] for name, official in names.items()}, assign=True)
    return model.eval()


@pytest.fixture(scope="module")
def block(official: LSeg) -> SpatialRegularization:
    assert official.regularization is not None
    return official.regularization


def build_smallest() -> LSeg:
    torch.manual_seed(0)
    return LSeg(CONFIG).eval()


@pytest.fixture
def tiny() -> LSeg:
    """A small network with random weights."""
    torch.manual_seed(0)
    return LSeg(PRESETS["demo_vit"]).eval()


@pytest.mark.parametrize("name", FIGURES["cases"])
def test_logits_equal_those_of_the_official_code(official: LSeg, block: SpatialRegularization, name: str) -> None:
    case = FIGURES["cases"][name]
    official.regularization = block if case["arch_option"] else None
    image = torch.randn(case["image"], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), _record_stages(official) as seen:
        logits = official(image, FIGURES["labels"])
    _assert_samples(logits, case["logits"]["samples"])
    histogram = torch.bincount(logits.argmax(1).flatten(), minlength=5)
    assert (histogram - torch.tensor(case["argmax_hist"])).abs().sum() <= 0.001 * logits[0, 0].numel()
    for stage, expected in case.get("intermediates", {}).items():
        assert list(seen[stage].shape) == expected["shape"], stage
        _assert_samples(seen[stage], expected["samples"])


@pytest.mark.parametrize("name", [name for name in MORE_FIGURES if name.startswith("vitl16")])
def test_logits_with_other_blocks_and_in_half_precision_equal_the_official_ones(official: LSeg, name: str) -> None:
    case = MORE_FIGURES[name]
    changes = {field: case[field] for field in ("arch_option", "block_depth", "activation")}
    with torch.device("meta"):
        model = LSeg(dataclasses.replace(official.config, **changes)).eval()
    weights = official.state_dict()
    model.load_state_dict({name: weights[name] for name in model.state_dict()}, assign=True)
    _assert_case(OfficialHalf(model) if case["half"] else model, case)


@pytest.mark.parametrize("name", [name for name in MORE_FIGURES if not name.startswith("vitl16")])
def test_logits_of_the_other_networks_equal_the_official_ones(name: str) -> None:
    case = MORE_FIGURES[name]
    changes = {field: case[field] for field in ("arch_option", "block_depth", "activation")}
    _assert_case(build_filled(dataclasses.replace(PRESETS[case["preset"]], **changes)), case)


def test_pixel_and_word_embeddings_are_unit_vectors_of_the_same_size(tiny: LSeg) -> None:
    words = tiny.encode_text(["floor", "chair"])
    pixels = tiny.encode_image(torch.randn(2, 3, 64, 96))
    assert words.shape == (2, 128)
    assert pixels.shape == (2, 128, 32, 48)
    assert torch.allclose(words.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.allclose(pixels.norm(dim=1), torch.ones(2, 32, 48), atol=1e-5)


def test_logits_are_scaled_cosines_in_the_order_of_the_words(tiny: LSeg) -> None:
    words, pixels = tiny.encode_text(["floor", "chair", "dog"]), tiny.encode_image(torch.randn(1, 3, 64, 64))
    logits = tiny.correlate(pixels, words)
    assert torch.allclose(logits[0, 1, 5, 7], LOGIT_SCALE * (pixels[0, :, 5, 7] @ words[1]), atol=1e-4)
    assert torch.allclose(tiny.correlate(pixels, words[[2, 0, 1]]), logits[:, [2, 0, 1]], atol=1e-5)


def test_logits_have_the_size_of_the_image_for_words_and_embeddings(tiny: LSeg) -> None:
    image = torch.randn(1, 3, 64, 96)
    by_word = tiny(image, ["floor", "chair"])
    assert by_word.shape == (1, 2, 64, 96)
    assert torch.equal(by_word, tiny(image, tiny.encode_text(["floor", "chair"])))


@given(height=st.integers(32, 140), width=st.integers(32, 140))
@settings(max_examples=25)
def test_pads_any_image_with_the_mean_color_and_crops_the_logits(height: int, width: int) -> None:
    model, words = build_smallest(), ["floor", "chair"]
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = model(image, words)
        grid = torch.zeros(1, 3, -(-height // 32) * 32, -(-width // 32) * 32)
        grid[..., :height, :width] = image
        half = model.correlate(model.encode_image(grid), model.encode_text(words))
        whole = torch.nn.functional.interpolate(half, scale_factor=2, mode="bilinear", align_corners=True)
    assert logits.shape == (1, 2, height, width)
    assert torch.equal(logits, whole[..., :height, :width])


@pytest.mark.parametrize("size", [(31, 64), (64, 16)])
def test_rejects_images_that_are_too_small(tiny: LSeg, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="image: expected H and W of at least 32, got"):
        tiny(torch.zeros(1, 3, *size), ["floor"])


def test_half_precision_rounds_like_the_official_forward() -> None:
    """Check single pixels and words: the order of roundings is that of the authors' forward."""
    model = OfficialHalf(build_smallest())
    pixels = model.encode_image(torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    words = model.encode_text(["floor", "chair", "dog"])
    logits = model.correlate(pixels, words)
    assert logits.dtype == words.dtype == torch.float32
    assert torch.equal(words, words.half().float())  # normalized in half
    for row, column, word in ((0, 0, 0), (3, 7, 1), (15, 9, 2)):
        scaled = (pixels[0, :, row, column].half().float() * LOGIT_SCALE).half()
        product = (scaled.double() @ words[word].half().double()).half().item()
        ulp = 2 ** (math.frexp(product)[1] - 11)  # a sum in another order may round differently
        assert logits[0, word, row, column].item() == pytest.approx(product, abs=ulp)


@torch.no_grad()
def test_official_half_precision_hardly_changes_logits() -> None:
    model = build_smallest()
    half = OfficialHalf(model)
    assert half.head.weight.dtype == torch.float32
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    difference = (half(image, ["floor", "dog"]) - model(image, ["floor", "dog"])).abs().max()
    assert 0 < difference < 0.02


@pytest.mark.parametrize("shape", [(1, 3, 60, 64), (1, 3, 64, 70), (3, 64, 64), (1, 4, 64, 64)])
def test_rejects_images_of_the_wrong_shape(tiny: LSeg, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"image: expected \(B, 3, H, W\) with H and W multiples of 32, got"):
        tiny.encode_image(torch.zeros(shape))


@pytest.mark.parametrize(("option", "activation"), [(1, "lrelu"), (2, "tanh"), (2, "relu")])
def test_spatial_regularization_treats_all_labels_alike(option: int, activation: str) -> None:
    torch.manual_seed(0)
    model = LSeg(
        dataclasses.replace(PRESETS["demo_vit"], arch_option=option, block_depth=2, activation=activation)
    ).eval()
    pixels, words = model.encode_image(torch.randn(1, 3, 64, 64)), model.encode_text(["floor", "chair", "dog"])
    logits = model.correlate(pixels, words)
    assert torch.allclose(model.correlate(pixels, words[[1, 2, 0]]), logits[:, [1, 2, 0]], atol=1e-5)


def test_feature_maps_of_vitb32_have_the_right_strides() -> None:
    with torch.device("meta"):
        model = LSeg(PRESETS["vitb32"])
        maps = model.backbone(torch.empty(1, 3, 384, 480))
    assert [tuple(level.shape) for level in maps] == [
        (1, 96, 96, 120),
        (1, 192, 48, 60),
        (1, 384, 24, 30),
        (1, 768, 12, 15),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taps": (2,)}, "taps: expected 2 ascending"),
        ({"taps": (2, 10)}, "taps: expected indices of 10 blocks"),
        ({"arch_option": 3}, "arch_option: expected integers from 0 to 2, got 3"),
        ({"activation": "gelu"}, "activation: expected lrelu, tanh or relu, got 'gelu'"),
        ({"stem": (8, 16, 32)}, "stem: expected channels"),
        ({"patch_size": 14}, "patch_size: expected 16"),
        ({"classifier": (1280,)}, r"classifier: expected its hidden channels and classes, got \(1280,\)"),
        ({"map_scale": 0}, "map_scale: expected a number from 1e-6 to 1e6, got 0"),
        ({"block_depth": -1}, "block_depth: expected integers from 0 to 256, got -1"),
        ({"heads": 0}, "heads: expected a divisor of the width 192, got 0"),
        ({"image_std": (1.0, 0.0, 1.0)}, "image_std: expected three numbers from 0.001 to 1000"),
        ({"resnet": (3, 4, 23)}, "resnet: expected the number of blocks of four stages"),
        ({"resnet": (3, 4, 23, 3)}, "resnet: expected no width, depth, heads, taps or stem"),
    ],
)
def test_rejects_invalid_architectures(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PRESETS["demo_vit"], **change)


def test_presets_are_architectures() -> None:
    assert all(isinstance(config, LSegConfig) for config in PRESETS.values())


@contextmanager
def _record_stages(model: LSeg) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of the stages that the figures name.

    The figures have the outputs of fusions and head after upsampling, which our modules leave to their callers.
    """
    stages = {f"vit_block_{tap}": f"backbone.vit.blocks.{tap}" for tap in model.config.taps}
    for level in range(4):
        stages[f"layer_{level + 1}"] = f"backbone.reassemble.{level}"
        stages[f"layer_{level + 1}_rn"] = f"decoder.lateral.{level}"
        stages[f"path_{level + 1}"] = f"decoder.fusion.{level}"
    stages |= {"head1": "head", "text_raw": "text_encoder"}
    seen: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        seen[name] = upsample2x(output) if name.startswith(("path", "head1")) else output

    hooks = [
        model.get_submodule(path).register_forward_hook(lambda _module, _args, output, name=name: keep(name, output))
        for name, path in stages.items()
    ]
    correlate = model.correlate

    def recorded(pixels: Tensor, text: Tensor) -> Tensor:
        seen["logits_lowres"] = correlate(pixels, text)
        return seen["logits_lowres"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "correlate", recorded)
        yield seen
    for hook in hooks:
        hook.remove()


def _assert_case(model: LSeg, case: dict[str, Any]) -> None:
    """Compare logits with a recorded case.

    In half precision, a difference of 1e-6 may round to 0.001. oneDNN is not used then: on CPUs with float16 arithmetic
    (AVX512_FP16) it also rounds the sums.
    """
    image = torch.randn(case["image"], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=not case["half"]):
        logits = model(image, case["words"])
    _assert_samples(logits, case["samples"], 2e-3 if case["half"] else TOLERANCE)
    histogram = torch.bincount(logits.argmax(1).flatten(), minlength=len(case["words"]))
    assert (histogram - torch.tensor(case["argmax_hist"])).abs().sum() <= 0.001 * logits[0, 0].numel()


def _assert_samples(tensor: Tensor, samples: list[tuple[int, float]], tolerance: float = TOLERANCE) -> None:
    indices, values = zip(*samples)
    difference = (tensor.flatten()[list(indices)] - torch.tensor(values)).abs().max()
    assert difference <= tolerance
