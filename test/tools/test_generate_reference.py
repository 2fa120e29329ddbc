from __future__ import annotations

from pathlib import Path

import yaml

from tools.generate_reference import config_yaml, outdated, readme

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_written_from_the_code_is_up_to_date():
    assert not outdated(ROOT), "run python -m tools.generate_reference"


def test_the_parameter_file_holds_every_default():
    (parameters,) = (each["ros__parameters"] for each in yaml.safe_load(config_yaml()).values())
    assert parameters["max_rate_hz"] == 0.0 and parameters["checkpoint"] == "demo"
    assert parameters["class_ids"] == [0] and parameters["colors"] == [""]
    assert all(isinstance(parameters[name], list) for name in ("labels", "prompt_templates", "cloud_labels"))


def test_a_table_is_put_between_its_markers_and_nothing_else_is_touched():
    text = readme("before\n<!-- services -->\nold\n<!-- end of services -->\nafter <!-- unknown -->")
    assert text.startswith("before\n<!-- services -->\n| name") and "old" not in text
    assert text.endswith("<!-- end of services -->\nafter <!-- unknown -->")
