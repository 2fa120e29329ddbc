"""Tests of ONNX Runtime as the engine of the image encoder. The network is exported once."""

from __future__ import annotations

import dataclasses
import errno
import importlib.util
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lseg_ros.inference import Segmenter, SegmenterConfig, onnx_engine
from lseg_ros.inference.onnx_engine import OnnxEngine
from lseg_ros.inference.self_check import Encode
from lseg_ros.vocabulary import Vocabulary
from test.support.tiny_network import write_tiny

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs pip install 'lseg_ros[onnxruntime]'",
)
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def plain(checkpoint: str) -> Segmenter:
    config = SegmenterConfig(
        checkpoint=checkpoint, device="cpu", precision="float32", engine="torch", input_size=64, cpu_threads=1
    )
    return Segmenter.from_checkpoint(config)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def exported(plain: Segmenter, cache: Path) -> bytes:
    """The only export of these tests. The file is in the cache, too."""
    engine = make_engine(plain, cache)
    engine.prepare(plain._encode, plain._to_encoder(plain._preprocess(IMAGE)[0]))
    assert engine.problem == ""
    (file,) = cache.iterdir()
    assert file.name.startswith("tiny-64x64-") and file.suffix == ".onnx"
    return file.read_bytes()


def make_engine(plain: Segmenter, cache: Path, checkpoint: str = "", **options: Any) -> OnnxEngine:
    return OnnxEngine(checkpoint or plain.config.checkpoint, CPU, torch.float32, cache=cache, **options)


def network_input(plain: Segmenter, batch: int = 1) -> Tensor:
    return torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch, exported: bytes) -> None:
    def export(*_: object) -> bytes:
        raise RuntimeError("this operator is not supported")

    monkeypatch.setattr(onnx_engine, "export_onnx", export)


@pytest.fixture
def instant_export(monkeypatch: pytest.MonkeyPatch, exported: bytes) -> None:
    monkeypatch.setattr(onnx_engine, "export_onnx", lambda *_: exported)


@torch.inference_mode()
def prepared(engine: OnnxEngine, encode: Encode) -> OnnxEngine:
    engine.prepare(encode, torch.zeros(1, 3, 64, 64))
    return engine


def is_used(engine: OnnxEngine, plain: Segmenter) -> bool:
    """Whether the engine encodes a batch without PyTorch, with the same results."""
    calls = []

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(x)
        return plain._encode(x)

    x = network_input(plain, batch=2)
    with torch.inference_mode():
        for found, expected in zip(engine.run(encode, x), plain._encode(x)):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    return not calls


def test_results_are_those_of_pytorch(plain: Segmenter, cache: Path, no_export: None) -> None:
    engine = prepared(make_engine(plain, cache), plain._encode)
    assert is_used(engine, plain)
    assert engine.provider == "CPUExecutionProvider"


def test_file_of_another_network_is_not_used(plain: Segmenter, cache: Path, no_export: None, tmp_path: Path) -> None:
    engine = prepared(make_engine(plain, cache, write_tiny(tmp_path, seed=1)), plain._encode)
    assert engine.problem == "ONNX Runtime is not used: RuntimeError: this operator is not supported"
    assert not is_used(engine, plain)


