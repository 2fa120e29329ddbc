"""``lseg labels``: show ids, colors and topics of a label list, or convert it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
import yaml

from lseg_ros.cli.flags import read_vocabulary
from lseg_ros.image_data import read_file
from lseg_ros.settings import check, setting
from lseg_ros.vocabulary import UNLABELED, Label, Vocabulary

__all__ = ["SETTINGS", "LabelsSettings", "color_table", "elevation_mapping", "label_space", "run"]

_MAX_BYTES = 1 << 20  # of a parameter file


@dataclass(frozen=True)
class LabelsSettings:
    """Show the ids, colors and topics of a label list in a node that starts with it.

    The list is either labels, as in the node's parameter labels, or one parameter file of the node, such as
    config/lseg.yaml. With --hydra, --hydra-colors or --elevation-mapping, print a configuration file for that program;
    redirect it to a file.
    """

    labels: tyro.conf.Positional[tuple[str, ...]] = setting(  # noqa: RUF009 - a tuple is immutable
        (),
        "labels to look for, separated by spaces or commas, or a label list file (.txt) whose lines are labels "
        "or 'id: label'; "
        "'sofa|couch' is one label with two names; or one parameter file (.yaml)",
    )
    hydra: bool = setting(False, "print the label space of Hydra (YAML)")
    hydra_colors: bool = setting(False, "print the color table of Hydra and semantic_inference (CSV)")
    elevation_mapping: bool = setting(False, "print parameters of elevation_mapping_cupy (YAML)")
    dynamic: tuple[str, ...] = setting(
        ("person", "people", "human", "dog", "cat", "car", "truck", "bus", "bicycle"),
        "labels that move and are not part of a map; names outside the label list are ignored",
    )
    surfaces: tuple[str, ...] = setting(
        ("floor", "ground", "road", "sidewalk", "grass", "rug", "stairs"),
        "labels to walk or drive on; names outside the label list are ignored",
    )
    structure: tuple[str, ...] = setting(
        ("wall", "ceiling", "window", "building", "house", "fence", "sky"),
        "labels that are neither objects nor surfaces for Hydra; names outside the label list are ignored",
    )
    node: str = setting("/lseg", "name of the node, the prefix of its topics")
    cameras: tuple[str, ...] = setting(
        (), "names of the node's cameras if it has several; if empty, those of the parameter file"
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.labels:
            raise ValueError("labels: expected labels or a parameter file, got none")
        formats = [name for name in ("hydra", "hydra_colors", "elevation_mapping") if getattr(self, name)]
        if len(formats) > 1:
            raise ValueError(f"{formats[1]}: expected one output format, got {formats[0]} as well")


SETTINGS = LabelsSettings


def run(settings: LabelsSettings) -> int:
    """Print the label list in the requested format."""
    vocabulary, cameras = _read_vocabulary(settings.labels)
    settings = replace(settings, cameras=settings.cameras or cameras)
    formatter: Callable[[Vocabulary, LabelsSettings], str] = _table
    if settings.hydra:
        formatter = label_space
    elif settings.hydra_colors:
        formatter = color_table
    elif settings.elevation_mapping:
        formatter = elevation_mapping
    print(formatter(vocabulary, settings), end="")
    return 0


def label_space(vocabulary: Vocabulary, settings: LabelsSettings) -> str:
    """Format Hydra's label space (YAML): names of the ids, and ids by kind of label."""
    ids = {kind: [label.id for label in vocabulary.labels if _kind(label, settings) == kind] for kind in _KINDS}
    names = "".join(
        f"  - {{label: {label.id}, name: {label.slug}, "
        f"name_descriptive: {json.dumps(label.name, ensure_ascii=False)}}}\n"
        for label in vocabulary.labels
    )
    return (
        f"# Hydra's label space of {_topic_prefix(settings)}/mask, written by `lseg labels --hydra`.\n"
        f"total_semantic_labels: {max(label.id for label in vocabulary.labels) + 1}\n"
        f"dynamic_labels: {ids['dynamic']}\n"
        f"invalid_labels: [{UNLABELED}]\n"
        f"object_labels: {ids['object']}\n"
        f"surface_places_labels: {ids['surface']}\n"
        "label_names:\n"
        f"  - {{label: {UNLABELED}, name: unlabeled}}\n"
        f"{names}"
    )


def color_table(vocabulary: Vocabulary, _: LabelsSettings) -> str:
    """Format the colors for Hydra and semantic_inference: CSV with six columns.

    Raises:
        ValueError: If two labels have the same color, because Hydra looks labels up by color.
    """
    names_by_color: dict[tuple[int, int, int], str] = {(0, 0, 0): "unlabeled"}
    rows = [f"unlabeled,0,0,0,255,{UNLABELED}"]
    for label in vocabulary.labels:
        if label.color in names_by_color:
            raise ValueError(
                f"color of {label.name!r}: expected a unique color, got that of {names_by_color[label.color]!r}"
            )
        names_by_color[label.color] = label.name
        rows.append(",".join(map(str, (label.slug, *label.color, 255, label.id))))  # a slug contains no comma
    return "\n".join(["name,red,green,blue,alpha,id", *rows, ""])


