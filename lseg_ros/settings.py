"""Settings as frozen dataclasses whose fields carry description, unit, range and choices.

YAML files, ROS parameters, command-line flags and the parameter tables in the documentation are derived from these
fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

__all__ = ["Setting", "check", "list_settings", "setting"]


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field of a settings dataclass.

    Attributes:
        name: Name of the field.
        type: bool, int, float, str, or a tuple of str or int.
        default: Default value.
        description: One phrase for users.
        unit: Unit of the value, empty if it has none.
        minimum: Smallest valid value.
        maximum: Largest valid value.
        choices: Valid values of a text, empty if any text is valid.
        dynamic: Whether the value may change at run time.
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
        """Check a value.

        Raises:
            ValueError: The value is not one of the choices or out of range. The message names the setting.
        """
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name}: expected one of {', '.join(self.choices)}, got {value!r}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        low, high = self.minimum, self.maximum
        if not ((low is None or value >= low) and (high is None or value <= high)):  # also rejects NaN
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
    """Declare a field of a settings dataclass; see ``Setting`` for the arguments."""
    attributes = dict(
        description=description, unit=unit, minimum=minimum, maximum=maximum, choices=tuple(choices), dynamic=dynamic
    )
    return dataclasses.field(default=default, metadata={"setting": attributes})


def list_settings(config: type) -> tuple[Setting, ...]:
    """Return the settings of a dataclass in declaration order."""
    types = get_type_hints(config)
    return tuple(
        Setting(field.name, types[field.name], field.default, **attributes)
        for field in dataclasses.fields(config)
        if isinstance(attributes := field.metadata.get("setting"), Mapping)
    )


def check(config: Any) -> None:
    """Check every field of a settings dataclass; call it from ``__post_init__``.

    Raises:
        ValueError: A value is invalid. The message names the field.
    """
    for item in list_settings(type(config)):
        item.check(getattr(config, item.name))
