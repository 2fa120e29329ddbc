"""The node's segmenter as an answer to a data set's labels: which of these words is each pixel?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.evaluation.config import EvaluationConfig
from lseg_ros.evaluation.distributed import Process
from lseg_ros.evaluation.protocols import CITYSCAPES, OFFICIAL, OfficialProtocol, official_scores
from lseg_ros.inference import PixelEmbeddings, Segmenter, SegmenterConfig
from lseg_ros.inference.preprocess import preprocess
from lseg_ros.model import LSeg, load_lseg
from lseg_ros.vocabulary import Vocabulary

__all__ = ["EncodedLabels", "Predictor"]


@dataclass(frozen=True, eq=False)
class EncodedLabels:
    """Different words, encoded: embeddings (K, C) float32 of unit norm; classes (K,) int16, the index of each word.

    Of words that read the same only the first is asked: their scores are equal, so no other could win.
    """

    embeddings: Tensor
    indices: Tensor


class Predictor:
    """Images to maps of class indices, by ``segmenter``, the whole image at once or by the official ``protocol``."""

    def __init__(
        self,
        segmenter: Segmenter,
        protocol: OfficialProtocol | None = None,
        prompt_templates: Sequence[str] = ("{}",),
    ) -> None:
        self.segmenter = segmenter
        self.protocol = protocol
        self.prompt_templates = tuple(prompt_templates)

    @classmethod
    def from_config(cls, config: EvaluationConfig, process: Process) -> Predictor:
        """As the settings say, on this process's own device. Raises what ``load_lseg`` and ``Segmenter`` raise."""
        model = load_lseg(
            config.checkpoint,
            arch_option=None if config.arch_option < 0 else config.arch_option,
            block_depth=None if config.block_depth < 0 else config.block_depth,
            activation=config.activation or None,
        )
        segmenter_config = SegmenterConfig(
            checkpoint=config.checkpoint,
            device=process.device(config.device),
            precision=config.precision,
            input_size=config.input_size,
            cpu_threads=config.cpu_threads,
        )
        protocol = CITYSCAPES if config.data.dataset == "cityscapes" else OFFICIAL
        return cls(
            Segmenter(model, segmenter_config),
            protocol if config.protocol == "official" else None,
            config.prompt_templates,
        )

    @classmethod
    def from_model(cls, model: LSeg) -> Predictor:
        """A network that is loaded already, as it is and where it is, in float32: one in training, for example."""
        segmenter_config = SegmenterConfig(checkpoint="network", device=str(model.device), precision="float32")
        return cls(Segmenter(model, segmenter_config))

    def encode_labels(self, words: Sequence[str]) -> EncodedLabels:
        """Label list entries, ``|`` between synonyms -> what to ask every image; ValueError names a bad entry."""
        different = list(dict.fromkeys(words))
        # each word is a vocabulary of its own: those of a data set may share synonyms and be more than a mask has ids
        encoded = [
            self.segmenter.encode(Vocabulary.of([word], prompt_templates=self.prompt_templates)) for word in different
        ]
        embeddings = torch.cat([each.embeddings for each in encoded])  # (K, C)
        classes = torch.tensor([words.index(word) for word in different], dtype=torch.int16, device=embeddings.device)
        return EncodedLabels(embeddings, classes)

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8], labels: EncodedLabels) -> Tensor:
        """(H, W, 3) uint8 RGB -> (H, W) int16 on the CPU, index of the best word; ValueError below 32 pixels a side."""
        if self.protocol is not None:
            return labels.indices[self._predict_official(image, labels, self.protocol)].cpu()
        return self.predict_encoded(self.segmenter.embed(image), labels)

    def predict_encoded(self, embedded: PixelEmbeddings, labels: EncodedLabels) -> Tensor:
        """What ``classify`` gives, of an image that the network has seen: to ask it more than one labels."""
        return self.segmenter.label_on_device(embedded, labels.embeddings, labels.indices)[0].cpu()

    def _predict_official(self, image: NDArray[np.uint8], labels: EncodedLabels, protocol: OfficialProtocol) -> Tensor:
        """(H, W, 3) uint8 RGB -> (H, W), number of the best word."""
        segmenter, config = self.segmenter, self.segmenter.model.config
        normalized, _ = preprocess(image, 0, 1, config.image_mean, config.image_std, segmenter.device)  # (1, 3, H, W)

        def network(window: Tensor) -> Tensor:
            pixels = segmenter.model.encode_image(window.to(segmenter.dtype)).float()  # (1, C, crop/2, crop/2)
            logits = segmenter.model.correlate(pixels, labels.embeddings)  # (1, K, crop/2, crop/2)
            return F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)

        black = [-mean / std for mean, std in zip(config.image_mean, config.image_std)]
        return official_scores(network, normalized, protocol, black)[0].argmax(0)
