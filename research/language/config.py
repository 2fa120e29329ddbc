"""Settings of a language suite."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Annotated, Literal, get_args

import tyro

from lseg_ros.datasets import DatasetConfig
from lseg_ros.evaluation import EvaluationConfig
from lseg_ros.settings import check, setting

__all__ = ["SUITES", "SuiteConfig"]

Suite = Literal["fixed", "synonyms", "attributes", "zero-shot", "general", "head-baseline"]
SUITES: tuple[str, ...] = get_args(Suite)
_WITH_OWN_NETWORKS = ("zero-shot", "head-baseline")


@dataclass(frozen=True)
class SuiteConfig:
    """Test on the synthetic world how well a network understands words.

    To use several GPUs, run torchrun --nproc-per-node 4 -m research.language SUITE ...
    """

    suite: tyro.conf.Positional[Suite] = setting(  # noqa: RUF009 - a required field
        MISSING, "what to test; research/README.md describes the suites"
    )
    checkpoint: Annotated[str, tyro.conf.arg(aliases=("--preset",))] = setting(
        "demo", "network to score: a file or a preset; zero-shot and head-baseline have their own networks"
    )
    frames: int = setting(200, "scenes of the synthetic world", minimum=1)
    seed: int = setting(7, "seed of the scenes", minimum=0)
    width: int = setting(320, "image width", unit="px", minimum=32)
    height: int = setting(240, "image height", unit="px", minimum=32)
    prompt_templates: tuple[str, ...] = setting(("{}",), "prompt templates; the embeddings of a word are averaged")
    device: str = setting("auto", "device of the network: auto (a GPU if there is one), cpu, cuda or cuda:N")
    precision: str = setting(
        "float32",
        "precision of the image encoder; auto is a half precision on a GPU, and bfloat16 on a CPU that supports it",
        choices=("float32", "auto", "bfloat16", "float16"),
    )
    input_size: int = setting(
        -1, "longer side of the network's input; 0 keeps the image's size, -1 uses the network's default",
        unit="px", minimum=-1, maximum=8192,
    )  # fmt: skip
    cpu_threads: int = setting(0, "CPU threads of the network, 0 for all cores", minimum=0, maximum=1024)
    json: str = setting("", "file to write the scores to")

    def __post_init__(self) -> None:
        check(self)
        if self.suite not in SUITES:
            raise ValueError(f"suite: expected one of {', '.join(SUITES)}, got {self.suite!r}")
        if self.suite in _WITH_OWN_NETWORKS and self.checkpoint != "demo":
            raise ValueError(
                f"checkpoint: expected demo with suite {self.suite}, which has its own networks, got {self.checkpoint}"
            )

    @property
    def evaluation(self) -> EvaluationConfig:
        """The same network and scenes as settings of ``lseg evaluate``."""
        return EvaluationConfig(
            self.checkpoint,
            prompt_templates=self.prompt_templates,
            device=self.device,
            precision=self.precision,
            input_size=self.input_size,
            cpu_threads=self.cpu_threads,
            data=DatasetConfig(frames=self.frames, seed=self.seed, width=self.width, height=self.height),
        )
