"""How good the masks are: scores on labelled images."""

from lseg_ros.evaluation.evaluate import EvaluationConfig, evaluate
from lseg_ros.evaluation.scores import Confusion, Scores

__all__ = ["Confusion", "EvaluationConfig", "Scores", "evaluate"]
