"""Mix files: several data sets to train on together, with their shares."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lseg_ros.datasets import LABELED, DatasetConfig
from lseg_ros.datasets.files import read_lines
from lseg_ros.settings import Setting, check, list_settings, setting
from lseg_ros.vocabulary import parse_synonyms

__all__ = ["Hint", "Mix", "MixEntry", "read_mix"]

_REPR = reprlib.Repr()  # short texts for error messages, also of values with exponentially many parts
_REPR.maxlevel = 1
_MAX_BYTES = 1 << 20
_MAX_SETS = 64
_MAX_LICENSE = 200  # characters
_MAX_HINTS = 64
_MAX_WORDS = 4096  # of a list: ignored labels, labels with synonyms, synonyms of one label, ...
_DATA_KEYS = (
    "dataset", "root", "split", "names", "background", "annotations", "labels", "frames", "seed", "colors", "left_out",
    "width", "height",
)  # fmt: skip
_UNLABELED_KEYS = ("share", "unlabeled", "root", "license", "hints")


@dataclass(frozen=True)
class Hint:
    """What the unlabeled pixels in some rows of an image may show.

    Attributes:
        possible: Words for what they may show.
        absent: Words for what they never, or hardly ever, show.
        rows: First and last row as shares of the height of the image, from the top.
    """

    possible: tuple[str, ...]
    absent: tuple[str, ...]
    rows: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("possible", "absent"):
            if not getattr(self, name):
                raise ValueError(f"{name}: expected at least one word, got none")
        if both := {word.casefold() for word in self.possible} & {word.casefold() for word in self.absent}:
            raise ValueError(f"absent: expected words that are not possible, got {min(both)!r}")
        if not 0 <= self.rows[0] < self.rows[1] <= 1:
            raise ValueError(f"rows: expected two increasing shares of the height from 0 to 1, got {list(self.rows)}")


@dataclass(frozen=True)
class MixEntry:
    """One data set of a mix file. Its other keys are fields of ``DatasetConfig``.

    Attributes:
        name: Key of the entry in the file.
        data: Which data set it is. Relative paths are resolved.
        synonyms: Groups of words with the same meaning. Random subsets draw from them.
        synonyms_file: File that the synonyms are from; empty if they are in the mix file.
        hints: What unlabeled pixels may show.
    """

    share: float = setting(
        0.0,
        "share of the training images, relative to the shares of the other sets",
        minimum=0.0,
        maximum=1e6,
    )
    unlabeled: bool = setting(False, "a folder of images without masks, for distillation and hints")
    license: str = setting("", "license of the set, which is listed in the metadata of the trained file")
    validate: bool = setting(True, "score the val split of the set, if it has one")
    ignore: tuple[str, ...] = setting((), "labels of the set whose pixels count as unlabeled")
    name: str = ""
    data: DatasetConfig = dataclasses.field(default_factory=lambda: DatasetConfig(dataset="folder", split="train"))
    synonyms: tuple[tuple[str, ...], ...] = ()
    synonyms_file: str = ""
    hints: tuple[Hint, ...] = ()

    def __post_init__(self) -> None:
        check(self)
        if not self.share:
            raise ValueError(f"share: expected a value above 0, got {self.share}")
        _check_license(self.license)


@dataclass(frozen=True)
class Mix:
    """The data sets of a mix file.

    Attributes:
        path: The file.
        entries: The data sets in the order of the file.
        license: License of the trained network; empty if the file does not give it.
    """

    path: Path
    entries: tuple[MixEntry, ...]
    license: str = ""

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of each set in the training images; the sum is 1."""
        total = sum(entry.share for entry in self.entries)
        return tuple(entry.share / total for entry in self.entries)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of each set by ``mix.NAME``, and the names of all sets in order by ``mix``.

        Licenses are not among them, because the weights do not depend on them.
        """
        settings = {f"mix.{entry.name}": dataclasses.asdict(entry) for entry in self.entries}
        for values in settings.values():
            del values["license"]
        return {**settings, "mix": [entry.name for entry in self.entries]}

    def without(self, names: Collection[str]) -> Mix:
        """Return the mix without some of its sets."""
        return dataclasses.replace(self, entries=tuple(entry for entry in self.entries if entry.name not in names))


def read_mix(path: str | Path, root: str | Path = "") -> Mix:
    """Read a mix file.

    Args:
        path: YAML file with the key ``sets``: name of each data set -> its settings, and optionally ``license``.
        root: Folder that relative roots of the sets refer to; empty for the folder of the file. Relative paths of
            label lists and synonyms always refer to the folder of the file.

    Raises:
        FileNotFoundError: The file, or a file of synonyms, does not exist.
        ValueError: The file is not a valid mix file. The message names the file, the set and the key.
    """
    file = Path(path).expanduser()
    document = _load_yaml(file)
    unknown = [key for key in document if key not in ("sets", "license")]
    if unknown:
        raise ValueError(f"{file}: expected only the keys sets and license, got {_REPR.repr(unknown[0])}")
    weights_license = document.get("license", "")
    try:
        _check_license(weights_license)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    sets = document.get("sets")
    if not isinstance(sets, dict) or not 0 < len(sets) <= _MAX_SETS:
        got = f"{len(sets)} sets" if isinstance(sets, dict) else _REPR.repr(sets)
        raise ValueError(f"{file}: sets: expected a mapping of 1 to {_MAX_SETS} names to settings, got {got}")
    folder = Path(root).expanduser() if str(root) else file.parent
    entries = []
    for name, values in sets.items():
        if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
            raise ValueError(f"{file}: sets: expected names of letters, digits, - and _, got {_REPR.repr(name)}")
        if not isinstance(values, dict):
            raise ValueError(f"{file}: sets.{name}: expected keys and values, got {_REPR.repr(values)}")
        try:
            entries.append(_parse_entry(name, values, file.parent, folder))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{file}: sets.{name}.{error}") from error
        except ValueError as error:
            raise ValueError(f"{file}: sets.{name}.{error}") from error
    return Mix(file, tuple(entries), weights_license)


def _check_license(value: Any) -> None:
    if not isinstance(value, str) or len(value) > _MAX_LICENSE or not value.isprintable():
        raise ValueError(f"license: expected one line of at most {_MAX_LICENSE} characters, got {_REPR.repr(value)}")


class _UniqueKeyLoader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML's safe loader, which rejects duplicate keys instead of keeping the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key in (str(key.value) for key, _ in node.value):
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"every key once, but {key!r} occurs twice")
            seen.add(key)
        return dict(super().construct_mapping(node, deep=deep))


def _load_yaml(file: Path) -> dict[Any, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: expected a mix file, but it does not exist")
    if (size := file.stat().st_size) > _MAX_BYTES:
        raise ValueError(f"{file}: expected a mix file of at most {_MAX_BYTES} bytes, got {size}")
    try:
        document = yaml.load(file.read_text(encoding="utf-8-sig"), _UniqueKeyLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{file}: expected YAML, got {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{file}: expected a mapping with the key sets, got {_REPR.repr(document)}")
    return document


def _parse_entry(name: str, values: dict[Any, Any], folder: Path, data_folder: Path) -> MixEntry:
    """Parse the settings of one set; errors begin with the name of the key."""
    own = {item.name: item for item in list_settings(MixEntry)}
    data_settings = {item.name: item for item in list_settings(DatasetConfig) if item.name in _DATA_KEYS}
    known = (*own, "synonyms", "hints", *data_settings)
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ValueError(f"{unknown[0]}: expected one of the keys {', '.join(known)}")
    if "share" not in values:
        raise ValueError("share: expected a value above 0, got none")
    unlabeled = values.get("unlabeled") is True
    if unlabeled and (wrong := [key for key in values if key not in _UNLABELED_KEYS]):
        raise ValueError(f"{wrong[0]}: expected no such key for a set that is unlabeled")
    data = {key: _checked(data_settings[key], values[key]) for key in data_settings if key in values}
    synonyms, synonyms_file = _parse_synonyms(values.get("synonyms", {}), folder)
    return MixEntry(
        name=name,
        data=_resolve(DatasetConfig(**{"dataset": "folder", "split": "train", **data}), folder, data_folder),
        synonyms=synonyms,
        synonyms_file=synonyms_file,
        hints=_parse_hints(values.get("hints", [])),
        **{key: _checked(own[key], values[key]) for key in own if key in values},
    )


def _resolve(data: DatasetConfig, folder: Path, data_folder: Path) -> DatasetConfig:
    """Check the data set of an entry and resolve its paths."""
    if data.dataset not in LABELED:
        raise ValueError(f"dataset: expected one of {', '.join(LABELED)}, got {data.dataset!r}")
    if data.dataset != "synthetic" and not data.root:
        raise ValueError("root: expected the folder of the data set, got none")
    root = str(data_folder / Path(data.root).expanduser()) if data.root else ""
    labels = str(folder / Path(data.labels).expanduser()) if data.labels else ""
    return dataclasses.replace(data, root=root, labels=labels)


def _checked(item: Setting, value: Any) -> Any:
    """Convert a value of YAML to the type of a setting."""
    if item.type == tuple[str, ...]:
        return _checked_words(item.name, value)
    types = {float: (int, float)}.get(item.type, (item.type,))
    if not isinstance(value, types) or (isinstance(value, bool) and item.type is not bool):
        raise ValueError(f"{item.name}: expected a value of type {item.type.__name__}, got {_REPR.repr(value)}")
    item.check(value)
    return float(value) if item.type is float else value


def _checked_words(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() for word in value):
        raise ValueError(f"{name}: expected a list of words, got {_REPR.repr(value)}")
    if len(value) > _MAX_WORDS:
        raise ValueError(f"{name}: expected at most {_MAX_WORDS} words, got {len(value)}")
    return tuple(word.strip() for word in value)


def _parse_hints(value: Any) -> tuple[Hint, ...]:
    """Parse a list of hints; errors begin with the number of the hint."""
    if not isinstance(value, list) or len(value) > _MAX_HINTS:
        raise ValueError(f"hints: expected a list of at most {_MAX_HINTS} hints, got {_REPR.repr(value)}")
    hints = []
    for number, values in enumerate(value):
        try:
            keys = set(values) if isinstance(values, dict) else set()
            if not {"possible", "absent"} <= keys <= {"possible", "absent", "rows"}:
                raise ValueError(f"expected the keys possible, absent and, if needed, rows, got {_REPR.repr(values)}")
            possible, absent = (_checked_words(name, values[name]) for name in ("possible", "absent"))
            hints.append(Hint(possible, absent, _checked_rows(values.get("rows", [0, 1]))))
        except ValueError as error:
            raise ValueError(f"hints[{number}]: {error}") from error
    return tuple(hints)


def _checked_rows(value: Any) -> tuple[float, float]:
    numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    if not numbers or len(value) != 2:
        raise ValueError(f"rows: expected two shares of the height, like [0, 0.5], got {_REPR.repr(value)}")
    return float(value[0]), float(value[1])


def _parse_synonyms(value: Any, folder: Path) -> tuple[tuple[tuple[str, ...], ...], str]:
    """Parse synonyms, which are a mapping or the path of a file.

    Returns:
        Groups of words, and the file.
    """
    if isinstance(value, str):
        file = folder / Path(value).expanduser()
        try:
            groups = [parse_synonyms(line, str(file)) for line in read_lines(file)]
        except FileNotFoundError as error:
            raise FileNotFoundError(f"synonyms: {error}") from error
        except ValueError as error:
            raise ValueError(f"synonyms: {error}") from error
        return tuple(groups), str(file)
    if not isinstance(value, Mapping) or len(value) > _MAX_WORDS:
        raise ValueError(f"synonyms: expected a file, or words with lists of synonyms, got {_REPR.repr(value)}")
    groups = []
    for word, synonyms in value.items():
        if not isinstance(word, str):
            raise ValueError(f"synonyms: expected words, got {word!r}")
        words = _checked_words(f"synonyms.{word}", synonyms)
        groups.append(parse_synonyms("|".join((word, *words)), f"synonyms.{word}"))
    return tuple(groups), ""
