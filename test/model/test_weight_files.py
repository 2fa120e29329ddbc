"""Tests of reading weight files, without executing code in them."""

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
    """The same tensors in each kind of file."""
    file = tmp_path / request.param
    if file.suffix == ".safetensors":
        save_file(TENSORS, file, metadata={"source": "here"})
    elif file.suffix == ".ckpt":
        tensors = {f"net.{name}": value for name, value in TENSORS.items()}
        torch.save({"epoch": 3, "optimizer_states": [], "source": "here", "state_dict": tensors}, file)
    else:
        torch.save(TENSORS, file, _use_new_zipfile_serialization=file.suffix == ".pt")
    return file


def test_reads_the_same_tensors_from_every_kind_of_file(path: Path) -> None:
    weights = open_weights(path)
    assert {name: (value.shape, value.dtype) for name, value in weights.entries.items()} == {
        name: (value.shape, value.dtype) for name, value in TENSORS.items()
    }
    assert all(value.is_meta for value in weights.entries.values())
    assert all(torch.equal(weights.read(name, None), value) for name, value in TENSORS.items())


def test_converts_floating_point_entries_only(path: Path) -> None:
    weights = open_weights(path)
    assert torch.equal(weights.read("b", torch.float32), torch.ones(4))
    assert weights.read("count", torch.float32).dtype == torch.int64


def test_reports_kind_and_metadata(path: Path) -> None:
    weights = open_weights(path)
    kinds = {".safetensors": "safetensors", ".ckpt": "Lightning checkpoint"}
    assert weights.kind == kinds.get(path.suffix, "state dict")
    expected = {".safetensors": {"source": "here"}, ".ckpt": {"epoch": "3", "source": "here"}}
    assert weights.metadata == expected.get(path.suffix, {})


def test_reads_an_old_lightning_file_without_importing_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 1.5, Lightning stored the state of callbacks by their classes.

    The authors' files were written with 1.4.9.
    """
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


def test_rejects_a_pickle_that_would_execute_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": _Harmful()}}, "harmful.ckpt")
    with pytest.raises(ValueError, match=r"harmful\.ckpt: expected only tensors") as caught:
        open_weights(Path("harmful.ckpt"))
    assert "weights_only" not in str(caught.value)  # no advice to turn the safety off
    assert not Path("harm-was-done").exists()


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_names_the_import_of_a_pickle_in_every_protocol(tmp_path: Path, protocol: int, archive: bool) -> None:
    content = {"state_dict": TENSORS, "callbacks": {"x": _Harmful()}}
    torch.save(content, tmp_path / "a.ckpt", pickle_protocol=protocol, _use_new_zipfile_serialization=archive)
    with pytest.raises(ValueError, match=r"a\.ckpt: expected only tensors, got posix\.mkdir, which could execute code"):
        open_weights(tmp_path / "a.ckpt")


def test_rejects_a_function_named_like_a_lightning_class(tmp_path: Path) -> None:
    calls = b"\x80\x02cpytorch_lightning.utilities.os\nsystem\n(X\x02\x00\x00\x00lstR."
    (tmp_path / "a.ckpt").write_bytes(calls)
    with pytest.raises(ValueError, match=r"got pytorch_lightning\.utilities\.os\.system, which could execute code"):
        open_weights(tmp_path / "a.ckpt")


def test_rejects_an_archive_of_the_first_pytorch(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.pt", "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            (tmp_path / name).write_bytes(pickle.dumps({}))
            archive.add(tmp_path / name, name)
    with pytest.raises(ValueError, match="expected a complete safetensors or PyTorch file, got") as caught:
        open_weights(tmp_path / "a.pt")
    assert "trusted" not in str(caught.value) and "execution" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "net.", "module.", "module.net."])
def test_removes_the_prefixes_of_training_code(tmp_path: Path, prefix: str) -> None:
    prefixed = {f"{prefix}{name}": value for name, value in TENSORS.items()}
    torch.save(prefixed, tmp_path / "a.pt")
    save_file(prefixed, tmp_path / "a.safetensors")
    for file in (tmp_path / "a.pt", tmp_path / "a.safetensors"):
        weights = open_weights(file)
        assert weights.entries.keys() == TENSORS.keys()
        assert torch.equal(weights.read("b", torch.float32), TENSORS["b"].float())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps([1, 2])])
@pytest.mark.parametrize("name", ["file.ckpt", "file.safetensors"])
def test_rejects_files_that_are_not_checkpoints(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"checkpoint .*{name}: expected"):
        open_weights(tmp_path / name)


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_rejects_a_truncated_file(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    save_file(TENSORS, whole) if suffix == ".safetensors" else torch.save(TENSORS, whole)
    part = whole.with_stem("part")
    part.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"part{suffix}: expected a complete safetensors or PyTorch file, got"):
        open_weights(part)


@pytest.mark.parametrize("kind", ["weights.safetensors", "bare.pt", "old.pth"])
@given(data=st.data())
@settings(max_examples=60)
def test_opens_or_rejects_any_damaged_file(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("damaged") / kind
    content = bytearray(file_bytes(kind))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        open_weights(file)
    except ValueError as error:
        assert str(error).startswith(f"checkpoint {file}: ")


@functools.cache
def file_bytes(kind: str) -> bytes:
    """Return TENSORS as a file of this kind."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / kind
        if file.suffix == ".safetensors":
            save_file(TENSORS, file)
        else:
            torch.save(TENSORS, file, _use_new_zipfile_serialization=file.suffix == ".pt")
        return file.read_bytes()
