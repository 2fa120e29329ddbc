"""The settings of an evaluation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import tyro

from lseg_ros.datasets import ZERO_SHOT, DatasetConfig
from lseg_ros.settings import check, setting

__all__ = ["EvaluationConfig"]


@dataclass(frozen=True)
class EvaluationConfig:
    """Score a network on labeled images.

    Several GPUs: torchrun --nproc-per-node 4 -m lseg_ros.cli evaluate ...
    """

    checkpoint: Annotated[str, tyro.conf.arg(aliases=("--preset",))] = setting(
        "demo", "weights to score: a file, or the name of a preset or of a file that `lseg checkpoint fetch` brought"
    )
    arch_option: int = setting(
        -1, "spatial regularization: 0 none, 1 bottleneck, 2 depthwise; -1 is what the file says", minimum=-1, maximum=2
    )
    block_depth: int = setting(-1, "rounds of the regularization; -1 is what the file says", minimum=-1)
    activation: str = setting(
        "", "activation of the regularization; empty is what the file says", choices=("", "lrelu", "tanh", "relu")
    )
    protocol: str = setting(
        "single",
        "single: the whole image once, as the node sees it; official: the authors' sum over sizes, flip and windows",
        choices=("single", "official"),
    )
    prompt_templates: tuple[str, ...] = setting(("{}",), "texts around a word, whose embeddings are averaged")
    device: str = setting("auto", "where the network runs: auto (a GPU if there is one), cpu, cuda or cuda:N")
    precision: str = setting(
        "float32",
        "precision of the image encoder; auto is a half precision on a GPU, and bfloat16 on a CPU that supports it",
        choices=("float32", "auto", "bfloat16", "float16"),
    )
    input_size: int = setting(
        -1, "single: longer side of the network's input; 0 is the image's own, -1 what the network was made for",
        unit="px", minimum=-1, maximum=8192,
    )  # fmt: skip
    cpu_threads: int = setting(0, "threads of the network on a CPU, 0 for all cores", minimum=0, maximum=1024)
    data: DatasetConfig = dataclasses.field(default_factory=DatasetConfig)
    json: str = setting("", "file to write the scores to")
    picture: str = setting("", "PNG file to draw the confusions into")
    resume: bool = setting(True, "go on where an evaluation with the same settings was interrupted")
    save_every_s: float = setting(30.0, "what is counted so far is saved this often", unit="s", minimum=0.0)

    def __post_init__(self) -> None:
        check(self)
        if self.zero_shot and self.protocol != "single":
            raise ValueError(f"protocol: expected single for {self.data.dataset}, as in the paper, got {self.protocol}")

    @property
    def zero_shot(self) -> bool:
        """Whether classes are asked one by one, against ``others``."""
        return self.data.dataset in ZERO_SHOT
