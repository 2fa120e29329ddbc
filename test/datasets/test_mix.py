"""Mix files: what they may contain, and errors that name the file, the set and the key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lseg_ros.datasets.mix import Hint, read_mix
from test.support.dataset_trees import write_text

ROOT = Path(__file__).resolve().parents[2]


def write_mix(folder: Path, text: str) -> Path:
    return write_text(folder / "mix.yaml", text)


def hint(text: str) -> str:
    return f"sets: {{a: {{root: x, share: 1, hints: [{{{text}}}]}}}}"


def test_reads_sets_with_normalized_shares_and_resolved_paths(tmp_path: Path) -> None:
    write_text(tmp_path / "words.txt", "sofa|couch", "road|street")
    file = write_mix(
        tmp_path,
        """
        sets:
          streets: {root: streets, share: 3, ignore: [window], synonyms: {road: [street], car: [auto, vehicle]}}
          rooms: {root: /rooms, share: 1.0, labels: rooms.txt, synonyms: words.txt, validate: false}
          synthetic: {dataset: synthetic, share: 4, frames: 1000, seed: 3}
          photos: {root: photos, share: 2, unlabeled: true}
        """,
    )
    mix = read_mix(file, tmp_path / "data")
    streets, rooms, synthetic, photos = mix.entries
    assert mix.shares == (0.3, 0.1, 0.4, 0.2)
    assert (streets.data.dataset, streets.data.split, streets.data.root) == (
        "folder", "train", str(tmp_path / "data" / "streets"),
    )  # fmt: skip
    assert (streets.ignore, streets.synonyms) == (("window",), (("road", "street"), ("car", "auto", "vehicle")))
    assert (rooms.data.root, rooms.data.labels) == ("/rooms", str(tmp_path / "rooms.txt"))
    assert (rooms.synonyms, rooms.validate) == ((("sofa", "couch"), ("road", "street")), False)
    assert (synthetic.data.dataset, synthetic.data.frames, synthetic.data.seed) == ("synthetic", 1000, 3)
    assert photos.unlabeled
    assert [entry.name for entry in mix.without({"photos"}).entries] == ["streets", "rooms", "synthetic"]


def test_sets_with_and_without_masks_have_hints(tmp_path: Path) -> None:
    text = """
    sets:
      rooms: {root: rooms, share: 1, hints: [{possible: [wall, ceiling], absent: [sky], rows: [0, 0.5]}]}
      photos: {root: photos, share: 1, unlabeled: true, hints: [{possible: [floor], absent: [road]}]}
    """
    rooms, photos = read_mix(write_mix(tmp_path, text)).entries
    assert rooms.hints == (Hint(("wall", "ceiling"), ("sky",), (0.0, 0.5)),)
    assert photos.hints == (Hint(("floor",), ("road",), (0.0, 1.0)),)


def test_roots_are_relative_to_the_file_by_default(tmp_path: Path) -> None:
    mix = read_mix(write_mix(tmp_path, "sets: {a: {root: x, share: 1}}"))
    assert mix.entries[0].data.root == str(tmp_path / "x")


def test_reads_licenses_which_are_no_settings_of_the_weights(tmp_path: Path) -> None:
    entries = "sets: {a: {root: x, share: 1LICENSE}, b: {root: y, share: 3, unlabeled: true}}"
    plain = read_mix(write_mix(tmp_path, entries.replace("LICENSE", "")))
    licensed = read_mix(write_mix(tmp_path, "license: MIT\n" + entries.replace("LICENSE", ", license: CC-BY-4.0")))
    assert (licensed.license, plain.license) == ("MIT", "")
    assert [entry.license for entry in licensed.entries] == ["CC-BY-4.0", ""]
    assert licensed.settings == plain.settings


@pytest.mark.parametrize("name", ["real", "free"])
def test_recipes_give_the_license_of_every_set(name: str) -> None:
    mix = read_mix(ROOT / "research" / "recipes" / f"{name}.yaml")
    assert mix.license and all(entry.license for entry in mix.entries)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("license: [MIT]\nsets: {a: {root: x, share: 1}}", "license: expected one line of at most 200 characters"),
        (f"license: {'x' * 201}\nsets: {{a: {{root: x, share: 1}}}}", "license: expected one line of at most 200"),
        ('sets: {a: {root: x, share: 1, license: "a\\nb"}}', "sets.a.license: expected one line of at most 200"),
        ("sets: [", "expected YAML, got"),
        ("sets: !!python/object/apply:os.system [ls]", "expected YAML, got"),
        ("- a", "expected a mapping with the key sets, got"),
        ("sets: {}", "sets: expected a mapping of 1 to 64 names to settings, got 0 sets"),
        ("sets: {a: {root: x, share: 1}}\nset: 1", "expected only the keys sets and license, got 'set'"),
        ("sets: {a: 1}", "sets.a: expected keys and values, got 1"),
        ("sets: {a b: {root: x, share: 1}}", "sets: expected names of letters, digits, - and _, got 'a b'"),
        ("sets: {a: {root: x, share: 1}, a: {root: y, share: 1}}", "every key once, but 'a' occurs twice"),
        ("sets: {a: {root: x, share: 1, weight: 2}}", "sets.a.weight: expected one of the keys share, unlabeled"),
        ("sets: {a: {root: x, share: 1, fold: 2}}", "sets.a.fold: expected one of the keys"),
        ("sets: {a: {root: x}}", "sets.a.share: expected a value above 0, got none"),
        ("sets: {a: {root: x, share: 0}}", "sets.a.share: expected a value above 0, got 0"),
        ("sets: {a: {root: x, share: -1}}", "sets.a.share: expected a value from 0.0 to 1000000.0, got -1"),
        ("sets: {a: {root: x, share: .nan}}", "sets.a.share: expected a value from 0.0 to 1000000.0, got nan"),
        ("sets: {a: {root: x, share: many}}", "sets.a.share: expected a value of type float, got 'many'"),
        ("sets: {a: {root: x, share: true}}", "sets.a.share: expected a value of type float, got True"),
        ("sets: {a: {share: 1}}", "sets.a.root: expected the folder of the data set, got none"),
        ("sets: {a: {root: x, share: 1, dataset: kitti}}", "sets.a.dataset: expected one of synthetic, ade20k"),
        ("sets: {a: {root: x, share: 1, dataset: fss_1000}}", "sets.a.dataset: expected one of synthetic, ade20k"),
        ("sets: {a: {dataset: synthetic, share: 1, width: 8}}", "sets.a.width: expected a value of at least 32 px"),
        ("sets: {a: {root: x, share: 1, ignore: wall}}", "sets.a.ignore: expected a list of words, got 'wall'"),
        ("sets: {a: {root: x, share: 1, synonyms: [a]}}", "sets.a.synonyms: expected a file, or words with lists"),
        ("sets: {a: {root: x, share: 1, synonyms: {a: b}}}", "sets.a.synonyms.a: expected a list of words, got 'b'"),
        ("sets: {a: {root: x, share: 1, synonyms: {a: [A]}}}", "sets.a.synonyms.a: expected every text once"),
        ("sets: {a: {root: x, share: 1, unlabeled: true, ignore: []}}", "sets.a.ignore: expected no such key for"),
        (
            "sets: {a: {root: x, share: 1, hints: wall}}",
            "sets.a.hints: expected a list of at most 64 hints, got 'wall'",
        ),
        ("sets: {a: {root: x, share: 1, hints: [wall]}}", "sets.a.hints[0]: expected the keys possible, absent and"),
        ("sets: {a: {root: x, share: 1, hints: [{possible: [wall]}]}}", "sets.a.hints[0]: expected the keys possible"),
        (hint("possible: [], absent: [sky]"), "sets.a.hints[0]: possible: expected at least one word, got none"),
        (hint("possible: [wall, sky], absent: [Sky]"), "absent: expected words that are not possible, got 'sky'"),
        (hint("possible: wall, absent: [sky]"), "sets.a.hints[0]: possible: expected a list of words, got 'wall'"),
        (hint("possible: [a], absent: [b], row: 1"), "sets.a.hints[0]: expected the keys possible, absent and"),
        (hint("possible: [a], absent: [b], rows: 1"), "sets.a.hints[0]: rows: expected two shares of the height"),
        (hint("possible: [a], absent: [b], rows: [0, true]"), "sets.a.hints[0]: rows: expected two shares of the"),
        (hint("possible: [a], absent: [b], rows: [1, 0]"), "sets.a.hints[0]: rows: expected two increasing shares"),
        (hint("possible: [a], absent: [b], rows: [0, .nan]"), "sets.a.hints[0]: rows: expected two increasing"),
    ],
)
def test_rejects_bad_files_and_names_the_entry(tmp_path: Path, text: str, message: str) -> None:
    file = write_mix(tmp_path, text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))}: .*{re.escape(message)}"):
        read_mix(file)


def test_an_error_about_exponential_aliases_stays_short(tmp_path: Path) -> None:
    levels = ["&a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"&a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 20)]
    file = write_mix(tmp_path, f"sets: {{s: {{root: x, share: [{', '.join(levels)}]}}}}")
    with pytest.raises(ValueError, match=r"sets\.s\.share: expected a value of type float, got .{,500}$"):
        read_mix(file)


def test_reports_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.yaml: expected a mix file, but it does not exist"):
        read_mix(tmp_path / "none.yaml")
    file = write_mix(tmp_path, "sets: {a: {root: x, share: 1, synonyms: none.txt}}")
    with pytest.raises(FileNotFoundError, match=r"mix\.yaml: sets\.a\.synonyms: .*none\.txt: expected a text file"):
        read_mix(file)


def test_rejects_a_file_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a mix file of at most 1048576 bytes, got"):
        read_mix(write_mix(tmp_path, "#" * (1 << 20)))


@pytest.mark.parametrize(("name", "count"), [("real", 9), ("free", 2)])
def test_reads_the_files_of_the_recipes(name: str, count: int) -> None:
    mix = read_mix(ROOT / "research" / "recipes" / f"{name}.yaml", "/data")
    assert len(mix.entries) == count
    assert sum(entry.share for entry in mix.entries) == pytest.approx(1.0)
    assert mix.entries[0].data.root.startswith("/data/")
