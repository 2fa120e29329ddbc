"""Tests of networks with a backbone of timm; all weights are random."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lseg_ros.model import LSeg, LSegConfig, load_lseg
from lseg_ros.model.checkpoint import save_lseg, save_official
from lseg_ros.model.decoder import ClassifierBranch
from lseg_ros.model.timm_backbone import timm_config
from test.support.tiny_network import CONFIG

# name and depth (0: timm's): a class token, without one, registers, rotary positions, patches of 8, 14, 16 and 32
VITS = [
    ("vit_tiny_patch16_224", 12),
    ("vit_medium_patch16_gap_240", 4),
    ("vit_small_patch14_reg4_dinov2", 4),
    ("vit_tiny_patch16_dinov3_qkvb", 4),
    ("vit_small_patch8_224", 4),
    ("vit_small_patch32_224", 4),
]
PYRAMIDS = ["convnext_atto", "efficientnet_lite0", "resnet18", "swin_tiny_patch4_window7_224", "mambaout_femto"]


def network(name: str, depth: int = 0, **sizes: Any) -> LSeg:
    torch.manual_seed(0)
    return LSeg(timm_config(name, CONFIG.text, depth=depth, features=16, **sizes)).eval()


def write_metadata(folder: Path, **changes: Any) -> Path:
    """Write a network of timm with other values in the architecture of its metadata."""
    save_lseg(network("resnet18"), folder / "timm.safetensors")
    fields = dataclasses.asdict(timm_config("resnet18", CONFIG.text, features=16)) | changes
    path = folder / "changed.safetensors"
    save_file(load_file(folder / "timm.safetensors"), path, metadata={"config": json.dumps(fields)})
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail at any connection."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@torch.inference_mode()
@pytest.mark.parametrize("name, depth", [*VITS, *((name, 0) for name in PYRAMIDS)])
def test_is_saved_and_loaded_by_file_name_alone(name: str, depth: int, tmp_path: Path) -> None:
    model = network(name, depth)
    save_lseg(model, tmp_path / "named.safetensors")
    loaded = load_lseg(tmp_path / "named.safetensors")
    assert loaded.config == model.config
    image = torch.randn(1, 3, 64, 96)
    expected = model.encode_image(image)
    assert expected.shape == (1, 16, 32, 48)
    torch.testing.assert_close(loaded.encode_image(image), expected, rtol=0, atol=1e-5)


def test_taps_a_vit_after_each_quarter_of_its_blocks() -> None:
    config = timm_config("vit_tiny_patch16_224", CONFIG.text)
    assert (config.depth, config.taps, config.reassemble) == (12, (2, 5, 8, 11), (24, 48, 96, 192))
    assert timm_config("vit_tiny_patch16_224", CONFIG.text, depth=8).taps == (1, 3, 5, 7)


@torch.inference_mode()
def test_reads_patches_of_14_pixels_from_an_image_of_seven_eighths_the_size() -> None:
    model = network("vit_small_patch14_reg4_dinov2", 4)
    sizes: list[torch.Size] = []
    model.backbone.get_submodule("vit.patch_embed").register_forward_hook(
        lambda _, inputs, __: sizes.append(inputs[0].shape)
    )
    model.encode_low_res(torch.randn(1, 3, 64, 96))
    assert sizes == [(1, 3, 56, 84)]


@torch.inference_mode()
def test_registers_are_no_part_of_the_feature_maps() -> None:
    backbone = network("vit_small_patch14_reg4_dinov2", 4).backbone
    taps: list[torch.Tensor] = []
    backbone.get_submodule("reassemble.0").register_forward_hook(lambda _, inputs, __: taps.append(inputs[0]))
    backbone(torch.randn(1, 3, 64, 96))
    assert taps[0].shape == (1, 1 + 4 * 6, 384)  # class token and patches


def test_without_a_class_token_there_is_no_readout() -> None:
    names = network("vit_medium_patch16_gap_240", 4).state_dict()
    assert not any("readout" in name for name in names)
    assert any("readout" in name for name in network("vit_tiny_patch16_224", 4).state_dict())


def test_the_images_are_normalized_as_the_tag_of_the_weights_says() -> None:
    assert timm_config("tf_efficientnet_lite0", CONFIG.text).image_mean == (0.5, 0.5, 0.5)
    config = timm_config("resnet18.a1_in1k", CONFIG.text)
    assert (config.timm, config.image_mean) == ("resnet18", (0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    "name, depth, message",
    [
        ("no_such_network", 0, "expected the name of a network of timm .*, got 'no_such_network'"),
        ("resnet18.no_such_tag", 0, "expected a tag of weights of resnet18, got 'resnet18.no_such_tag'"),
        ("hf-hub:someone/something", 0, "expected the name of a network of timm"),
        ("beit_base_patch16_224", 0, "for images of any size, got beit_base_patch16_224"),
        ("levit_128", 0, r"expected feature maps at stride \(4, 8, 16, 32\), got those of levit_128"),
        ("maxvit_tiny_tf_224", 0, "for images of any size, got maxvit_tiny_tf_224"),
        ("resnet18", 4, "depth: expected 0, only plain ViTs can have other depths, got 4 for resnet18"),
        ("vit_tiny_patch16_224", 3, "depth: expected at least 4 blocks"),
    ],
)
def test_rejects_networks_that_cannot_be_a_backbone(name: str, depth: int, message: str, offline: None) -> None:
    with pytest.raises(ValueError, match=message):
        timm_config(name, CONFIG.text, depth=depth)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"timm": "hf-hub:someone/something"}, "expected the name of a network of timm"),
        ({"timm": "local-dir:/etc"}, "expected the name of a network of timm"),
        ({"timm": 7}, "timm: expected a name, got 7"),
        ({"timm": "vit_7b_patch16_dinov3", "depth": 40, "taps": [9, 19, 29, 39]}, "reassemble|missing"),
        ({"timm": "resnet18", "depth": 4, "taps": [0, 1, 2, 3]}, "for images of any size, got resnet18"),
        ({"taps": [1, 2, 3, 9]}, "expected"),
        ({"depth": 10**9}, "depth: expected integers from 0 to 256, got 1000000000"),
        ({"features": 10**12}, "features: expected integers from 1 to 65536"),
        ({"features": 65536}, "of another shape"),
        ({"depth": 1e300}, "depth: expected integers"),
        ({"reassemble": [64, 128, 256, 10**15]}, "reassemble: expected integers"),
        ({"reassemble": [64, 128, 256, 1024]}, r"reassemble: expected \(64, 128, 256, 512\) for resnet18"),
    ],
)
def test_rejects_hostile_metadata_without_a_download(
    changes: dict[str, Any], message: str, tmp_path: Path, offline: None
) -> None:
    path = write_metadata(tmp_path, **changes)
    with pytest.raises(ValueError, match=rf"^checkpoint .*changed.safetensors: .*{message}"):
        load_lseg(path)


def test_cannot_be_written_for_the_code_of_the_authors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an official network: expected no stem, no backbone of timm"):
        save_official(network("resnet18"), tmp_path / "official.ckpt")


def test_a_network_of_timm_excludes_other_backbones() -> None:
    config = timm_config("resnet18", CONFIG.text)
    with pytest.raises(ValueError, match="timm: expected no resnet, stem or heads"):
        dataclasses.replace(config, stem=(8, 64, 128))
    with pytest.raises(ValueError, match="taps: expected four ascending indices"):
        dataclasses.replace(config, taps=(1, 2, 3))
    with pytest.raises(ValueError, match="patch_size: expected integers from 1 to 256, got 0"):
        LSegConfig(**{**vars(config), "patch_size": 0})


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenetv3_small_050", "resnet18"])
def test_rejects_a_classifier_branch_with_other_layers(name: str) -> None:
    with pytest.raises(ValueError, match=f"classifier: expected the layers of an EfficientNet-Lite .*, got {name}"):
        timm_config(name, CONFIG.text, classifier=True)


def test_a_classifier_branch_has_the_sizes_of_the_classifier() -> None:
    assert timm_config("tf_efficientnet_lite0", CONFIG.text, classifier=True).classifier == (1280, 1000)


def test_a_classifier_branch_averages_the_words_of_neighboring_locations() -> None:
    branch = ClassifierBranch(4, hidden=8, classes=5, embed_dim=3).eval()
    features = torch.randn(1, 4, 5, 6)
    with torch.inference_mode():
        result = branch(features)
        single = branch.words(branch.classify(features).softmax(dim=1))
    assert torch.allclose(result[..., 2, 3], single[..., 1:4, 2:5].mean(dim=(-2, -1)), atol=1e-6)
    assert torch.allclose(result[..., 0, 0], single[..., :2, :2].mean(dim=(-2, -1)), atol=1e-6)  # no padding
