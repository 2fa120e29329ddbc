"""Tests that exports of annotation tools open without conversion.

Layouts and fields are those of the tools' documentation and source.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import logging
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lseg_ros.datasets import DatasetConfig, LabeledImages, has_val_split, open_dataset
from test.support.dataset_trees import write_image, write_mask, write_photo, write_text

WIDTH, HEIGHT = 6, 4
# Two areas that overlap in one pixel, and their target: the sofa covers the floor.
FLOOR = [[0, 2], [6, 2], [6, 4], [0, 4]]
SOFA = [[1, 1], [3, 1], [3, 3], [1, 3]]
UNKNOWN_FLOOR_SOFA = [[2, 2, 2, 2, 2, 2], [2, 1, 1, 2, 2, 2], [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
TARGET = np.array([0, 1, -1])[UNKNOWN_FLOOR_SOFA].tolist()
SPLIT_FOLDERS = ("train", "valid", "test")
WRONG_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    7,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\0",
    "../b.jpg",
    [],
    {},
    [[1, 2]],
)
RLE_AREAS = [
    dict(category_id=7, segmentation=[[1, 1, 3, 1, 3, 3]]),
    dict(category_id=3, segmentation=dict(size=[4, 6], counts=[0, 24])),
    dict(category_id=3, iscrowd=1, segmentation=dict(size=[4, 6], counts="d013")),
]
COLORS = ((250, 50, 83), (51, 221, 255), (0, 0, 0))


def open_root(root: Path, **settings: Any) -> LabeledImages:
    return open_dataset(DatasetConfig(dataset="folder", root=str(root), **settings))


def names(images: LabeledImages) -> list[str]:
    return [Path(images.name(index)).stem for index in range(len(images))]


def write_json(path: Path, content: Any) -> Path:
    return write_text(path, content if isinstance(content, str) else json.dumps(content))


def make_shape(label: str, points: Any, kind: str | None = "polygon", **fields: Any) -> dict[str, Any]:
    shape = {"label": label, "points": points, "group_id": None, "description": "", "flags": {}, "mask": None}
    return {**shape, "shape_type": kind, **fields}


SHAPES = [make_shape("floor", FLOOR), make_shape("sofa", SOFA)]


def write_labelme(path: Path, shapes: Any = SHAPES, width: int = WIDTH, height: int = HEIGHT, **fields: Any) -> Path:
    """Write an image and its labelme file, as labelme 5 does."""
    write_image(path, width, height)
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": path.name,
        "imageData": base64.b64encode(path.read_bytes()).decode(),
        "imageHeight": height,
        "imageWidth": width,
    }
    return write_json(path.with_suffix(".json"), {**content, **fields})


def flat(points: Iterable[Iterable[float]]) -> list[float]:
    return [number for point in points for number in point]


def make_coco(files: list[str], annotations: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    """Make a COCO file whose images all have the two areas, or ``annotations``."""
    areas = [dict(category_id=7, segmentation=[flat(SOFA)]), dict(category_id=3, segmentation=[flat(FLOOR)])]
    pairs = [(image, area) for image in range(len(files)) for area in (annotations or areas)]
    content = {
        "info": {"description": ""},
        "licenses": [{"id": 1, "name": "", "url": ""}],
        "categories": [{"id": 7, "name": "sofa", "supercategory": ""}, {"id": 3, "name": "floor", "supercategory": ""}],
        "images": [{"id": image, "file_name": name, "width": WIDTH, "height": HEIGHT}
                   for image, name in enumerate(files)],
        "annotations": [{"id": number, "image_id": image, "bbox": [0, 0, 1, 1], "area": 1.0, "iscrowd": 0, **area}
                        for number, (image, area) in enumerate(pairs)],
    }  # fmt: skip
    return {**content, **fields}


def make_cvat(images: dict[str, str], labels: tuple[str, ...] = ("floor", "sofa"), subset: str = "") -> str:
    """Make a ``CVAT for images 1.1`` file of images and their shapes."""
    subset_text = f' subset="{subset}" task_id="4"' if subset else ""
    label_text = "".join(f"<label><name>{name}</name><color>#fa3253</color><type>any</type><attributes/></label>"
                         for name in labels)  # fmt: skip
    image_text = "".join(
        f'<image id="{number}" name="{name}"{subset_text} width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
        for number, (name, shapes) in enumerate(images.items())
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task><id>4</id>'
        f"<labels>{label_text}</labels></task><dumped>2026-01-01</dumped></meta>{image_text}</annotations>"
    )


def make_cvat_polygon(label: str, points: Any, z_order: int = 0) -> str:
    text = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
    return (f'<polygon label="{label}" source="manual" occluded="0" points="{text}" z_order="{z_order}">'
            '<attribute name="color">red</attribute></polygon>')  # fmt: skip


CVAT_SHAPES = make_cvat_polygon("sofa", SOFA, 1) + make_cvat_polygon("floor", FLOOR)


def write_cvat_masks(root: Path, lists: dict[str, list[str]], palette: bool = False) -> None:
    """Write a ``Segmentation mask 1.1`` export."""
    write_text(
        root / "labelmap.txt",
        "# label:color_rgb:parts:actions",
        *(f"{label}:{','.join(map(str, color))}::" for label, color in zip(("floor", "sofa", "background"), COLORS)),
    )
    for split, stems in lists.items():
        write_text(root / f"ImageSets/Segmentation/{split}.txt", *stems)
        for stem in stems:
            write_image(root / f"JPEGImages/{stem}.jpg", WIDTH, HEIGHT)
            mask = Image.fromarray(np.array(COLORS, np.uint8)[UNKNOWN_FLOOR_SOFA])
            (root / f"SegmentationClass/{stem}.png").parent.mkdir(parents=True, exist_ok=True)
            (mask.quantize(len(COLORS)) if palette else mask).save(root / f"SegmentationClass/{stem}.png")


def write_roboflow(folder: Path, stems: Iterable[str]) -> None:
    """Write one split of Roboflow's ``Semantic Segmentation Masks``."""
    write_text(folder / "_classes.csv", "Pixel Value, Class", "0, background", "1, floor", "2, sofa")
    for stem in stems:
        write_image(folder / f"{stem}.jpg", WIDTH, HEIGHT)
        write_mask(folder / f"{stem}_mask.png", np.array([1, 2, 0], np.uint8)[UNKNOWN_FLOOR_SOFA])