def elevation_mapping(vocabulary: Vocabulary, settings: LabelsSettings) -> str:
    """Format parameters of elevation_mapping_cupy (YAML).

    The point cloud of every label that does not move becomes a source.
    """
    omitted = [label.name for label in vocabulary.labels if _kind(label, settings) == "dynamic"]
    topic_prefixes = {f"{camera}_": f"{settings.node}/{camera}" for camera in settings.cameras} or {"": settings.node}
    sources = "".join(
        f"      {name_prefix}{label.slug}:\n"
        f"        topic_name: '{topic_prefix}/points/{label.slug}'\n"
        "        data_type: pointcloud\n"
        for name_prefix, topic_prefix in topic_prefixes.items()
        for label in vocabulary.labels
        if label.name not in omitted
    )
    return (
        "# Parameters for elevation_mapping_cupy, written by `lseg labels --elevation-mapping`; see docs/planners.md.\n"
        f"# Omitted because they move: {', '.join(omitted) or 'none'}.\n"
        "/elevation_mapping_node:\n"
        "  ros__parameters:\n"
        "    pointcloud_channel_fusions:\n"
        "      rgb: 'color'\n"
        "    subscribers:\n"
        f"{sources}"
    )


_KINDS = ("dynamic", "surface", "structure", "object")


def _kind(label: Label, settings: LabelsSettings) -> str:
    """Return the kind whose list contains a name of the label first, or object."""
    names = {text.casefold() for text in label.synonyms}
    lists = (settings.dynamic, settings.surfaces, settings.structure)
    for kind, entries in zip(_KINDS, lists):
        if names & {text.casefold() for text in entries}:
            return kind
    return "object"


def _table(vocabulary: Vocabulary, settings: LabelsSettings) -> str:
    """Format one line per label: id, color, topic of its point cloud, and names."""
    topics = [f"{_topic_prefix(settings)}/points/{label.slug}" for label in vocabulary.labels]
    width = max(map(len, topics))
    lines = (
        f"{label.id:>3}  #{bytes(label.color).hex()}  {topic:<{width}}  {label.entry}\n"
        for label, topic in zip(vocabulary.labels, topics)
    )
    return "".join(lines)


def _topic_prefix(settings: LabelsSettings) -> str:
    """Return the prefix of the topics, with braces around several cameras as in a shell."""
    names = settings.cameras
    return "/".join([settings.node, *([f"{{{','.join(names)}}}"] if len(names) > 1 else names)])


def _read_vocabulary(labels: tuple[str, ...]) -> tuple[Vocabulary, tuple[str, ...]]:
    """Build the vocabulary of labels or of a parameter file, and find the camera names."""
    path = Path(labels[0]).expanduser()
    if len(labels) == 1 and path.suffix.lower() in (".yaml", ".yml"):
        return _read_parameter_file(path)
    return read_vocabulary(labels), ()


def _read_parameter_file(path: Path) -> tuple[Vocabulary, tuple[str, ...]]:
    try:
        document = yaml.safe_load(read_file(path, _MAX_BYTES).decode())
        nodes = [parameters for parameters in _find_parameters(document, set()) if "labels" in parameters]
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected YAML, got {' '.join(str(error).split())[:200]}") from None
    if len(nodes) != 1:
        raise ValueError(f"{path}: expected one node with the parameter labels, got {len(nodes)}")
    # A parameter file cannot contain an empty list: [0] and [''] stand for it.
    given = {name: value for name, value in nodes[0].items() if value not in ([], [0], [""])}
    vocabulary = Vocabulary.of(
        nodes[0]["labels"],
        ids=given.get("class_ids"),
        colors=given.get("colors"),
        prompt_templates=given.get("prompt_templates", ("{}",)),
    )
    return vocabulary, tuple(given.get("cameras", ()))


def _find_parameters(document: Any, visited: set[int]) -> Iterator[Mapping[str, Any]]:
    """Find the ros__parameters of all nodes in a parameter file, including nested namespaces.

    Args:
        document: The file, or a part of it.
        visited: Parts that need no further search, by ``id``; an alias in YAML can repeat a part very often.
    """
    if not isinstance(document, Mapping) or id(document) in visited:
        return
    visited.add(id(document))
    for key, value in document.items():
        if key == "ros__parameters" and isinstance(value, Mapping):
            yield value
        else:
            yield from _find_parameters(value, visited)
