"""Tests of loading and saving checkpoints."""

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lseg_ros.model import PRESETS, LSeg, load_lseg
from lseg_ros.model.checkpoint import read_text_config, save_lseg, save_official
from lseg_ros.model.key_mapping import expected_entries, to_official_key, unused_entries
from lseg_ros.model.text_encoder import TextConfig
from lseg_ros.model.weight_files import open_weights

# The architecture of vitb32 but narrow. The loader derives 64 channels per head and needs 12 blocks.
NARROW = dataclasses.replace(
    PRESETS["vitb32"],
    width=64, heads=1, reassemble=(8, 16, 24, 32), features=16, pretrained_size=64,
    text=TextConfig(width=64, heads=1, layers=2, context_length=77, embed_dim=24),
)  # fmt: skip


@pytest.fixture
def model() -> LSeg:
    torch.manual_seed(0)
    return LSeg(NARROW).eval()


def _official(model: LSeg) -> dict[str, torch.Tensor]:
    return {f"net.{to_official_key(name, model.config)}": value for name, value in model.state_dict().items()}


def _same(one: LSeg, other: LSeg, tolerance: float = 0.0) -> bool:
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return torch.allclose(one(image, ["floor", "dog"]), other(image, ["floor", "dog"]), atol=tolerance)


def test_safetensors_round_trip_keeps_the_architecture(model: LSeg, tmp_path: Path) -> None:
    save_lseg(model, tmp_path / "narrow.safetensors")
    loaded = load_lseg(tmp_path / "narrow.safetensors")
    assert loaded.config == NARROW
    assert not loaded.training
    assert _same(model, loaded)


def test_half_precision_halves_the_file_and_hardly_changes_logits(model: LSeg, tmp_path: Path) -> None:
    save_lseg(model, tmp_path / "full.safetensors")
    save_lseg(model, tmp_path / "half.safetensors", half=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("half.safetensors", "full.safetensors")]
    assert sizes[0] < 0.6 * sizes[1]
    assert _same(model, load_lseg(tmp_path / "half.safetensors"), tolerance=0.05)


def test_int8_quarters_the_file_and_hardly_changes_weights(model: LSeg, tmp_path: Path) -> None:
    save_lseg(model, tmp_path / "full.safetensors")
    save_lseg(model, tmp_path / "int8.safetensors", int8=True)
    assert (tmp_path / "int8.safetensors").stat().st_size < 0.4 * (tmp_path / "full.safetensors").stat().st_size
    loaded = load_lseg(tmp_path / "int8.safetensors")
    for name, value in model.state_dict().items():
        found = loaded.state_dict()[name]
        if value.ndim < 2:
            assert torch.equal(found, value), name
        else:  # half a step of the row
            step = value.flatten(1).abs().amax(dim=1) / 127
            assert ((found - value).flatten(1).abs().amax(dim=1) <= 0.501 * step).all(), name


def test_loads_a_lightning_file_with_unused_entries(model: LSeg, tmp_path: Path) -> None:
    unused = {
        "net.clip_pretrained.visual.proj": torch.zeros(4, 4).half(),
        "net.clip_pretrained.logit_scale": torch.tensor(2.66),
        "net.pretrained.model.head.weight": torch.zeros(10, 64),
        "net.pretrained.model.norm.bias": torch.zeros(64),
        "net.scratch.refinenet4.resConfUnit1.conv1.weight": torch.zeros(16, 16, 3, 3),
    }
    half = {name: value.half() if "clip" in name else value for name, value in _official(model).items()}
    torch.save({"epoch": 3, "state_dict": half | unused}, tmp_path / "demo_e200.ckpt")
    loaded = load_lseg(tmp_path / "demo_e200.ckpt")
    assert loaded.config == NARROW
    assert all(value.dtype in (torch.float32, torch.int64) for value in loaded.state_dict().values())
    assert _same(model, loaded, tolerance=0.05)


def test_loads_a_bare_state_dict(model: LSeg, tmp_path: Path) -> None:
    torch.save(_official(model), tmp_path / "bare.pt")
    assert _same(model, load_lseg(tmp_path / "bare.pt"))


