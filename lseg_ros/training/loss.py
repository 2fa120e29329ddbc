"""The loss of LSeg, a softmax over words at every pixel with the text tower frozen, and of what it is compared to."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lseg_ros.datasets import IGNORE
from lseg_ros.model import LSeg
from lseg_ros.model.decoder import upsample2x
from lseg_ros.model.lseg import LOGIT_SCALE
from lseg_ros.training.batches import Batch
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.label_sampler import LabelPrompt, LabelSampler

__all__ = ["WordPixelLoss"]


class WordPixelLoss(nn.Module):
    """The objective of the paper (section 3.3): cross-entropy of the word-pixel correlation, per pixel.

    words: (rows, C), their embeddings, made once for the whole run. general: (classes,) what each is a special case of,
    or itself. pixel_count: (classes,) seen so far, special cases with what they are of. With ``head: classes`` the head
    of the network gives scores of the classes instead of an embedding, and no word is used.
    """

    text_embeddings: Tensor
    parents: Tensor
    pixel_count: Tensor

    def __init__(self, model: LSeg, sampler: LabelSampler, config: TrainingConfig) -> None:
        super().__init__()
        for name in ("cosine_weight", "pixels_per_image"):
            if getattr(config, name) and model.regularization is not None:
                raise ValueError(
                    f"{name}: expected 0 with a spatial regularization, after which no score is of one pixel and one "
                    f"word alone, got {getattr(config, name)}"
                )
        if config.head == "classes":
            model.head = nn.Conv2d(model.config.features, len(sampler.classes), 1)
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = config
        self.by_class = config.head == "classes"
        self.register_buffer("text_embeddings", sampler.embeddings(model.encode_text), persistent=False)
        self.register_buffer("parents", torch.tensor(sampler.parents), persistent=False)
        self.register_buffer("pixel_count", torch.ones(len(sampler.classes)))

    def train(self, mode: bool = True) -> WordPixelLoss:
        super().train(mode)
        if self.config.batch_norm == "frozen":
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """The mean loss () over the pixels that have a word, 0 where none has; NaN or infinite if it comes to that."""
        target, weight = batch.target, self._weights(batch.target)  # (B, h, w)
        if self.config.pixels_per_image:
            positions = _sample_positions(weight, batch.draws)  # (B, N)
            grid = _to_grid(positions, target.shape[1:])  # (B, 1, N, 2)
            target = target.flatten(1).gather(1, positions)[:, None]  # (B, 1, N)
            weight = torch.ones_like(target, dtype=torch.float32)
            pixels = F.grid_sample(self._encoded(batch.image, low_res=True), grid, align_corners=True)  # (B, C, 1, N)
        else:
            pixels = self._encoded(batch.image)  # (B, C, H/2, W/2)
        # with a head of classes, C are their scores; from here on h, w are whatever pixels there are
        total, share = pixels.new_zeros(()), pixels.new_zeros(())
        with torch.autocast(pixels.device.type, enabled=False):
            if not self.by_class:
                pixels = pixels * pixels.square().sum(dim=1, keepdim=True).rsqrt()
            for each in zip(pixels.split(1), target, weight, batch.prompts):
                image, classes, weights, questions = each
                for question in questions:
                    place = question.target_lut[classes]  # (h, w)
                    total = total + (weights * self._losses(image, place, question)).sum()
                    share = share + weights[place != IGNORE].sum()
        return total / share.clamp(min=1e-6)

    def _losses(self, image: Tensor, place: Tensor, question: LabelPrompt) -> Tensor:
        """(1, C, h', w'), (h, w) places in the question -> (h, w), 0 where there is no place."""
        rows = question.text_indices
        logits = (
            image[:, rows] if self.by_class else self.model.correlate(image, self.text_embeddings[rows])
        )  # (1, K, h', w')
        if self.config.loss_at_full_resolution:
            logits = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)  # (1, K, h, w)
        losses = F.cross_entropy(logits, place[None], ignore_index=IGNORE, reduction="none")[0]  # (h, w)
        if self.config.cosine_weight:
            pulled = (place != IGNORE) & (question.classes[place] >= 0)
            cosine = logits[0].gather(0, place.clamp(min=0)[None])[0] / LOGIT_SCALE  # (h, w)
            losses = losses + self.config.cosine_weight * torch.where(pulled, 1 - cosine, 0.0)
        return losses

    def _encoded(self, image: Tensor, *, low_res: bool = False) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, C, H/2, W/2) of the head, low_res (B, C, H/4, W/4), float32 of any norm.

        Not by ``LSeg.encode_image``: under autocast its division mixes two dtypes, and divisions were 15 % of a step.
        """
        maps = self.model.backbone(self._normalized(image))
        encoded: Tensor = self.model.head(self.model.decoder(maps)).float()  # (B, C, H/4, W/4)
        return encoded if low_res else upsample2x(encoded)

    def _normalized(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> float32."""
        mean, std = (
            image.new_tensor(each, dtype=torch.float32)[:, None, None]
            for each in (self.model.config.image_mean, self.model.config.image_std)
        )
        return ((image / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    def _weights(self, target: Tensor) -> Tensor:
        """(B, h, w) classes -> (B, h, w) weights, by the pixels counted so far: those of rare classes weigh more.

        On average 1 per pixel that has a class, and 0 where it has none.
        """
        known = target != IGNORE
        if not self.config.class_balance:
            return known.float()
        classes = self.parents[target]  # (B, h, w), of IGNORE anything
        self.pixel_count += torch.bincount(classes[known], minlength=len(self.pixel_count))
        share = self.pixel_count / self.pixel_count.sum()
        weight = share.clamp(min=1e-4) ** -self.config.class_balance  # (classes,)
        return known * (weight / (share * weight).sum())[classes]


def _sample_positions(weight: Tensor, draws: Tensor) -> Tensor:
    """Weights (B, h, w), draws (B, N) in [0, 1) -> (B, N) positions in h w, each as likely as its weight says."""
    up_to = weight.flatten(1).double().cumsum(1)  # (B, h w)
    return torch.searchsorted(up_to, draws * up_to[:, -1:], right=True).clamp(max=up_to.shape[1] - 1)


def _to_grid(positions: Tensor, size: torch.Size) -> Tensor:
    """Positions (B, N) in h w -> (B, 1, N, 2) x and y as ``grid_sample`` takes them, the corner pixels at -1 and 1."""
    height, width = size
    x, y = positions % width, positions // width
    return torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)[:, None]
