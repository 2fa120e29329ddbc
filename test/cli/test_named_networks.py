"""Networks of timm and open_clip by name: train, inspect, segment, export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
from PIL import Image

from lseg_ros.cli import main
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.inference.optimize import PackedResidualUnit
from lseg_ros.model import LSeg, config_from_names, load_lseg
from lseg_ros.vocabulary import Vocabulary
from test.support.small_run import write_dataset


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Register a small network with open_clip whose text tower is not CLIP's own."""
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 20, "width": 64, "heads": 2, "layers": 1, "no_causal_mask": True},
    }
    path = tmp_path_factory.mktemp("open_clip") / "small-tower.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(path)
    return "open_clip:small-tower"


@pytest.mark.parametrize("backbone", ["timm:resnet18", "timm:vit_small_patch14_reg4_dinov2"])
def test_a_trained_network_is_used_by_its_file_name_alone(
    backbone: str, tower: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "data")
    run, image = tmp_path / "run", tmp_path / "data" / "images" / "val" / "0.png"
    trained = str(run / "final.safetensors")
    train = ["train", "--dataset", "folder", "--root", str(tmp_path / "data"), "--output", str(run), "--steps", "1"]
    train += ["--backbone", backbone, "--pretrained", "random", "--text-tower", tower, "--features", "16"]
    train += ["--batch-size", "2", "--base-size", "80", "--crop", "64", "--precision", "float32", "--pictures", "0"]
    assert main([*train, "--workers", "0", "--threads", "1", "--validation-images", "-1"]) == 0
    assert main(["checkpoint", "inspect", trained]) == 0
    printed = capsys.readouterr().out
    assert f"image backbone:         {backbone.removeprefix('timm:')} of timm, " in printed
    assert "text encoder:           small-tower of open_clip, 1 blocks of 64" in printed

    segmenter = Segmenter.from_checkpoint(SegmenterConfig(checkpoint=trained, device="cpu", precision="float32"))
    encoded = segmenter.encode(Vocabulary.of(["ball", "lawn"]))
    pixels = np.asarray(Image.open(image).convert("RGB"))
    assert segmenter.segment(pixels, encoded).label_map.shape == pixels.shape[:2]
    assert any(isinstance(layer, PackedResidualUnit) for layer in segmenter.model.decoder.modules())

    exported = tmp_path / "encoder.pt2"
    assert main(["export", "--checkpoint", trained, "--out", str(exported), "--width", "96", "--height", "64"]) == 0
    assert "embeddings of a random image differ by at most" in capsys.readouterr().out
    assert load_lseg(trained).config.timm == backbone.removeprefix("timm:")


def test_the_flags_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    printed = capsys.readouterr().out
    assert all(flag in printed for flag in ("--backbone", "--features", "--pretrained", "open_clip:NAME"))


def test_builds_an_architecture_from_names_in_python(tower: str) -> None:
    config = config_from_names("timm:resnet18.a1_in1k", tower, features=16, input_size_px=96)
    assert (config.timm, config.text.open_clip, config.features, config.input_size_px) == (
        "resnet18", "small-tower", 16, 96,
    )  # fmt: skip
    assert LSeg(config).head.out_channels == 24
    assert config_from_names("timm:resnet18").text == load_lseg("demo").config.text
    with pytest.raises(ValueError, match="text_tower: expected open_clip:NAME or open_clip:NAME:PRETRAINED, got 'x'"):
        config_from_names("timm:resnet18", "x")
