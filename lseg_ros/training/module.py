"""The loss of LSeg, a softmax over words at every pixel with the text tower frozen, and of what it is compared to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lseg_ros.datasets import IGNORE
from lseg_ros.model import LSeg
from lseg_ros.model.lseg import LOGIT_SCALE
from lseg_ros.training.batches import Batch
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.questions import Words

__all__ = ["WordPixelLoss"]


class WordPixelLoss(nn.Module):
    """The objective of the paper (section 3.3): cross-entropy of the word-pixel correlation, per pixel.

    words: (rows, C), their embeddings, made once for the whole run. pixel_count: (classes,) seen so far. With
    ``head: classes`` the head of the network gives scores of the classes instead of an embedding, and no word is used.
    """

    words: Tensor
    pixel_count: Tensor

    def __init__(self, model: LSeg, words: Words, config: TrainingConfig) -> None:
        super().__init__()
        if config.pull and model.regularization is not None:
            raise ValueError(
                f"pull: expected 0 with a spatial regularisation, after which no score is a cosine, got {config.pull}"
            )
        if config.head == "classes":
            model.head = nn.Conv2d(model.config.features, len(words.classes), 1)
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = config
        self.by_class = config.head == "classes"
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
        pixels = self._pixels(batch.image)  # (B, C, H/2, W/2), or scores (B, classes, H/2, W/2)
        weights = self._class_weights(batch)  # (classes,)
        total, share = pixels.new_zeros((), dtype=torch.float32), pixels.new_zeros((), dtype=torch.float32)
        for image, target, rows, classes in zip(pixels.split(1), batch.target, batch.rows, batch.classes):
            logits = image[:, rows] if self.by_class else self.model.correlate(image, self.words[rows])  # (1, K, h, w)
            if self.config.full_resolution:
                logits = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)  # (1, K, H, W)
            weight = weights[classes]  # (K,)
            known = target != IGNORE
            total = total + F.cross_entropy(
                logits.float(), target[None], weight=weight, ignore_index=IGNORE, reduction="sum"
            )
            share = share + weight[target[known]].sum()
            if self.config.pull:
                total = total + self.config.pull * _distance(logits[0], target, torch.where(classes < 0, 0.0, weight))
        return total / share.clamp(min=1e-6)

    def _pixels(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> what ``LSeg.encode_image`` gives, in float32; with a head of classes their scores.

        Not by calling it: under autocast its division mixes two dtypes, and divisions were 15 % of a step.
        """
        pixels = self.model.head(self.model.decoder(self.model.backbone(self._normalised(image)))).float()
        return pixels if self.by_class else pixels / pixels.norm(dim=1, keepdim=True)

    def _normalised(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> float32."""
        mean, std = (
            image.new_tensor(each, dtype=torch.float32)[:, None, None]
            for each in (self.model.config.image_mean, self.model.config.image_std)
        )
        return ((image / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    def _class_weights(self, batch: Batch) -> Tensor:
        """(classes + 1,) weights from the pixels counted so far: rare words weigh more, on average one per pixel.

        The last, 1, is what -1 reads: that of others, and of distractors, which are no pixel's target.
        """
        if not self.config.class_balance:
            return self.pixel_count.new_ones(len(self.pixel_count) + 1)
        self.pixel_count += _counted(batch.target, batch.classes, len(self.pixel_count))
        share = self.pixel_count / self.pixel_count.sum()
        weight = share.clamp(min=1e-4) ** -self.config.class_balance
        return F.pad(weight / (share * weight).sum(), (0, 1), value=1.0)


def _distance(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Logits (K, h, w), places (h, w), weights (K,) -> the weighted sum of 1 - cosine of each pixel and its word."""
    known = target != IGNORE
    place = target[known]
    cosine = logits[:, known].gather(0, place[None])[0].float() / LOGIT_SCALE
    return (weight[place] * (1 - cosine)).sum()


def _counted(target: Tensor, classes: Sequence[Tensor], count: int) -> Tensor:
    """(B, h, w) places in the questions -> (count,) pixels of each class."""
    found = torch.cat([asked[each[each != IGNORE]] for each, asked in zip(target, classes)])
    return torch.bincount(found[found >= 0], minlength=count)
