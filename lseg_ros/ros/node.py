"""The executable ``lseg_node``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lseg_ros.ros.process import leave, run

if TYPE_CHECKING:
    from lseg_ros.ros.segmentation_node import SegmentationNode

__all__ = ["main"]


def main() -> None:
    """Run the node ``lseg``; exit status 1, after a sentence, where it cannot start."""
    leave(run(_make, lambda node: node.autostart()))


def _make() -> SegmentationNode:
    # Threads of the network that wait for one another sleep instead of spinning: a robot's cores have other work too.
    # GNU's, which PyTorch comes with, spin for some 0.1 ms first: most waiting, between two layers, is shorter.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Imported only now that an interrupt ends the process without a traceback: PyTorch takes seconds.
    from lseg_ros.ros.segmentation_node import SegmentationNode

    return SegmentationNode()


if __name__ == "__main__":
    main()
