"""The stages of a frame, each as a call that can be repeated."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.benchmark.op_counter import Work, nbytes, product
from lseg_ros.benchmark.parts import Parts
from lseg_ros.inference import EncodedVocabulary, Segmenter
from lseg_ros.inference.embeddings import doubled_norm
from lseg_ros.inference.postprocess import postprocess
from lseg_ros.inference.preprocess import preprocess
from lseg_ros.pipeline import Outputs, Pipeline
from lseg_ros.structures import Frame
from lseg_ros.vocabulary import Vocabulary

__all__ = ["NETWORK", "PIPELINE", "VOCABULARY", "Network", "Stage", "network_stages", "pipeline_stage", "word_stages"]

NETWORK = "network, image on the device"
PIPELINE = "pipeline, RGB-D frame"
VOCABULARY = "20 new labels until usable"
_NEW_LABELS = 20
# For each label and pixel: four weighted neighbors, then a comparison, a difference, an exponential and a sum.
_POST_FLOP = 12


@dataclass(frozen=True, eq=False)
class Stage:
    """run: with inputs of its own that were made before. dtype: of its arithmetic. beside: work that no layer does."""

    name: str
    run: Callable[[], Any]
    dtype: torch.dtype
    beside: Work = dataclasses.field(default_factory=Work)


class Network:
    """A segmenter's network as a function of an image that is on the device already."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def input_of(self, image: NDArray[np.uint8]) -> tuple[Tensor, tuple[int, int]]:
        """See ``preprocess``."""
        segmenter, config = self._segmenter, self._segmenter.model.config
        stride = segmenter.model.stride
        mean, std = config.image_mean, config.image_std
        return preprocess(image, segmenter.input_size, stride, mean, std, segmenter.device)

    @torch.inference_mode()
    def logits(self, x: Tensor, encoded: EncodedVocabulary) -> Tensor:
        """(1, 3, h', w') in the encoder's dtype -> (1, K, h'/2, w'/2) float32, as nothing else needs them."""
        size = (x.shape[2], x.shape[3])
        pixels = self._segmenter.embed_input(x, [size], [size])[0].pixels
        return self._segmenter.model.correlate(pixels, encoded.embeddings)

    @torch.inference_mode()
    def label(self, x: Tensor, encoded: EncodedVocabulary, filled: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """-> (2, H, W) uint8 on the device: label map and confidence."""
        (embedded,) = self._segmenter.embed_input(x, [filled], [size])
        return self._segmenter.label_on_device(embedded, encoded.embeddings, encoded.ids)


@torch.inference_mode()
def network_stages(segmenter: Segmenter, encoded: EncodedVocabulary, image: NDArray[np.uint8]) -> list[Stage]:
    """From an image (H, W, 3) to label map and confidence on the host; the last one is the network as a whole."""
    network, parts, dtype = Network(segmenter), Parts(segmenter.model), segmenter.dtype
    pixels_in, filled = network.input_of(image)  # (1, 3, h', w') float32
    size = image.shape[:2]
    x = pixels_in.to(dtype)
    taps = parts.backbone(x)
    levels = parts.reassemble(taps, (x.shape[2], x.shape[3]))
    features = parts.fusion(levels)  # (1, F, h'/4, w'/4)
    coarse = parts.head(features)  # (1, C, h'/4, w'/4)
    norm = doubled_norm(coarse)  # (1, 1, h'/2, w'/2)
    logits = segmenter.model.correlate(coarse, encoded.embeddings)  # (1, K, h'/4, w'/4)
    both = postprocess(logits, filled, size, encoded.ids, norm=norm)  # (2, H, W)
    pre, correlation = Work(bytes=image.nbytes + nbytes(pixels_in)), _correlation(coarse, encoded)
    post = Work(_POST_FLOP * len(encoded.ids) * size[0] * size[1], nbytes(logits, both))

    def head() -> Tensor:
        return doubled_norm(parts.head(features))

    def correlate() -> Tensor:
        return segmenter.model.correlate(coarse, encoded.embeddings)

    def finish() -> Tensor:
        return postprocess(logits, filled, size, encoded.ids, norm=norm)

    stages = [
        Stage("preprocess", lambda: network.input_of(image), torch.float32, pre),
        Stage("backbone", lambda: parts.backbone(x), dtype),
        Stage("reassemble", lambda: parts.reassemble(taps, (x.shape[2], x.shape[3])), dtype),
        Stage("fusion", lambda: parts.fusion(levels), dtype),
        Stage("head", head, torch.float32),
        Stage("correlate", correlate, torch.float32, correlation),
        Stage("upsample, arg max, confidence", finish, torch.float32, post),
    ]
    if segmenter.device.type != "cpu":
        stages.append(Stage("transfer to the host", lambda: both.cpu(), dtype, Work(bytes=nbytes(both))))
    stages.append(Stage(NETWORK, lambda: network.label(x, encoded, filled, size), dtype, correlation + post))
    return stages


def pipeline_stage(pipeline: Pipeline, encoded: EncodedVocabulary, frame: Frame) -> Stage:
    """From a numpy RGB-D frame to everything that a planner asks for, in numpy; its work is the network's alone."""
    want = Outputs.POINTS | Outputs.LABEL_CLOUDS
    embedded = pipeline.segmenter.embed(frame.image)
    correlation = _correlation(embedded.coarse, encoded)
    return Stage(PIPELINE, lambda: pipeline.process(frame, encoded, want), pipeline.segmenter.dtype, correlation)


def word_stages(segmenter: Segmenter) -> list[Stage]:
    """Labels that the segmenter never saw: through the text encoder, and as a vocabulary ready for the next frame."""
    fresh = itertools.count()

    def words() -> list[str]:
        number = next(fresh)
        return [f"new thing {number} {each}" for each in range(_NEW_LABELS)]

    return [
        Stage("text encoder, 20 labels", lambda: segmenter.model.encode_text(words()), torch.float32),
        Stage(VOCABULARY, lambda: segmenter.encode(Vocabulary.of(words())), torch.float32),
    ]


def _correlation(pixels: Tensor, encoded: EncodedVocabulary) -> Work:
    """Of pixel embeddings (1, C, h, w) in whatever dtype, which are read, and float32 logits."""
    _, channels, height, width = pixels.shape
    return product(height * width, channels, len(encoded.ids), encoded.embeddings.element_size())
