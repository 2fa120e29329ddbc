"""The ``lseg`` command.

The module of a subcommand is imported when it runs, so ``lseg --help`` does not load PyTorch. This module itself
imports little, because Ctrl-C prints a traceback until ``main`` runs.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

import lseg_ros
from lseg_ros.errors import describe_error
from lseg_ros.startup import exit_on_signals, torch_cache_env

__all__ = ["main"]

_CLOSED_PIPE = 128 + 13  # the status that a shell reports for a process killed by SIGPIPE

# Name and one-line help of each command. A command is a module in this package; a name of two words is a module in a
# subpackage. It defines SETTINGS, a settings dataclass whose docstring is the help text, and run(settings), which
# returns the exit status.
_COMMANDS = {
    "segment": "label every pixel of images, RGB-D recordings and bags",
    "view": "show images, recordings and cameras with labels on a page in the browser",
    "words": "segment one image with several label lists and write a page of the results",
    "demo": "segment a synthetic world, score the result and draw it",
    "map": "build a map from an RGB-D recording with poses that can be searched for any text",
    "map find": "find a text in a map",
    "train": "train a network",
    "labels": "show ids, colors and topics of a label list, or convert it for Hydra and elevation mapping",
    "evaluate": "score a network on a data set",
    "benchmark": "measure every stage of a frame and compare it with the roofline of this device",
    "export": "export the image encoder to ONNX or torch.export, and verify it",
    "checkpoint inspect": "show the contents of a checkpoint",
    "checkpoint convert": "convert a checkpoint to safetensors, or to the format of the authors' code",
    "checkpoint average": "average the weights of several checkpoints",
    "checkpoint fetch": "download a checkpoint that the authors of LSeg publish",
}

# The extra of pyproject.toml that installs a module which only some commands import.
_EXTRAS = {
    "av": "video",
    "ray": "ray",
    "gdown": "fetch",
    "torchmetrics": "evaluate",
    "tqdm": "evaluate",
    "lightning": "train",
    "tensorboard": "train",
    "viser": "view",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 after success, 2 if an argument or a file cannot be used, 130 after Ctrl-C, and 141 if the
        reader of the output closed the pipe, as in ``lseg labels ... | head -1``. After SIGTERM, a shell reports 143.
    """
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            _flush_stdout()
    except BrokenPipeError:
        # The interpreter flushes stdout again when it exits, which must not fail: redirect stdout to devnull, as
        # Python's documentation recommends ("Note on SIGPIPE" in the signal module).
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _CLOSED_PIPE
    except KeyboardInterrupt:
        if arguments is None:  # the process is about to exit, and a second Ctrl-C ends it without a traceback
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        return 130


def _run(arguments: list[str]) -> int:
    count = 2 if " ".join(arguments[:2]) in _COMMANDS else 1
    name, arguments = " ".join(arguments[:count]) or "--help", arguments[count:]
    subcommands = [command for command in _COMMANDS if command.startswith(f"{name} ")]
    if name in ("-h", "--help", "--version") or (
        name not in _COMMANDS and subcommands and arguments in (["-h"], ["--help"])
    ):
        print(f"lseg {lseg_ros.__version__}" if name == "--version" else _overview())
        return 0
    if name not in _COMMANDS:
        got = " ".join([name, *arguments[:1]]) if subcommands else name
        print(f"lseg: expected one of the commands {', '.join(subcommands or _COMMANDS)}, got {got!r}", file=sys.stderr)
        return 2
    import logging

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        logging.getLogger("lseg_ros").setLevel(os.environ.get("LSEG_LOG_LEVEL", "INFO"))
        with exit_on_signals():
            os.environ.update(torch_cache_env())
            command = importlib.import_module(f"lseg_ros.cli.{name.replace(' ', '.')}")
            from lseg_ros.cli.flags import parse

        status: int = command.run(parse(command.SETTINGS, arguments, prog=f"lseg {name}"))
    except BrokenPipeError:
        raise
    except Exception as error:  # any: whatever a file contains, the command ends with one sentence
        logging.getLogger(__name__).debug("", exc_info=True)
        print(f"lseg {name}: {_explain(error)}", file=sys.stderr)
        return 2
    return status


def _explain(error: Exception) -> str:
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if module not in _EXTRAS:
        return describe_error(error)
    install = f"python3 -m pip install 'lseg_ros[{_EXTRAS[module]}]'"
    return f"expected the package {module}, which is not installed: {install}"


def _flush_stdout() -> None:
    """Flush stdout now, so that a closed pipe raises here and not when the interpreter exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:  # such as a full disk; the interpreter reports it when it exits
        pass


def _overview() -> str:
    commands = "\n".join(f"  {name:<18} {line}" for name, line in _COMMANDS.items())
    return (
        "usage: lseg COMMAND [--help] ...\n\n"
        "Open-vocabulary semantic segmentation (LSeg): label every pixel with words of your choice.\n\n"
        f"commands:\n{commands}\n\n"
        "Run lseg COMMAND --help for the settings of a command."
    )
