"""The loss of LSeg: a softmax over words at every pixel, the text tower frozen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lseg_ros.datasets import IGNORE
from lseg_ros.model import LSeg
from lseg_ros.training.batches import Batch
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.questions import Words

__all__ = ["WordPixelLoss"]


class WordPixelLoss(nn.Module):
    """The objective of the paper (section 3.3): cross-entropy of the word-pixel correlation, per pixel.

    words: (rows, C), their embeddings, made once for the whole run. pixel_count: (classes,) seen so far.
    """

    words: Tensor
    pixel_count: Tensor

    def __init__(self, model: LSeg, words: Words, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = config
        self.register_buffer("words", words.embeddings(model.encode_text), persistent=False)
        self.register_buffer("pixel_count", torch.ones(len(words.classes)))

    def train(self, mode: bool = True) -> WordPixelLoss:
        super().train(mode)
        if self.config.batch_norm == "frozen":
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """The mean loss () over the pixels that have a word, 0 where none has; NaN or infinite if it comes to that."""
        pixels = self.model.encode_image(self._normalised(batch.image))  # (B, C, H/2, W/2)
        weights = self._class_weights(batch)  # (classes,)
        total, share = pixels.new_zeros((), dtype=torch.float32), pixels.new_zeros((), dtype=torch.float32)
        for image, target, rows, classes in zip(pixels.split(1), batch.target, batch.rows, batch.classes):
            logits = self.model.correlate(image, self.words[rows])  # (1, K, H/2, W/2)
            if self.config.full_resolution:
                logits = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)  # (1, K, H, W)
            weight = weights[classes]  # (K,), of a distractor any: it is no pixel's target
            known = target != IGNORE
            total = total + F.cross_entropy(
                logits.float(), target[None], weight=weight, ignore_index=IGNORE, reduction="sum"
            )
            share = share + weight[target[known]].sum()
        return total / share.clamp(min=1e-6)

    def _normalised(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> float32."""
        mean, std = (
            image.new_tensor(each, dtype=torch.float32)[:, None, None]
            for each in (self.model.config.image_mean, self.model.config.image_std)
        )
        return ((image / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    def _class_weights(self, batch: Batch) -> Tensor:
        """(classes,) weights from the pixels counted so far: rare words weigh more, on average one per pixel."""
        if not self.config.class_balance:
            return torch.ones_like(self.pixel_count)
        self.pixel_count += _counted(batch.target, batch.classes, len(self.pixel_count))
        share = self.pixel_count / self.pixel_count.sum()
        weight = share.clamp(min=1e-4) ** -self.config.class_balance
        return weight / (share * weight).sum()


def _counted(target: Tensor, classes: Sequence[Tensor], count: int) -> Tensor:
    """(B, h, w) places in the questions -> (count,) pixels of each class."""
    found = [asked[each[each != IGNORE]] for each, asked in zip(target, classes)]
    return torch.bincount(torch.cat(found), minlength=count)
