"""The training loss of LSeg: at every pixel, a softmax over the labels of a prompt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lseg_ros.datasets import IGNORE
from lseg_ros.model import LSeg
from lseg_ros.model.decoder import Head, upsample2x
from lseg_ros.model.lseg import LOGIT_SCALE
from lseg_ros.training.batches import Batch
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.distillation import Distiller, build_distiller
from lseg_ros.training.label_sampler import LabelPrompt, LabelSampler

__all__ = ["WordPixelLoss"]


class WordPixelLoss(nn.Module):
    """Cross-entropy of the word-pixel correlation at every pixel (LSeg paper, section 3.3).

    The texts are encoded once for the whole run. With ``head: classes`` the head of the network outputs scores of the
    classes instead of embeddings, and no text is used.

    Attributes:
        text_embeddings: (classes + texts, C), as ``LabelSampler.embeddings``.
        parents: (classes,) int64, as ``LabelSampler.parents``.
        pixel_count: (classes,) number of pixels seen so far; special cases count for their parents.
    """

    text_embeddings: Tensor
    parents: Tensor
    pixel_count: Tensor

    def __init__(self, model: LSeg, sampler: LabelSampler, config: TrainingConfig) -> None:
        super().__init__()
        settings = {name: getattr(config, name) for name in ("cosine_weight", "pixels_per_image")}
        for name, value in (*settings.items(), ("distill_weight", config.distillation.distill_weight)):
            if value and model.regularization is not None:
                raise ValueError(
                    f"{name}: expected 0 with a spatial regularization, which mixes the scores of pixels and labels, "
                    f"got {value}"
                )
        if config.head == "classes":
            model.head = Head(model.config.features, len(sampler.classes))
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.freeze_backbone:
            model.backbone.requires_grad_(False)
        self.config = config
        self.by_class = config.head == "classes"
        self.register_buffer("text_embeddings", sampler.embeddings(model.encode_text), persistent=False)
        self.register_buffer("parents", torch.tensor(sampler.parents), persistent=False)
        self.register_buffer("pixel_count", torch.ones(len(sampler.classes)))
        distills = bool(config.distillation.distill_weight or config.distillation.retain_weight)
        if config.distillation.retain_weight and model.decoder.classifier is None:
            raise ValueError(
                f"retain_weight: expected 0 without a classifier branch, got {config.distillation.retain_weight}"
            )
        self.distiller = build_distiller(config.distillation, model.encode_text) if distills else None

    def train(self, mode: bool = True) -> WordPixelLoss:
        """Set the mode of all modules; what is frozen stays in eval mode."""
        super().train(mode)
        if self.config.freeze_backbone:
            self.model.backbone.eval()
        if self.config.batch_norm in ("frozen", "frozen_backbone"):
            for module in (self.model if self.config.batch_norm == "frozen" else self.model.backbone).modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        if self.model.decoder.classifier is not None:
            self.model.decoder.classifier.eval()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """Compute the mean loss over all labeled pixels and prompts.

        With ``distill_weight``, the distillation into unlabeled pixels is added.

        Returns:
            () float32, 0 if no pixel has a label. The value is not checked and may be NaN or infinite.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_backbone):
            maps: list[Tensor] = self.model.backbone(self._normalize(batch.image))
        low_res = self._embed(maps)  # (B, C, H/4, W/4)
        loss = self._label_loss(low_res, batch)
        if self.config.hint_weight and any(batch.hints):
            loss = loss + self.config.hint_weight * self._hint_loss(low_res, batch)
        if self.distiller is not None:
            loss = loss + self._distillation_loss(self.distiller, maps, low_res, batch)
        return loss

    def _distillation_loss(self, distiller: Distiller, maps: list[Tensor], low_res: Tensor, batch: Batch) -> Tensor:
        """Compare unlabeled pixels and a classifier branch with the frozen classifier."""
        config, branch = self.config.distillation, self.model.decoder.classifier
        if branch is not None and self.config.freeze_backbone:
            logits = branch.classify(maps[-1])  # (B, 1000, H/32, W/32), what the frozen classifier says
        else:
            logits = distiller.classify(batch.image)
        loss = low_res.new_zeros(())
        if config.distill_weight and batch.unlabeled is not None:
            loss = loss + config.distill_weight * distiller.loss(logits, low_res, batch.unlabeled)
        if config.retain_weight and branch is not None:
            loss = loss + config.retain_weight * distiller.divergence(logits, branch.classify(maps[-1]))
        return loss

    def _hint_loss(self, low_res: Tensor, batch: Batch) -> Tensor:
        """Compute the mean loss over the unlabeled pixels with hints.

        The loss of a pixel is how far the best absent word is above the best possible word, as logits. It is 0 if a
        possible word wins: pulling every pixel toward possible words would favor one that no label contradicts.

        Returns:
            () float32, 0 if there are no such pixels.
        """
        assert batch.unlabeled is not None
        total, count = low_res.new_zeros(()), 0
        for embeddings, unlabeled, hints in zip(low_res, batch.unlabeled, batch.hints):
            for first, end, possible, absent in hints:
                pixels = embeddings[:, first:end][:, unlabeled[first:end]]  # (C, N)
                with torch.autocast(pixels.device.type, enabled=False):
                    texts = self.text_embeddings[torch.cat([possible, absent])]  # (P + A, C)
                    scores = LOGIT_SCALE * texts @ F.normalize(pixels, dim=0)  # (P + A, N)
                    total = total + F.relu(scores[len(possible) :].amax(0) - scores[: len(possible)].amax(0)).sum()
                count += pixels.shape[1]
        return total / max(count, 1)

    def _label_loss(self, low_res: Tensor, batch: Batch) -> Tensor:
        """Compute the mean loss over all labeled pixels and prompts.

        Args:
            low_res: (B, C, H/4, W/4) embeddings of any norm, or scores of the classes.
            batch: Images with targets and prompts.
        """
        if not any(batch.prompts):
            return 0.0 * low_res.sum()
        target, weight = batch.target, self._weights(batch.target)  # (B, h, w)
        if self.config.pixels_per_image:
            positions = _sample_positions(weight, batch.draws)  # (B, N)
            grid = _to_grid(positions, target.shape[1:])  # (B, 1, N, 2)
            target = target.flatten(1).gather(1, positions)[:, None]  # (B, 1, N)
            weight = torch.ones_like(target, dtype=torch.float32)
            pixels = F.grid_sample(low_res, grid, align_corners=True)  # (B, C, 1, N)
        else:
            pixels = upsample2x(low_res)  # (B, C, H/2, W/2)
        # With a head of classes, C are the scores. From here on, h and w count the pixels that are left.
        total, total_weight = pixels.new_zeros(()), pixels.new_zeros(())
        with torch.autocast(pixels.device.type, enabled=False):
            if not self.by_class:
                pixels = pixels * pixels.square().sum(dim=1, keepdim=True).rsqrt()
            for image, classes, weights, prompts in zip(pixels.split(1), target, weight, batch.prompts):
                for prompt in prompts:
                    label = prompt.target_lut[classes]  # (h, w)
                    total = total + (weights * self._pixel_losses(image, label, prompt)).sum()
                    total_weight = total_weight + weights[label != IGNORE].sum()
        return total / total_weight.clamp(min=1e-6)

    def _pixel_losses(self, image: Tensor, label: Tensor, prompt: LabelPrompt) -> Tensor:
        """Compute the loss of every pixel.

        Args:
            image: (1, C, h', w') embeddings of unit norm, or scores of the classes.
            label: (h, w) position of the right label in the prompt, or IGNORE.
            prompt: K labels.

        Returns:
            (h, w), 0 where the label is IGNORE.
        """
        indices = prompt.text_indices
        logits = (  # (1, K, h', w')
            image[:, indices] if self.by_class else self.model.correlate(image, self.text_embeddings[indices])
        )
        if self.config.loss_at_full_resolution:
            logits = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)  # (1, K, h, w)
        losses = F.cross_entropy(logits, label[None], ignore_index=IGNORE, reduction="none")[0]  # (h, w)
        if self.config.cosine_weight:
            has_class = (label != IGNORE) & (prompt.classes[label] >= 0)
            cosine = logits[0].gather(0, label.clamp(min=0)[None])[0] / LOGIT_SCALE  # (h, w)
            losses = losses + self.config.cosine_weight * torch.where(has_class, 1 - cosine, 0.0)
        return losses

    def _embed(self, maps: list[Tensor]) -> Tensor:
        """Embed the pixels without normalizing the embeddings, before the last upsampling.

        ``LSeg.encode_image`` is not used because its division mixes two dtypes under autocast and is slow.

        Args:
            maps: The four feature maps of the backbone.

        Returns:
            (B, C, H/4, W/4) float32.
        """
        encoded: Tensor = self.model.head(self.model.decoder(maps)).float()  # (B, C, H/4, W/4)
        return encoded

    def _normalize(self, image: Tensor) -> Tensor:
        """Convert (B, 3, H, W) uint8 to float32, normalized as the network expects."""
        mean, std = (
            image.new_tensor(values, dtype=torch.float32)[:, None, None]
            for values in (self.model.config.image_mean, self.model.config.image_std)
        )
        return ((image / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    def _weights(self, target: Tensor) -> Tensor:
        """Weight pixels by how rare their classes have been so far (``class_balance``).

        Args:
            target: (B, h, w) classes or IGNORE.

        Returns:
            (B, h, w) weights with an expected value of 1 for labeled pixels, 0 where the target is IGNORE.
        """
        known = target != IGNORE
        if not self.config.class_balance:
            return known.float()
        classes = self.parents[target]  # (B, h, w), arbitrary where the target is IGNORE
        self.pixel_count += torch.bincount(classes[known], minlength=len(self.pixel_count))
        share = self.pixel_count / self.pixel_count.sum()
        weight = share.clamp(min=1e-4) ** -self.config.class_balance  # (classes,)
        return known * (weight / (share * weight).sum())[classes]


def _sample_positions(weight: Tensor, draws: Tensor) -> Tensor:
    """Sample positions with probabilities proportional to weights.

    Args:
        weight: (B, h, w).
        draws: (B, N) random numbers in [0, 1).

    Returns:
        (B, N) int64 positions in the flattened h x w.
    """
    cumulative = weight.flatten(1).double().cumsum(1)  # (B, h w)
    positions = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)
    return positions.clamp(max=cumulative.shape[1] - 1)


def _to_grid(positions: Tensor, size: torch.Size) -> Tensor:
    """Convert positions in a flattened map to the coordinates of ``grid_sample``.

    Args:
        positions: (B, N) int64 positions in the flattened h x w.
        size: (h, w).

    Returns:
        (B, 1, N, 2) x and y; the centers of the corner pixels have -1 and 1.
    """
    height, width = size
    x, y = positions % width, positions // width
    return torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)[:, None]
