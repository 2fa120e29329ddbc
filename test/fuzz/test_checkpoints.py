"""A checkpoint gives a working network or an error of one sentence."""

from __future__ import annotations

import functools
import json
import math
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from lseg_ros.model import load_lseg
from test.fuzz.budget import bounded
from test.fuzz.mutations import TEXTS, damaged
from test.fuzz.regressions import keep_if_failing, list_cases
from test.support.tiny_network import write_tiny

MAX_ERROR_LENGTH = 2000
FORGING = {"Cc", "Zl", "Zp"}
NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 3, 7, 10**7, 2**31, 2**63, 10**30, 0.5, 1e308, float("nan"), float("inf")]),
    st.integers(0, 64),
)
VALUES = st.one_of(
    NUMBERS, TEXTS, st.none(), st.booleans(), st.lists(NUMBERS, max_size=5), st.lists(TEXTS, max_size=2), st.just({})
)


@functools.cache
def tiny() -> tuple[dict[str, Tensor], dict[str, str], bytes]:
    """The tensors, the metadata and the bytes of the network of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(write_tiny(Path(folder)))
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata()), path.read_bytes()


class Recipe(NamedTuple):
    """How a checkpoint is made from the intact one.

    Recipes are small enough to print and to keep.

    Attributes:
        config: The description of the architecture, as text.
        tensors: Changes of tensors: name, kind of change, and its argument.
        edits: Changes of the bytes of the file: position, number of bytes to remove, and bytes to insert in hex.
    """

    config: str
    tensors: list[tuple[str, str, Any]]
    edits: list[tuple[int, int, str]]

    def build(self) -> bytes:
        """Return the bytes of the file."""
        tensors, metadata = dict(intact().tensors), intact().metadata
        for name, change, argument in self.tensors:
            value = tensors.pop(name, None)
            if value is not None and change != "remove":
                tensors[argument if change == "rename" else name] = CHANGES[change](value, argument)
        content = bytearray(serialize(tensors, {**metadata, "config": self.config}))
        for position, count, inserted in self.edits:
            content[position : position + count] = bytes.fromhex(inserted)
        return bytes(content)


class Intact(NamedTuple):
    """The network of the tests."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


@functools.cache
def intact() -> Intact:
    with tempfile.TemporaryDirectory() as folder, safe_open(write_tiny(Path(folder)), framework="pt") as file:
        return Intact({name: file.get_tensor(name).clone() for name in file.keys()}, dict(file.metadata()))  # noqa: SIM118


def with_number(value: Tensor, number: float) -> Tensor:
    """Replace the first value of a floating point tensor."""
    if not value.is_floating_point() or not value.numel():
        return value
    changed = value.clone()
    changed.view(-1)[0] = number
    return changed


CHANGES: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "dtype": lambda value, name: value.to(getattr(torch, name)),
    "flat": lambda value, _: value.reshape(-1),
    "empty": lambda value, _: torch.zeros(0, *value.shape[1:]),
    "rename": lambda value, _: value,
    "number": with_number,
}
ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "dtype": st.sampled_from(("float64", "float16", "bfloat16", "int64", "uint8", "bool")),
    "flat": st.none(),
    "empty": st.none(),
    "remove": st.none(),
    "rename": TEXTS.filter(bool),
    "number": st.sampled_from((math.nan, math.inf, -math.inf, 1e38, 0.0)),
}


@st.composite
def strange_configs(draw: st.DrawFn) -> str:
    """Change up to two fields of the architecture."""
    config: dict[str, Any] = json.loads(intact().metadata["config"])
    for _ in range(draw(st.integers(1, 2))):
        text = config.get("text")
        part = draw(st.sampled_from((config, text))) if isinstance(text, dict) else config
        name = draw(st.sampled_from(sorted(part)) | TEXTS, "field")
        if draw(st.integers(0, 3), "remove") == 0:
            part.pop(name, None)
        else:
            part[name] = draw(VALUES, "value")
    return json.dumps(config)


@st.composite
def tensor_changes(draw: st.DrawFn) -> tuple[str, str, Any]:
    change = draw(st.sampled_from(sorted(ARGUMENTS)))
    return draw(st.sampled_from(sorted(intact().tensors))), change, draw(ARGUMENTS[change])


def recipes() -> st.SearchStrategy[Recipe]:
    """Generate recipes that change the architecture, the tensors or the bytes."""
    plain = intact().metadata["config"]
    other = ("[" * 100_000, '{"text":' * 5000, "null", "[]", '"x"', "{}", '{"text": {}}', "1e999", "")
    configs = st.one_of(
        strange_configs(),
        st.sampled_from(other),
        damaged(plain.encode(), len(plain)).map(lambda octets: octets.decode(errors="replace")),
    )
    edits = st.tuples(st.integers(0, 20_000), st.integers(0, 16), st.binary(max_size=8).map(bytes.hex))
    cut = st.tuples(st.integers(0, 20_000), st.just(1 << 30), st.just(""))
    return st.one_of(
        st.builds(Recipe, configs, st.just([]), st.just([])),
        st.builds(Recipe, st.just(plain), st.lists(tensor_changes(), min_size=1, max_size=3), st.just([])),
        st.builds(Recipe, st.just(plain), st.just([]), st.lists(edits | cut, min_size=1, max_size=4)),
    )


def check(path: Path) -> None:
    """Load a checkpoint, run its network, and check the error if there is one."""
    try:
        model = load_lseg(path)
    except ValueError as error:
        text = str(error)
        assert text.startswith(f"checkpoint {path}: "), text
        assert len(text) <= MAX_ERROR_LENGTH, f"{len(text)} characters: {text[:200]!r}"
        assert not FORGING & {unicodedata.category(character) for character in text}, text
        return
    with torch.inference_mode():
        logits = model(torch.zeros(1, 3, 64, 64), model.encode_text(["floor", "wall"]))
    assert logits.shape == (1, 2, 64, 64)


@given(st.deferred(recipes))
@bounded(60)
def test_a_checkpoint_is_a_network_or_is_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, recipe: Recipe
) -> None:
    path = tmp_path_factory.mktemp("weights") / "file.safetensors"
    path.write_bytes(recipe.build())
    with keep_if_failing("checkpoint", ".json", json.dumps(recipe).encode()):
        check(path)
    path.unlink()


@pytest.mark.parametrize("case", list_cases("checkpoint"), ids=lambda path: path.name)
def test_a_checkpoint_that_once_failed_is_a_network_or_is_refused(tmp_path: Path, case: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(Recipe(*json.loads(case.read_bytes())).build())
    check(path)


def test_the_checkpoint_without_damage_is_a_network(tmp_path: Path) -> None:
    model = load_lseg(write_tiny(tmp_path))
    with torch.inference_mode():
        assert torch.isfinite(model(torch.zeros(1, 3, 64, 64), model.encode_text(["floor"]))).all()
