from __future__ import annotations

from pathlib import Path

import yaml

from tools.generate_reference import Field, config_yaml, fill_tables, outdated_files, parse_interface

ROOT = Path(__file__).resolve().parents[2]


def test_generated_files_are_up_to_date() -> None:
    assert not outdated_files(ROOT), "run python -m tools.generate_reference"


def test_the_parameter_file_holds_every_default() -> None:
    (parameters,) = (node["ros__parameters"] for node in yaml.safe_load(config_yaml()).values())
    assert parameters["max_rate_hz"] == 0.0 and parameters["checkpoint"] == "demo"
    assert parameters["class_ids"] == [0] and parameters["colors"] == [""]
    assert all(isinstance(parameters[name], list) for name in ("labels", "prompt_templates", "cloud_labels"))


def test_fills_in_the_tables_between_known_markers_only() -> None:
    text = fill_tables("before\n<!-- services -->\nold\n<!-- end of services -->\nafter <!-- unknown -->")
    assert text.startswith("before\n<!-- services -->\n| name") and "old" not in text
    assert text.endswith("<!-- end of services -->\nafter <!-- unknown -->")


def test_lists_every_message_and_service_type() -> None:
    text = fill_tables(
        "<!-- messages -->\n<!-- end of messages -->\n<!-- service types -->\n<!-- end of service types -->"
    )
    files = [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]
    assert files and all(f"### {path.stem}\n" in text for path in files)


def test_reads_fields_constants_and_comments_of_a_service() -> None:
    summary, parts = parse_interface(
        "# Changes something.\n# In two lines.\n\n# The first.\nuint8 A=0\n# A list\n# of texts.\nstring[] texts\n---\n"
        "# Whether it worked.\nbool success\n"
    )
    assert summary == "Changes something. In two lines."
    assert parts == [
        [Field("uint8", "A = 0", "The first."), Field("string[]", "texts", "A list of texts.")],
        [Field("bool", "success", "Whether it worked.")],
    ]


def test_reads_a_service_without_a_request() -> None:
    assert parse_interface("# Returns a number.\n---\n# The number.\nint32 n\n") == (
        "Returns a number.",
        [[], [Field("int32", "n", "The number.")]],
    )
