"""One training step of LSeg: a softmax over words at every pixel, the text tower frozen."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from lseg_ros.datasets import IGNORE, Sample, SyntheticScenes
from lseg_ros.evaluation.scores import Confusion
from lseg_ros.model import LSeg
from lseg_ros.training.batches import Batch, SceneBatches
from lseg_ros.training.config import TrainingConfig

__all__ = ["LSegTraining"]

_VALIDATION_SEED = 900_000  # scenes that no evaluation of a small seed shows


class LSegTraining(LightningModule):
    """The objective of the paper (section 3.3): cross-entropy of the word-pixel correlation, per pixel."""

    text: Tensor
    pixel_count: Tensor

    def __init__(self, model: LSeg, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)
        self.config = config
        self.validation_set = SyntheticScenes(config.validation_scenes, _VALIDATION_SEED)
        self.classes = self.validation_set.classes
        self.model.text_encoder.requires_grad_(False)
        self.register_buffer("text", model.encode_text(self.classes))  # (K, C), once for the whole run
        self.register_buffer("pixel_count", torch.ones(len(self.classes)))
        self.confusion = Confusion(self.classes)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        logits = self._logits(batch.image)  # (B, K, H/2, W/2)
        logits = logits.masked_fill(~batch.asked[:, :, None, None], -torch.inf)
        loss = F.cross_entropy(logits, batch.target, weight=self._class_weights(batch.target), ignore_index=IGNORE)
        if not torch.isfinite(loss):
            raise RuntimeError(f"loss: expected a finite value, got {loss.item()} at step {self.global_step}")
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        image, target = batch  # (B, 3, H, W), (B, H, W)
        height, width = target.shape[1:]
        image = F.pad(image, (0, -width % LSeg.stride, 0, -height % LSeg.stride), value=127)
        logits = F.interpolate(self._logits(image), scale_factor=2, mode="bilinear", align_corners=True)
        self.confusion.add(logits.argmax(1)[:, :height, :width].cpu(), target.cpu())

    def on_validation_epoch_end(self) -> None:
        scores = self.confusion.scores()
        self.confusion = Confusion(self.classes)
        self.log_dict({"miou": scores.miou, "pixel_accuracy": scores.pixel_accuracy}, prog_bar=True)

    def train_dataloader(self) -> DataLoader[Batch]:
        # A new epoch is a new set of scenes: Lightning is told to ask again after each. Steps count epochs, because
        # Lightning's own count is one too high after a resume.
        batches = SceneBatches(self.config, self.global_step // self.config.steps_per_epoch, self.global_rank)
        prefetch = 4 if self.config.workers else None
        return DataLoader(batches, batch_size=None, num_workers=self.config.workers, prefetch_factor=prefetch)

    def val_dataloader(self) -> DataLoader[Any]:
        def collate(samples: list[Any]) -> tuple[Tensor, Tensor]:
            images, targets = zip(
                *((torch.from_numpy(s.image).permute(2, 0, 1), torch.from_numpy(s.target)) for s in samples)
            )
            return torch.stack(images), torch.stack(targets)

        numbers = range(self.global_rank, len(self.validation_set), self.config.processes)
        scenes: Dataset[Sample] = Subset(self.validation_set, numbers)  # type: ignore[arg-type]
        return DataLoader(scenes, batch_size=8, collate_fn=collate)

    def configure_optimizers(self) -> Any:
        """AdamW with decay on matrices only, linear warm-up over the first 5 % and a cosine to zero.

        Where the batches of the later steps are smaller, so is their rate, by the root of the ratio: their gradients
        are noisier by as much.
        """
        smaller = (self.config.batch_size / self.config.early_batch_size) ** 0.5 if self.config.early_steps else 1.0
        trained = [each for each in self.model.parameters() if each.requires_grad]
        groups = [
            {"params": [each for each in trained if each.ndim >= 2], "weight_decay": self.config.weight_decay},
            {"params": [each for each in trained if each.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.config.learning_rate, betas=(0.9, 0.98))
        warm = max(1, self.config.steps // 20)

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - warm) / max(1, self.config.steps - warm)))
            return cosine * (smaller if step >= self.config.early_steps else 1.0)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _logits(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, K, H/2, W/2) float32."""
        mean, std = (image.new_tensor(each, dtype=torch.float32)[:, None, None] for each in (
            self.model.config.image_mean, self.model.config.image_std
        ))  # fmt: skip
        normalised = ((image / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
        return self.model.correlate(self.model.encode_image(normalised), self.text).float()

    def _class_weights(self, target: Tensor) -> Tensor:
        """(K,) weights from the pixels counted so far: rare words weigh more, on average one per pixel."""
        counted = torch.bincount(target[target != IGNORE], minlength=len(self.classes))
        self.pixel_count += counted
        share = self.pixel_count / self.pixel_count.sum()
        weight = share.clamp(min=1e-4) ** -self.config.class_balance
        return weight / (share * weight).sum()
