"""The ``lseg`` command. A command's module is imported when it is called: ``lseg --help`` waits for no network."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence

import lseg_ros

__all__ = ["main"]

# name -> one line for the list of commands. Each is a module here with SETTINGS, a settings dataclass whose docstring
# is the command's help, and run(settings), which returns the exit status.
_COMMANDS = {
    "segment": "label every pixel of image files or of an RGB-D recording, by words",
    "demo": "segment a synthetic world with known labels and draw what happens",
    "train": "train a network",
    "labels": "show the ids, colours and topics of a label list, or write it for Hydra and elevation mapping",
    "evaluate": "score a network",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status, 2 where the arguments or their files are of no use."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words else "--help"
    if name in ("-h", "--help", "--version"):
        print(f"lseg {lseg_ros.__version__}" if name == "--version" else _overview())
        return 0
    if name not in _COMMANDS:
        print(f"lseg: expected one of the commands {', '.join(_COMMANDS)}, got {name!r}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command = importlib.import_module(f"lseg_ros.cli.{name}")
    from lseg_ros.cli.flags import parse

    try:
        status: int = command.run(parse(command.SETTINGS, words[1:], prog=f"lseg {name}"))
    except (OSError, ValueError) as error:
        logging.getLogger(__name__).debug("", exc_info=True)
        print(f"lseg {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _overview() -> str:
    commands = "\n".join(f"  {name:<10} {line}" for name, line in _COMMANDS.items())
    return (
        "usage: lseg COMMAND [--help] ...\n\n"
        "Open-vocabulary semantic segmentation (LSeg): pixels named by words.\n\n"
        f"commands:\n{commands}\n\n"
        "lseg COMMAND --help lists a command's settings."
    )
