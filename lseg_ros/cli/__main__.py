"""``python -m lseg_ros.cli``, where the ``lseg`` script is not on the path."""

import sys

from lseg_ros.cli import main

sys.exit(main())
