"""The executable ``lseg_node``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lseg_ros.openmp import openmp_passive_wait_env
from lseg_ros.ros.runtime import leave, run

if TYPE_CHECKING:
    from lseg_ros.ros.node import SegmentationNode

__all__ = ["main"]


def main() -> None:
    """Run the node ``lseg``; exit status 1, after a sentence, where it cannot start."""
    leave(run(_make, lambda node: node.autostart()))


def _make() -> SegmentationNode:
    os.environ.update(openmp_passive_wait_env())
    # Imported only now that an interrupt ends the process without a traceback: PyTorch takes seconds.
    from lseg_ros.ros.node import SegmentationNode

    return SegmentationNode()


if __name__ == "__main__":
    main()
