"""Every reader of files returns a result or raises one clear sentence, whatever the bytes."""

from __future__ import annotations

import functools
import json
import pickle
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.datasets import DatasetConfig, open_dataset
from lseg_ros.datasets.files import read_colors, read_gray, read_ids
from lseg_ros.datasets.labels import read_label_list
from lseg_ros.datasets.mix import read_mix
from lseg_ros.datasets.restricted_pickle import restricted_loads
from lseg_ros.recordings import RgbdFolder, read_calibration, read_depth, read_rgb
from lseg_ros.vocabulary import Vocabulary
from test.fuzz.budget import bounded
from test.fuzz.images import IMAGES, PNG, image_bytes
from test.fuzz.mutations import TEXTS, damaged, damaged_png
from test.fuzz.regressions import keep_if_failing, list_cases

MAX_ERROR_LENGTH = 2000
FORGING = {"Cc", "Zl", "Zp"}  # categories of characters that start a line or an escape sequence of a terminal


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        suffix: Suffix of its files.
        read: Reads a file, and everything that it refers to.
        contents: Generates files.
    """

    suffix: str
    read: Callable[[Path], Any]
    contents: st.SearchStrategy[bytes]


IMAGE_FILES = st.one_of(
    st.sampled_from(PNG).flatmap(damaged_png), st.sampled_from([*PNG, *IMAGES]).flatmap(damaged), st.binary(max_size=64)
)


def texts(*examples: str) -> st.SearchStrategy[bytes]:
    """Generate text files: damaged examples, examples with strange words, and strange lines."""
    words = sorted({word for example in examples for word in example.split()})

    def replace(example: str) -> st.SearchStrategy[str]:
        return st.dictionaries(st.sampled_from(words), TEXTS, max_size=3).map(
            lambda changes: functools.reduce(lambda text, change: text.replace(*change), changes.items(), example)
        )

    example = st.sampled_from(examples)
    return st.one_of(
        example.flatmap(replace).map(str.encode),
        example.flatmap(lambda text: damaged(text.encode(), len(text))),
        st.lists(TEXTS, max_size=8).map("\n".join).map(str.encode),
        st.builds(str.encode, example, st.sampled_from(["utf-16", "utf-8-sig", "utf-32"])),
    )


SCALARS = st.one_of(
    TEXTS, st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from(["coco", "folder"])
)
TREES = st.recursive(
    SCALARS, lambda part: st.lists(part, max_size=4) | st.dictionaries(TEXTS, part, max_size=4), max_leaves=12
)


@st.composite
def changed_trees(draw: st.DrawFn, *examples: Any) -> Any:
    """Replace or remove one to three parts of an example of nested mappings and lists."""
    tree: Any = {"root": json.loads(json.dumps(draw(st.sampled_from(examples))))}
    for _ in range(draw(st.integers(1, 3))):
        parent, key = tree, "root"
        while isinstance(parent[key], (dict, list)) and parent[key] and draw(st.integers(0, 4)):
            parent = parent[key]
            key = draw(st.sampled_from(list(parent) if isinstance(parent, dict) else list(range(len(parent)))))
        if parent is not tree and draw(st.integers(0, 3)) == 0:
            del parent[key]
        else:
            parent[key] = draw(TREES)
    return tree["root"]


MIX: dict[str, Any] = {
    "sets": {
        "lab": {"share": 2, "root": "lab", "split": "train", "labels": "labels.txt", "synonyms": {"sofa": ["couch"]}},
        "world": {"share": 0.5, "dataset": "synthetic", "frames": 5, "seed": 3, "ignore": ["floor"]},
        "photos": {"share": 1, "root": "photos", "unlabeled": True},
    }
}
CAMERA: dict[str, Any] = {
    "camera_name": "rgb",
    "image_width": 13,
    "image_height": 9,
    "camera_matrix": {"rows": 3, "cols": 3, "data": [10.0, 0, 6.5, 0, 10, 4.5, 0, 0, 1]},
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"data": [0.1, 0, 0, 0, 0]},
}
COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 13, "height": 9}],
    "categories": [{"id": 3, "name": "floor"}, {"id": 7, "name": "sofa", "supercategory": "thing"}],
    "annotations": [
        {"image_id": 1, "category_id": 3, "area": 4.0, "segmentation": [[1, 1, 9, 1, 9, 7]]},
        {"image_id": 1, "category_id": 7, "iscrowd": 1, "segmentation": {"size": [9, 13], "counts": [0, 60, 57]}},
        {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "segmentation": {"size": [9, 13], "counts": "0l1i1"}},
    ],
}
LABELME: dict[str, Any] = {
    "imagePath": "a.png",
    "imageWidth": 13,
    "imageHeight": 9,
    "shapes": [
        {"label": "floor", "points": [[0, 2], [6, 2], [6, 4]], "shape_type": "polygon"},
        {"label": "ball", "points": [[4, 4], [6, 4]], "shape_type": "circle", "group_id": 1},
        {"label": "sofa", "points": [[1, 1], [3, 3]], "shape_type": "rectangle"},
    ],
}
CVAT = """<annotations><meta><task><labels><label><name>floor</name></label></labels></task></meta>
<image id="0" name="a.png" width="13" height="9"><polygon label="floor" points="0,2;6,2;6,4" z_order="0"></polygon>
<box label="floor" xtl="1" ytl="1" xbr="3" ybr="3" rotation="30"></box>
<mask label="floor" rle="1, 2, 1" left="1" top="1" width="2" height="2"></mask></image></annotations>"""
ASSOCIATIONS = "# stamp file stamp file\n1700000000.100000000 a.png 1700000000.1 depth.png\n1.5 a.png 1.25 depth.png\n"
LABELS = ("floor\nsofa|couch\n# comment\n\nperson\n", "0: floor\n7: sofa|couch\n255:\n")


def read_associations(path: Path) -> None:
    """Read a recording with this list of frames."""
    write_neighbors(path.parent)
    shutil.copy(path, path.parent / "associations.txt")
    list(RgbdFolder(path.parent))


def read_annotations(path: Path) -> None:
    """Read all samples of a folder with this file of annotations."""
    write_neighbors(path.parent)
    samples = open_dataset(DatasetConfig(dataset="folder", root=str(path.parent), split="val"))
    for index in range(len(samples)):
        samples[index]


def read_palette(path: Path) -> None:
    read_colors(path, {(0, 0, 0): 0, (255, 255, 255): 1})


def write_neighbors(folder: Path) -> None:
    """Write the files that recordings and annotations refer to."""
    (folder / "a.png").write_bytes(image_bytes("PNG", "RGB"))
    (folder / "depth.png").write_bytes(image_bytes("PNG", "I;16"))
    (folder / "camera.yaml").write_text(yaml.safe_dump(CAMERA))


def as_yaml(tree: Any) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")


def as_json(tree: Any) -> bytes:
    return json.dumps(tree).encode()


KINDS = {
    "image": Kind(".png", read_rgb, IMAGE_FILES),
    "depth": Kind(".png", read_depth, IMAGE_FILES),
    "mask": Kind(".png", read_ids, IMAGE_FILES),
    "gray": Kind(".png", read_gray, IMAGE_FILES),
    "palette": Kind(".png", read_palette, IMAGE_FILES),
    "labels": Kind(".txt", lambda path: Vocabulary.of(filter(None, read_label_list(path).values())), texts(*LABELS)),
    "mix": Kind(".yaml", read_mix, changed_trees(MIX).map(as_yaml) | texts(yaml.safe_dump(MIX))),
    "camera": Kind(".yaml", read_calibration, changed_trees(CAMERA).map(as_yaml) | texts(yaml.safe_dump(CAMERA))),
    "associations": Kind(".list", read_associations, texts(ASSOCIATIONS)),
    "annotations": Kind(
        ".json", read_annotations, changed_trees(COCO, LABELME).map(as_json) | texts(json.dumps(COCO, indent=1))
    ),
    "cvat": Kind(".xml", read_annotations, texts(CVAT)),
}


def check(kind: Kind, path: Path) -> None:
    """Read a file and check the error, if there is one: one line that starts with a path."""
    try:
        kind.read(path)
    except (ValueError, FileNotFoundError) as error:
        text = str(error)
        assert str(path.parent) in text or text.startswith("labels"), f"names no file: {text!r}"
        assert "expected" in text, text
        assert len(text) <= MAX_ERROR_LENGTH, f"{len(text)} characters: {text[:200]!r}"
        assert not FORGING & {unicodedata.category(character) for character in text}, f"would forge a log: {text!r}"


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
@bounded(60)
def test_a_file_is_read_or_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    kind = KINDS[name]
    content = data.draw(kind.contents, name)
    path = tmp_path_factory.mktemp(name) / f"file{kind.suffix}"
    path.write_bytes(content)
    with keep_if_failing(name, kind.suffix, content):
        check(kind, path)
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name in KINDS for case in list_cases(name)], ids=lambda value: str(value)
)
def test_a_file_that_once_failed_is_read_or_refused(tmp_path: Path, name: str, case: Path) -> None:
    path = tmp_path / f"file{KINDS[name].suffix}"
    shutil.copy(case, path)
    check(KINDS[name], path)


PICKLES = [pickle.dumps({"a": [1, "x", (2.5, None)], b"b": {3, 4}}, protocol) for protocol in range(6)]


@given(st.sampled_from(PICKLES).flatmap(damaged))
@bounded(80)
def test_a_pickle_is_read_or_refused(content: bytes) -> None:
    with keep_if_failing("pickle", ".pkl", content):
        check_pickle(content)


@pytest.mark.parametrize("case", list_cases("pickle"), ids=str)
def test_a_pickle_that_once_failed_is_read_or_refused(case: Path) -> None:
    check_pickle(case.read_bytes())


def check_pickle(content: bytes) -> None:
    try:
        restricted_loads(content)
    except ValueError as error:
        assert str(error).startswith("a pickle that cannot be read")


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_without_damage_are_read(tmp_path: Path, kind: str) -> None:
    """Otherwise the tests above would only see the first check of every reader."""
    intact = {
        "labels": LABELS[0].encode(), "mix": as_yaml(MIX), "camera": as_yaml(CAMERA), "cvat": CVAT.encode(),
        "associations": ASSOCIATIONS.encode(), "annotations": as_json(COCO), "depth": image_bytes("PNG", "I;16"),
        "palette": image_bytes("PNG", "1"),
    }  # fmt: skip
    path = tmp_path / f"file{KINDS[kind].suffix}"
    path.write_bytes(intact.get(kind, image_bytes("PNG", "L")))
    KINDS[kind].read(path)
