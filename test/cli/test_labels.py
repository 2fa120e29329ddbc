"""``lseg labels``: the node's ids and colors, and the files of other programs that are made of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.cli import main
from lseg_ros.cli.labels import LabelsSettings, color_table, elevation_mapping, label_space
from lseg_ros.vocabulary import Vocabulary

CONFIG = Path(__file__).resolve().parents[2] / "config"
WORDS = ("floor", "wall", "sofa|couch", "person")

# What means something to YAML, to CSV or to nobody.
printable = st.text("ab7 ,:'\"{}[]#&*!-éß猫", min_size=1, max_size=12).map(str.strip).filter(bool)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["labels", *arguments]) == 0
    return capsys.readouterr().out


def test_a_list_has_a_line_for_each_label_with_id_color_topic_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, *WORDS).splitlines()
    for line, label in zip(lines, Vocabulary.of(WORDS).labels, strict=True):
        number, color, topic, entry = line.split(maxsplit=3)
        assert (int(number), bytes.fromhex(color[1:]), entry) == (label.id, bytes(label.color), label.entry)
        assert topic == f"/lseg/points/{label.slug}"


def test_a_parameter_file_of_the_node_does_for_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    words = yaml.safe_load((CONFIG / "lseg.yaml").read_text())["/**"]["ros__parameters"]["labels"]
    assert printed(capsys, str(CONFIG / "lseg.yaml")) == printed(capsys, *words)


def test_a_parameter_file_may_name_its_node_and_choose_ids_and_colors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "robot.yaml"
    parameters = "{labels: [floor, door], class_ids: [7, 3], colors: ['', '#102030']}"
    file.write_text(f"robot:\n  lseg:\n    ros__parameters: {parameters}\n")
    floor, door = printed(capsys, str(file)).splitlines()
    assert floor.split()[0] == "7"
    assert door.split()[:2] == ["3", "#102030"]


def test_of_several_cameras_every_topic_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("/**: {ros__parameters: {labels: [floor], cameras: [front, rear]}}")
    assert printed(capsys, str(file)).split()[2] == "/lseg/{front,rear}/points/floor"
    assert printed(capsys, "floor", "--cameras", "front").split()[2] == "/lseg/front/points/floor"
    sources = yaml.safe_load(printed(capsys, str(file), "--elevation-mapping"))["/elevation_mapping_node"]
    topics = {name: each["topic_name"] for name, each in sources["ros__parameters"]["subscribers"].items()}
    assert topics == {"front_floor": "/lseg/front/points/floor", "rear_floor": "/lseg/rear/points/floor"}


@pytest.mark.parametrize(
    ("file", "flag"),
    [
        ("hydra/lseg_label_space.yaml", "--hydra"),
        ("hydra/lseg_colors.csv", "--hydra-colors"),
        ("elevation_mapping/lseg.yaml", "--elevation-mapping"),
    ],
)
def test_the_examples_are_what_the_command_writes_for_the_default_labels(
    file: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (CONFIG / file).read_text() == printed(capsys, str(CONFIG / "lseg.yaml"), flag)


@given(st.lists(printable, min_size=1, max_size=5, unique_by=str.casefold))
def test_whatever_a_label_is_called_the_files_can_be_read_back(words: list[str]) -> None:
    vocabulary, settings = Vocabulary.of(words), LabelsSettings(tuple(words))
    space = yaml.safe_load(label_space(vocabulary, settings))
    names = {each["label"]: each.get("name_descriptive") for each in space["label_names"]}
    assert names == {0: None, **{label.id: label.name for label in vocabulary.labels}}
    assert all(len(row) == 6 for row in csv.reader(io.StringIO(color_table(vocabulary, settings))))
    assert yaml.safe_load(elevation_mapping(vocabulary, settings))


def test_a_label_space_counts_up_to_the_highest_id_and_gives_each_label_one_part() -> None:
    space = yaml.safe_load(label_space(Vocabulary.of(WORDS, ids=[9, 2, 5, 1]), LabelsSettings(WORDS)))
    assert space["total_semantic_labels"] == 10
    assert space["invalid_labels"] == [0]
    parts = (space["surface_places_labels"], space["object_labels"], space["dynamic_labels"])
    assert parts == ([9], [5], [1])  # the wall is none of these


def test_a_label_has_its_part_under_any_of_its_names() -> None:
    settings = LabelsSettings(WORDS, dynamic=("Couch",))
    assert yaml.safe_load(label_space(Vocabulary.of(WORDS), settings))["dynamic_labels"] == [3]


def test_what_moves_about_is_no_terrain() -> None:
    parameters = yaml.safe_load(elevation_mapping(Vocabulary.of(WORDS), LabelsSettings(WORDS, node="/front/lseg")))
    sources = parameters["/elevation_mapping_node"]["ros__parameters"]["subscribers"]
    topics = [each["topic_name"] for each in sources.values()]
    assert topics == [f"/front/lseg/points/{slug}" for slug in ("floor", "wall", "sofa")]


def test_two_labels_of_one_color_are_refused_by_name_for_hydra_looks_labels_up_by_color() -> None:
    vocabulary = Vocabulary.of(["floor", "wall"], colors=["#090909", "#090909"])
    with pytest.raises(ValueError, match=r"color of 'wall': expected its own, got that of 'floor'"):
        color_table(vocabulary, LabelsSettings(("floor", "wall")))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("/**: {ros__parameters: {device: cpu}}", "expected one node with the parameter labels, got 0"),
        ("a: {ros__parameters: {labels: [a]}}\nb: {ros__parameters: {labels: [b]}}", "labels, got 2"),
        ("[", "expected YAML"),
        ("/**: {ros__parameters: {labels: [floor, Floor]}}", "got 'Floor' twice"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused_in_a_sentence(
    content: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(content)
    assert main(["labels", str(file)]) == 2
    assert sentence in capsys.readouterr().err


def test_one_file_is_printed_at_a_time() -> None:
    with pytest.raises(ValueError, match="elevation_mapping: expected one kind of file at a time, got hydra as well"):
        LabelsSettings(WORDS, hydra=True, elevation_mapping=True)
