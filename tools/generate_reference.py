"""Generate config/lseg.yaml and the tables of docs/reference.md from the code.

python -m tools.generate_reference          write both files
python -m tools.generate_reference --check  exit with status 1 if a file is out of date
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lseg_ros.demo.replay_camera import ReplayCameraConfig
from lseg_ros.demo.synthetic_camera import SyntheticCameraConfig
from lseg_ros.inference import SegmenterConfig
from lseg_ros.mapping import MapConfig
from lseg_ros.pipeline import PipelineConfig
from lseg_ros.ros.parameters import NodeConfig, parameter_default
from lseg_ros.ros.topics import INPUTS, OUTPUTS, SERVICES, Topic
from lseg_ros.settings import Setting, list_settings

__all__ = ["Field", "config_yaml", "fill_tables", "main", "outdated_files", "parse_interface"]

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 120  # columns of the documentation
NODE_CONFIGS = (NodeConfig, SegmenterConfig, PipelineConfig, MapConfig)


@dataclass(frozen=True)
class Field:
    """A field or a constant of a message or service definition."""

    type: str
    name: str
    description: str


def config_yaml() -> str:
    """Return config/lseg.yaml: every parameter with its default, description and range."""
    lines = [
        "# The node's parameters, with their defaults. Written by `python -m tools.generate_reference` from the code.",
        "# An empty list cannot be written in a ROS parameter file: [''] stands for it, [0] for one of numbers.",
        "/**:",
        "  ros__parameters:",
    ]
    for setting in _node_settings():
        facts = ", ".join(fact for fact in (_range(setting), "" if setting.dynamic else "read only") if fact)
        lines += [f"    # {line}" for line in (setting.description, f"({facts})" if facts else "") if line]
        lines += [f"    {setting.name}: {_yaml(setting)}", ""]
    return "\n".join(lines[:-1]) + "\n"


def fill_tables(text: str) -> str:
    """Insert the generated tables into a page.

    The table of a name replaces the text between ``<!-- name -->`` and ``<!-- end of name -->``.
    """
    for name, table in _tables().items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if found and closed:
            text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def parse_interface(text: str) -> tuple[str, list[list[Field]]]:
    """Read a .msg or .srv file.

    Returns:
        The first comment of the file, and the fields of each part (a message has one part, a service has a request and
        a response). The description of a field is the comment directly above it.
    """
    summary = ""
    parts: list[list[Field]] = [[]]
    comment: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            comment.append(line[1:].strip())
            continue
        if line.startswith("---"):
            parts.append([])
        elif line:
            type_, name = line.split(maxsplit=1)
            parts[-1].append(Field(type_, name.replace("=", " = "), " ".join(comment)))
        if not line or line.startswith("---"):
            summary = summary or " ".join(comment)
        comment = []
    return summary, parts


def outdated_files(root: Path) -> dict[Path, str]:
    """Find the generated files of a source tree that are out of date.

    Returns:
        The path of each such file with the content that it should have.
    """
    reference = root / "docs" / "reference.md"
    wanted = {
        root / "config" / "lseg.yaml": config_yaml(),
        reference: fill_tables(reference.read_text(encoding="utf-8")),
    }
    return {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main() -> None:
    """Write the files, or with ``--check`` only list those that are out of date."""
    outdated = outdated_files(Path.cwd())
    for path, text in outdated.items():
        sys.stdout.write(f"{path}\n")
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
    sys.exit("--check" in sys.argv[1:] and bool(outdated))


def _tables() -> dict[str, str]:
    """Return the Markdown tables by the name in their markers."""
    return {
        "inputs": _topic_table(INPUTS),
        "outputs": _topic_table(OUTPUTS),
        "services": _topic_table(SERVICES),
        "parameters": _parameter_table(_node_settings()),
        "synthetic_camera": _parameter_table(list_settings(SyntheticCameraConfig)),
        "replay_camera": _parameter_table(list_settings(ReplayCameraConfig)),
        "messages": _interface_tables("msg", ("",)),
        "service types": _interface_tables("srv", ("request", "response")),
    }


def _node_settings() -> Iterator[Setting]:
    for config in NODE_CONFIGS:
        yield from list_settings(config)


def _range(setting: Setting) -> str:
    if setting.choices:
        return " | ".join(setting.choices)
    unit = f" {setting.unit}" if setting.unit else ""
    if setting.minimum is None and setting.maximum is None:
        return unit.strip()
    low = "" if setting.minimum is None else f"{setting.minimum:.10g}"
    high = "" if setting.maximum is None else f"{setting.maximum:.10g}"
    return f"{low} to {high}{unit}" if low and high else f"at least {low}{unit}" if low else f"at most {high}{unit}"


def _yaml(setting: Setting) -> str:
    return json.dumps(parameter_default(setting))  # JSON is valid YAML, with an unambiguous type for every value


def _topic_table(topics: Iterable[Topic]) -> str:
    rows = [
        f"| `{topic.name}` | {topic.type} | {topic.description}{' (transient local)' if topic.latched else ''} |"
        for topic in topics
    ]
    return "\n".join(["| name | type | description |", "|---|---|---|", *rows])


def _parameter_table(settings: Iterable[Setting]) -> str:
    rows = [
        f"| `{setting.name}` | `{_yaml(setting)}` | {_cell(_range(setting))} | {'yes' if setting.dynamic else 'no'} "
        f"| {_cell(setting.description)} |"
        for setting in settings
    ]
    return "\n".join(["| name | default | range | dynamic | description |", "|---|---|---|---|---|", *rows])


def _interface_tables(folder: str, part_names: tuple[str, ...]) -> str:
    """Return a heading, the summary and a table for every interface file of a folder."""
    sections = []
    for path in sorted((ROOT / folder).glob(f"*.{folder}")):
        summary, parts = parse_interface(path.read_text(encoding="utf-8"))
        rows = [
            f"|{f' {part} |' if part else ''} `{field.name}` | {_cell(field.type)} | {_cell(field.description)} |"
            for part, fields in zip(part_names, parts)
            for field in fields
        ]
        columns = ["part", "field", "type", "description"][0 if part_names[0] else 1 :]
        head = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        sections.append("\n".join([f"### {path.stem}", "", textwrap.fill(summary, WIDTH), "", *head, *rows]))
    return "\n\n".join(sections)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
