"""Build command-line flags from settings dataclasses."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import tyro

from lseg_ros.settings import Setting, list_settings
from lseg_ros.vocabulary import Vocabulary

__all__ = ["parse", "read_vocabulary"]

T = TypeVar("T")


def parse(settings: type[T] | Callable[[Sequence[str]], T], arguments: Sequence[str], prog: str) -> T:
    """Parse command-line arguments into a settings dataclass and the dataclasses nested in it.

    Args:
        settings: The dataclass, or a function from the arguments to an instance whose values are the defaults.
        arguments: Command-line arguments.
        prog: Name of the program in help and error messages.

    Raises:
        SystemExit: If an argument cannot be parsed, after printing a message.
        ValueError: If the settings reject a value.
    """
    defaults = None if isinstance(settings, type) else settings(arguments)
    kind = settings if isinstance(settings, type) else type(defaults)
    return tyro.cli(
        _with_help(kind, defaults),
        args=arguments,
        prog=prog,
        description=inspect.cleandoc(kind.__doc__ or ""),
        config=(tyro.conf.OmitArgPrefixes,),
    )


def read_vocabulary(values: Sequence[str], prompt_templates: Sequence[str] = ("{}",)) -> Vocabulary:
    """Return the vocabulary of the labels of a command line.

    A value that is an existing text file (.txt) is replaced by the file's lines, without empty ones and those that
    start with #. All other values are split at commas. If the lines of a single file have the form ``id: label``, these
    are the ids. Otherwise ids count from 1.

    Raises:
        FileNotFoundError: If a value ends in .txt and is not a file.
        ValueError: If a file is not a label list, there are no labels, or a label or an id is invalid.
    """
    labels: list[str] = []
    ids: list[int] | None = None
    for value in values:
        path = Path(value).expanduser()
        if path.suffix.lower() == ".txt":
            from lseg_ros.datasets.labels import read_label_list, states_ids  # imports PyTorch

            entries = {number: entry for number, entry in read_label_list(path).items() if entry}
            labels += entries.values()
            if states_ids(path):
                if len(values) > 1:
                    raise ValueError(f"labels: expected {path} alone, because it states ids, got {len(values)} values")
                ids = list(entries)
        else:
            labels += [label.strip() for label in value.split(",") if label.strip() or "," not in value]
    if not labels:
        raise ValueError(f"labels: expected at least one label, got {', '.join(map(repr, values)) or 'none'}")
    return Vocabulary.of(labels, ids=ids, prompt_templates=prompt_templates)


def _with_help(settings: type[T], defaults: T | None = None) -> type[T]:
    """Copy the dataclass with these defaults and with help texts and choices for tyro."""
    described = {entry.name: entry for entry in list_settings(settings)}
    types = get_type_hints(settings, include_extras=True)
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        kind, default = types[field.name], field.default if defaults is None else getattr(defaults, field.name)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            nested = _with_help(kind, field.default_factory() if defaults is None else default)  # type: ignore[operator,misc]
            fields.append((field.name, nested, dataclasses.field(default_factory=nested)))
        elif field.name in described:
            # the metadata contain the range, which the check of the settings reads
            flag = dataclasses.field(default=default, metadata=field.metadata)
            fields.append((field.name, _annotated(kind, described[field.name]), flag))
    flags = dataclasses.make_dataclass(settings.__name__, fields, bases=(settings,), frozen=True)
    flags.__doc__ = settings.__doc__
    return flags


def _annotated(kind: Any, setting: Setting) -> Any:
    if setting.choices:
        kind = Literal[setting.choices]
    text = f"{setting.description} [{setting.unit}]" if setting.unit else setting.description
    return Annotated[kind, tyro.conf.arg(help=text)]
