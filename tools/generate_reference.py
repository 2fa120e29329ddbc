"""What is written down from the code: config/lseg.yaml and the README's tables of topics and parameters.

python -m tools.generate_reference          writes them anew
python -m tools.generate_reference --check  ends with 1 where they are not as the code says
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from lseg_ros.demo.replay_camera import ReplayCameraConfig
from lseg_ros.demo.synthetic_camera import SyntheticCameraConfig
from lseg_ros.inference import SegmenterConfig
from lseg_ros.pipeline import PipelineConfig
from lseg_ros.ros.parameters import NodeConfig, parameter_default
from lseg_ros.ros.topics import INPUTS, OUTPUTS, SERVICES, Topic
from lseg_ros.settings import Setting, list_settings

__all__ = ["config_yaml", "main", "outdated", "readme"]

NODE_CONFIGS = (NodeConfig, SegmenterConfig, PipelineConfig)


def config_yaml() -> str:
    """config/lseg.yaml: every parameter with its default, what it means and what it may be."""
    lines = [
        "# The node's parameters, with their defaults. Written by `python -m tools.generate_reference` from the code.",
        "# An empty list cannot be written in a ROS parameter file: [''] stands for it, [0] for one of numbers.",
        "/**:",
        "  ros__parameters:",
    ]
    for config in NODE_CONFIGS:
        for each in list_settings(config):
            lines += [f"    # {line}" for line in _explained(each)] + [f"    {each.name}: {_yaml(each)}", ""]
    return "\n".join(lines[:-1]) + "\n"


def tables() -> dict[str, str]:
    """The README's tables in Markdown, by the name that stands in their markers."""
    return {
        "inputs": _topic_table(INPUTS),
        "outputs": _topic_table(OUTPUTS),
        "services": _topic_table(SERVICES),
        "parameters": _parameter_table(each for config in NODE_CONFIGS for each in list_settings(config)),
        "synthetic_camera": _parameter_table(list_settings(SyntheticCameraConfig)),
        "replay_camera": _parameter_table(list_settings(ReplayCameraConfig)),
    }


def readme(text: str) -> str:
    """A text with what stands between ``<!-- name -->`` and ``<!-- end of name -->`` replaced by the table ``name``."""
    for name, table in tables().items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if found and closed:
            text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def outdated(root: Path) -> dict[Path, str]:
    """The files of a source tree that are not as the code says, with what they should contain."""
    wanted = {root / "config" / "lseg.yaml": config_yaml()}
    for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        if path.exists():
            wanted[path] = readme(path.read_text(encoding="utf-8"))
    return {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main() -> None:
    """Write the files, or with ``--check`` only say which are not up to date."""
    stale = outdated(Path.cwd())
    for path, text in stale.items():
        sys.stdout.write(f"{path}\n")
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
    sys.exit("--check" in sys.argv[1:] and bool(stale))


def _explained(each: Setting) -> list[str]:
    facts = [_range(each), "" if each.dynamic else "read only"]
    return [each.description, *([f"({', '.join(fact for fact in facts if fact)})"] if any(facts) else [])]


def _range(each: Setting) -> str:
    if each.choices:
        return " | ".join(each.choices)
    unit = f" {each.unit}" if each.unit else ""
    if each.minimum is None and each.maximum is None:
        return unit.strip()
    low = "" if each.minimum is None else f"{each.minimum:.10g}"
    high = "" if each.maximum is None else f"{each.maximum:.10g}"
    return f"{low} to {high}{unit}" if low and high else f"at least {low}{unit}" if low else f"at most {high}{unit}"


def _yaml(each: Setting) -> str:
    return json.dumps(parameter_default(each))  # JSON is YAML, and leaves no doubt about a value's type


def _topic_table(topics: Iterable[Topic]) -> str:
    rows = [
        f"| `{each.name}` | {each.type} | {each.description}{' (transient local)' if each.latched else ''} |"
        for each in topics
    ]
    return "\n".join(["| name | type | |", "|---|---|---|", *rows])


def _parameter_table(settings: Iterable[Setting]) -> str:
    rows = [
        f"| `{each.name}` | `{_yaml(each)}` | {_cell(_range(each))} | {'yes' if each.dynamic else 'no'} "
        f"| {_cell(each.description)} |"
        for each in settings
    ]
    return "\n".join(["| name | default | may be | while running | |", "|---|---|---|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
