"""License and training data in the metadata of weight files."""

import json

import pytest

from lseg_ros.model.provenance import TrainingSet, merge_provenance, provenance, read_training_data

STREETS, WORLD = TrainingSet("streets", 0.75, "CC-BY-4.0"), TrainingSet("synthetic", 0.25)


def test_lists_the_sets_with_shares_and_licenses() -> None:
    metadata = provenance([STREETS, WORLD], "CC-BY-4.0", {})
    assert json.loads(metadata["training_data"]) == [
        {"set": "streets", "share": 0.75, "license": "CC-BY-4.0"},
        {"set": "synthetic", "share": 0.25, "license": "unknown"},
    ]
    assert metadata["license"] == "CC-BY-4.0"
    assert read_training_data(metadata) == (STREETS, WORLD)
    assert "license" not in provenance([WORLD], "", {})


def test_keeps_the_provenance_of_the_weights_that_a_run_starts_from() -> None:
    first = provenance([STREETS], "CC-BY-4.0", {})
    second = provenance([WORLD], "", first)
    assert second["initial_license"] == "CC-BY-4.0"
    assert read_training_data(second, "initial_training_data") == (STREETS,)
    third = provenance([WORLD], "", second)
    assert read_training_data(third, "initial_training_data") == (WORLD, STREETS)


def test_merges_each_license_and_each_set_once() -> None:
    files = [provenance([STREETS, WORLD], "CC-BY-4.0", {}), provenance([WORLD], "MIT", {}), {"license": "MIT"}]
    merged = merge_provenance(files)
    assert merged["license"] == "CC-BY-4.0 AND MIT"
    assert read_training_data(merged) == (STREETS, WORLD)
    assert merge_provenance([{}, {"step": "3"}]) == {}


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "[1]", "{}", '[{"set": "a"}]', '[{"set": "a", "share": "x"}]', "7"]
)
def test_ignores_lists_that_are_not_valid(text: str) -> None:
    assert read_training_data({"training_data": text}) == ()
