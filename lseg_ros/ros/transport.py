"""Room for images on their way from process to process.

Fast DDS gives a process 512 kB of shared memory for what it sends. A VGA image does not fit in; it goes through a UDP
socket in 15 pieces instead, and where one is lost a best-effort subscriber, as cameras are listened to, never sees the
image: on a busy machine that was every second one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["make_room"]

_PROFILE = Path(__file__).with_name("shared_memory.xml")
_NEEDED_BYTES = 64_000_000  # for a few processes with 16 MB each; containers often have no more in all
_FILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # until version 2, since version 3
_CHOICES = (*_FILES, "FASTDDS_BUILTIN_TRANSPORTS")


def make_room() -> None:
    """Have Fast DDS use more shared memory in this process, unless its user configured it, or there is none to have.

    To be called before rclpy.init; other middlewares take no notice.
    """
    if any(os.environ.get(each) for each in _CHOICES) or Path("DEFAULT_FASTRTPS_PROFILES.xml").exists():
        return
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free >= _NEEDED_BYTES:
        os.environ.update(dict.fromkeys(_FILES, str(_PROFILE)))
