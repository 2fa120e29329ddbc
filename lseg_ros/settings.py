"""One truth for settings: frozen dataclasses whose fields carry description, unit, range and choices.

YAML files, ROS parameters, command-line flags and the README's tables are all derived from these fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

__all__ = ["Setting", "check", "list_settings", "setting"]


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field of a settings dataclass, as the outside sees it.

    ``type`` is bool, int, float, str, or a tuple of str or int; ``dynamic`` says whether it may change while running.
    """

    name: str
    type: Any
    default: Any
    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    dynamic: bool = False

    def check(self, value: Any) -> None:
        """Raise ValueError that names the setting, what was expected and what came."""
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name}: expected one of {', '.join(self.choices)}, got {value!r}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        low, high = self.minimum, self.maximum
        if not ((low is None or value >= low) and (high is None or value <= high)):  # also refuses NaN
            span = f"from {low} to {high}" if high is not None else f"of at least {low}"
            raise ValueError(f"{self.name}: expected a value {span}{f' {self.unit}' * bool(self.unit)}, got {value!r}")


def setting(
    default: Any,
    description: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    dynamic: bool = False,
) -> Any:
    """Declare a field of a settings dataclass with all that its users need to know."""
    facts = dict(
        description=description, unit=unit, minimum=minimum, maximum=maximum, choices=tuple(choices), dynamic=dynamic
    )
    return dataclasses.field(default=default, metadata={"setting": facts})


def list_settings(config: type) -> tuple[Setting, ...]:
    """The settings of a dataclass in the order they were declared."""
    types = get_type_hints(config)
    return tuple(
        Setting(field.name, types[field.name], field.default, **facts)
        for field in dataclasses.fields(config)
        if isinstance(facts := field.metadata.get("setting"), Mapping)
    )


def check(config: Any) -> None:
    """Check every field of a settings dataclass (call from ``__post_init__``); raises ValueError naming the field."""
    for item in list_settings(type(config)):
        item.check(getattr(config, item.name))
