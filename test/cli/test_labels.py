"""``lseg labels``: ids and colors of the node, and configuration files for other programs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.cli import main
from lseg_ros.cli.flags import read_vocabulary
from lseg_ros.cli.labels import LabelsSettings, color_table, elevation_mapping, label_space
from lseg_ros.vocabulary import Vocabulary

CONFIG = Path(__file__).resolve().parents[2] / "config"
WORDS = ("floor", "wall", "sofa|couch", "person")

# Characters that are special in YAML or CSV, and others.
TEXTS = st.text("ab7 ,:'\"{}[]#&*!-éß猫", min_size=1, max_size=12).map(str.strip).filter(bool)


def run_labels(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["labels", *arguments]) == 0
    return capsys.readouterr().out


def test_prints_id_color_topic_and_names_of_each_label(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run_labels(capsys, *WORDS).splitlines()
    for line, label in zip(lines, Vocabulary.of(WORDS).labels, strict=True):
        number, color, topic, entry = line.split(maxsplit=3)
        assert (int(number), bytes.fromhex(color[1:]), entry) == (label.id, bytes(label.color), label.entry)
        assert topic == f"/lseg/points/{label.slug}"


def test_reads_labels_from_a_parameter_file(capsys: pytest.CaptureFixture[str]) -> None:
    words = yaml.safe_load((CONFIG / "lseg.yaml").read_text())["/**"]["ros__parameters"]["labels"]
    assert run_labels(capsys, str(CONFIG / "lseg.yaml")) == run_labels(capsys, *words)


def test_reads_ids_and_colors_of_a_named_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "robot.yaml"
    parameters = "{labels: [floor, door], class_ids: [7, 3], colors: ['', '#102030']}"
    file.write_text(f"robot:\n  lseg:\n    ros__parameters: {parameters}\n")
    floor, door = run_labels(capsys, str(file)).splitlines()
    assert floor.split()[0] == "7"
    assert door.split()[:2] == ["3", "#102030"]


def test_prints_the_topics_of_several_cameras(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("/**: {ros__parameters: {labels: [floor], cameras: [front, rear]}}")
    assert run_labels(capsys, str(file)).split()[2] == "/lseg/{front,rear}/points/floor"
    assert run_labels(capsys, "floor", "--cameras", "front").split()[2] == "/lseg/front/points/floor"
    sources = yaml.safe_load(run_labels(capsys, str(file), "--elevation-mapping"))["/elevation_mapping_node"]
    topics = {name: source["topic_name"] for name, source in sources["ros__parameters"]["subscribers"].items()}
    assert topics == {"front_floor": "/lseg/front/points/floor", "rear_floor": "/lseg/rear/points/floor"}


@pytest.mark.parametrize(
    ("file", "flag"),
    [
        ("hydra/lseg_label_space.yaml", "--hydra"),
        ("hydra/lseg_colors.csv", "--hydra-colors"),
        ("elevation_mapping/lseg.yaml", "--elevation-mapping"),
    ],
)
def test_example_files_match_the_output_for_the_default_labels(
    file: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (CONFIG / file).read_text() == run_labels(capsys, str(CONFIG / "lseg.yaml"), flag)


@given(st.lists(TEXTS, min_size=1, max_size=5, unique_by=str.casefold))
def test_files_with_any_label_names_can_be_parsed(words: list[str]) -> None:
    vocabulary, settings = Vocabulary.of(words), LabelsSettings(tuple(words))
    space = yaml.safe_load(label_space(vocabulary, settings))
    names = {entry["label"]: entry.get("name_descriptive") for entry in space["label_names"]}
    assert names == {0: None, **{label.id: label.name for label in vocabulary.labels}}
    assert all(len(row) == 6 for row in csv.reader(io.StringIO(color_table(vocabulary, settings))))
    assert yaml.safe_load(elevation_mapping(vocabulary, settings))


def test_label_space_counts_to_the_highest_id_and_gives_each_label_one_kind() -> None:
    space = yaml.safe_load(label_space(Vocabulary.of(WORDS, ids=[9, 2, 5, 1]), LabelsSettings(WORDS)))
    assert space["total_semantic_labels"] == 10
    assert space["invalid_labels"] == [0]
    kinds = (space["surface_places_labels"], space["object_labels"], space["dynamic_labels"])
    assert kinds == ([9], [5], [1])  # the wall is structure


def test_kind_of_a_label_follows_from_any_of_its_names() -> None:
    settings = LabelsSettings(WORDS, dynamic=("Couch",))
    assert yaml.safe_load(label_space(Vocabulary.of(WORDS), settings))["dynamic_labels"] == [3]


def test_elevation_mapping_omits_labels_that_move() -> None:
    parameters = yaml.safe_load(elevation_mapping(Vocabulary.of(WORDS), LabelsSettings(WORDS, node="/front/lseg")))
    sources = parameters["/elevation_mapping_node"]["ros__parameters"]["subscribers"]
    topics = [source["topic_name"] for source in sources.values()]
    assert topics == [f"/front/lseg/points/{slug}" for slug in ("floor", "wall", "sofa")]


def test_color_table_rejects_equal_colors() -> None:
    vocabulary = Vocabulary.of(["floor", "wall"], colors=["#090909", "#090909"])
    with pytest.raises(ValueError, match=r"color of 'wall': expected a unique color, got that of 'floor'"):
        color_table(vocabulary, LabelsSettings(("floor", "wall")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("/**: {ros__parameters: {device: cpu}}", "expected one node with the parameter labels, got 0"),
        ("a: {ros__parameters: {labels: [a]}}\nb: {ros__parameters: {labels: [b]}}", "labels, got 2"),
        ("[", "expected YAML"),
        ("/**: {ros__parameters: {labels: [floor, Floor]}}", "got 'Floor' twice"),
    ],
)
def test_rejects_unusable_parameter_files(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(content)
    assert main(["labels", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_rejects_two_output_formats() -> None:
    with pytest.raises(ValueError, match="elevation_mapping: expected one output format, got hydra as well"):
        LabelsSettings(WORDS, hydra=True, elevation_mapping=True)


@pytest.mark.parametrize(
    "arguments", [["wall", "sofa|couch", "floor"], ["wall,sofa|couch, floor"], ["wall,", "sofa|couch,floor"]]
)
def test_labels_may_be_separated_by_spaces_or_commas(arguments: list[str]) -> None:
    assert read_vocabulary(arguments).entries == ("wall", "sofa|couch", "floor")


def test_reads_labels_from_a_label_list_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labels.TXT"
    file.write_text("# rooms\nwall\npotted plant, large\n", encoding="utf-8")
    assert read_vocabulary([str(file), "floor"]).entries == ("wall", "potted plant, large", "floor")
    assert "/lseg/points/wall" in run_labels(capsys, str(file))


def test_reports_a_missing_label_list_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", str(tmp_path / "none.txt")]) == 2
    assert "none.txt: expected a text file" in capsys.readouterr().err


@pytest.mark.parametrize("values", [[], [","]])
def test_rejects_a_list_without_labels(values: list[str]) -> None:
    with pytest.raises(ValueError, match="labels: expected at least one label"):
        read_vocabulary(values)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "a0: &a0 {ros__parameters: {labels: [a, b]}}\n"
        + "".join(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}\n" for n in range(1, 40)),
    ],
    ids=["nested", "aliases"],
)
def test_reads_or_rejects_deep_parameter_files(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "params.yaml").write_text(text)
    status = main(["labels", str(tmp_path / "params.yaml")])
    assert status == (0 if "labels" in text else 2)
    assert len(capsys.readouterr().err.splitlines()) == (0 if "labels" in text else 1)


def test_rejects_a_large_parameter_file_before_reading_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "params.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert main(["labels", str(tmp_path / "params.yaml")]) == 2
    assert "params.yaml: expected at most 1048576 bytes, got 1099511627776" in capsys.readouterr().err


def test_ids_of_a_label_list_file_are_those_of_the_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("7: wall\n2: sofa|couch\n9:\n", encoding="utf-8")
    lines = run_labels(capsys, str(file)).splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in lines] == [("7", "wall"), ("2", "sofa|couch")]
    with pytest.raises(ValueError, match=r"labels.txt alone, because it states ids, got 2 values"):
        read_vocabulary([str(file), "floor"])
    file.write_text("0: wall\n1: sofa\n", encoding="utf-8")
    with pytest.raises(ValueError, match="id of 'wall': expected 1 to 254, got 0"):
        read_vocabulary([str(file)])
