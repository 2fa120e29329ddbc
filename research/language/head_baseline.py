"""LSeg versus the same network with a head of classes, on a fixed label set."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.evaluation.distributed import Process
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.evaluation.scores import Confusion
from lseg_ros.inference.postprocess import postprocess
from lseg_ros.inference.preprocess import preprocess
from lseg_ros.model import LSeg
from lseg_ros.model.decoder import upsample2x
from lseg_ros.synthetic import CLASSES
from research.language.config import SuiteConfig
from research.language.networks import load_comparison_network
from research.language.scenes import comparison_scenes, iterate_scenes
from research.language.scores import SuiteScores, ratio

__all__ = ["head_baseline"]


def head_baseline(config: SuiteConfig, process: Process) -> SuiteScores:
    """Score two networks that differ only in their heads.

    They were trained with the same data, steps and seed.
    """
    scenes, device = comparison_scenes(config), process.device(config.device)
    lseg = Predictor.from_model(load_comparison_network("words", device))
    classifier = load_comparison_network("classes", device)
    labels = lseg.encode_labels(CLASSES)
    lseg_confusion, classifier_confusion = Confusion(CLASSES), Confusion(CLASSES)
    for image, target in iterate_scenes(scenes, "head-baseline", process):
        lseg_confusion.add(lseg.predict(image, labels), torch.from_numpy(target))
        classifier_confusion.add(_classify(classifier, image), torch.from_numpy(target))
    lseg_scores, classifier_scores = lseg_confusion.scores(), classifier_confusion.scores()
    figures = {
        "LSeg, mean IoU": lseg_scores.miou,
        "head of classes, mean IoU": classifier_scores.miou,
        "LSeg / head of classes": ratio(lseg_scores.miou, classifier_scores.miou),
        "LSeg, pixel accuracy": lseg_scores.pixel_accuracy,
        "head of classes, pixel accuracy": classifier_scores.pixel_accuracy,
    }
    goals = {"LSeg / head of classes": 0.98}
    return SuiteScores("head-baseline", len(scenes), figures, lseg_scores.per_class, goals)


@torch.inference_mode()
def _classify(model: LSeg, image: NDArray[np.uint8]) -> Tensor:
    """Return (H, W) int16, the class with the highest score, for an (H, W, 3) uint8 RGB image."""
    config = model.config
    x, valid_size = preprocess(image, config.input_size_px, model.stride, config.image_mean, config.image_std)
    scores = upsample2x(model.head(model.decoder(model.backbone(x.to(model.device)))))  # (1, classes, h'/2, w'/2)
    ids = torch.arange(scores.shape[1], dtype=torch.int16, device=model.device)
    return postprocess(scores, valid_size, image.shape[:2], ids)[0].cpu()
