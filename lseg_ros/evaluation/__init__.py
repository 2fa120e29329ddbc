"""Score a network on labeled images: mIoU, pixel accuracy, IoU of each class, FB-IoU."""

from lseg_ros.evaluation.config import EvaluationConfig
from lseg_ros.evaluation.evaluate import evaluate
from lseg_ros.evaluation.protocols import CITYSCAPES, OFFICIAL, OfficialProtocol, official_scores
from lseg_ros.evaluation.scores import Confusion, EpisodeConfusion, EpisodeScores, Scores
from lseg_ros.evaluation.tasks import Evaluation

__all__ = [
    "CITYSCAPES",
    "OFFICIAL",
    "Confusion",
    "EpisodeConfusion",
    "EpisodeScores",
    "Evaluation",
    "EvaluationConfig",
    "OfficialProtocol",
    "Scores",
    "evaluate",
    "official_scores",
]
