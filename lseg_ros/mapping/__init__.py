"""The language map: a voxel map of pixel embeddings that can be searched for any text."""

from lseg_ros.mapping.config import MapConfig
from lseg_ros.mapping.files import load_map, save_map
from lseg_ros.mapping.labeling import label_voxels
from lseg_ros.mapping.language_map import LanguageMap, MapUpdate, Voxels
from lseg_ros.mapping.observation import Observation, observe
from lseg_ros.mapping.poses import PoseGate, Trajectory, read_trajectory
from lseg_ros.mapping.search import Place, find

__all__ = [
    "LanguageMap",
    "MapConfig",
    "MapUpdate",
    "Observation",
    "Place",
    "PoseGate",
    "Trajectory",
    "Voxels",
    "find",
    "label_voxels",
    "load_map",
    "observe",
    "read_trajectory",
    "save_map",
]
