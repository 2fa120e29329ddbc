"""Predict the class of every pixel of an image with the node's segmenter."""

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
    """Text embeddings of a data set's classes.

    If several classes have the same name, only the first of them is encoded: their scores are equal, and of equal
    scores the first wins.

    Attributes:
        embeddings: (K, C) float32 of unit norm, one for each different name.
        indices: (K,) int16, the class index of each embedding.
    """

    embeddings: Tensor
    indices: Tensor


class Predictor:
    """Predicts a map of class indices for each image.

    Attributes:
        segmenter: The segmenter that runs the network.
        protocol: The official protocol, or None to process the whole image once.
        prompt_templates: Prompt templates of the labels.
    """

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
        """Load the network of the settings on the device of this process.

        Raises:
            FileNotFoundError: If the checkpoint does not exist.
            ValueError: If the checkpoint does not fit the settings, or the device does not exist.
        """
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
        """Use a loaded network, for example one in training, in float32 on its current device."""
        segmenter_config = SegmenterConfig(checkpoint="network", device=str(model.device), precision="float32")
        return cls(Segmenter(model, segmenter_config))

    def encode_labels(self, classes: Sequence[str]) -> EncodedLabels:
        """Encode class names, which may list synonyms as in ``sofa|couch``.

        Raises:
            ValueError: If a name is empty or too long; the message contains it.
        """
        names = list(dict.fromkeys(classes))
        # One vocabulary for each name: classes of a data set may share synonyms, and there may be more than 255.
        encoded = [
            self.segmenter.encode(Vocabulary.of([name], prompt_templates=self.prompt_templates), competing=False)
            for name in names
        ]
        embeddings = torch.cat([label.embeddings for label in encoded])  # (K, C)
        indices = torch.tensor([classes.index(name) for name in names], dtype=torch.int16, device=embeddings.device)
        return EncodedLabels(embeddings, indices)

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8], labels: EncodedLabels) -> Tensor:
        """Predict the class index of every pixel.

        Args:
            image: (H, W, 3) uint8 RGB.
            labels: Classes to choose from.

        Returns:
            (H, W) int16 on the CPU.

        Raises:
            ValueError: If a side of the image has fewer than 32 pixels.
        """
        if self.protocol is not None:
            return labels.indices[self._predict_official(image, labels, self.protocol)].cpu()
        return self.predict_encoded(self.segmenter.embed(image), labels)

    def predict_encoded(self, embedded: PixelEmbeddings, labels: EncodedLabels) -> Tensor:
        """Predict like ``predict``, but from pixel embeddings.

        This saves time if several label sets are applied to one image.
        """
        return self.segmenter.label_on_device(embedded, labels.embeddings, labels.indices)[0].cpu()

    def _predict_official(self, image: NDArray[np.uint8], labels: EncodedLabels, protocol: OfficialProtocol) -> Tensor:
        """Return (H, W), the row of the best embedding."""
        segmenter, config = self.segmenter, self.segmenter.model.config
        normalized, _ = preprocess(image, 0, 1, config.image_mean, config.image_std, segmenter.device)  # (1, 3, H, W)

        def network(window: Tensor) -> Tensor:
            pixels = segmenter.model.encode_image(window.to(segmenter.dtype)).float()  # (1, C, crop/2, crop/2)
            logits = segmenter.model.correlate(pixels, labels.embeddings)  # (1, K, crop/2, crop/2)
            return F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)

        black = [-mean / std for mean, std in zip(config.image_mean, config.image_std)]
        return official_scores(network, normalized, protocol, black)[0].argmax(0)
