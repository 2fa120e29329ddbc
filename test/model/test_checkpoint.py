"""Tests of loading and saving checkpoints."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lseg_ros.model import PRESETS, LSeg, load_lseg
from lseg_ros.model.checkpoint import save_lseg, save_official
from lseg_ros.model.key_mapping import expected_entries, to_official_key, unused_entries
from lseg_ros.model.text_encoder import TextConfig

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
        match="expected a file or one of the presets vitl16, clipRN50x16_vitl16, .*, demo, demo_small, got 'nope'",
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
