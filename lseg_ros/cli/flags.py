"""Settings dataclasses -> command-line flags."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import tyro

from lseg_ros.settings import Setting, settings_of

__all__ = ["parse"]

T = TypeVar("T")


def parse(settings: type[T], arguments: Sequence[str], prog: str) -> T:
    """Command-line words -> an instance of a settings dataclass, those nested in it included.

    Ends the program with a message where a word cannot be read; raises ValueError where the settings refuse a value.
    """
    return tyro.cli(
        _with_help(settings),
        args=arguments,
        prog=prog,
        description=inspect.cleandoc(settings.__doc__ or ""),
        config=(tyro.conf.OmitArgPrefixes,),
    )


def _with_help(settings: type[T]) -> type[T]:
    """The same dataclass with descriptions, units and choices where tyro looks for them."""
    described = {each.name: each for each in settings_of(settings)}
    types = get_type_hints(settings, include_extras=True)
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        kind, default = types[field.name], field.default
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            nested = _with_help(kind)
            fields.append((field.name, nested, dataclasses.field(default_factory=nested)))
        elif field.name in described:
            fields.append((field.name, _annotated(kind, described[field.name]), dataclasses.field(default=default)))
    made = dataclasses.make_dataclass(settings.__name__, fields, bases=(settings,), frozen=True)
    made.__doc__ = settings.__doc__
    return made


def _annotated(kind: Any, setting: Setting) -> Any:
    if setting.choices:
        kind = Literal[setting.choices]
    text = f"{setting.description} [{setting.unit}]" if setting.unit else setting.description
    return Annotated[kind, tyro.conf.arg(help=text)]
