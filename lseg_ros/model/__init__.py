"""The network: image encoder, text encoder and word-pixel correlation."""

from lseg_ros.model.checkpoint import load_lseg
from lseg_ros.model.config import PRESETS, LSegConfig
from lseg_ros.model.lseg import LSeg
from lseg_ros.model.named import config_from_names

__all__ = ["PRESETS", "LSeg", "LSegConfig", "config_from_names", "load_lseg"]
