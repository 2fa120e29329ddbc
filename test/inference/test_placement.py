"""Device, dtype and copies of every path of a frame on a GPU, checked without one."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from unittest import mock

import numpy as np
import pytest
import torch

from lseg_ros.inference import EncodedVocabulary, Segmenter, SegmenterConfig, postprocess_triton, segmenter, similarity
from lseg_ros.model import PRESETS, LSeg, LSegConfig
from lseg_ros.pipeline import Outputs, Pipeline
from lseg_ros.structures import Frame, Intrinsics
from lseg_ros.vocabulary import Vocabulary
from test.support.fake_cuda import DEVICE, Transfers, fake_cuda

WORDS = Vocabulary.of(["floor", "sofa", "person"])
SIZE = (72, 96)  # of the images, in pixels; the input of the network is 96x128


def shallow(config: LSegConfig) -> LSegConfig:
    """The architecture with one block per stage: the others are repetitions."""
    text = dataclasses.replace(config.text, layers=1)
    if config.resnet:
        return dataclasses.replace(config, resnet=(1, 1, 1, 1), text=text)
    if config.timm:
        return dataclasses.replace(config, text=text)
    count = len(config.taps)
    return dataclasses.replace(config, depth=count, taps=tuple(range(count)), text=text)


CONFIGS = {name: shallow(config) for name, config in PRESETS.items() if name != "zs_vitl16"}  # the same as vitl16
CONFIGS |= {
    f"regularization {option}": dataclasses.replace(CONFIGS["demo"], arch_option=option, block_depth=2)
    for option in (1, 2)
}


@cache
def optimized(name: str) -> LSeg:
    """A network without values, as ``Segmenter.from_checkpoint`` optimizes it."""
    with torch.device("meta"):
        model = LSeg(CONFIGS[name]).eval()
    with mock.patch.object(segmenter, "load_lseg", lambda *_, **__: model):
        return Segmenter.from_checkpoint(SegmenterConfig(device="meta", precision="float32")).model


@contextmanager
def on_gpu(name: str, precision: str = "bfloat16") -> Iterator[tuple[Segmenter, EncodedVocabulary, Transfers]]:
    """A network and encoded labels on a fake GPU."""
    model = copy.deepcopy(optimized(name))
    network = Segmenter(model, SegmenterConfig(device="meta", precision=precision, input_size=128))
    with fake_cuda() as transfers:
        model.to_empty(device=str(DEVICE))
        network.device = DEVICE
        ids = torch.empty(len(WORDS), dtype=torch.uint8, device=DEVICE)
        words = EncodedVocabulary(WORDS, torch.empty(len(WORDS), model.config.text.embed_dim, device=DEVICE), ids)
        yield network, words, transfers


def image(height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_network_stays_on_the_device(name: str, precision: str) -> None:
    with on_gpu(name, precision) as (network, words, transfers):
        features: list[torch.Tensor] = []
        network.model.decoder.register_forward_hook(lambda module, inputs, output: features.append(output))
        embedded = network.embed_all([image(), image(), image(96, 96)])
        maps = [network.label_on_device(embeddings, words.embeddings, words.ids, 0.5) for embeddings in embedded]
        config = network.model.config
        channels = config.features + (config.text.embed_dim if config.classifier else 0)
        assert [tuple(tensor.shape) for tensor in features] == [(2, channels, 24, 32), (1, channels, 32, 32)]
        assert {(tensor.device, tensor.dtype) for tensor in features} == {(DEVICE, getattr(torch, precision))}
        fields = [field for embeddings in embedded for field in (embeddings.low_res, embeddings.norm)]
        assert {(tensor.device, tensor.dtype) for tensor in fields} == {(DEVICE, torch.float32)}
        assert [(tensor.device, tensor.dtype, tuple(tensor.shape)) for tensor in maps] == [
            (DEVICE, torch.uint8, (2, *SIZE)),
            (DEVICE, torch.uint8, (2, *SIZE)),
            (DEVICE, torch.uint8, (2, 96, 96)),
        ]
        transfers.clear()  # the first image of a size also uploads constants
        result = network.segment(image(), words, unlabeled_threshold=0.5)
        assert transfers.uploads == [96 * 128 * 3]
        assert transfers.downloads == [2 * SIZE[0] * SIZE[1]]
        assert result.label_map.shape == result.confidence.shape == SIZE


class LaunchRecorder:
    """Stands for the Triton kernel and records the tensors of its launches."""

    def __init__(self) -> None:
        self.tensors: list[torch.Tensor] = []

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        assert grid[0] * 128 >= SIZE[0] * SIZE[1]
        return lambda *args, **_: self.tensors.extend(arg for arg in args if isinstance(arg, torch.Tensor))


@pytest.mark.parametrize("name", ["demo", "regularization 1"])
def test_fast_path_copies_the_image_and_two_bytes_per_pixel(name: str) -> None:
    with on_gpu(name) as (network, words, transfers):
        launches = LaunchRecorder()
        network._resize_on_device = True
        network._postprocess = partial(postprocess_triton.postprocess, function=launches)
        network.segment(image(), words)
        transfers.clear()
        network.segment(image(), words, unlabeled_threshold=0.5)
        assert transfers.uploads == [SIZE[0] * SIZE[1] * 3]
        assert transfers.downloads == [2 * SIZE[0] * SIZE[1]]
        assert len(launches.tensors) == 2 * 8
        assert {tensor.device for tensor in launches.tensors} == {DEVICE}


def test_threshold_needs_no_further_copy() -> None:
    with on_gpu("demo") as (network, words, transfers):
        embedded = network.embed(image())
        network.label(embedded, words)
        transfers.clear()
        for threshold in (0.0, 0.5):
            network.label(embedded, words, threshold)
        assert transfers.uploads == []
        assert transfers.downloads == 2 * [2 * SIZE[0] * SIZE[1]]


def test_similarity_downloads_one_float_per_pixel() -> None:
    with on_gpu("demo") as (network, words, transfers):
        embedded = network.embed(image())
        transfers.clear()
        assert similarity(embedded, words.embeddings[0]).dtype == np.float32
        assert transfers.uploads == []
        assert transfers.downloads == [4 * SIZE[0] * SIZE[1]]


def test_query_of_a_known_text_uses_the_embeddings_on_the_device() -> None:
    frame = Frame(image(), np.ones(SIZE, np.float32), Intrinsics(100.0, 100.0, 48.0, 36.0, SIZE[1], SIZE[0]))
    with on_gpu("demo") as (network, words, transfers):
        network._cache["floor"] = words.embeddings[0]
        pipeline = Pipeline(network)
        (encoded_frame,) = pipeline.encode([frame])
        transfers.clear()
        assert pipeline.query(encoded_frame, "floor").similarity.shape == SIZE
        assert transfers.downloads == [4 * SIZE[0] * SIZE[1]]


def test_pipeline_copies_no_more_than_the_segmenter() -> None:
    frame = Frame(image(), np.ones(SIZE, np.float32), Intrinsics(100.0, 100.0, 48.0, 36.0, SIZE[1], SIZE[0]))
    outputs = Outputs.POINTS | Outputs.LABEL_CLOUDS | Outputs.SUMMARY | Outputs.OVERLAY
    with on_gpu("demo") as (network, words, transfers):
        pipeline = Pipeline(network)
        pipeline.process(frame, words)
        transfers.clear()
        assert pipeline.process(frame, words, outputs).points is not None
        assert transfers.uploads == [96 * 128 * 3]
        assert transfers.downloads == [2 * SIZE[0] * SIZE[1]]


def test_copies_are_found() -> None:
    with fake_cuda() as transfers:
        on_device = torch.empty(4, device=DEVICE)
        on_device + torch.ones(4, dtype=torch.uint8).to(DEVICE)
        on_device.cpu()
        assert transfers.uploads == [4]
        assert transfers.downloads == [16]
        with pytest.raises(RuntimeError, match="cuda:0 and cpu"):
            on_device + torch.ones(4)
