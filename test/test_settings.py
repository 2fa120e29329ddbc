"""Tests of settings dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lseg_ros.settings import check, list_settings, setting


@dataclass(frozen=True)
class Kettle:
    power_w: float = setting(2000.0, "heating power", unit="W", minimum=0.0, maximum=3000.0, dynamic=True)
    cups: int = setting(1, "cups to boil", minimum=1)
    mode: str = setting("auto", "when to stop", choices=("auto", "manual"))
    tea: tuple[str, ...] = setting((), "what goes in")
    whistle: bool = setting(True, "make a sound")
    scale_kg: float = 0.0  # a plain field, not a setting

    def __post_init__(self) -> None:
        check(self)


def test_lists_settings_in_declaration_order_with_their_attributes() -> None:
    power, cups, mode, tea, whistle = list_settings(Kettle)
    assert (power.name, power.type, power.default, power.unit, power.dynamic) == ("power_w", float, 2000.0, "W", True)
    assert (power.minimum, power.maximum, cups.minimum, cups.maximum) == (0.0, 3000.0, 1, None)
    assert (mode.choices, tea.type, whistle.type) == (("auto", "manual"), tuple[str, ...], bool)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"power_w": -1.0}, r"power_w: expected a value from 0.0 to 3000.0 W, got -1.0"),
        ({"power_w": 3001.0}, r"power_w: expected a value from 0.0 to 3000.0 W, got 3001.0"),
        ({"power_w": float("nan")}, r"power_w: expected .*, got nan"),
        ({"cups": 0}, r"cups: expected a value of at least 1, got 0"),
        ({"mode": "never"}, r"mode: expected one of auto, manual, got 'never'"),
    ],
)
def test_rejects_invalid_values_and_names_the_setting(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Kettle(**values)  # type: ignore[arg-type]


def test_accepts_the_limits() -> None:
    Kettle(power_w=0.0, cups=1, mode="manual")
    Kettle(power_w=3000.0, cups=10_000)