def list_paths(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the keys that lead to each value in a JSON document."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(document, (dict, list)):
        items = document.items() if isinstance(document, dict) else enumerate(document)
    return [path for key, value in items for path in [(*above, key), *list_paths(value, (*above, key))]]


def write_labelme_set(root: Path) -> None:
    for folder in SPLIT_FOLDERS:
        write_labelme(root / folder / f"{folder}.jpg")


def write_coco_of_roboflow(root: Path) -> None:
    for folder in SPLIT_FOLDERS:
        write_image(root / folder / f"{folder}.jpg", WIDTH, HEIGHT)
        write_json(root / folder / "_annotations.coco.json", make_coco([f"{folder}.jpg"]))


def write_coco_of_cvat(root: Path) -> None:
    for split, subset in zip(SPLIT_FOLDERS, ("Train", "Validation", "Test")):
        write_image(root / "images" / subset / f"{split}.jpg", WIDTH, HEIGHT)
        write_json(root / f"annotations/instances_{subset}.json", make_coco([f"{split}.jpg"]))


def write_coco_2017(root: Path) -> None:
    for split, folder in zip(SPLIT_FOLDERS, ("train2017", "val2017", "test2017")):
        write_image(root / folder / f"{split}.jpg", WIDTH, HEIGHT)
        write_json(root / f"annotations/instances_{folder}.json", make_coco([f"{split}.jpg"]))
        write_json(root / f"annotations/person_keypoints_{folder}.json", make_coco([f"{split}.jpg"]))
        write_json(root / f"annotations/captions_{folder}.json", {"images": [], "annotations": []})


def write_cvat_set(root: Path) -> None:
    for split, subset in zip(SPLIT_FOLDERS, ("Train", "Validation", "Test")):
        write_image(root / "images" / subset / f"{split}.jpg", WIDTH, HEIGHT)
        write_text(root / f"{subset}.xml", make_cvat({f"{split}.jpg": CVAT_SHAPES}, subset=subset))


def write_cvat_masks_set(root: Path) -> None:
    write_cvat_masks(root, {"Train": ["train"], "Validation": ["valid"], "Test": ["test"]})


def write_roboflow_set(root: Path) -> None:
    for folder in SPLIT_FOLDERS:
        write_roboflow(root / folder, [folder])


WRITERS = {
    "labelme": write_labelme_set,
    "coco": write_coco_of_roboflow,
    "coco-cvat": write_coco_of_cvat,
    "coco-2017": write_coco_2017,
    "cvat": write_cvat_set,
    "cvat_masks": write_cvat_masks_set,
    "roboflow": write_roboflow_set,
}


class TestFormats:
    @pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
    def test_opens_the_splits_of_an_export(self, tmp_path: Path, write: Callable[[Path], None]) -> None:
        write(tmp_path)
        for split, stem in (("train", "train"), ("val", "valid")):
            images = open_root(tmp_path, split=split, background=False)
            assert images.classes == ("floor", "sofa")
            assert names(images) == [stem]
            assert images[0].target.dtype == np.int16
            assert images[0].target.tolist() == TARGET
            assert images[0].image.shape == (HEIGHT, WIDTH, 3)
            assert pickle.loads(pickle.dumps(images))[0].target.tolist() == TARGET

    @pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
    def test_reads_other_words_from_a_label_list(self, tmp_path: Path, write: Callable[[Path], None]) -> None:
        write(tmp_path / "export")
        words = write_text(tmp_path / "words.txt", "couch|sofa", "background", "ground|Floor")
        images = open_root(tmp_path / "export", labels=str(words))
        assert images.classes == ("couch|sofa", "background", "ground|Floor")
        assert images[0].target.tolist() == np.array([2, 0, 1])[UNKNOWN_FLOOR_SOFA].tolist()

    @pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
    def test_rejects_labels_that_the_label_list_does_not_contain(
        self, tmp_path: Path, write: Callable[[Path], None]
    ) -> None:
        write(tmp_path)
        write_text(tmp_path / "labels.txt", "floor", "couch")
        with pytest.raises(
            ValueError, match=r"labels\.txt: expected the label 'sofa' of the annotations in it, got floor, couch"
        ):
            open_root(tmp_path)

    @pytest.mark.parametrize("name", ["cvat_masks", "roboflow"])
    def test_mask_exports_have_a_background(self, tmp_path: Path, name: str) -> None:
        WRITERS[name](tmp_path)
        images = open_root(tmp_path)
        assert sorted(images.classes) == ["background", "floor", "sofa"]
        indices = [images.classes.index(label) for label in ("floor", "sofa", "background")]
        assert images[0].target.tolist() == np.array(indices)[UNKNOWN_FLOOR_SOFA].tolist()

    def test_rejects_annotations_in_several_formats(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "a.jpg")
        write_roboflow(tmp_path / "train", ["b"])
        with pytest.raises(
            ValueError,
            match=r"expected annotations in one format, got labelme \(.*a\.json\), roboflow \(.*train/_classes\.csv\); "
            "choose one with --annotations",
        ):
            open_root(tmp_path)
        assert names(open_root(tmp_path, annotations="roboflow")) == ["b"]
        with pytest.raises(FileNotFoundError, match="expected annotations in the format coco, got labelme, roboflow"):
            open_root(tmp_path, annotations="coco")

    def test_rejects_annotations_next_to_masks_without_a_label_list(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "images/a.jpg")
        write_mask(tmp_path / "masks/a.png", np.zeros((HEIGHT, WIDTH), np.uint8))
        with pytest.raises(ValueError, match=r"one format, got labelme \(.*a\.json\), masks \(.*masks\)"):
            open_root(tmp_path)
        assert open_root(tmp_path, annotations="labelme")[0].target.tolist() == TARGET

    def test_masks_with_a_label_list_take_precedence(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "images/a.jpg")
        write_mask(tmp_path / "masks/a.png", np.full((HEIGHT, WIDTH), 1, np.uint8))
        write_text(tmp_path / "labels.txt", "floor", "sofa")
        assert (open_root(tmp_path)[0].target == 1).all()

    def test_skips_json_and_xml_files_of_other_programs(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "a.jpg")
        write_json(tmp_path / "package.json", {"name": "x"})
        write_json(tmp_path / "list.json", [1, 2])
        write_json(tmp_path / ".hidden/broken.json", "{")
        write_text(tmp_path / "voc.xml", "<annotation><folder>x</folder></annotation>")
        assert names(open_root(tmp_path)) == ["a"]

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("a.json", '{"shapes": ['),
            ("a.json", "[" * 100_000),
            ("a.json", b'{"label": "\xff"}'),
            ("a.xml", "<annotations><image>"),
            ("a.xml", b"\xff\xfe<\x00a\x00>\x00"),
            ("a.xml", '<!DOCTYPE x [<!ENTITY a "aaaa">]><annotations>&a;</annotations>'),
        ],
    )
    def test_error_names_a_file_that_cannot_be_parsed(self, tmp_path: Path, file: str, content: str | bytes) -> None:
        (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ValueError, match=rf"{file}: expected an? (JSON|XML) file, got ") as raised:
            open_root(tmp_path)
        assert "\n" not in str(raised.value)

    def test_rejects_files_that_are_too_large(self, tmp_path: Path) -> None:
        with (tmp_path / "a.json").open("wb") as file:
            file.truncate(2**29 + 1)  # sparse
        with pytest.raises(
            ValueError, match=r"a\.json: expected a JSON file, got 536870913 bytes, more than 536870912"
        ):
            open_root(tmp_path)

    @pytest.mark.parametrize("kind", ["labelme", "coco"])
    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_any_wrong_field_is_an_error_that_names_the_file(
        self, tmp_path: Path, kind: str, data: st.DataObject
    ) -> None:
        file = write_labelme(tmp_path / "a.jpg")
        document = json.loads(file.read_text() if kind == "labelme" else json.dumps(make_coco(["a.jpg"], RLE_AREAS)))
        *parents, last = data.draw(st.sampled_from(list_paths(document)))
        owner: Any = document
        for key in parents:
            owner = owner[key]
        owner[last] = data.draw(st.sampled_from(WRONG_VALUES))
        write_json(file, document)
        try:
            images = open_root(tmp_path)
            assert images[0].target.shape == (HEIGHT, WIDTH)
        except (ValueError, FileNotFoundError) as error:
            assert str(error).startswith(str(tmp_path))
            assert "\n" not in str(error)


