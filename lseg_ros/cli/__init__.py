"""The ``lseg`` command. A command's module is imported when it is called: ``lseg --help`` waits for no network."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

import lseg_ros

__all__ = ["main"]

_CLOSED_PIPE = 128 + 13  # the exit status that a shell shows for a process that SIGPIPE ended

# name -> one line for the list of commands. Each is a module here (one of two words in a package) with SETTINGS, a
# settings dataclass whose docstring is the command's help, and run(settings), which returns the exit status.
_COMMANDS = {
    "segment": "label every pixel of image files or of an RGB-D recording, by words",
    "words": "ask one picture with several vocabularies, and write a page that shows the answers",
    "demo": "segment a synthetic world with known labels and draw what happens",
    "train": "train a network",
    "labels": "show the ids, colors and topics of a label list, or write it for Hydra and elevation mapping",
    "evaluate": "score a network",
    "benchmark": "measure every stage of a frame and compare it with the roofline of this device",
    "export": "write the image encoder as ONNX or for torch.export, and check the file",
    "checkpoint inspect": "show what a file of weights holds",
    "checkpoint convert": "write a file of weights as safetensors, or as the authors' code wants it",
    "checkpoint average": "average the weights of several checkpoints",
    "checkpoint fetch": "download one of the files that the authors of LSeg publish",
}

# The extra of pyproject.toml that installs a module which only some commands import.
_EXTRAS = {
    "gdown": "fetch",
    "torchmetrics": "evaluate",
    "tqdm": "evaluate",
    "lightning": "train",
    "tensorboard": "train",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 after success, 2 if an argument or a file cannot be used, 130 after Ctrl-C, and 141 if the
        reader of the output closed the pipe, as in ``lseg labels ... | head -1``.
    """
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            _flush_stdout()
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it exits. This is the way out that Python's documentation
        # recommends ("Note on SIGPIPE" in the signal module).
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _CLOSED_PIPE
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    count = 2 if " ".join(words[:2]) in _COMMANDS else 1
    name, words = " ".join(words[:count]) or "--help", words[count:]
    verbs = [each for each in _COMMANDS if each.startswith(f"{name} ")]
    if name in ("-h", "--help", "--version") or (verbs and words in (["-h"], ["--help"])):
        print(f"lseg {lseg_ros.__version__}" if name == "--version" else _overview())
        return 0
    if name not in _COMMANDS:
        got = " ".join([name, *words[:1]]) if verbs else name
        print(f"lseg: expected one of the commands {', '.join(verbs or _COMMANDS)}, got {got!r}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        command = importlib.import_module(f"lseg_ros.cli.{name.replace(' ', '.')}")
        from lseg_ros.cli.flags import parse

        status: int = command.run(parse(command.SETTINGS, words, prog=f"lseg {name}"))
    except BrokenPipeError:
        raise
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRAS:
            raise
        install = f"python3 -m pip install 'lseg_ros[{_EXTRAS[module]}]'"
        print(f"lseg {name}: expected the package {module}, which is not installed: {install}", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        logging.getLogger(__name__).debug("", exc_info=True)
        print(f"lseg {name}: {error}", file=sys.stderr)
        return 2
    return status


def _flush_stdout() -> None:
    """Write what is buffered, so that a closed pipe is noticed here and not when the interpreter exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:  # a full disk, for one: the interpreter reports it when it exits
        pass


def _overview() -> str:
    commands = "\n".join(f"  {name:<18} {line}" for name, line in _COMMANDS.items())
    return (
        "usage: lseg COMMAND [--help] ...\n\n"
        "Open-vocabulary semantic segmentation (LSeg): pixels named by words.\n\n"
        f"commands:\n{commands}\n\n"
        "lseg COMMAND --help lists a command's settings."
    )
