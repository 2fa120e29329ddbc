"""Pickles of plain data are read, and pickles that refer to code are rejected."""

import contextlib
import copyreg
import os
import pickle
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.datasets.restricted_pickle import restricted_loads

PLAIN = st.recursive(
    st.integers() | st.text(max_size=5) | st.none() | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Command:
    """An object whose pickle calls os.mkdir when an ordinary unpickler loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@given(content=PLAIN, protocol=st.sampled_from(PROTOCOLS))
def test_reads_plain_data_of_every_protocol(content: Any, protocol: int) -> None:
    assert restricted_loads(pickle.dumps(content, protocol)) == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_reads_shared_objects_and_long_lists(protocol: int) -> None:
    name = "val2014/COCO_val2014_000000429717.jpg"
    content = {0: [name] * 3000, 1: [f"{name}{number}" for number in range(3000)], 2: [name]}
    assert restricted_loads(pickle.dumps(content, protocol)) == content


def test_reads_python_2_strings() -> None:
    assert restricted_loads(b"\x80\x02}q\x00K\x03]q\x01U\x05a.jpgq\x02as.") == {3: ["a.jpg"]}


@given(st.binary(max_size=60))
def test_raises_only_value_error_for_any_bytes(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        restricted_loads(data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("content", "name"),
    [(date(2026, 1, 1), "datetime.date"), (print, "print"), (Path("a"), "pathlib"), (1j, "complex")],
)
def test_rejects_references_to_classes_and_functions(content: object, name: str, protocol: int) -> None:
    with pytest.raises(ValueError, match=rf"it refers to .*{name}|it refers to copy_?reg"):
        restricted_loads(pickle.dumps([content], protocol))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_never_calls_a_function_that_a_pickle_refers_to(tmp_path: Path, protocol: int) -> None:
    with pytest.raises(ValueError, match=r"it refers to .*mkdir"):
        restricted_loads(pickle.dumps(Command(tmp_path / "made"), protocol))
    assert not (tmp_path / "made").exists()


def test_rejects_registered_extensions() -> None:
    copyreg.add_extension(os.getcwd.__module__, "getcwd", 0x70)
    try:
        data = pickle.dumps(os.getcwd, 2)
        pickle.loads(data)  # after this, unpicklers know the function without looking for it
        with pytest.raises(ValueError, match="it refers to the registered extension 112"):
            restricted_loads(data)
    finally:
        copyreg.remove_extension(os.getcwd.__module__, "getcwd", 0x70)
        copyreg.clear_extension_cache()  # type: ignore[attr-defined]


def test_rejects_persistent_ids() -> None:
    with pytest.raises(ValueError, match="a pickle that cannot be read"):
        restricted_loads(b"\x80\x02K\x01Q.")


def test_forged_sizes_allocate_no_memory() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        restricted_loads(b"\x80\x03X\xff\xff\xff\x7fabc.")  # a text of 2 GiB
    assert restricted_loads(b"\x80\x03]r\xff\xff\xff\x7f.") == []  # a memo of two billion entries
