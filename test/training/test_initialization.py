"""Initial weights of a run, from every kind of file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.resnet import Bottleneck, ResNet
from timm.models.vision_transformer import VisionTransformer

from lseg_ros.model import PRESETS, LSeg, load_lseg
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.model.config import IMAGENET_MEAN, IMAGENET_STD, RESNET_CHANNELS
from lseg_ros.model.named import parse_text_tower
from lseg_ros.model.text_encoder import TextEncoder
from lseg_ros.training.initialization import InitializationConfig, build_initial_network
from test.support.tiny_network import CONFIG, write_tiny


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values())
    return all(torch.equal(a, b) for a, b in pairs)


def test_default_is_a_random_demo_network_with_the_packaged_text_encoder() -> None:
    torch.manual_seed(0)
    model, packaged = build_initial_network(InitializationConfig(pretrained="random")), load_lseg("demo")
    assert model.config == PRESETS["demo"]
    assert same(model.text_encoder, packaged.text_encoder)
    assert not same(model.decoder, packaged.decoder)
    assert not any(parameter.requires_grad for parameter in model.text_encoder.parameters())
    frozen = [name for name, value in model.decoder.named_parameters() if not value.requires_grad]
    assert frozen
    assert all(name.startswith("classifier.") for name in frozen)


def test_loads_an_lseg(tmp_path: Path) -> None:
    file = write_tiny(tmp_path)
    model = build_initial_network(InitializationConfig(init=file))
    assert model.config == CONFIG
    assert same(model, load_lseg(file))


def test_adds_a_regularization_to_an_lseg(tmp_path: Path) -> None:
    file = write_tiny(tmp_path)
    model = build_initial_network(InitializationConfig(init=file, arch_option=1, block_depth=2))
    assert (model.config.arch_option, model.config.block_depth) == (1, 2)
    assert model.regularization is not None
    assert same(model.backbone, load_lseg(file).backbone)


def test_rejects_a_preset_that_does_not_match_the_file() -> None:
    with pytest.raises(
        ValueError, match=r"preset: expected that of demo \(demo\) or the same with more blocks, got vitb32"
    ):
        build_initial_network(InitializationConfig(preset="vitb32", init="demo"))


def test_added_blocks_do_not_change_the_output_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_lseg(write_tiny(tmp_path))
    deeper = dataclasses.replace(CONFIG, depth=CONFIG.depth + 2, taps=(*CONFIG.taps[:-1], CONFIG.depth + 1))
    monkeypatch.setitem(PRESETS, "demo", deeper)
    model = build_initial_network(InitializationConfig(preset="demo", init=write_tiny(tmp_path))).eval()
    assert model.config == deeper
    image, text = torch.rand(2, 3, 64, 96), before.encode_text(["floor", "wall"])
    assert torch.equal(model(image, text), before(image, text))
    model(image, text).square().sum().backward()
    for block in model.backbone.get_submodule("vit.blocks").children():  # added blocks receive gradients
        gradient = block.get_parameter("attn.proj.weight").grad
        assert gradient is not None
        assert gradient.any()


def test_rejects_a_preset_with_fewer_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deeper = tmp_path / "deeper.safetensors"
    save_lseg(LSeg(dataclasses.replace(CONFIG, depth=6)), deeper)
    monkeypatch.setitem(PRESETS, "demo", CONFIG)
    with pytest.raises(ValueError, match=r"\(none, leave it empty\) or the same with more blocks, got demo"):
        build_initial_network(InitializationConfig(preset="demo", init=str(deeper)))


def test_a_preset_without_packaged_weights_downloads_those_of_the_authors(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[str, object]] = []

    def create(name: str, pretrained: object) -> LSeg:
        requests.append((name, pretrained))
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(open_clip, "create_model", create)
    for config in (
        InitializationConfig(preset="vitb32"),
        InitializationConfig(preset="vitb32", pretrained="random"),
    ):
        with pytest.raises(ConnectionError, match=r"could not be downloaded, pass a file instead \(no network\)"):
            build_initial_network(config)
    assert requests == [("vit_base_patch32_384", True), ("ViT-B-32", "openai")]


def test_loads_a_vit_of_timm_into_the_image_backbone(tmp_path: Path) -> None:
    vit = VisionTransformer(img_size=64, patch_size=16, embed_dim=32, depth=4, num_heads=2, num_classes=10)
    torch.save(vit.state_dict(), tmp_path / "vit.pth")
    init = write_tiny(tmp_path)
    model = build_initial_network(InitializationConfig(init=init, pretrained=str(tmp_path / "vit.pth")))
    loaded = model.backbone.get_submodule("vit").state_dict()
    assert all(torch.equal(value, vit.state_dict()[name]) for name, value in loaded.items())
    assert same(model.backbone.get_submodule("reassemble"), load_lseg(init).backbone.get_submodule("reassemble"))


def test_loads_a_resnet_of_timm_into_the_four_stages(tmp_path: Path) -> None:
    net = ResNet(Bottleneck, (1, 1, 1, 1), num_classes=10).eval()  # type: ignore[arg-type]
    torch.save(net.state_dict(), tmp_path / "resnet.pth")
    config = dataclasses.replace(
        CONFIG, width=0, depth=0, heads=0, taps=(), resnet=(1, 1, 1, 1), reassemble=RESNET_CHANNELS,
        image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD,
    )  # fmt: skip
    save_lseg(LSeg(config), tmp_path / "lseg.safetensors")
    init, backbone = str(tmp_path / "lseg.safetensors"), str(tmp_path / "resnet.pth")
    model = build_initial_network(InitializationConfig(init=init, pretrained=backbone)).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(image)[-1], net.forward_features(image))


def test_loads_a_text_encoder_from_an_lseg_or_a_bare_file(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    init, other = write_tiny(tmp_path), write_tiny(tmp_path / "other", seed=1)
    wanted = load_lseg(other).text_encoder
    save_file({name: value.half() for name, value in wanted.state_dict().items()}, tmp_path / "tower.safetensors")
    model = build_initial_network(InitializationConfig(init=init, text_tower=other))
    assert same(model.text_encoder, wanted)
    assert same(model.backbone, load_lseg(init).backbone)
    model = build_initial_network(InitializationConfig(init=init, text_tower=str(tmp_path / "tower.safetensors")))
    found, expected = (encoder.get_parameter("text_projection") for encoder in (model.text_encoder, wanted))
    assert torch.allclose(found, expected, atol=1e-3)


def test_head_follows_the_rotation_of_a_new_text_encoder(tmp_path: Path) -> None:
    model = load_lseg("demo")
    rotation = torch.linalg.qr(torch.randn(128, 128, generator=torch.Generator().manual_seed(0)))[0]
    tower = {
        **model.text_encoder.state_dict(),
        "text_projection": model.text_encoder.get_parameter("text_projection").detach() @ rotation,
    }
    torch.save(tower, tmp_path / "tower.pth")
    words, image = ["floor", "red ball", "cat"], torch.rand(1, 3, 64, 64)
    rotated = build_initial_network(InitializationConfig(init="demo", text_tower=str(tmp_path / "tower.pth"))).eval()
    assert not torch.allclose(rotated.encode_text(words), model.encode_text(words), atol=0.1)
    with torch.no_grad():
        found, expected = (network(image, network.encode_text(words)) for network in (rotated, model))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_replaces_the_text_encoder_by_one_of_another_architecture(tmp_path: Path) -> None:
    architecture = dataclasses.replace(CONFIG.text, width=48, heads=3, layers=2, token_rank=4)
    tower = TextEncoder(architecture)
    metadata = {"text_config": json.dumps(dataclasses.asdict(architecture))}
    save_file(tower.state_dict(), tmp_path / "tower.safetensors", metadata=metadata)
    model = build_initial_network(
        InitializationConfig(init=write_tiny(tmp_path), text_tower=str(tmp_path / "tower.safetensors"))
    )
    assert model.config == dataclasses.replace(CONFIG, text=architecture)
    assert same(model.text_encoder, tower)
    save_lseg(model, tmp_path / "out.safetensors")
    assert same(load_lseg(str(tmp_path / "out.safetensors")), model)


def test_the_same_text_encoder_changes_nothing(tmp_path: Path) -> None:
    assert same(build_initial_network(InitializationConfig(init="demo", text_tower="demo")), load_lseg("demo"))


def test_names_the_setting_whose_weights_do_not_fit(tmp_path: Path) -> None:
    init = write_tiny(tmp_path)
    with pytest.raises(ValueError, match="text_tower: demo: expected embeddings of 16 dimensions, got 128"):
        build_initial_network(InitializationConfig(init=init, text_tower="demo"))
    torch.save(load_lseg("demo").text_encoder.state_dict(), tmp_path / "tower.pth")
    with pytest.raises(ValueError, match=r"tower\.pth: expected weights of this architecture, .* has shape"):
        build_initial_network(InitializationConfig(init=init, text_tower=str(tmp_path / "tower.pth")))
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"pretrained: .*a\.pth: expected .*cls_token is missing, .* more"):
        build_initial_network(InitializationConfig(init=init, pretrained=str(tmp_path / "a.pth")))


def test_rejects_downloads_that_do_not_exist_for_the_architecture(tmp_path: Path) -> None:
    init = write_tiny(tmp_path)
    with pytest.raises(ValueError, match="timm has no backbone of this architecture"):
        build_initial_network(InitializationConfig(init=init, pretrained="timm"))
    with pytest.raises(ValueError, match="CLIP has no text encoder of this architecture"):
        build_initial_network(InitializationConfig(init=init, text_tower="openai"))


def test_builds_a_network_around_a_backbone_of_timm() -> None:
    torch.manual_seed(0)
    start = InitializationConfig(backbone="timm:resnet18", pretrained="random", arch_option=1)
    model = build_initial_network(start)
    assert (model.config.timm, model.config.arch_option) == ("resnet18", 1)
    assert (model.config.features, model.config.input_size_px) == (64, 384)  # of the preset
    assert same(model.text_encoder, load_lseg("demo").text_encoder)
    smaller = build_initial_network(dataclasses.replace(start, features=32))
    assert smaller.config == dataclasses.replace(model.config, features=32)


def test_downloads_the_weights_of_a_named_backbone_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def refuse(name: str, pretrained: bool = False, **options: Any) -> torch.nn.Module:
        if pretrained:
            raise OSError("no network")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(ConnectionError, match="pretrained: resnet18.a1_in1k of timm could not be downloaded"):
        build_initial_network(InitializationConfig(backbone="timm:resnet18.a1_in1k"))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"backbone": "resnet18"}, "backbone: expected timm:NAME, got 'resnet18'"),
        ({"backbone": "timm:nothing"}, "timm: expected the name of a network"),
        ({"text_tower": "open_clip:nothing"}, "open_clip: expected the name of a network of open_clip .*'nothing'"),
        ({"text_tower": "open_clip:"}, "text_tower: expected open_clip:NAME or open_clip:NAME:PRETRAINED"),
        ({"backbone": "timm:resnet18", "init": "demo"}, "backbone: expected none with init"),
        ({"features": 32, "init": "demo"}, "features: expected none with init"),
    ],
)
def test_rejects_names_that_it_cannot_use(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_initial_network(InitializationConfig(**settings))  # type: ignore[arg-type]


@pytest.fixture
def small_clip(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Register a small network with open_clip and return its name."""
    name = f"small-clip-{request.node.name.partition('[')[0]}"
    text = {"context_length": 20, "width": 64, "heads": 2, "layers": 1}
    config = {
        "embed_dim": 24,
        "custom_text": True,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": text | ({"no_causal_mask": True} if "by_name" in name else {}),
    }
    (tmp_path / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(tmp_path / f"{name}.json")
    return name


def test_takes_the_width_of_a_text_tower_of_open_clip(small_clip: str, tmp_path: Path) -> None:
    clip = open_clip.create_model(small_clip)
    torch.save(clip.state_dict(), tmp_path / "clip.pth")
    tower = f"open_clip:{small_clip}:{tmp_path / 'clip.pth'}"
    model = build_initial_network(InitializationConfig(backbone="timm:resnet18", pretrained="random", text_tower=tower))
    assert model.config.text.embed_dim == model.head.out_channels == 24
    assert model.config.text.open_clip == ""
    words = open_clip.get_tokenizer(small_clip)(["floor"])
    expected = clip.encode_text(words, normalize=True).detach()
    torch.testing.assert_close(model.encode_text(["floor"]), expected)


def test_takes_a_text_tower_by_name(small_clip: str, tmp_path: Path) -> None:
    clip = open_clip.create_model(small_clip)
    torch.save(clip.state_dict(), tmp_path / "clip.pth")
    tower = f"open_clip:{small_clip}:{tmp_path / 'clip.pth'}"
    model = build_initial_network(InitializationConfig(pretrained="random", text_tower=tower))
    assert model.config.text.open_clip == small_clip
    expected = clip.encode_text(open_clip.get_tokenizer(small_clip)(["floor"]), normalize=True).detach()
    torch.testing.assert_close(model.encode_text(["floor"]), expected)
    save_lseg(model, tmp_path / "out.safetensors")
    again = build_initial_network(
        InitializationConfig(init=str(tmp_path / "out.safetensors"), text_tower=str(tmp_path / "out.safetensors"))
    )
    torch.testing.assert_close(again.encode_text(["floor"]), expected)


def test_a_text_tower_without_weights_stays_random_with_a_warning(
    small_clip: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = build_initial_network(InitializationConfig(pretrained="random", text_tower=f"open_clip:{small_clip}"))
    assert model.config.text.embed_dim == 24
    assert "random weights" in caplog.text


def test_weights_of_openai_use_their_activation() -> None:
    assert parse_text_tower("open_clip:ViT-B-32")[2].quick_gelu is False
    assert parse_text_tower("open_clip:ViT-B-32:openai")[2].quick_gelu is True
    assert parse_text_tower("open_clip:ViT-B-32:openai")[2] == PRESETS["vitb32"].text
