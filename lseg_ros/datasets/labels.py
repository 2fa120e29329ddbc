"""Class names of the known data sets, and label list files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from lseg_ros.datasets.files import read_lines
from lseg_ros.vocabulary import MAX_TEXT_LENGTH

__all__ = [
    "ADE20K",
    "COCO",
    "COCO_STUFF",
    "PASCAL_CONTEXT",
    "VOC",
    "first_words",
    "join_words",
    "read_label_list",
    "read_words",
    "states_ids",
]

_MAX_BYTES = 1 << 20  # of a label list
_NUMBERED = re.compile(r"(\d+)\s*:\s*(.*)")


def read_label_list(path: str | Path) -> dict[int, str]:
    """Read a label list file.

    Either every line is an entry, and ids count from 0, or every line has the form ``id: entry``. An entry is a label
    with its synonyms, separated by ``|``, in the normal form NFC. Blank lines and lines that start with # are skipped.

    Returns:
        The entry of each id. Pixels of an id with an empty entry are ignored.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a valid label list.
    """
    file = Path(path).expanduser()
    listed = read_lines(file, _MAX_BYTES)
    lines = [unicodedata.normalize("NFC", line) for line in listed if not line.startswith("#")]
    for line in lines:
        odd = next((character for character in line if not (character.isprintable() or character == "\t")), None)
        if odd is not None:
            raise ValueError(f"{file}: expected printable characters, got U+{ord(odd):04X} in {line[:80]!r}")
        if len(line) > MAX_TEXT_LENGTH:
            raise ValueError(f"{file}: expected at most {MAX_TEXT_LENGTH} characters per line, got {len(line)}")
    numbered = [match.groups() for line in lines if (match := _NUMBERED.fullmatch(line))]
    if not lines:
        raise ValueError(f"{file}: expected one label per line, got none")
    if not numbered:
        return dict(enumerate(lines))
    if len(numbered) < len(lines):
        plain = next(line for line in lines if not _NUMBERED.fullmatch(line))
        raise ValueError(f"{file}: expected 'id: label' in every line or in none, got {plain!r}")
    entries: dict[int, str] = {}
    for number, entry in numbered:
        if int(number) in entries:
            raise ValueError(f"{file}: expected every id once, got {number} for {entries[int(number)]!r} and {entry!r}")
        if int(number) > 0xFFFF:
            raise ValueError(f"{file}: expected ids from 0 to 65535, got {number}")
        entries[int(number)] = entry
    if not any(entries.values()):
        raise ValueError(f"{file}: expected at least one label, got only ids")
    return entries


def states_ids(path: str | Path) -> bool:
    """Return whether the lines of a label list file have the form ``id: entry``."""
    lines = read_lines(Path(path).expanduser())
    return any(_NUMBERED.fullmatch(line) for line in lines if not line.startswith("#"))


def read_words(path: str | Path, count: int) -> tuple[str, ...]:
    """Read the label list of a data set with ``count`` classes, with ids from 0.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it does not have exactly these ids.
    """
    entries = read_label_list(path)
    if sorted(entries) != list(range(count)):
        raise ValueError(f"{path}: expected {count} labels, one for each class of the data set, got {len(entries)}")
    return tuple(entries[index] for index in range(count))


def first_words(words: Iterable[str]) -> tuple[str, ...]:
    """Keep the first word of each name: ``screen door`` becomes ``screen``.

    The label file of LSeg's authors abbreviates the classes of ADE20K this way.
    """
    return tuple(word.split()[0] for word in words)


def join_words(words: Iterable[str]) -> tuple[str, ...]:
    """Remove the spaces of each name: ``dining table`` becomes ``diningtable``.

    The authors' files for the zero-shot folds write the classes this way.
    """
    return tuple(word.replace(" ", "") for word in words)


def _words(text: str) -> tuple[str, ...]:
    return tuple(" ".join(word.split()) for word in text.split(","))


# The first name of each of the 150 classes of the SceneParse150 benchmark (its objectInfo150.txt), ids 1 to 150.
ADE20K = _words("""
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door,
    table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field,
    armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard,
    chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway,
    case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower,
    book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine,
    hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, television, airplane, dirt
    track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain,
    conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike,
    cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen,
    blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor,
    bulletin board, shower, radiator, glass, clock, flag
""")

# Pascal VOC 2012, ids 1 to 20.
VOC = _words("""
    aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, dining table, dog, horse, motorbike, person,
    potted plant, sheep, sofa, train, tv monitor
""")

# The 59 frequent classes of Pascal Context, ids 1 to 59, in the alphabetical order of its usual conversion.
PASCAL_CONTEXT = _words("""
    aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car, cat,
    ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, ground, horse,
    keyboard, light, motorbike, mountain, mouse, person, plate, platform, potted plant, road, rock, sheep, shelves,
    sidewalk, sign, sky, snow, sofa, table, track, train, tree, truck, tv monitor, wall, water, window, wood
""")

# COCO's 80 thing classes by their names in the authors' COCO-20i files, ids 1 to 80.
COCO = _words("""
    person, bicycle, car, motorbike, aeroplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, sofa, potted plant, bed, dining table, toilet, tv monitor,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush
""")

# COCO-Stuff: 80 thing classes, then 91 stuff classes, by their names in its labels.txt.
COCO_STUFF = _words("""
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush, banner, blanket, branch, bridge, building-other, bush, cabinet,
    cage, cardboard, carpet, ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain,
    desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower,
    fog, food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal,
    mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other, plastic, platform,
    playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper,
    snow, solid-other, stairs, stone, straw, structural-other, table, tent, textile-other, towel, tree, vegetable,
    wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops,
    window-blind, window-other, wood
""")
