"""``python -m test.fuzz``: run the tests of hostile input with new examples."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    """Run until the time is over or a run fails. Return the status of the last run."""
    parser = argparse.ArgumentParser(prog="python -m test.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="no run starts later (default: %(default)s)")
    arguments, more = parser.parse_known_args()
    end_s = time.monotonic() + 60 * arguments.minutes
    runs = 0
    while not runs or time.monotonic() < end_s:
        seed = secrets.randbelow(2**32)
        print(f"run {runs + 1}: --hypothesis-seed={seed}", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-x", str(FOLDER), f"--hypothesis-seed={seed}", *more]
        status = subprocess.run(command, env={**os.environ, "LSEG_FUZZ_SEARCH": "1"}).returncode
        if status:
            print(f"run {runs + 1} failed; {FOLDER / 'regressions'} has its input as `new`, see the README there")
            return status
        runs += 1
    print(f"{runs} runs passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
