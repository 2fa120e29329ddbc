"""``lseg labels``: a label list as the node numbers, colors and names it, also in the words of other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
import yaml

from lseg_ros.settings import check, setting
from lseg_ros.vocabulary import UNLABELED, Label, Vocabulary

__all__ = ["SETTINGS", "LabelsSettings", "color_table", "elevation_mapping", "label_space", "run"]


@dataclass(frozen=True)
class LabelsSettings:
    """Show the ids, colors and topics that a label list gets in a node that starts with it.

    Words are those of the node's parameter labels; a file is a parameter file of the node, such as config/lseg.yaml.
    With --hydra, --hydra-colors or --elevation-mapping, print a file of that program instead, to be redirected.
    """

    labels: tyro.conf.Positional[tuple[str, ...]] = setting(  # noqa: RUF009 - a tuple cannot change
        (), "what to look for, 'sofa|couch' is one label with two names; or one parameter file (.yaml)"
    )
    hydra: bool = setting(False, "print Hydra's label space (YAML)")
    hydra_colors: bool = setting(False, "print the color table of Hydra and semantic_inference (CSV)")
    elevation_mapping: bool = setting(False, "print parameters of elevation_mapping_cupy (YAML)")
    dynamic: tuple[str, ...] = setting(
        ("person", "people", "human", "dog", "cat", "car", "truck", "bus", "bicycle"),
        "labels that move about: no part of a map; those that are not looked for are no error",
    )
    surfaces: tuple[str, ...] = setting(
        ("floor", "ground", "road", "sidewalk", "grass", "rug", "stairs"), "labels to walk or drive on, likewise"
    )
    structure: tuple[str, ...] = setting(
        ("wall", "ceiling", "window", "building", "house", "fence", "sky"),
        "labels that are neither objects nor surfaces, likewise; all others are objects to Hydra",
    )
    node: str = setting("/lseg", "name of the node, which its topics begin with")
    cameras: tuple[str, ...] = setting((), "names of its cameras, where it has several; a parameter file has them")

    def __post_init__(self) -> None:
        check(self)
        if not self.labels:
            raise ValueError("labels: expected words or a parameter file, got none")
        asked = [name for name in ("hydra", "hydra_colors", "elevation_mapping") if getattr(self, name)]
        if len(asked) > 1:
            raise ValueError(f"{asked[1]}: expected one kind of file at a time, got {asked[0]} as well")


SETTINGS = LabelsSettings


def run(settings: LabelsSettings) -> int:
    """Print what was asked for."""
    vocabulary, cameras = _vocabulary(settings.labels)
    settings = replace(settings, cameras=settings.cameras or cameras)
    written: Callable[[Vocabulary, LabelsSettings], str] = _table
    if settings.hydra:
        written = label_space
    elif settings.hydra_colors:
        written = color_table
    elif settings.elevation_mapping:
        written = elevation_mapping
    print(written(vocabulary, settings), end="")
    return 0


def label_space(vocabulary: Vocabulary, settings: LabelsSettings) -> str:
    """A label space of Hydra: ids up to the highest, and which are objects, surfaces to walk on, or move about."""
    ids = {kind: [each.id for each in vocabulary.labels if _kind(each, settings) == kind] for kind in _KINDS}
    names = "".join(
        f"  - {{label: {each.id}, name: {each.slug}, name_descriptive: {json.dumps(each.name, ensure_ascii=False)}}}\n"
        for each in vocabulary.labels
    )
    return (
        f"# Hydra's label space of {_prefix(settings)}/mask, written by `lseg labels --hydra`.\n"
        f"total_semantic_labels: {max(each.id for each in vocabulary.labels) + 1}\n"
        f"dynamic_labels: {ids['dynamic']}\n"
        f"invalid_labels: [{UNLABELED}]\n"
        f"object_labels: {ids['object']}\n"
        f"surface_places_labels: {ids['surface']}\n"
        "label_names:\n"
        f"  - {{label: {UNLABELED}, name: unlabeled}}\n"
        f"{names}"
    )


def color_table(vocabulary: Vocabulary, _: LabelsSettings) -> str:
    """The color of each label as Hydra and semantic_inference read it: CSV with a header and six columns.

    Raises ValueError where two labels have one color: Hydra looks labels up by their color.
    """
    owner: dict[tuple[int, int, int], str] = {(0, 0, 0): "unlabeled"}
    rows = [f"unlabeled,0,0,0,255,{UNLABELED}"]
    for label in vocabulary.labels:
        if label.color in owner:
            raise ValueError(f"color of {label.name!r}: expected its own, got that of {owner[label.color]!r}")
        owner[label.color] = label.name
        rows.append(",".join(map(str, (label.slug, *label.color, 255, label.id))))  # a slug never has a comma
    return "\n".join(["name,red,green,blue,alpha,id", *rows, ""])


def elevation_mapping(vocabulary: Vocabulary, settings: LabelsSettings) -> str:
    """Parameters of elevation_mapping_cupy: terrain is what does not move about, each label's cloud a source."""
    left_out = [each.name for each in vocabulary.labels if _kind(each, settings) == "dynamic"]
    prefixes = {f"{camera}_": f"{settings.node}/{camera}" for camera in settings.cameras} or {"": settings.node}
    sources = "".join(
        f"      {whose}{each.slug}:\n        topic_name: '{prefix}/points/{each.slug}'\n        data_type: pointcloud\n"
        for whose, prefix in prefixes.items()
        for each in vocabulary.labels
        if each.name not in left_out
    )
    return (
        "# Parameters for elevation_mapping_cupy, written by `lseg labels --elevation-mapping`; docs/planners.md\n"
        f"# explains it. Left out because it moves about: {', '.join(left_out) or 'nothing'}.\n"
        "/elevation_mapping_node:\n"
        "  ros__parameters:\n"
        "    pointcloud_channel_fusions:\n"
        "      rgb: 'color'\n"
        "    subscribers:\n"
        f"{sources}"
    )


