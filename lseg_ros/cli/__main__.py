"""Run the ``lseg`` command with ``python -m lseg_ros.cli``."""

import sys

from lseg_ros.cli import main

sys.exit(main())
