"""The list of hypernyms in the package comes from WordNet and has one line per class."""

from pathlib import Path

import pytest

from lseg_ros.training import distillation
from research.imagenet_hypernyms import HypernymConfig, main

PACKAGED = Path(distillation.__file__).with_name("imagenet_hypernyms.txt")


def test_every_class_has_a_hypernym() -> None:
    lines = [line for line in PACKAGED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) == 1000
    assert all(line and 1 <= len(line.split("|")) <= 2 for line in lines)
    assert lines[0] == "cyprinid|cyprinid fish"


def test_the_list_in_the_package_is_what_the_script_writes(tmp_path: Path) -> None:
    config = HypernymConfig(output=str(tmp_path / "hypernyms.txt"))
    if not Path(config.wordnet).is_dir():
        pytest.skip("needs WordNet: Debian package wordnet-base")
    main(config)
    assert Path(config.output).read_text(encoding="utf-8") == PACKAGED.read_text(encoding="utf-8")