_KINDS = ("dynamic", "surface", "structure", "object")


def _kind(label: Label, settings: LabelsSettings) -> str:
    """One of ``_KINDS``: the first list that has the label under any of its names, else an object."""
    names = {text.casefold() for text in label.synonyms}
    lists = (settings.dynamic, settings.surfaces, settings.structure)
    for kind, listed in zip(_KINDS, lists):
        if names & {text.casefold() for text in listed}:
            return kind
    return "object"


def _table(vocabulary: Vocabulary, settings: LabelsSettings) -> str:
    """A line for each label: id, color, topic of its cloud, and its names."""
    topics = [f"{_prefix(settings)}/points/{each.slug}" for each in vocabulary.labels]
    width = max(map(len, topics))
    lines = (
        f"{each.id:>3}  #{bytes(each.color).hex()}  {topic:<{width}}  {each.entry}\n"
        for each, topic in zip(vocabulary.labels, topics)
    )
    return "".join(lines)


def _prefix(settings: LabelsSettings) -> str:
    """What the topics of a frame begin with; of several cameras all at once, as a shell would expand it."""
    names = settings.cameras
    return "/".join([settings.node, *([f"{{{','.join(names)}}}"] if len(names) > 1 else names)])


def _vocabulary(labels: tuple[str, ...]) -> tuple[Vocabulary, tuple[str, ...]]:
    """The vocabulary of words, or of a parameter file, and the cameras' names. Raises ValueError and OSError."""
    path = Path(labels[0]).expanduser()
    if len(labels) == 1 and path.suffix in (".yaml", ".yml"):
        return _vocabulary_of(path)
    return Vocabulary.of(labels), ()


def _vocabulary_of(path: Path) -> tuple[Vocabulary, tuple[str, ...]]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: expected YAML, got {error}") from None
    found = [each for each in _parameters(document) if "labels" in each]
    if len(found) != 1:
        raise ValueError(f"{path}: expected one node with the parameter labels, got {len(found)}")
    # An empty list cannot be written in a parameter file: [0] and [''] stand for it.
    given = {name: value for name, value in found[0].items() if value not in ([], [0], [""])}
    vocabulary = Vocabulary.of(
        found[0]["labels"],
        ids=given.get("class_ids"),
        colors=given.get("colors"),
        prompt_templates=given.get("prompt_templates", ("{}",)),
    )
    return vocabulary, tuple(given.get("cameras", ()))


def _parameters(document: Any) -> Iterator[Mapping[str, Any]]:
    """The ros__parameters of all nodes in a parameter file, whose namespaces may be nested."""
    for key, value in document.items() if isinstance(document, Mapping) else ():
        if key == "ros__parameters" and isinstance(value, Mapping):
            yield value
        else:
            yield from _parameters(value)
