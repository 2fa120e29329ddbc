"""Tests of reading weight files, without executing code in them."""

import argparse
import collections
import datetime
import functools
import os
import pickle
import re
import sys
import tarfile
import tempfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lseg_ros.model import weight_files
from lseg_ros.model.weight_files import open_weights, printable

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


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "net.",
        "module.",
        "model.",
        "_orig_mod.",
        "module.net.",
        "module._orig_mod.net.",
        "_fsdp_wrapped_module.net.",
    ],
)
def test_removes_the_prefixes_of_training_code(tmp_path: Path, prefix: str) -> None:
    prefixed = {f"{prefix}{name}": value for name, value in TENSORS.items()}
    torch.save(prefixed, tmp_path / "a.pt")
    save_file(prefixed, tmp_path / "a.safetensors")
    for file in (tmp_path / "a.pt", tmp_path / "a.safetensors"):
        weights = open_weights(file)
        assert weights.entries.keys() == TENSORS.keys()
        assert torch.equal(weights.read("b", torch.float32), TENSORS["b"].float())


def test_removes_the_prefix_of_a_compiled_part(tmp_path: Path) -> None:
    torch.save({"net.scratch._orig_mod.a": TENSORS["a"], "net.b": TENSORS["b"]}, tmp_path / "a.pt")
    assert set(open_weights(tmp_path / "a.pt").entries) == {"scratch.a", "b"}


def test_rejects_an_entry_with_two_prefixes(tmp_path: Path) -> None:
    torch.save({"a": TENSORS["a"], "module.a": TENSORS["a"]}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt: expected one network, got the entry a twice, as a and module\.a"):
        open_weights(tmp_path / "a.pt")


class Options(dict[str, int]):
    """A dictionary of a trainer's own, which has attributes too."""


@pytest.mark.parametrize(
    "value",
    [
        np.float64(0.5),
        np.arange(3),
        np.dtype("float32"),
        argparse.Namespace(folder=Path("x"), count=np.int64(1)),
        Path("x"),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc),
        collections.defaultdict(list, a=[1]),
        collections.deque([1, 2]),
        Options(a=1),
        Options,
        print,
    ],
    ids=repr,
)
@pytest.mark.skipif(not hasattr(torch.serialization, "safe_globals"), reason="since PyTorch 2.5")
def test_skips_objects_next_to_the_tensors(tmp_path: Path, value: object) -> None:
    torch.save({"more": value, "state_dict": TENSORS, "epoch": 3}, tmp_path / "a.ckpt")
    weights = open_weights(tmp_path / "a.ckpt")
    assert weights.metadata == {"epoch": "3"}
    assert torch.equal(weights.read("a", None), TENSORS["a"])


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "module"])
def test_finds_the_state_dict_of_a_training_checkpoint(tmp_path: Path, key: str) -> None:
    torch.save({key: TENSORS, "optimizer": {"state": {0: {"momentum": torch.ones(2)}}}}, tmp_path / "a.pth")
    assert open_weights(tmp_path / "a.pth").entries.keys() == TENSORS.keys()


class _Calls:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> tuple[object, ...]:
        return (self.call[0], self.call[1:])


@pytest.mark.parametrize(("call", "name"), [(eval, "eval"), (getattr, "getattr"), (os.path.join, r"posixpath\.join")])
def test_explains_how_to_save_the_weights_of_a_pickle_with_calls(tmp_path: Path, call: object, name: str) -> None:
    torch.save({"state_dict": TENSORS, "more": _Calls(call, "1")}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=rf"got {name}, which could execute code; .*`torch\.save\(model\.state_dict"):
        open_weights(tmp_path / "a.ckpt")


def test_explains_how_to_save_the_weights_of_a_pickled_network(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt: expected .*`torch\.save\(model\.state_dict\(\), FILE\)`"):
        open_weights(tmp_path / "a.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_names_an_entry_that_is_not_finite(path: Path, value: float) -> None:
    broken = TENSORS | {"b": torch.tensor([1.0, value, 2.0]).half()}
    if path.suffix == ".safetensors":
        save_file(broken, path)
    else:
        torch.save(broken, path)
    weights = open_weights(path)
    assert torch.equal(weights.read("a", None), TENSORS["a"])
    for dtype in (None, torch.float32):
        with pytest.raises(ValueError, match=rf"{path.name}: b: expected finite values, got {value}$"):
            weights.read("b", dtype)


def test_rejects_a_negative_variance(tmp_path: Path) -> None:
    torch.save(
        {"bn.running_var": torch.tensor([1.0, -0.5]), "bn.running_mean": torch.tensor([-1.0])}, tmp_path / "a.pt"
    )
    weights = open_weights(tmp_path / "a.pt")
    weights.read("bn.running_mean", None)
    with pytest.raises(ValueError, match=r"a\.pt: bn\.running_var: expected variances of at least 0, got -0\.5"):
        weights.read("bn.running_var", None)


def test_rejects_values_that_the_requested_type_cannot_hold(tmp_path: Path) -> None:
    torch.save({"a": torch.tensor([1e6])}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="a: expected finite values, got inf"):
        open_weights(tmp_path / "a.pt").read("a", torch.float16)


def test_rejects_a_compressed_archive_before_decompressing_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(50 << 20))
    with pytest.raises(ValueError, match=r"expected an archive without compression, .*got a compressed a/data\.pkl of"):
        open_weights(tmp_path / "a.pt")


@pytest.mark.parametrize("archive", [True, False])
def test_limits_what_is_next_to_the_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: bool) -> None:
    monkeypatch.setattr(weight_files, "_MAX_PICKLE_BYTES", 10_000)
    for length, fits in ((100, True), (20_000, False)):
        torch.save({"state_dict": TENSORS, "log": [1] * length}, tmp_path / "a", _use_new_zipfile_serialization=archive)
        if fits:
            assert open_weights(tmp_path / "a").entries.keys() == TENSORS.keys()
            continue
        with pytest.raises(ValueError, match=f"(at most|more than) {10_000} bytes next to the tensors"):
            open_weights(tmp_path / "a")


