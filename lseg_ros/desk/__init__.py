"""A short recording of a real desk, and the labels to look for in it.

This folder is also the recording. ATTRIBUTION.md names its authors and its license. Importing it loads nothing else,
so that launch files can import it too.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["DESK_FOLDER", "DESK_LABELS"]

# 20 frames of 640x480, in the layout of lseg_ros.recordings.RgbdFolder.
DESK_FOLDER = Path(__file__).parent

DESK_LABELS = (
    "desk|table|office desk", "monitor|computer screen", "keyboard|computer keyboard", "chair", "wall", "cup"
)  # fmt: skip
