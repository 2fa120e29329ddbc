"""Tests of exporting the image encoder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from lseg_ros.cli import main
from lseg_ros.export import export_image_encoder
from lseg_ros.model import LSeg, load_lseg

has_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs pip install 'lseg_ros[export]'",
)


@pytest.fixture(scope="module")
def model(checkpoint: str) -> LSeg:
    return load_lseg(checkpoint)


@pytest.mark.parametrize("suffix", [".pt2", pytest.param(".onnx", marks=has_onnx)])
@pytest.mark.parametrize(("dtype", "delta"), [(torch.float32, 1e-5), (torch.float16, 2e-2)])
def test_exported_file_gives_the_same_embeddings(
    model: LSeg, tmp_path: Path, suffix: str, dtype: torch.dtype, delta: float
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    file = tmp_path / "new" / f"encoder{suffix}"
    agreement = export_image_encoder(model, file, (64, 96), dtype)
    assert agreement is not None and agreement.max_delta < delta and agreement.min_cosine > 0.999
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    if suffix == ".onnx":
        check_names_and_sizes(file)


def check_names_and_sizes(file: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [(value.name, value.shape) for value in session.get_inputs()] == [("image", [1, 3, 64, 96])]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [("pixels", [1, 16, 32, 48])]


def test_torch_can_load_a_pt2_file(model: LSeg, tmp_path: Path) -> None:
    file = tmp_path / "encoder.pt2"
    export_image_encoder(model, file, (64, 96), torch.float32)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(torch.export.load(file).module()(image), model.encode_image(image))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("encoder.engine", (64, 96), "out: expected a file that ends in .onnx or .pt2, got"),
        ("encoder.pt2", (60, 96), "size: expected multiples of 32 px, got 96x60"),
    ],
)
def test_invalid_arguments_leave_no_file(
    model: LSeg, tmp_path: Path, name: str, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        export_image_encoder(model, tmp_path / name, size, torch.float32)
    assert not list(tmp_path.iterdir())


def test_file_with_different_output_is_removed(model: LSeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lseg_ros.export._load_pt2", lambda path: ("a runtime", lambda image: image * float("nan")))
    monkeypatch.setattr(model, "encode_image", lambda image: image)
    with pytest.raises(ValueError, match="expected embeddings within 0.0001 of the network's, got a difference of nan"):
        export_image_encoder(model, tmp_path / "encoder.pt2", (64, 96), torch.float32)
    assert not list(tmp_path.iterdir())


def test_command_reports_the_difference(checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "encoder.pt2"
    words = ["--checkpoint", checkpoint, "--out", str(file), "--width", "96", "--height", "64"]
    assert main(["export", *words]) == 0
    printed = capsys.readouterr().out
    assert f"{file}: image encoder of {checkpoint}, 96x64, float32" in printed
    assert "minus (0.5, 0.5, 0.5), divided by (0.5, 0.5, 0.5)" in printed
    assert "torch.export: embeddings of a random image differ by at most" in printed
    assert main(["export", *words[:-1], "65"]) == 2
    assert "lseg export: size: expected multiples of 32 px, got 96x65" in capsys.readouterr().err
