"""The paper's claim that a fixed label set does not suffer: LSeg beside the same network with a head of classes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.evaluation.scores import Confusion
from lseg_ros.inference.postprocess import postprocess
from lseg_ros.inference.preprocess import preprocess
from lseg_ros.model import LSeg
from lseg_ros.model.decoder import upsample2x
from lseg_ros.synthetic import CLASSES
from research.language.asking import own_device, ratio, samples
from research.language.config import SuiteConfig
from research.language.networks import comparison_network, comparison_scenes
from research.language.scores import SuiteScores

__all__ = ["head_baseline"]


def head_baseline(config: SuiteConfig) -> SuiteScores:
    """mIoU of two networks that were trained with the same data, steps and seed and differ in the head alone."""
    given, device = comparison_scenes(config), own_device(config)
    words = Predictor.from_model(comparison_network("words", device))
    classes = comparison_network("classes", device)
    question = words.encode_labels(CLASSES)
    by_words, by_classes = Confusion(CLASSES), Confusion(CLASSES)
    for image, target in samples(given, "head-baseline"):
        truth = torch.from_numpy(target)
        by_words.add(words.predict(image, question), truth)
        by_classes.add(_classified(classes, image), truth)
    lseg, conventional = by_words.scores(), by_classes.scores()
    figures = {
        "LSeg, mean IoU": lseg.miou,
        "head of classes, mean IoU": conventional.miou,
        "LSeg / head of classes": ratio(lseg.miou, conventional.miou),
        "LSeg, pixel accuracy": lseg.pixel_accuracy,
        "head of classes, pixel accuracy": conventional.pixel_accuracy,
    }
    return SuiteScores("head-baseline", len(given), figures, lseg.per_class, {"LSeg / head of classes": 0.98})


@torch.inference_mode()
def _classified(model: LSeg, image: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 RGB -> (H, W) int16, the class of the highest score."""
    config = model.config
    x, valid_size = preprocess(image, config.input_size_px, model.stride, config.image_mean, config.image_std)
    scores = upsample2x(model.head(model.decoder(model.backbone(x.to(model.device)))))  # (1, classes, h'/2, w'/2)
    ids = torch.arange(scores.shape[1], dtype=torch.int16, device=model.device)
    return postprocess(scores, valid_size, image.shape[:2], ids)[0].cpu()
