"""The network: image encoder, text encoder and word-pixel correlation."""

from lseg_ros.model.checkpoint import load_lseg
from lseg_ros.model.config import PRESETS, LSegConfig
from lseg_ros.model.lseg import LSeg

__all__ = ["PRESETS", "LSeg", "LSegConfig", "load_lseg"]
