"""Checkpoints: what is written comes back, the authors' layout loads, and nothing foreign gets in."""

import dataclasses
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lseg_ros.model import PRESETS, LSeg, LSegConfig, load_lseg
from lseg_ros.model.checkpoint import official_name, save_lseg
from lseg_ros.model.text_encoder import TextConfig

# the architecture of vitb32 with everything narrow: heads are 64 wide and 12 blocks deep, as the loader reads off
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
    return {f"net.{official_name(name, model.config)}": value for name, value in model.state_dict().items()}


def _same(one: LSeg, other: LSeg, tolerance: float = 0.0) -> bool:
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return torch.allclose(one(image, ["floor", "dog"]), other(image, ["floor", "dog"]), atol=tolerance)


def test_safetensors_come_back_with_their_architecture(model: LSeg, tmp_path: Path) -> None:
    save_lseg(model, tmp_path / "narrow.safetensors")
    loaded = load_lseg(tmp_path / "narrow.safetensors")
    assert loaded.config == NARROW
    assert not loaded.training
    assert _same(model, loaded)


def test_half_halves_the_file_and_hardly_changes_the_logits(model: LSeg, tmp_path: Path) -> None:
    save_lseg(model, tmp_path / "full.safetensors")
    save_lseg(model, tmp_path / "half.safetensors", half=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("half.safetensors", "full.safetensors")]
    assert sizes[0] < 0.6 * sizes[1]
    assert _same(model, load_lseg(tmp_path / "half.safetensors"), tolerance=0.05)


def test_the_authors_lightning_file_loads_with_all_it_carries(model: LSeg, tmp_path: Path) -> None:
    dead_weight = {
        "net.clip_pretrained.visual.proj": torch.zeros(4, 4).half(),
        "net.clip_pretrained.logit_scale": torch.tensor(2.66),
        "net.pretrained.model.head.weight": torch.zeros(10, 64),
        "net.pretrained.model.norm.bias": torch.zeros(64),
        "net.scratch.refinenet4.resConfUnit1.conv1.weight": torch.zeros(16, 16, 3, 3),
    }
    half = {name: value.half() if "clip" in name else value for name, value in _official(model).items()}
    torch.save({"epoch": 3, "state_dict": half | dead_weight}, tmp_path / "demo_e200.ckpt")
    loaded = load_lseg(tmp_path / "demo_e200.ckpt")
    assert loaded.config == NARROW
    assert all(value.dtype in (torch.float32, torch.int64) for value in loaded.state_dict().values())
    assert _same(model, loaded, tolerance=0.05)


def test_a_bare_state_dict_loads(model: LSeg, tmp_path: Path) -> None:
    torch.save(_official(model), tmp_path / "bare.pt")
    assert _same(model, load_lseg(tmp_path / "bare.pt"))


def test_the_regularisation_block_is_read_off_and_its_rounds_are_asked_for(tmp_path: Path) -> None:
    model = LSeg(dataclasses.replace(NARROW, arch_option=1))
    torch.save(_official(model), tmp_path / "block.pt")
    assert load_lseg(tmp_path / "block.pt").config.arch_option == 1
    loaded = load_lseg(tmp_path / "block.pt", arch_option=2, block_depth=3, activation="tanh").config
    assert (loaded.arch_option, loaded.block_depth, loaded.activation) == (2, 3, "tanh")


def test_missing_and_unexpected_entries_are_named(model: LSeg, tmp_path: Path) -> None:
    tensors = _official(model)
    del tensors["net.scratch.head1.bias"]
    torch.save(tensors | {"net.foo": torch.zeros(1)}, tmp_path / "broken.pt")
    with pytest.raises(ValueError, match=r"broken\.pt: 1 missing \(scratch\.head1\.bias\); 1 unexpected \(foo\)"):
        load_lseg(tmp_path / "broken.pt")


def test_a_wrong_shape_is_named(model: LSeg, tmp_path: Path) -> None:
    torch.save(_official(model) | {"net.scratch.head1.bias": torch.zeros(7)}, tmp_path / "shape.pt")
    with pytest.raises(ValueError, match=r"scratch\.head1\.bias: expected shape \(24,\), got \(7,\)"):
        load_lseg(tmp_path / "shape.pt")


def test_another_network_is_refused_with_the_preset_that_would_fit_best(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "resnet.pt")
    with pytest.raises(
        ValueError, match=r"expected the entry 'pretrained\.model.cls_token'.*shares no entry with any LSeg"
    ):
        load_lseg(tmp_path / "resnet.pt")


class _Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("harm-was-done"),))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": _Harmful()}}, "harmful.ckpt")
    with pytest.raises(ValueError, match=r"harmful\.ckpt: refused, it holds more than tensors") as refusal:
        load_lseg("harmful.ckpt")
    assert "weights_only" not in str(refusal.value)  # no advice to switch the safety off
    assert not Path("harm-was-done").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps([1, 2])])
@pytest.mark.parametrize("name", ["file.ckpt", "file.safetensors"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"checkpoint .*{name}: expected"):
        load_lseg(tmp_path / name)


def test_a_truncated_file_is_named(model: LSeg, tmp_path: Path) -> None:
    save_lseg(model, tmp_path / "whole.safetensors")
    (tmp_path / "part.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"part\.safetensors: expected a whole safetensors"):
        load_lseg(tmp_path / "part.safetensors")


def test_a_name_that_is_neither_file_nor_preset_says_what_would_be(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match="expected a file or one of the presets vitl16, vitb32, demo, got 'nope'"
    ):
        load_lseg("nope")


def test_a_preset_without_weights_says_that_its_masks_mean_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "vitb32", NARROW)
        one, other = load_lseg("vitb32"), load_lseg("vitb32")
    assert "using random ones: the masks will mean nothing" in caplog.text
    assert _same(one, other)


def test_safetensors_hold_the_official_names(model: LSeg, tmp_path: Path) -> None:
    save_lseg(model, tmp_path / "narrow.safetensors")
    names = set(load_file(tmp_path / "narrow.safetensors"))
    assert {f"net.{name}" for name in names} == set(_official(model))
    save_file(load_file(tmp_path / "narrow.safetensors"), tmp_path / "foreign.safetensors")  # without our metadata
    assert load_lseg(tmp_path / "foreign.safetensors").config == NARROW


def test_the_demo_network_keeps_its_stem_apart_from_the_official_names() -> None:
    config: LSegConfig = PRESETS["demo"]
    assert official_name("backbone.stem.stage1.0.0.weight", config) == "pretrained.stem.stage1.0.0.weight"
    assert official_name("backbone.reassemble.0.project.bias", config) == "pretrained.act_postprocess3.3.bias"
    with pytest.raises(KeyError, match="no official name for 'foo'"):
        official_name("foo", config)
