"""Tests of networks with a text tower of open_clip; all weights are random."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from lseg_ros.model import LSeg, load_lseg
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.model.open_clip_tower import OpenClipTextEncoder, build_text_encoder, text_config
from lseg_ros.model.text_encoder import TextConfig, TextEncoder
from test.support.tiny_network import CONFIG

SMALL = "ViT-S-32"  # CLIP's own form, 384 wide
NOT_CAUSAL = "test-not-causal"  # as MobileCLIP's text towers
SIGLIP = "ViT-B-16-SigLIP"


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Register a tiny network with open_clip."""
    config = {
        "embed_dim": 16,
        "custom_text": True,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 20, "width": 64, "heads": 2, "layers": 1, "no_causal_mask": True},
    }
    path = tmp_path_factory.mktemp("open_clip") / f"{NOT_CAUSAL}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(path)
    return NOT_CAUSAL


def test_a_tower_of_clips_form_is_described_by_its_sizes() -> None:
    assert text_config("ViT-B-32-quickgelu") == TextConfig(width=512, heads=8, layers=12, embed_dim=512)
    assert text_config("ViT-H-14").quick_gelu is False
    assert text_config("ViT-H-14", quick_gelu=True).quick_gelu is True
    small = text_config(SMALL)
    assert (small.width, small.embed_dim, small.open_clip) == (384, 384, "")
    assert type(build_text_encoder(dataclasses.replace(small, layers=1))) is TextEncoder


def test_another_tower_is_described_by_its_name(registered: str) -> None:
    config = text_config(registered)
    assert (config.width, config.embed_dim, config.context_length, config.open_clip) == (64, 16, 20, registered)


@torch.no_grad()
def test_embeds_words_as_open_clip_does(registered: str) -> None:
    torch.manual_seed(0)
    clip = open_clip.create_model(registered).eval()
    encoder = build_text_encoder(text_config(registered))
    encoder.get_submodule("tower").load_state_dict(clip.text.state_dict())
    words = ["floor", "a red chair"]
    expected = clip.encode_text(open_clip.get_tokenizer(registered)(words), normalize=True)
    torch.testing.assert_close(encoder.encode(words), expected)


def test_is_saved_and_loaded_by_file_name_alone(registered: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LSeg(dataclasses.replace(CONFIG, text=text_config(registered))).eval()
    save_lseg(model, tmp_path / "named.safetensors")
    loaded = load_lseg(tmp_path / "named.safetensors")
    assert loaded.config == model.config
    torch.testing.assert_close(loaded.encode_text(["floor", "dog"]), model.encode_text(["floor", "dog"]))


def test_a_causal_tower_is_loaded_with_its_mask(tmp_path: Path) -> None:
    """Checkpoints do not contain the mask."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 20, "width": 64, "heads": 2, "layers": 1, "ls_init_value": 0.5},
    }
    (tmp_path / "test-causal.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(tmp_path / "test-causal.json")
    model = LSeg(dataclasses.replace(CONFIG, text=text_config("test-causal"))).eval()
    save_lseg(model, tmp_path / "named.safetensors")
    loaded = load_lseg(tmp_path / "named.safetensors")
    torch.testing.assert_close(loaded.encode_text(["a dog"]), model.encode_text(["a dog"]))


def test_a_text_that_is_too_long_is_rejected(registered: str) -> None:
    encoder = build_text_encoder(text_config(registered))
    assert encoder.tokenize(["dog " * 18]).shape == (1, 20)
    with pytest.raises(ValueError, match=r"expected at most 20 tokens \(start and end included\), got 21"):
        encoder.tokenize(["dog " * 19])
    with pytest.raises(ValueError, match="expected a list of texts, got the single text 'dog'"):
        encoder.tokenize("dog")
    assert encoder.encode([]).shape == (0, 16)


def test_a_tokenizer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with torch.device("meta"):
        encoder = OpenClipTextEncoder(text_config(SIGLIP))
    with pytest.raises(ValueError, match="expected the tokenizer timm/ViT-B-16-SigLIP of ViT-B-16-SigLIP in the cache"):
        encoder.tokenize(["dog"])


def test_uses_a_tokenizer_of_hugging_face_from_its_cache_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[str, dict[str, Any]]] = []

    class Tokenizer:
        """One token per word, and an end token."""

        @staticmethod
        def from_pretrained(name: str, **options: Any) -> Tokenizer:
            requests.append((name, options))
            return Tokenizer()

        def __call__(self, texts: str | list[str], max_length: int = 0, **_: Any) -> SimpleNamespace:
            rows = [[7] * len(text.split()) + [1] for text in ([texts] if isinstance(texts, str) else texts)]
            if isinstance(texts, str):
                return SimpleNamespace(input_ids=rows[0])
            return SimpleNamespace(input_ids=torch.tensor([row + [0] * (max_length - len(row)) for row in rows]))

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 4, "width": 64, "heads": 2, "layers": 1, "hf_tokenizer_name": "some/tokenizer"},
    }
    (tmp_path / "test-hugging-face.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(tmp_path / "test-hugging-face.json")
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=Tokenizer))
    encoder = build_text_encoder(text_config("test-hugging-face"))
    assert encoder.tokenize(["a red chair", "dog"]).tolist() == [[7, 7, 7, 1], [7, 1, 0, 0]]
    assert [(name, options["local_files_only"]) for name, options in requests] == [("some/tokenizer", True)]
    with pytest.raises(ValueError, match="text 'a very red chair': expected at most 4 tokens .* got 5"):
        encoder.tokenize(["a very red chair"])


def test_rejects_a_tower_of_hugging_face() -> None:
    with pytest.raises(ValueError, match="got roberta-ViT-B-32, which downloads that of roberta-base"):
        text_config("roberta-ViT-B-32")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"open_clip": "hf-hub:someone/something"}, "expected the name of a network of open_clip"),
        ({"open_clip": "local-dir:/etc"}, "expected the name of a network of open_clip"),
        ({"open_clip": "roberta-ViT-B-32"}, "which downloads that of roberta-base"),
        ({"open_clip": "ViT-B-16-SigLIP", "layers": 200}, "text: expected TextConfig"),
        ({"layers": 10**9}, "layers: expected integers from 1 to 256, got 1000000000"),
        ({"vocab_size": 10**12}, "vocab_size: expected integers from 1 to 16777216"),
        ({"vocab_size": 10**6}, "of another shape"),
    ],
)
def test_rejects_hostile_metadata_without_a_download(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("open_clip was asked for more than its own configurations")

    save_lseg(LSeg(CONFIG), tmp_path / "tiny.safetensors")
    fields = dataclasses.asdict(CONFIG)
    fields["text"] |= changes
    path = tmp_path / "changed.safetensors"
    save_file(load_file(tmp_path / "tiny.safetensors"), path, metadata={"config": json.dumps(fields)})
    monkeypatch.setattr("open_clip.factory._get_hf_config", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(ValueError, match=rf"^checkpoint .*changed.safetensors: .*{message}"):
        load_lseg(path)
