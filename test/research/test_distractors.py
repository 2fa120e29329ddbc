"""Distractors are far from all classes and in no language suite."""

from lseg_ros.datasets.language_probes import GENERAL, SYNONYMS
from lseg_ros.model import load_lseg
from research.distractors import select_distractors


def test_leaves_out_words_near_a_class_and_words_of_the_suites() -> None:
    model = load_lseg("demo")
    words = ["violin", "armchairs", "couch", "sofa", "furniture", "street", "volcano", "settees"]
    chosen = select_distractors(words, model, 10, 0.4)
    assert "violin" in chosen
    assert "volcano" in chosen
    assert not {"armchairs", "couch", "sofa", "furniture", "street"} & set(chosen)
    assert not ({other for _, other in SYNONYMS} | set(GENERAL)) & set(chosen)
    assert len(select_distractors(words, model, 1, 0.4)) == 1
