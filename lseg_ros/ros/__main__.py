"""The executable ``lseg_node``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lseg_ros.openmp import openmp_passive_wait_env
from lseg_ros.ros.runtime import exit_process, run
from lseg_ros.startup import torch_cache_env

if TYPE_CHECKING:
    from lseg_ros.ros.node import SegmentationNode

__all__ = ["main"]


def main() -> None:
    """Run the node ``lseg``. If it cannot start, log the reason and exit with status 1."""
    exit_process(run(_make_node, lambda node: node.autostart()))


def _make_node() -> SegmentationNode:
    os.environ.update(openmp_passive_wait_env() | torch_cache_env())
    # Importing PyTorch takes seconds. By now, an interrupt ends the process without a traceback.
    from lseg_ros.ros.node import SegmentationNode

    return SegmentationNode()


if __name__ == "__main__":
    main()