def test_other_sizes_run_in_pytorch(plain: Segmenter, cache: Path, no_export: None) -> None:
    engine, x = prepared(make_engine(plain, cache), plain._encode), torch.zeros(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(engine.run(plain._encode, x)[0], plain._encode(x)[0])


def test_damaged_file_is_written_again(
    plain: Segmenter, exported: bytes, instant_export: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared(make_engine(plain, tmp_path), plain._encode)
    (file,) = tmp_path.iterdir()
    file.write_bytes(exported[:1000])
    with caplog.at_level(logging.WARNING):
        assert is_used(prepared(make_engine(plain, tmp_path), plain._encode), plain)
    assert "cannot be used and is written again" in caplog.text
    assert [path.read_bytes() == exported for path in tmp_path.iterdir()] == [True]


def test_read_only_cache_costs_only_the_next_start(plain: Segmenter, instant_export: None, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_used(prepared(make_engine(plain, tmp_path / "file" / "onnx"), plain._encode), plain)


def test_full_cache_costs_only_the_next_start(
    plain: Segmenter, instant_export: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    assert is_used(prepared(make_engine(plain, tmp_path), plain._encode), plain)
    assert not list(tmp_path.iterdir())


def test_user_without_a_home_gets_pytorch(
    plain: Segmenter, instant_export: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    engine = prepared(OnnxEngine(plain.config.checkpoint, CPU, torch.float32), plain._encode)
    assert engine.problem == "ONNX Runtime is not used: RuntimeError: Could not determine home directory."
    assert not is_used(engine, plain)


def test_different_results_are_not_used(plain: Segmenter, cache: Path, instant_export: None) -> None:
    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        low_res, norm = plain._encode(x)
        return low_res.roll(1, dims=3), norm

    engine = prepared(make_engine(plain, cache), encode)
    assert "ValueError: results: expected those of the encoder, got errors up to" in engine.problem
    assert not is_used(engine, plain)


def test_failure_at_run_time_is_reported_and_pytorch_goes_on(
    plain: Segmenter, cache: Path, no_export: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    engine = prepared(make_engine(plain, cache), plain._encode)
    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", fail)
    assert not is_used(engine, plain)
    assert engine.problem == "ONNX Runtime is not used: RuntimeError: out of memory"
    monkeypatch.undo()
    assert not is_used(engine, plain)


def test_provider_that_cannot_be_loaded_is_skipped(
    plain: Segmenter, cache: Path, no_export: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    available = ["OpenVINOExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    assert prepared(make_engine(plain, cache), plain._encode).provider == "CPUExecutionProvider"


@pytest.mark.parametrize("faster", ["ONNX Runtime", "PyTorch"])
def test_auto_uses_the_faster_one(
    plain: Segmenter, cache: Path, no_export: None, monkeypatch: pytest.MonkeyPatch, faster: str
) -> None:
    import onnxruntime

    run = onnxruntime.InferenceSession.run_with_iobinding

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        time.sleep(0.15 * (faster == "ONNX Runtime"))
        return plain._encode(x)

    def run_slowly(*arguments: Any) -> None:
        time.sleep(0.15)
        run(*arguments)

    if faster == "PyTorch":
        monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", run_slowly)
    engine = prepared(make_engine(plain, cache, only_if_faster=True), encode)
    assert engine.problem == ""
    assert is_used(engine, plain) == (faster == "ONNX Runtime")


class TestSegmenter:
    def network(self, plain: Segmenter, engine: str) -> Segmenter:
        return Segmenter.from_checkpoint(dataclasses.replace(plain.config, engine=engine))

    @pytest.fixture(autouse=True)
    def own_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr("lseg_ros.inference.segmenter.is_installed", onnx_engine.is_installed)

    def test_onnxruntime_exports_at_the_first_image(self, plain: Segmenter, instant_export: None) -> None:
        network, words = self.network(plain, "onnxruntime"), plain.encode(Vocabulary.of(["floor", "sofa", "car"]))
        assert network.engine == "PyTorch"
        labels = [segmenter.segment(IMAGE, words).label_map for segmenter in (network, plain)]
        assert np.mean(labels[0] == labels[1]) > 0.999
        assert network.engine == "ONNX Runtime, CPUExecutionProvider"
        assert network.problems == []

    def test_auto_exports_only_after_a_warm_up(
        self, plain: Segmenter, instant_export: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def export(*_: object) -> bytes:
            raise RuntimeError("this operator is not supported")

        network = self.network(plain, "auto")
        network.embed(IMAGE)
        network.warm_up(48, 64)
        assert network.problems == []
        monkeypatch.setattr(onnx_engine, "export_onnx", export)
        network.embed(IMAGE)
        assert network.problems == []
        network.embed(IMAGE[:32])
        assert network.problems == ["ONNX Runtime is not used: RuntimeError: this operator is not supported"]
        assert network.engine == "PyTorch"
        network.embed(IMAGE[:32])

    @pytest.mark.parametrize("engine", ["auto", "torch"])
    def test_only_an_explicit_choice_misses_the_package(
        self, plain: Segmenter, monkeypatch: pytest.MonkeyPatch, engine: str
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
        network = self.network(plain, engine)
        network.warm_up(48, 64)
        assert network.problems == []

    def test_missing_package_is_named(
        self, plain: Segmenter, instant_export: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        network = self.network(plain, "onnxruntime")
        network.embed(IMAGE)
        (problem,) = network.problems
        assert "expected the packages of `pip install 'lseg_ros[onnxruntime]'`, got none" in problem
