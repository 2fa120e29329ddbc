"""Train the small networks that the suites ``zero-shot`` and ``head-baseline`` compare.

``python -m research.language.comparison_networks`` trains all seven of them. The suites load the networks in
research/language/weights; copy new ones there to replace them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from lseg_ros.settings import check, setting
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.initialization import build_initial_network
from lseg_ros.training.train import train
from research.command_line import run_script
from research.language.networks import NETWORKS, WORDS, save_comparison_network
from research.recipes.synthetic import SYNTHETIC

__all__ = ["ComparisonConfig", "main", "training_config"]


@dataclasses.dataclass(frozen=True)
class ComparisonConfig:
    """Train the networks of the suites zero-shot and head-baseline.

    The defaults produced those in the repository.
    """

    output: str = setting("out/comparisons", "folder for the training runs")
    networks: str = setting("out/comparisons/networks", "folder for the trained networks")
    only: str = setting("", "train only this network; empty: all", choices=("", *NETWORKS))
    steps: int = setting(1200, "optimizer steps of the networks words and classes", unit="steps", minimum=1)
    zero_shot_steps: int = setting(900, "optimizer steps of the other networks", unit="steps", minimum=1)
    seed: int = setting(0, "seed of all networks", minimum=0)

    def __post_init__(self) -> None:
        check(self)


def training_config(name: str, config: ComparisonConfig) -> TrainingConfig:
    """Return the training settings of one network.

    Networks that are compared share data, steps and seed. ``words`` and ``classes`` see all words in each image;
    ``classes`` has a conventional classifier head. ``all`` and ``fold_0`` to ``fold_3`` also see one word with
    ``others``, and pull each pixel to its word; each ``fold`` network leaves out the classes of its fold.
    """
    zero_shot = name not in ("words", "classes")
    return dataclasses.replace(
        SYNTHETIC,
        output=str(Path(config.output) / name),
        data=dataclasses.replace(
            SYNTHETIC.data, seed=config.seed, colors=False, left_out=int(name[5:]) if name.startswith("fold") else -1
        ),
        initialization=dataclasses.replace(SYNTHETIC.initialization, preset="demo_small", text_tower="demo"),
        schedule=dataclasses.replace(
            SYNTHETIC.schedule, steps=config.zero_shot_steps if zero_shot else config.steps, batch_size=8, early_steps=0
        ),
        widths=(128, 160),
        label_sampler=dataclasses.replace(
            SYNTHETIC.label_sampler,
            complete_share=0.5 if zero_shot else 1.0,
            color_share=0.0,
            others_share=0.05 if zero_shot else 0.0,
            prompts_per_image=2 if zero_shot else 1,
        ),
        optimization=dataclasses.replace(SYNTHETIC.optimization, learning_rate=2e-3),
        cosine_weight=SYNTHETIC.cosine_weight if zero_shot else 0.0,
        head="classes" if name == "classes" else "words",
        devices=1,
        validation_images=-1,
    )


def main(config: ComparisonConfig) -> None:
    """Train the networks one after the other and write them to ``config.networks``."""
    for name in [config.only] if config.only else NETWORKS:
        training = training_config(name, config)
        path = Path(config.networks).expanduser() / f"{name}.safetensors"
        words = build_initial_network(training.initialization).encode_text(WORDS)
        save_comparison_network(train(training), words, path, {"training": json.dumps(dataclasses.asdict(training))})


if __name__ == "__main__":
    sys.exit(run_script("research.language.comparison_networks", ComparisonConfig, main))
