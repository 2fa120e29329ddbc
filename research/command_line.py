"""Run a research script from the command line, with a settings dataclass as its flags."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from lseg_ros.cli.flags import parse

__all__ = ["run_script"]

T = TypeVar("T")


def run_script(
    module: str,
    settings: type[T] | Callable[[Sequence[str]], T],
    run: Callable[[T], object],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse the arguments into ``settings`` and call ``run`` with them.

    Args:
        module: Name of the script, as in ``python -m MODULE``.
        settings: Settings dataclass, each field of which is a flag, or a function that returns the defaults of the
            flags for given arguments.
        run: The script. An OSError or a ValueError that it raises is printed as an error message.
        arguments: Command-line arguments; by default those of this process.

    Returns:
        The exit status: 0, 2 if the arguments or files are invalid, or 130 after Ctrl-C.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command = f"python -m {module}"
    try:
        run(parse(settings, list(sys.argv[1:] if arguments is None else arguments), prog=command))
    except (OSError, ValueError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
