"""The stages of a frame, each as a call that can be repeated."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lseg_ros.benchmark.roofline import Work, count_bytes, matmul_work
from lseg_ros.inference import EncodedVocabulary, Segmenter
from lseg_ros.inference.embeddings import upsampled_norm
from lseg_ros.inference.postprocess import postprocess
from lseg_ros.inference.preprocess import preprocess
from lseg_ros.model import LSeg
from lseg_ros.pipeline import Outputs, Pipeline
from lseg_ros.structures import Frame
from lseg_ros.vocabulary import Vocabulary

__all__ = [
    "NETWORK",
    "PIPELINE",
    "VOCABULARY",
    "ModelParts",
    "Network",
    "Stage",
    "build_network_stages",
    "build_pipeline_stage",
    "build_text_stages",
    "make_vocabulary",
]

M = TypeVar("M", bound=nn.Module)

NETWORK = "network, image on the device"
PIPELINE = "pipeline, RGB-D frame"
VOCABULARY = "20 new labels until usable"
_NEW_LABELS = 20
# Per label and pixel: interpolation of four neighbors, then a comparison, a difference, an exponential and a sum.
_POSTPROCESS_FLOP = 12


@dataclass(frozen=True, eq=False)
class Stage:
    """A stage of a frame.

    Attributes:
        name: Name in the table and in the JSON report.
        run: Runs the stage on inputs prepared in advance.
        dtype: Precision of its arithmetic.
        extra_work: Work that is not done by a layer and therefore not counted by ``count_ops``.
    """

    name: str
    run: Callable[[], Any]
    dtype: torch.dtype
    extra_work: Work = dataclasses.field(default_factory=Work)


class ModelParts:
    """The parts of an LSeg network, callable one after the other.

    ``head(fusion(reassemble(backbone(image), size)))`` equals ``encode_low_res(image)`` and uses the same modules. As
    in the LSeg paper, reassembling includes the 3x3 convolutions that bring every level to the width of the decoder.
    """

    def __init__(self, model: LSeg) -> None:
        """Split the model; weights are shared."""
        self.model = model
        self._readouts: list[nn.Module] = list(getattr(model.backbone, "reassemble", ()))
        pass_through = nn.ModuleList(_PassTokens() for _ in self._readouts)
        self._backbone = (
            _replace_child(model.backbone, "reassemble", pass_through) if self._readouts else model.backbone
        )

    def backbone(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> feature maps of a stem or ResNet, or (B, 1 + gh gw, D) tokens of a ViT."""
        return self._backbone(image)

    def reassemble(self, taps: list[Tensor], image_size: tuple[int, int]) -> list[Tensor]:
        """Outputs of ``backbone`` -> four levels, (B, F, H/4, W/4) to (B, F, H/32, W/32)."""
        model = self.model
        stem = len(taps) - len(self._readouts)
        grid = torch.Size(side // model.config.token_stride for side in image_size)
        maps = taps[:stem] + [readout(tokens, grid) for readout, tokens in zip(self._readouts, taps[stem:])]
        return model.decoder.project(maps)

    def fusion(self, levels: list[Tensor]) -> Tensor:
        """Four levels -> (B, F, H/4, W/4)."""
        return self.model.decoder.fuse(levels)

    def head(self, features: Tensor) -> Tensor:
        """(B, F, h, w) -> (B, C, h, w), not normalized."""
        low_res: Tensor = self.model.head(features.to(self.model.head.weight.dtype))
        return low_res


class Network:
    """The network of a segmenter as a function of an image on the device."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[Tensor, tuple[int, int]]:
        """(H, W, 3) RGB -> network input and its valid size.

        See ``lseg_ros.inference.preprocess``.
        """
        segmenter, config = self._segmenter, self._segmenter.model.config
        stride = segmenter.model.stride
        mean, std = config.image_mean, config.image_std
        return preprocess(image, segmenter.input_size, stride, mean, std, segmenter.device)

    @torch.inference_mode()
    def logits(self, x: Tensor, encoded: EncodedVocabulary) -> Tensor:
        """(1, 3, h', w') in the encoder's dtype -> (1, K, h'/2, w'/2) float32 logits.

        Used only for comparisons.
        """
        size = (x.shape[2], x.shape[3])
        pixels = self._segmenter.embed_input(x, [size], [size])[0].pixels
        return self._segmenter.model.correlate(pixels, encoded.embeddings)

    @torch.inference_mode()
    def label(self, x: Tensor, encoded: EncodedVocabulary, valid: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """(1, 3, h', w') -> (2, H, W) uint8 label map and confidence, on the device.

        The input has (h, w) valid pixels.
        """
        (embedded,) = self._segmenter.embed_input(x, [valid], [size])
        return self._segmenter.label_on_device(embedded, encoded.embeddings, encoded.ids)


@torch.inference_mode()
def build_network_stages(segmenter: Segmenter, encoded: EncodedVocabulary, image: NDArray[np.uint8]) -> list[Stage]:
    """Build the stages from an image (H, W, 3) to label map and confidence on the host.

    The last stage is the whole network.
    """
    network, parts, dtype = Network(segmenter), ModelParts(segmenter.model), segmenter.dtype
    pixels_in, valid = network.preprocess(image)  # (1, 3, h', w') float32
    size = image.shape[:2]
    x = pixels_in.to(dtype)
    taps = parts.backbone(x)
    levels = parts.reassemble(taps, (x.shape[2], x.shape[3]))
    features = parts.fusion(levels)  # (1, F, h'/4, w'/4)
    low_res = parts.head(features)  # (1, C, h'/4, w'/4)
    norm = upsampled_norm(low_res)  # (1, 1, h'/2, w'/2)
    logits = segmenter.model.correlate(low_res, encoded.embeddings)  # (1, K, h'/4, w'/4)
    labeled = postprocess(logits, valid, size, encoded.ids, norm=norm)  # (2, H, W)
    preprocess_work = Work(bytes=image.nbytes + count_bytes(pixels_in))
    correlate_work = _correlate_work(low_res, encoded)
    postprocess_work = Work(_POSTPROCESS_FLOP * len(encoded.ids) * size[0] * size[1], count_bytes(logits, labeled))

    def head() -> Tensor:
        return upsampled_norm(parts.head(features))

    def correlate() -> Tensor:
        return segmenter.model.correlate(low_res, encoded.embeddings)

    def finish() -> Tensor:
        return postprocess(logits, valid, size, encoded.ids, norm=norm)

    stages = [
        Stage("preprocess", lambda: network.preprocess(image), torch.float32, preprocess_work),
        Stage("backbone", lambda: parts.backbone(x), dtype),
        Stage("reassemble", lambda: parts.reassemble(taps, (x.shape[2], x.shape[3])), dtype),
        Stage("fusion", lambda: parts.fusion(levels), dtype),
        Stage("head", head, torch.float32),
        Stage("correlate", correlate, torch.float32, correlate_work),
        Stage("upsample, arg max, confidence", finish, torch.float32, postprocess_work),
    ]
    if segmenter.device.type != "cpu":
        stages.append(Stage("transfer to the host", lambda: labeled.cpu(), dtype, Work(bytes=count_bytes(labeled))))
    whole_work = correlate_work + postprocess_work
    stages.append(Stage(NETWORK, lambda: network.label(x, encoded, valid, size), dtype, whole_work))
    return stages


def build_pipeline_stage(pipeline: Pipeline, encoded: EncodedVocabulary, frame: Frame) -> Stage:
    """Build the stage from a numpy RGB-D frame to mask, confidence and clouds in numpy.

    Only the work of the network is counted.
    """
    outputs = Outputs.POINTS | Outputs.LABEL_CLOUDS
    embedded = pipeline.segmenter.embed(frame.image)
    work = _correlate_work(embedded.low_res, encoded)
    return Stage(PIPELINE, lambda: pipeline.process(frame, encoded, outputs), pipeline.segmenter.dtype, work)


def build_text_stages(segmenter: Segmenter) -> list[Stage]:
    """Build the stages of labels that are not in the segmenter's cache.

    They are the text encoder alone, and a vocabulary until it is ready for a frame.
    """
    numbers = itertools.count()

    def new_texts() -> list[str]:
        number = next(numbers)
        return [f"new thing {number} {index}" for index in range(_NEW_LABELS)]

    return [
        Stage("text encoder, 20 labels", lambda: segmenter.model.encode_text(new_texts()), torch.float32),
        Stage(VOCABULARY, lambda: segmenter.encode(Vocabulary.of(new_texts())), torch.float32),
    ]


def make_vocabulary(count: int) -> Vocabulary:
    """A vocabulary of ``count`` different labels of usual length."""
    return Vocabulary.of(f"thing {number}" for number in range(1, count + 1))


class _PassTokens(nn.Module):
    """Replaces a readout and returns the tokens that the readout would read."""

    def forward(self, tokens: Tensor, grid: torch.Size) -> Tensor:
        return tokens


def _replace_child(module: M, name: str, child: nn.Module) -> M:
    """A shallow copy of a module, with shared weights, in which one child is replaced."""
    changed = copy.copy(module)
    changed._modules = {**module._modules, name: child}
    return changed


def _correlate_work(pixels: Tensor, encoded: EncodedVocabulary) -> Work:
    """Work of correlating pixel embeddings (1, C, h, w) with the vocabulary in float32."""
    _, channels, height, width = pixels.shape
    return matmul_work(height * width, channels, len(encoded.ids), encoded.embeddings.element_size())
