"""Settings of an evaluation."""

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

    To use several GPUs, run torchrun --nproc-per-node 4 -m lseg_ros.cli evaluate ...
    """

    checkpoint: Annotated[str, tyro.conf.arg(aliases=("--preset",))] = setting(
        "demo", "network to score: a file, a preset, or the name of a file from `lseg checkpoint fetch`"
    )
    arch_option: int = setting(
        -1,
        "spatial regularization: 0 none, 1 bottleneck, 2 depthwise; -1 reads it from the file",
        minimum=-1,
        maximum=2,
    )
    block_depth: int = setting(-1, "number of regularization blocks; -1 reads it from the file", minimum=-1)
    activation: str = setting(
        "", "activation of the regularization; empty reads it from the file", choices=("", "lrelu", "tanh", "relu")
    )
    protocol: str = setting(
        "single",
        "single: the whole image once, as in the node; official: the authors' sum over scales, flip and windows",
        choices=("single", "official"),
    )
    prompt_templates: tuple[str, ...] = setting(("{}",), "prompt templates; the embeddings of a word are averaged")
    device: str = setting("auto", "device of the network: auto (a GPU if there is one), cpu, cuda or cuda:N")
    precision: str = setting(
        "float32",
        "precision of the image encoder; auto is a half precision on a GPU, and bfloat16 on a CPU that supports it",
        choices=("float32", "auto", "bfloat16", "float16"),
    )
    input_size: int = setting(
        -1,
        "protocol single: longer side of the network's input; 0 keeps the image's size, -1 uses the network's default",
        unit="px", minimum=-1, maximum=8192,
    )  # fmt: skip
    cpu_threads: int = setting(0, "CPU threads of the network, 0 for all cores", minimum=0, maximum=1024)
    data: DatasetConfig = dataclasses.field(default_factory=DatasetConfig)
    json: str = setting("", "file to write the scores to")
    picture: str = setting("", "PNG file to draw the confusion matrix into")
    resume: bool = setting(True, "continue an interrupted evaluation that has the same settings")
    save_every_s: float = setting(30.0, "time between two saves of the unfinished counts", unit="s", minimum=0.0)

    def __post_init__(self) -> None:
        check(self)
        if self.zero_shot and self.protocol != "single":
            raise ValueError(f"protocol: expected single for {self.data.dataset}, as in the paper, got {self.protocol}")

    @property
    def zero_shot(self) -> bool:
        """Whether each episode tests one class against ``others``."""
        return self.data.dataset in ZERO_SHOT
