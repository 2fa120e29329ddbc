"""Files of weights: three kinds are read, nothing in them is run, and what is wrong with one is said."""

import functools
import os
import pickle
import sys
import tarfile
import tempfile
import types
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lseg_ros.model.weight_files import open_weights

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4).half(), "count": torch.tensor(3)}


@pytest.fixture(params=["weights.safetensors", "bare.pt", "lightning.ckpt", "old.pth"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same tensors in every kind of file."""
    file = tmp_path / request.param
    if file.suffix == ".safetensors":
        save_file(TENSORS, file, metadata={"source": "here"})
    elif file.suffix == ".ckpt":
        tensors = {f"net.{name}": value for name, value in TENSORS.items()}
        torch.save({"epoch": 3, "optimizer_states": [], "source": "here", "state_dict": tensors}, file)
    else:
        torch.save(TENSORS, file, _use_new_zipfile_serialization=file.suffix == ".pt")
    return file


def test_every_kind_of_file_has_the_same_tensors(path: Path) -> None:
    weights = open_weights(path)
    assert {name: (value.shape, value.dtype) for name, value in weights.entries.items()} == {
        name: (value.shape, value.dtype) for name, value in TENSORS.items()
    }
    assert all(value.is_meta for value in weights.entries.values())
    assert all(torch.equal(weights.read(name, None), value) for name, value in TENSORS.items())


def test_numbers_are_converted_and_counts_are_not(path: Path) -> None:
    weights = open_weights(path)
    assert torch.equal(weights.read("b", torch.float32), torch.ones(4))
    assert weights.read("count", torch.float32).dtype == torch.int64


def test_what_stands_beside_the_tensors_is_told(path: Path) -> None:
    weights = open_weights(path)
    kinds = {".safetensors": "safetensors", ".ckpt": "Lightning checkpoint"}
    assert weights.kind == kinds.get(path.suffix, "state dict")
    expected = {".safetensors": {"source": "here"}, ".ckpt": {"epoch": "3", "source": "here"}}
    assert weights.metadata == expected.get(path.suffix, {})


def test_an_old_lightning_file_names_classes_that_are_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 1.5 Lightning kept the state of callbacks under their classes, and so do the authors' files (1.4.9)."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    saved = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = saved  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
        patch.setitem(sys.modules, "pytorch_lightning.callbacks", types.ModuleType("pytorch_lightning.callbacks"))
        patch.setitem(sys.modules, module.__name__, module)
        content = {"callbacks": {saved: {"best_model_score": torch.tensor(0.8)}}, "state_dict": TENSORS}
        torch.save(content, tmp_path / "old.ckpt")
    weights = open_weights(tmp_path / "old.ckpt")
    assert torch.equal(weights.read("a", None), TENSORS["a"])


class _Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("harm-was-done",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": _Harmful()}}, "harmful.ckpt")
    with pytest.raises(ValueError, match=r"harmful\.ckpt: refused, it holds more than tensors") as refusal:
        open_weights(Path("harmful.ckpt"))
    assert "weights_only" not in str(refusal.value)  # no advice to switch the safety off
    assert not Path("harm-was-done").exists()


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_a_pickle_wants_is_named_in_every_protocol(tmp_path: Path, protocol: int, archive: bool) -> None:
    content = {"state_dict": TENSORS, "callbacks": {"x": _Harmful()}}
    torch.save(content, tmp_path / "a.ckpt", pickle_protocol=protocol, _use_new_zipfile_serialization=archive)
    with pytest.raises(ValueError, match=r"a\.ckpt: refused, .* could run code \(posix\.mkdir\)"):
        open_weights(tmp_path / "a.ckpt")


def test_a_function_under_a_name_of_lightning_is_refused(tmp_path: Path) -> None:
    calls = b"\x80\x02cpytorch_lightning.utilities.os\nsystem\n(X\x02\x00\x00\x00lstR."
    (tmp_path / "a.ckpt").write_bytes(calls)
    with pytest.raises(ValueError, match=r"refused, .*\(pytorch_lightning\.utilities\.os\.system"):
        open_weights(tmp_path / "a.ckpt")


def test_an_archive_of_the_first_pytorch_is_refused_without_its_advice(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.pt", "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            (tmp_path / name).write_bytes(pickle.dumps({}))
            archive.add(tmp_path / name, name)
    with pytest.raises(ValueError, match="expected a whole safetensors or PyTorch file, got") as refusal:
        open_weights(tmp_path / "a.pt")
    assert "trusted" not in str(refusal.value) and "execution" not in str(refusal.value)


@pytest.mark.parametrize("prefix", ["", "net.", "module.", "module.net."])
def test_what_training_code_puts_before_the_names_is_taken_off(tmp_path: Path, prefix: str) -> None:
    prefixed = {f"{prefix}{name}": value for name, value in TENSORS.items()}
    torch.save(prefixed, tmp_path / "a.pt")
    save_file(prefixed, tmp_path / "a.safetensors")
    for file in (tmp_path / "a.pt", tmp_path / "a.safetensors"):
        weights = open_weights(file)
        assert weights.entries.keys() == TENSORS.keys()
        assert torch.equal(weights.read("b", torch.float32), TENSORS["b"].float())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps([1, 2])])
@pytest.mark.parametrize("name", ["file.ckpt", "file.safetensors"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"checkpoint .*{name}: expected"):
        open_weights(tmp_path / name)


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    save_file(TENSORS, whole) if suffix == ".safetensors" else torch.save(TENSORS, whole)
    part = whole.with_stem("part")
    part.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"part{suffix}: expected a whole safetensors or PyTorch file, got"):
        open_weights(part)


@pytest.mark.parametrize("kind", ["weights.safetensors", "bare.pt", "old.pth"])
@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_file_opens_or_is_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("damaged") / kind
    content = bytearray(written(kind))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        open_weights(file)
    except ValueError as error:
        assert str(error).startswith(f"checkpoint {file}: ")


@functools.cache
def written(kind: str) -> bytes:
    """The bytes of TENSORS in this kind of file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / kind
        if file.suffix == ".safetensors":
            save_file(TENSORS, file)
        else:
            torch.save(TENSORS, file, _use_new_zipfile_serialization=file.suffix == ".pt")
        return file.read_bytes()
