"""Room for images on their way from process to process.

Fast DDS gives a process 512 kB of shared memory for what it sends. A VGA image does not fit in; it goes through a UDP
socket in 15 pieces instead, and where one is lost a best-effort subscriber, as cameras are listened to, never sees the
image: on a busy machine that was every second one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["configure_shared_memory"]

_PROFILE = Path(__file__).with_name("shared_memory.xml")
_NEEDED_BYTES = 64_000_000  # for a few processes with 16 MB each; containers often have no more in all
_OF_VERSION_2 = "FASTRTPS_DEFAULT_PROFILES_FILE"  # Humble to Jazzy; version 3 would read both files, and complain
_OF_VERSION_3 = "FASTDDS_DEFAULT_PROFILES_FILE"
_CHOICES = (_OF_VERSION_2, _OF_VERSION_3, "FASTDDS_BUILTIN_TRANSPORTS")


def configure_shared_memory() -> None:
    """Have Fast DDS use more shared memory in this process, unless its user configured it, or there is none to have.

    To be called before rclpy.init; other middlewares take no notice.
    """
    if any(os.environ.get(each) for each in _CHOICES) or Path("DEFAULT_FASTRTPS_PROFILES.xml").exists():
        return
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free >= _NEEDED_BYTES:
        is_version_2 = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
        os.environ[_OF_VERSION_2 if is_version_2 else _OF_VERSION_3] = str(_PROFILE)
