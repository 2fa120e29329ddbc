"""Settings dataclasses -> command-line flags."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import tyro

from lseg_ros.settings import Setting, list_settings

__all__ = ["parse"]

T = TypeVar("T")


def parse(settings: type[T] | Callable[[Sequence[str]], T], arguments: Sequence[str], prog: str) -> T:
    """Command-line words -> an instance of a settings dataclass, those nested in it included.

    settings: the dataclass, or what makes of the words an instance whose values stand for the flags not given.
    Ends the program with a message where a word cannot be read; raises ValueError where the settings refuse a value.
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


def _with_help(settings: type[T], defaults: T | None = None) -> type[T]:
    """The same dataclass with descriptions, units and choices where tyro looks for them, and these defaults."""
    described = {each.name: each for each in list_settings(settings)}
    types = get_type_hints(settings, include_extras=True)
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        kind, default = types[field.name], field.default if defaults is None else getattr(defaults, field.name)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            nested = _with_help(kind, field.default_factory() if defaults is None else default)  # type: ignore[operator,misc]
            fields.append((field.name, nested, dataclasses.field(default_factory=nested)))
        elif field.name in described:
            # with its range, which the settings' own check looks up
            flag = dataclasses.field(default=default, metadata=field.metadata)
            fields.append((field.name, _annotated(kind, described[field.name]), flag))
    made = dataclasses.make_dataclass(settings.__name__, fields, bases=(settings,), frozen=True)
    made.__doc__ = settings.__doc__
    return made


def _annotated(kind: Any, setting: Setting) -> Any:
    if setting.choices:
        kind = Literal[setting.choices]
    text = f"{setting.description} [{setting.unit}]" if setting.unit else setting.description
    return Annotated[kind, tyro.conf.arg(help=text)]
