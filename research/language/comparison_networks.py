"""Train the small networks that the suites ``zero-shot`` and ``head-baseline`` compare.

``python -m research.language.comparison_networks`` trains all seven in turn and writes them to weights.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

from lseg_ros.settings import check, setting
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.initialization import build_initial_network
from lseg_ros.training.train import train
from research.language.networks import COMPARISONS, NETWORKS, WORDS, save_comparison
from research.recipes.synthetic import SYNTHETIC

__all__ = ["ComparisonConfig", "main", "recipe"]


@dataclasses.dataclass(frozen=True)
class ComparisonConfig:
    """Those in the package are of as many steps (docs/demo-model.md)."""

    output: str = setting("out/comparisons", "folder of the runs")
    networks: str = setting("", "folder of the networks that come of them; empty: the package's")
    only: str = setting("", "the one to train; empty: all", choices=("", *NETWORKS))
    steps: int = setting(1200, "optimizer steps of the pair that differs in its head", unit="steps", minimum=1)
    zero_shot_steps: int = setting(900, "optimizer steps of the other five", unit="steps", minimum=1)
    seed: int = setting(0, "seed of all of them", minimum=0)

    def __post_init__(self) -> None:
        check(self)


def recipe(name: str, config: ComparisonConfig) -> TrainingConfig:
    """Those that are compared have the same data, steps and seed.

    words, classes: all words in every image, the second with a head of classes. all, fold_0 ...: also asked for one
    word beside 'others', embeddings pulled to their words, and the classes of the fold left out.
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
    for name in [config.only] if config.only else NETWORKS:
        training = recipe(name, config)
        path = (Path(config.networks) if config.networks else COMPARISONS) / f"{name}.safetensors"
        words = build_initial_network(training.initialization).encode_text(WORDS)
        save_comparison(train(training), words, path, {"training": json.dumps(dataclasses.asdict(training))})


if __name__ == "__main__":
    import tyro

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(tyro.cli(ComparisonConfig))