def test_detects_the_regularization_block_and_takes_its_rounds_as_arguments(tmp_path: Path) -> None:
    model = LSeg(dataclasses.replace(NARROW, arch_option=1))
    torch.save(_official(model), tmp_path / "block.pt")
    assert load_lseg(tmp_path / "block.pt").config.arch_option == 1
    loaded = load_lseg(tmp_path / "block.pt", arch_option=2, block_depth=3, activation="tanh").config
    assert (loaded.arch_option, loaded.block_depth, loaded.activation) == (2, 3, "tanh")


def test_dtype_none_keeps_the_precision_of_the_file(model: LSeg, tmp_path: Path) -> None:
    save_lseg(model, tmp_path / "half.safetensors", half=True)
    stored = load_lseg(tmp_path / "half.safetensors", dtype=None)
    assert stored.head.weight.dtype == torch.float16
    assert stored.state_dict()["head.bias"].dtype == torch.float32
    assert _same(load_lseg(tmp_path / "half.safetensors"), stored.float())


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module._orig_mod.net."])
def test_recognizes_a_preset_without_metadata(tmp_path: Path, prefix: str) -> None:
    state, config = load_lseg("demo").state_dict(), PRESETS["demo"]
    torch.save({prefix + to_official_key(name, config): value for name, value in state.items()}, tmp_path / "demo.pth")
    loaded, expected = load_lseg(tmp_path / "demo.pth"), load_lseg("demo")
    assert loaded.config == PRESETS["demo"]
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in expected.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "config.heads: expected a divisor of the width 0, got 1"),
        ({"heads": 0}, "config.heads: expected a divisor of the width 64, got 0"),
        ({"heads": 7}, "config.heads: expected a divisor of the width 64, got 7"),
        ({"depth": 10**7}, "config.depth: expected integers from 0 to 256, got 10000000"),
        ({"features": 0}, "config.features: expected integers from 1 to 65536, got 0"),
        ({"reassemble": [0, 0, 0, 0]}, "config.reassemble: expected integers from 1 to 65536"),
        ({"pretrained_size": 8}, "config.pretrained_size: expected at least the patch size 32, got 8"),
        ({"arch_option": 1, "block_depth": 10**9}, "config.block_depth: expected integers from 0 to 256"),
        ({"image_mean": [math.nan] * 3}, "config.image_mean: expected three numbers from -1000 to 1000, got"),
        ({"image_std": [0, 0, 0]}, "config.image_std: expected three numbers from 0.001 to 1000, got"),
        ({"image_std": [1, 1]}, "config.image_std: expected three numbers"),
        ({"image_std": "abc"}, "config.image_std: expected three numbers"),
        ({"text": None}, "config.text: expected names and values, got None"),
        ({"text": {"width": "x"}}, "config.text.heads: expected a value, got none"),
        ({"unknown": 1}, "config.unknown: expected one of the fields activation, "),
        ({"timm": "unknown", "heads": 0, "taps": [0, 1, 2, 3]}, "timm: expected the name of a network of timm"),
    ],
)
def test_rejects_metadata_of_an_impossible_network(
    model: LSeg, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    config = json.dumps({**dataclasses.asdict(model.config), **changes})
    save_file({"scratch.head1.bias": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"config": config})
    with pytest.raises(ValueError, match=rf"a\.safetensors: (metadata: )?{re.escape(message)}"):
        load_lseg(tmp_path / "a.safetensors")


@pytest.mark.parametrize("field", ["width", "heads", "layers", "embed_dim", "context_length", "vocab_size"])
@pytest.mark.parametrize("value", [0, "x", None, 10**12, 1.5])
def test_rejects_metadata_of_an_impossible_text_encoder(tmp_path: Path, field: str, value: object) -> None:
    config = dataclasses.asdict(NARROW)
    config["text"][field] = value
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"config": json.dumps(config)})
    with pytest.raises(ValueError, match=rf"a\.safetensors: metadata: config\.text\.{field}: expected integers from"):
        load_lseg(tmp_path / "a.safetensors")


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[1]", "null", "{}", '{"width": ' + "9" * 5000 + "}"])
def test_rejects_metadata_that_are_not_an_architecture(tmp_path: Path, text: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"config": text})
    with pytest.raises(ValueError, match=r"a\.safetensors: metadata: config\.(json|reassemble): expected"):
        load_lseg(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "json: expected JSON"),
        ("[]", r"json: expected names and values, got \[\]"),
        ('{"width": 1}', "heads: expected a value, got none"),
        ('{"width": 64, "heads": 0, "layers": 1, "embed_dim": 8}', "heads: expected integers from 1"),
    ],
)
def test_rejects_metadata_of_an_impossible_text_tower(tmp_path: Path, text: str, message: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"text_config": text})
    with pytest.raises(ValueError, match=rf"a\.safetensors: metadata: text_config\.{message}"):
        read_text_config(open_weights(tmp_path / "a.safetensors"))