def test_limits_the_header_of_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors", metadata={"notes": "x" * 10_000})
    assert open_weights(tmp_path / "a.safetensors").metadata["notes"] == "x" * 10_000
    monkeypatch.setattr(weight_files, "_MAX_HEADER_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"a header of \d+ bytes, above the limit of 10000"):
        open_weights(tmp_path / "a.safetensors")


def test_rejects_tensors_that_are_larger_than_the_file(tmp_path: Path) -> None:
    repeated, shared = torch.zeros(()).expand(1000, 1000), torch.zeros(10_000)
    torch.save({"a": repeated}, tmp_path / "repeated.pt")
    with pytest.raises(ValueError, match=r"repeated\.pt: a: expected 1000000 stored values, got fewer"):
        open_weights(tmp_path / "repeated.pt").read("a", None)
    torch.save({str(number): shared for number in range(20)}, tmp_path / "shared.pt")
    with pytest.raises(ValueError, match=r"shared\.pt: expected tensors of about \d+ bytes, .*, got 800000"):
        open_weights(tmp_path / "shared.pt")


@pytest.mark.parametrize("value", [torch.ones(3).to_sparse(), torch.ones(2, dtype=torch.float8_e4m3fn)])
def test_opens_or_rejects_other_kinds_of_tensors(tmp_path: Path, value: torch.Tensor) -> None:
    torch.save({"a": value}, tmp_path / "a.pt")
    try:
        assert open_weights(tmp_path / "a.pt").read("a", torch.float32).tolist() == [1.0, 1.0]
    except ValueError as error:
        assert value.is_sparse and re.match(r"checkpoint .*a\.pt: expected", str(error))


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


def test_shows_foreign_text_on_one_short_line() -> None:
    assert printable("a name: café") == "a name: café"
    assert printable("x\n[FATAL] \x1b[31m") == r"x\n[FATAL] \x1b[31m"
    assert len(printable("x" * 1000)) < 200


@pytest.mark.parametrize(
    ("value", "scale"),
    [
        (torch.zeros(3, 2), torch.ones(3)),  # float32
        (torch.zeros(3, 2, dtype=torch.int8), torch.ones(2)),  # of other rows
        (torch.zeros(3, 2, dtype=torch.int8), torch.ones(3, dtype=torch.float16)),
        (torch.zeros(3, dtype=torch.int8), torch.ones(3)),  # no rows
    ],
)
def test_rejects_8_bit_entries_with_a_scale_of_another_form(
    tmp_path: Path, value: torch.Tensor, scale: torch.Tensor
) -> None:
    save_file({"a": value, "a.scale": scale}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors: expected a complete .*, got .* with a scale of"):
        open_weights(tmp_path / "a.safetensors")


def test_restores_8_bit_entries_of_a_pickle(tmp_path: Path) -> None:
    rows, scale = torch.tensor([[1, -2], [3, 4]], dtype=torch.int8), torch.tensor([0.5, 2.0])
    torch.save({"state_dict": {"net.z": TENSORS["b"], "net.a": rows, "net.a.scale": scale}}, tmp_path / "a.ckpt")
    weights = open_weights(tmp_path / "a.ckpt")
    assert list(weights.entries) == ["z", "a"]
    assert weights.quantized == {"a"}
    assert weights.entries["a"].dtype == torch.float32
    assert weights.read("a", None).tolist() == [[0.5, -1.0], [6.0, 8.0]]
    assert weights.read("a", torch.float16).dtype == torch.float16


def test_rejects_8_bit_entries_with_a_scale_that_is_not_finite(tmp_path: Path) -> None:
    rows, scale = torch.ones(2, 2, dtype=torch.int8), torch.tensor([1.0, torch.inf])
    save_file({"a": rows, "a.scale": scale}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a: expected finite values, got inf"):
        open_weights(tmp_path / "a.safetensors").read("a", None)
