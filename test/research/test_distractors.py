"""Words that are in no picture: near to no class, and asked by no suite."""

from lseg_ros.datasets.language_probes import GENERAL, SYNONYMS
from lseg_ros.model import load_lseg
from research.distractors import distractors


def test_what_is_near_to_a_class_or_asked_in_a_test_is_left_out() -> None:
    model = load_lseg("demo")
    words = ["violin", "armchairs", "couch", "sofa", "furniture", "street", "volcano", "settees"]
    chosen = distractors(words, model, 10, 0.4)
    assert "violin" in chosen
    assert "volcano" in chosen
    assert not {"armchairs", "couch", "sofa", "furniture", "street"} & set(chosen)
    assert not ({other for _, other in SYNONYMS} | set(GENERAL)) & set(chosen)
    assert len(distractors(words, model, 1, 0.4)) == 1
