"""The comparison networks are trained alike and load as they were saved."""

from pathlib import Path

import pytest
import torch

from lseg_ros.model.checkpoint import load_lseg
from research.language import comparison_networks
from research.language.comparison_networks import ComparisonConfig, training_config
from research.language.networks import NETWORKS, load_comparison_network


def test_networks_differ_only_in_the_compared_setting() -> None:
    words, classes = (training_config(name, ComparisonConfig()) for name in ("words", "classes"))
    assert (words.data, words.initialization, words.schedule, words.label_sampler) == (
        classes.data, classes.initialization, classes.schedule, classes.label_sampler,
    )  # fmt: skip
    assert (words.head, classes.head) == ("words", "classes")
    assert words.cosine_weight == classes.cosine_weight == 0
    trained_on_all, *folds = (
        training_config(name, ComparisonConfig()) for name in NETWORKS if name not in ("words", "classes")
    )
    assert trained_on_all.data.left_out == -1
    assert [fold.data.left_out for fold in folds] == [0, 1, 2, 3]
    assert all(
        (fold.schedule, fold.label_sampler, fold.cosine_weight)
        == (trained_on_all.schedule, trained_on_all.label_sampler, 0.7)
        for fold in folds
    )


def test_loads_a_trained_network_with_the_embeddings_of_its_words(tmp_path: Path) -> None:
    for name in ("classes", "fold_2"):
        comparison_networks.main(
            ComparisonConfig(
                output=str(tmp_path / "runs"), networks=str(tmp_path), only=name, steps=1, zero_shot_steps=1
            )
        )
    left_out, classes = (load_comparison_network(name, folder=tmp_path) for name in ("fold_2", "classes"))
    trained = load_lseg(tmp_path / "runs" / "fold_2" / "final.safetensors")
    assert classes.head.weight.shape[0] == 40
    for name, value in left_out.state_dict().items():
        if "num_batches" not in name and not name.startswith("text_encoder"):
            assert torch.equal(value, trained.state_dict()[name])
    found, stored = (network.encode_text(["cat", "others"]) for network in (left_out, trained))
    torch.testing.assert_close(found, stored, rtol=0, atol=1e-3)  # the file is in half precision
    with pytest.raises(ValueError, match="text 'zebra': expected one of others, wall, "):
        left_out.encode_text(["zebra"])