def test_names_an_unknown_text_tower(model: LSeg, tmp_path: Path) -> None:
    config = dataclasses.asdict(model.config)
    config["text"]["open_clip"] = "unknown"
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"config": json.dumps(config)})
    with pytest.raises(ValueError, match=r"a\.safetensors: open_clip: expected the name of a network of open_clip"):
        load_lseg(tmp_path / "a.safetensors")


def test_names_an_entry_that_is_not_finite(model: LSeg, tmp_path: Path) -> None:
    with torch.no_grad():
        model.head.weight[3] = math.nan
    save_lseg(model, tmp_path / "nan.safetensors")
    torch.save(_official(model), tmp_path / "nan.pt")
    for name in ("nan.safetensors", "nan.pt"):
        with pytest.raises(ValueError, match=rf"{name}: scratch\.head1\.weight: expected finite values, got nan$"):
            load_lseg(tmp_path / name)


def test_names_an_entry_that_is_not_real(model: LSeg, tmp_path: Path) -> None:
    weight = model.head.weight.detach()
    for value in (weight.to(torch.complex64), weight.to(torch.int32)):
        torch.save(_official(model) | {"net.scratch.head1.weight": value}, tmp_path / "a.pt")
        with pytest.raises(ValueError, match=r"a\.pt: scratch\.head1\.weight: expected real numbers, got torch\.\w+"):
            load_lseg(tmp_path / "a.pt")


def test_half_precision_keeps_entries_that_it_cannot_hold(model: LSeg, tmp_path: Path) -> None:
    with torch.no_grad():
        model.head.weight[0, 0] = 1e6
    save_lseg(model, tmp_path / "half.safetensors", half=True)
    loaded = load_lseg(tmp_path / "half.safetensors", dtype=None)
    assert loaded.head.weight.dtype == torch.float32
    assert loaded.head.weight.max() == 1e6
    assert next(loaded.decoder.parameters()).dtype == torch.float16