class TestLabelsAndSplits:
    def test_every_fifth_image_is_for_validation_if_there_is_no_split(self, tmp_path: Path) -> None:
        for number in range(12):
            write_labelme(tmp_path / f"{number:02}.jpg")
        assert names(open_root(tmp_path, split="val")) == ["00", "05", "10"]
        assert names(open_root(tmp_path, split="train")) == ["01", "02", "03", "04", "06", "07", "08", "09", "11"]

    def test_every_fifth_image_of_train_is_for_validation_if_there_is_no_val(self, tmp_path: Path) -> None:
        write_roboflow(tmp_path / "train", map(str, range(6)))
        write_roboflow(tmp_path / "test", ["t"])
        assert names(open_root(tmp_path, split="val")) == ["0", "5"]
        assert names(open_root(tmp_path, split="train")) == ["1", "2", "3", "4"]

    def test_only_masks_without_split_folders_have_no_val_split(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "images/a.jpg")
        assert has_val_split(DatasetConfig(dataset="folder", root=str(tmp_path)))
        write_mask(tmp_path / "masks/a.png", np.zeros((HEIGHT, WIDTH), np.uint8))
        write_text(tmp_path / "labels.txt", "floor", "sofa")
        assert not has_val_split(DatasetConfig(dataset="folder", root=str(tmp_path)))
        assert has_val_split(DatasetConfig(dataset="folder", root=str(tmp_path), annotations="labelme"))
        (tmp_path / "images/val").mkdir()
        assert has_val_split(DatasetConfig(dataset="folder", root=str(tmp_path)))

    def test_rejects_an_empty_split(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "val/a.jpg")
        with pytest.raises(ValueError, match="expected annotated images for the split train, got none"):
            open_root(tmp_path, split="train")

    def test_underscores_and_case_do_not_matter(self, tmp_path: Path) -> None:
        shapes = [make_shape("Traffic_light", FLOOR), make_shape("traffic light", SOFA)]
        write_labelme(tmp_path / "a.jpg", shapes)
        images = open_root(tmp_path)
        assert images.classes == ("traffic light",)
        assert set(images[0].target.ravel().tolist()) == {-1, 0}

    def test_pixels_without_annotation_are_background_if_it_is_listed(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "a.jpg")
        write_text(tmp_path / "labels.txt", "__ignore__", "_background_", "floor", "sofa")  # as labelme has them
        images = open_root(tmp_path)
        assert images.classes == ("background", "floor", "sofa")
        assert images[0].target.tolist() == np.array([1, 2, 0])[UNKNOWN_FLOOR_SOFA].tolist()
        images = open_root(tmp_path, background=False)
        assert images.classes == ("floor", "sofa")
        assert images[0].target.tolist() == TARGET

    def test_ignored_labels_cover_others(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "a.jpg", [make_shape("floor", FLOOR), make_shape("lens flare", SOFA)])
        write_text(tmp_path / "labels.txt", "__ignore__|lens flare", "floor")
        images = open_root(tmp_path)
        assert images.classes == ("floor",)
        assert images[0].target[2].tolist() == [0, -1, -1, 0, 0, 0]

    def test_leaves_out_images_without_annotations(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        write_labelme(tmp_path / "a.jpg", [])
        write_labelme(tmp_path / "b.jpg")
        with caplog.at_level(logging.WARNING):
            assert names(open_root(tmp_path)) == ["b"]
        assert "1 images without annotations are not used" in caplog.text
        write_text(tmp_path / "labels.txt", "background", "floor", "sofa")
        assert names(open_root(tmp_path)) == ["a"]

    def test_rejects_a_set_without_areas(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        write_labelme(tmp_path / "a.jpg", [make_shape("floor", [[1, 1], [2, 2]], "line")])
        with pytest.raises(ValueError, match=r"expected annotated areas, got 1 images without any"):
            open_root(tmp_path)
        assert "not used: 1 line" in caplog.text

    @pytest.mark.parametrize("write", [write_labelme_set, write_coco_of_roboflow, write_cvat_set])
    def test_rejects_images_of_another_size(self, tmp_path: Path, write: Callable[[Path], None]) -> None:
        write(tmp_path)
        images = open_root(tmp_path)
        write_image(Path(images.name(0)), HEIGHT, WIDTH)
        with pytest.raises(
            ValueError,
            match=r"(json|xml): expected annotations for 4x6 pixels, the size of the upright image .*\.jpg, got 6x4",
        ):
            images[0]


class TestLabelme:
    def test_draws_every_shape_with_an_area(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        file = io.BytesIO()
        Image.fromarray(np.array([[1, 0], [0, 1]], np.uint8)).save(file, "PNG")
        mask = base64.b64encode(file.getvalue()).decode()
        shapes = [
            make_shape("b", [[9, 3], [0, 0]], "rectangle"),
            make_shape("a", [[20, 5], [20, 9]], "circle"),
            make_shape("c", [[2, 12], [4, 10], [6, 12], [4, 14]], "oriented_rectangle"),
            make_shape("d", [[28, 18], [29, 19]], "mask", mask=mask),
            make_shape("e", [[10, 16], [14, 16], [14, 19]], None),
            make_shape("a", [[0, 0], [9, 9]], "line"),
            make_shape("a", [[0, 0], [9, 9], [9, 0]], "linestrip"),
            make_shape("a", [[4, 4]], "point"),
            make_shape("a", [[4, 4], [5, 5]], "polygon"),
        ]
        write_labelme(tmp_path / "a.jpg", shapes, 30, 20)
        with caplog.at_level(logging.WARNING):
            images = open_root(tmp_path)
        assert images.classes == ("a", "b", "c", "d", "e")
        target = images[0].target
        assert (target[:3, :9] == 1).all()
        assert [int((target == index).sum()) for index in range(5)] == [52, 27, 8, 2, 6]
        assert target[5, 20] == 0
        assert [target[18, 28], target[18, 29], target[19, 28], target[19, 29]] == [3, -1, -1, 3]
        assert "not used: 1 line, 1 linestrip, 1 point, 1 polygon with fewer than 3 points" in caplog.text

    def test_later_shapes_cover_earlier_ones(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "a.jpg", SHAPES[::-1])
        assert open_root(tmp_path)[0].target[2].tolist() == [0] * 6

    def test_coordinates_refer_to_the_upright_image(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "a.jpg", [make_shape("red", [[0, 0], [64, 0], [64, 32], [0, 32]])], 64, 96)
        write_photo(tmp_path / "a.jpg")
        image, target = open_root(tmp_path)[0]
        assert (image[target == 0].mean(axis=0) > [150, 0, 0]).all()
        assert (image[target == -1][:, 0] < 100).all()

    @pytest.mark.parametrize("path", ["..\\photos\\a.jpg", "../photos/a.jpg"])
    def test_finds_the_image_in_another_folder(self, tmp_path: Path, path: str) -> None:
        write_image(tmp_path / "photos/a.jpg", WIDTH, HEIGHT)
        write_labelme(tmp_path / "json/a.jpg", imagePath=path).with_suffix(".jpg").unlink()
        assert open_root(tmp_path).name(0) == str(tmp_path / "photos/a.jpg")

    def test_finds_the_image_next_to_its_file_after_a_move(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "a.JPG", imagePath="C:\\Users\\me\\a.JPG")
        assert open_root(tmp_path).name(0) == str(tmp_path / "a.JPG")

    def test_finds_the_image_of_a_file_that_names_itself(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "a.jpg", imagePath="a.json")  # labelme 4.0 wrote such files
        assert open_root(tmp_path).name(0) == str(tmp_path / "a.jpg")

    def test_rejects_images_outside_the_folder(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        write_labelme(tmp_path / "set/b.jpg", imagePath="../a.jpg").with_suffix(".jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"b\.json: expected its image at .*set/b\.bmp or .*, got none"):
            open_root(tmp_path / "set")

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            (make_shape("a", SOFA, "cuboid"), "shape_type: expected polygon, .*, got 'cuboid'"),
            (make_shape("a", [[1, 2], [3, 4], [5, "x"]]), "points: expected pairs of numbers"),
            (make_shape("a", [[1, 2], [3, 4], [5, 1e300]]), r"points: expected numbers up to 1e\+09"),
            (make_shape("a", [[1, 2]], "circle"), "ValueError"),
            ({"points": SOFA}, "KeyError: 'label'"),
            (7, "AttributeError"),
        ],
    )
    def test_error_names_file_and_shape(self, tmp_path: Path, shape: Any, message: str) -> None:
        write_labelme(tmp_path / "a.jpg", [SHAPES[0], shape])
        with pytest.raises(ValueError, match=rf"a\.json: expected a shape of labelme, got shape 1 \(.*{message}"):
            open_root(tmp_path)

    def test_error_names_a_broken_mask(self, tmp_path: Path) -> None:
        write_labelme(tmp_path / "a.jpg", [make_shape("floor", [[0, 0], [1, 1]], "mask", mask="AAAA")])
        with pytest.raises(ValueError, match=r"a\.json: a\.jpg, 'floor': expected a mask as an image in base64, got "):
            open_root(tmp_path)[0]


class TestCoco:
    def test_reads_polygons_and_both_kinds_of_rle(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        areas = [
            dict(category_id=3, segmentation=[flat(FLOOR)]),
            dict(category_id=7, segmentation=dict(size=[HEIGHT, WIDTH], counts=[5, 2, 2, 2, 13])),
            # 20 pixels outside, 1 inside, 3 outside
            dict(category_id=7, segmentation=dict(size=[HEIGHT, WIDTH], counts="d013")),
        ]
        write_json(tmp_path / "annotations.json", make_coco(["a.jpg"], areas))
        target = open_root(tmp_path)[0].target
        assert target[:, :5].tolist() == [row[:5] for row in TARGET]
        assert target[:, 5].tolist() == [1, -1, 0, 0]

    def test_parts_of_an_annotation_are_joined(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        parts = [flat([[0, 0], [2, 0], [2, 2], [0, 2]]), flat([[1, 1], [3, 1], [3, 3], [1, 3]]), [4, 0, 5, 0]]
        write_json(tmp_path / "a.json", make_coco(["a.jpg"], [dict(category_id=7, segmentation=parts)]))
        assert (open_root(tmp_path)[0].target == 1).sum() == 7

    def test_small_areas_cover_large_ones_and_all_cover_crowds(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        everything = dict(size=[HEIGHT, WIDTH], counts=[0, 24])
        areas = [
            dict(category_id=7, segmentation=[[0, 0, 1, 0, 1, 1, 0, 1]]),
            dict(category_id=3, segmentation=everything),
            dict(category_id=7, iscrowd=1, segmentation=dict(size=[HEIGHT, WIDTH], counts=[0, 4, 20])),
        ]
        write_json(tmp_path / "a.json", make_coco(["a.jpg"], areas))
        target = open_root(tmp_path)[0].target
        assert target[0, 0] == 1
        assert (target == 0).sum() == 23

    def test_roboflow_group_is_no_label(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        categories = [
            {"id": 0, "name": "living-room", "supercategory": "none"},
            {"id": 3, "name": "floor", "supercategory": "living-room"},
            {"id": 7, "name": "sofa", "supercategory": "living-room"},
        ]
        write_json(tmp_path / "train/_annotations.coco.json", make_coco(["../a.jpg"], categories=categories))
        assert open_root(tmp_path).classes == ("floor", "sofa")

    def test_reports_boxes_without_an_area(self, tmp_path: Path) -> None:
        write_image(tmp_path / "images/a.jpg", WIDTH, HEIGHT)
        write_json(tmp_path / "result.json", make_coco(["images\\a.jpg"], [dict(category_id=3, segmentation=[])]))
        with pytest.raises(ValueError, match=r"expected annotated areas, got 1 images without any"):
            open_root(tmp_path)

    @pytest.mark.parametrize(
        ("area", "message"),
        [
            (dict(category_id=9, segmentation=[flat(SOFA)]), "the image and the category of annotation 0 in the file"),
            (dict(category_id=3, image_id=5), "the image and the category of annotation 0 in the file, got 5 and 3"),
            (dict(category_id=3, segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "polygons or RLE, got annotation 0"),
            (dict(category_id=3, segmentation=[[1, 2, 3, 4, 5, "x"]]), "polygons or RLE, got annotation 0"),
            (dict(category_id=3, segmentation=dict(size=[4, 6], counts=[1, 2])), "polygons or RLE, .* runs of 24"),
            (dict(category_id=3, segmentation=dict(size=[4, 6], counts="~~")), "polygons or RLE, .* compressed RLE"),
            (dict(category_id=3, segmentation=dict(counts=[24])), "polygons or RLE, got annotation 0 .*'size'"),
            (dict(category_id=[3]), "a COCO instances file, got a wrong field"),
        ],
    )
    def test_error_names_file_and_annotation(self, tmp_path: Path, area: dict[str, Any], message: str) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        write_json(tmp_path / "a.json", make_coco(["a.jpg"], [area]))
        with pytest.raises(ValueError, match=rf"a\.json: expected {message}"):
            open_root(tmp_path)

    def test_rejects_a_mask_of_another_size(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        area = dict(category_id=3, segmentation=dict(size=[60, 60], counts=[0, 3600]))
        write_json(tmp_path / "a.json", make_coco(["a.jpg"], [area]))
        with pytest.raises(
            ValueError, match=r"a\.json: a\.jpg, 'floor': expected a mask of at most 6x4 pixels, got 60x60"
        ):
            open_root(tmp_path)[0]

    def test_rejects_an_image_in_two_files(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        write_json(tmp_path / "one.json", make_coco(["a.jpg"]))
        write_json(tmp_path / "two.json", make_coco(["a.jpg"]))
        with pytest.raises(
            ValueError, match=r"a\.jpg: expected annotations in one file, got .*one\.json and .*two\.json"
        ):
            open_root(tmp_path)

    def test_reports_a_missing_image(self, tmp_path: Path) -> None:
        write_json(tmp_path / "annotations/instances_default.json", make_coco(["a.jpg"]))
        with pytest.raises(FileNotFoundError, match=r"default\.json: expected its image at .*images/default/a\.jpg or"):
            open_root(tmp_path)


class TestCvat:
    def test_draws_every_shape_with_an_area(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        shapes = (
            '<box label="floor" source="manual" occluded="0" xtl="0.00" ytl="0.00" xbr="2.00" ybr="1.00" z_order="0"/>'
            '<box label="floor" xtl="3.00" ytl="2.00" xbr="6.00" ybr="3.00" rotation="90.00" z_order="0"/>'
            '<mask label="sofa" source="manual" occluded="0" rle="1, 2, 1" left="4" top="0" width="2" height="2"/>'
            '<ellipse label="sofa" cx="1.00" cy="3.00" rx="1.00" ry="0.60" z_order="0"/>'
            '<polyline label="floor" points="0.00,0.00;5.00,5.00" z_order="3"/><points label="floor" points="1.0,1.0"/>'
            '<tag label="floor" source="manual"/><cuboid label="floor" xtl1="1"/>'
            '<skeleton label="floor"><points label="1" points="1,1"/></skeleton>'
        )
        write_image(tmp_path / "images/frame_000000.PNG", WIDTH, HEIGHT)
        write_text(tmp_path / "annotations.xml", make_cvat({"frame_000000": shapes}))
        with caplog.at_level(logging.WARNING):
            images = open_root(tmp_path)
        assert images[0].target.tolist() == [
            [0, 0, -1, -1, -1, 1],
            [-1, -1, -1, -1, 1, -1],
            [1, 1, -1, -1, 0, -1],
            [1, 1, -1, -1, 0, -1],
        ]
        assert "not used: 1 polyline, 1 points, 1 tag, 1 cuboid, 1 skeleton" in caplog.text

    def test_only_labels_that_can_have_an_area_are_classes(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        document = ElementTree.fromstring(make_cvat({"a.jpg": CVAT_SHAPES}, ("sofa", "blurred", "floor", "lamp")))
        for label in document.iter("label"):
            if label.findtext("name") == "blurred":
                label.find("type").text = "tag"  # type: ignore[union-attr]
        ElementTree.ElementTree(document).write(tmp_path / "annotations.xml")
        assert open_root(tmp_path).classes == ("sofa", "floor", "lamp")

    def test_rejects_an_export_for_video(self, tmp_path: Path) -> None:
        write_text(tmp_path / "annotations.xml", '<annotations><track id="0" label="floor"/></annotations>')
        with pytest.raises(ValueError, match=r"annotations\.xml: expected an export as 'CVAT for images 1\.1', got"):
            open_root(tmp_path)

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ('<polygon label="floor" points="1,1;2"/>', "a polygon in a.jpg, got"),
            ('<polygon label="floor" points="1,1;2,a;3,3"/>', "a polygon in a.jpg, got"),
            ('<polygon points="1,1;2,2;3,1"/>', "the attribute 'label' in every image and shape, got none"),
            ('<box label="floor" xtl="1"/>', "the attribute 'ytl' in every image and shape, got none"),
            ('<mask label="floor" rle="1, 2" left="0" top="0" width="2" height="2"/>', "a mask in a.jpg, got RLE"),
            ('<ellipse label="floor" cx="1" cy="nan" rx="1" ry="1"/>', "a ellipse in a.jpg, got points"),
            ('<blob label="floor"/>', "a blob in a.jpg, got a shape that is not known: expected polygon, box"),
        ],
    )
    def test_error_names_file_and_image(self, tmp_path: Path, shape: str, message: str) -> None:
        write_image(tmp_path / "a.jpg", WIDTH, HEIGHT)
        write_text(tmp_path / "annotations.xml", make_cvat({"a.jpg": shape}))
        with pytest.raises(ValueError, match=rf"annotations\.xml: expected {message}"):
            open_root(tmp_path)


class TestCvatMasks:
    @pytest.mark.parametrize("palette", [False, True])
    def test_reads_rgb_and_palette_masks_in_subfolders(self, tmp_path: Path, palette: bool) -> None:
        write_cvat_masks(tmp_path, {"default": ["hall/a", "hall/b"]}, palette)
        images = open_root(tmp_path, background=False, split="train")
        assert names(images) == ["b"]
        assert images[0].target.tolist() == TARGET

    def test_reads_all_masks_without_image_sets(self, tmp_path: Path) -> None:
        write_cvat_masks(tmp_path, {"default": ["a", "b"]})
        (tmp_path / "ImageSets/Segmentation/default.txt").unlink()
        assert names(open_root(tmp_path, split="train")) == ["b"]

    def test_leaves_out_listed_images_without_a_mask(self, tmp_path: Path) -> None:
        write_cvat_masks(tmp_path, {"default": ["a", "b"]})
        (tmp_path / "SegmentationClass/a.png").unlink()
        assert names(open_root(tmp_path)) == ["b"]

    def test_reports_an_export_without_images(self, tmp_path: Path) -> None:
        write_cvat_masks(tmp_path, {"default": ["a"]})
        (tmp_path / "JPEGImages/a.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"Class/a\.png: expected its image at .*JPEGImages/a\.bmp or "):
            open_root(tmp_path)

    def test_rejects_a_color_that_labelmap_does_not_contain(self, tmp_path: Path) -> None:
        write_cvat_masks(tmp_path, {"default": ["a"]})
        write_text(tmp_path / "labelmap.txt", "floor:250,50,83::", "background:0,0,0::")
        with pytest.raises(
            ValueError, match=r"a\.png: expected the colors \(250, 50, 83\), \(0, 0, 0\), got \(51, 221, 255\)"
        ):
            open_root(tmp_path)[0]

    @pytest.mark.parametrize("line", ["sofa", "sofa:1,2::", "sofa:1,2,300::", "sofa:a,b,c::", "sofa:250,50,83::"])
    def test_rejects_a_broken_labelmap(self, tmp_path: Path, line: str) -> None:
        write_cvat_masks(tmp_path, {"default": ["a"]})
        write_text(tmp_path / "labelmap.txt", "floor:250,50,83::", line)
        with pytest.raises(ValueError, match=rf"labelmap\.txt: expected 'label:red,green,blue:.*', got '{line}': "):
            open_root(tmp_path)


class TestRoboflow:
    def test_reports_a_missing_mask(self, tmp_path: Path) -> None:
        write_roboflow(tmp_path / "train", ["a"])
        (tmp_path / "train/a_mask.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"a\.jpg: expected its mask at .*train/a_mask\.png, got none"):
            open_root(tmp_path)

    def test_rejects_different_classes_of_splits(self, tmp_path: Path) -> None:
        write_roboflow_set(tmp_path)
        write_text(tmp_path / "valid/_classes.csv", "Pixel Value, Class", "0, background", "1, sofa", "2, floor")
        with pytest.raises(
            ValueError, match=r"valid/_classes\.csv: expected the same classes as in .*test/_classes\.csv"
        ):
            open_root(tmp_path)

    @pytest.mark.parametrize("lines", [[], ["filename, a"], ["Pixel Value, Class"], ["Pixel Value, Class", "x, a"],
                                       ["Pixel Value, Class", "1"], ["Pixel Value, Class", "-1, a"]])  # fmt: skip
    def test_rejects_a_broken_class_table(self, tmp_path: Path, lines: list[str]) -> None:
        write_roboflow(tmp_path / "train", ["a"])
        write_text(tmp_path / "train/_classes.csv", *lines)
        with pytest.raises(ValueError, match=r"_classes\.csv: expected (the columns|rows|ids) "):
            open_root(tmp_path)

    def test_rejects_ids_without_a_class(self, tmp_path: Path) -> None:
        write_roboflow(tmp_path / "train", ["a"])
        write_text(tmp_path / "train/_classes.csv", "Pixel Value, Class", "0, background", "1, floor")
        with pytest.raises(ValueError, match=r"a_mask\.png: expected the ids 0 to 1, 255, got 2"):
            open_root(tmp_path)[0]

    def test_reads_quoted_class_names(self, tmp_path: Path) -> None:
        write_roboflow(tmp_path / "train", ["a"])
        with (tmp_path / "train/_classes.csv").open("w") as file:
            csv.writer(file).writerows([("Pixel Value", "Class"), (0, "background"), (1, "floor, tiled"), (2, "sofa")])
        assert open_root(tmp_path).classes == ("background", "floor, tiled", "sofa")
