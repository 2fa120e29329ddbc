"""The network: image encoder, text encoder, word-pixel correlation. Imports nothing else of this house."""

from lseg_ros.model.checkpoint import load_lseg
from lseg_ros.model.config import PRESETS, LSegConfig
from lseg_ros.model.lseg import LSeg

__all__ = ["PRESETS", "LSeg", "LSegConfig", "load_lseg"]