def test_escapes_the_names_of_unexpected_entries(tmp_path: Path) -> None:
    torch.save({"a\n[FATAL] \x1b[31m": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"1 unexpected \(a\\n\[FATAL\] \\x1b\[31m\)"):
        load_lseg(tmp_path / "a.pt")


def test_lists_missing_and_unexpected_entries(model: LSeg, tmp_path: Path) -> None:
    tensors = _official(model)
    del tensors["net.scratch.head1.bias"]
    torch.save(tensors | {"net.foo": torch.zeros(1)}, tmp_path / "broken.pt")
    sentence = (
        r"broken\.pt: expected the \d+ entries of an LSeg network, got 1 missing \(scratch\.head1\.bias\); "
        r"1 unexpected \(foo\); the nearest preset is \w+ \([\d.]+% of its entries fit\)"
    )
    with pytest.raises(ValueError, match=sentence):
        load_lseg(tmp_path / "broken.pt")


def test_names_a_wrong_shape(model: LSeg, tmp_path: Path) -> None:
    torch.save(_official(model) | {"net.scratch.head1.bias": torch.zeros(7)}, tmp_path / "shape.pt")
    with pytest.raises(
        ValueError, match=r"1 of another shape \(scratch\.head1\.bias: expected shape \(24,\), got \(7,\)\)"
    ):
        load_lseg(tmp_path / "shape.pt")


def test_names_the_missing_entries_of_a_requested_block(model: LSeg, tmp_path: Path) -> None:
    torch.save(_official(model), tmp_path / "plain.pt")
    with pytest.raises(ValueError, match=r"2 missing \(scratch\.head_block\.depthwise\.depthwise\.bias, "):
        load_lseg(tmp_path / "plain.pt", arch_option=1)


def test_compares_an_incomplete_file_with_the_nearest_preset(tmp_path: Path) -> None:
    parts = {name: torch.zeros(()).expand(value.shape) for name, value in expected_entries(PRESETS["vitb32"]).items()}
    part = {f"net.{name}": value for name, value in parts.items() if ".blocks.11." not in name}
    torch.save({"state_dict": part}, tmp_path / "part.ckpt")
    with pytest.raises(
        ValueError, match=r"12 missing \(pretrained\.model\.blocks\.11\..*nearest preset is vitb32 \(97\.\d%"
    ):
        load_lseg(tmp_path / "part.ckpt")


def test_rejects_another_network(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "resnet.pt")
    with pytest.raises(ValueError, match=r"1 unexpected \(conv1\.weight\); it shares no entry with any LSeg"):
        load_lseg(tmp_path / "resnet.pt")


def test_unknown_name_lists_the_presets(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError,
        match="expected a file or one of the presets vitl16, .*, demo, demo_vit, demo_small, got 'nope'",
    ):
        load_lseg("nope")


def test_preset_without_weights_logs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "vitb32", NARROW)
        one, other = load_lseg("vitb32"), load_lseg("vitb32")
    assert "using random weights: the masks will be meaningless" in caplog.text
    assert _same(one, other)


def test_safetensors_have_official_keys(model: LSeg, tmp_path: Path) -> None:
    save_lseg(model, tmp_path / "narrow.safetensors")
    names = set(load_file(tmp_path / "narrow.safetensors"))
    assert {f"net.{name}" for name in names} == set(_official(model))
    save_file(load_file(tmp_path / "narrow.safetensors"), tmp_path / "foreign.safetensors")  # without metadata
    assert load_lseg(tmp_path / "foreign.safetensors").config == NARROW


def test_official_file_has_every_entry_that_the_authors_code_requires(tmp_path: Path) -> None:
    text = TextConfig(width=512, heads=8, layers=1, embed_dim=512, vocab_size=64)
    model = LSeg(dataclasses.replace(NARROW, text=text)).eval()
    save_official(model, tmp_path / "official.ckpt", metadata={"source": "here"})
    content = torch.load(tmp_path / "official.ckpt", weights_only=True)
    required = expected_entries(model.config) | unused_entries(model.config)
    shapes = {name: value.shape for name, value in content["state_dict"].items()}
    assert shapes == {f"net.{name}": value.shape for name, value in required.items()}
    assert content["source"] == "here"
    loaded = load_lseg(tmp_path / "official.ckpt").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_unused_entries_of_an_official_file_take_no_space(tmp_path: Path) -> None:
    text = TextConfig(width=512, heads=8, layers=1, embed_dim=512, vocab_size=64)
    model = LSeg(dataclasses.replace(NARROW, text=text)).eval()
    save_official(model, tmp_path / "official.ckpt")
    save_lseg(model, tmp_path / "ours.safetensors")
    sizes = [(tmp_path / name).stat().st_size for name in ("official.ckpt", "ours.safetensors")]
    assert sizes[0] < sizes[1] + 1_000_000  # CLIP's image tower alone has 350 MB


def test_failed_write_leaves_no_file(model: LSeg, tmp_path: Path) -> None:
    (tmp_path / "there.safetensors").mkdir()
    with pytest.raises(OSError, match=r"there\.safetensors"):
        save_lseg(model, tmp_path / "there.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["there.safetensors"]
