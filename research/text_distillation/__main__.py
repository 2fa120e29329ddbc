"""Distil sentence embeddings into a text encoder that is small enough to ship with the demo preset.

The student sees WordNet's words, the whole words of CLIP's own vocabulary, and phrases with colors, materials, sizes
and prompts. It learns each text's target and how similar the texts of a batch are to each other. A noun's target is
the teacher's embedding, pulled to those of the words that WordNet relates it to.
``python -m research.text_distillation --help`` lists the settings.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from lseg_ros.model.text_encoder import TextConfig, TextEncoder
from lseg_ros.settings import check, setting
from lseg_ros.training.initialization import single_token_words
from lseg_ros.training.optimization import Muon
from research.text_distillation import teacher as text_teacher
from research.text_distillation import wordnet
from research.text_distillation.corpus import Corpus, retrofitted

__all__ = ["DistillationConfig", "agreement", "distil", "load_text_encoder", "main", "save_text_encoder"]

_LOG = logging.getLogger(__name__)
_RELATIONS = 5.0  # weight of the similarity-matrix loss beside the cosine loss
_LENGTH_GROUPS = 8  # batches drawn at once and sorted by length, so that short texts do not wait for long ones
_TOKEN_SCALE = 0.25  # rms of a token's row at the start; small rows move far within a few sightings of a rare token


@dataclasses.dataclass(frozen=True)
class DistillationConfig:
    """Settings of the distillation. The defaults make the tower of the demo preset."""

    output: str = setting("out/text.safetensors", "file of the trained text encoder")
    wordnet: str = setting("/usr/share/wordnet", "folder of WordNet 3.0 (Debian package wordnet-base)")
    cache: str = setting("", "file (.npz) that keeps the teacher's embeddings for the next run; empty: none")
    seed: int = setting(0, "seed of texts, weights and batches", minimum=0)
    steps: int = setting(1800, "optimizer steps", minimum=1)
    batch_size: int = setting(1024, "texts per step", minimum=2)
    optimizer: str = setting(
        "muon", "muon for all matrices but the tables and adamw for the rest, or adamw", choices=("adamw", "muon")
    )
    learning_rate: float = setting(3e-3, "highest rate of the warm-up and cosine schedule", minimum=0.0)
    phrases: int = setting(50000, "phrases of adjectives and nouns", minimum=0)
    held_out: int = setting(1000, "words, and as many phrases, that are never trained on", minimum=1)
    whitening: float = setting(0.3, "how far the teacher's directions are made alike", minimum=0.0, maximum=1.0)
    save_every: int = setting(150, "steps between two tests on held-out words; a better encoder is saved", minimum=1)
    threads: int = setting(1, "CPU threads of torch", minimum=1)
    precision: str = setting("bfloat16", "arithmetic of the student's layers", choices=("bfloat16", "float32"))
    width: int = setting(192, "width of the encoder", minimum=1)
    heads: int = setting(4, "attention heads", minimum=1)
    layers: int = setting(3, "layers", minimum=1)
    token_rank: int = setting(88, "numbers per token in the factored token table", minimum=1)
    context_length: int = setting(16, "longest text, start and end included", unit="tokens", minimum=3)
    embed_dim: int = setting(128, "length of an embedding", minimum=1, maximum=384)

    def __post_init__(self) -> None:
        check(self)

    @property
    def text(self) -> TextConfig:
        return TextConfig(
            self.width, self.heads, self.layers, self.embed_dim, self.context_length, token_rank=self.token_rank
        )


@dataclasses.dataclass(frozen=True)
class DistillationSet:
    """Texts as (K, L) int64 tokens, (K, C) float32 targets of unit norm, (K,) float64 share of the training draws."""

    tokens: Tensor
    targets: Tensor
    share: NDArray[np.float64]

    @classmethod
    def from_texts(
        cls, encoder: TextEncoder, texts: Mapping[str, float], targets: Mapping[str, NDArray[np.float32]]
    ) -> DistillationSet:
        share = np.array(list(texts.values()))
        chosen = torch.from_numpy(np.stack([targets[text] for text in texts]))
        return cls(encoder.tokenize(list(texts)), chosen, share / share.sum())


def main(config: DistillationConfig) -> dict[str, float]:
    """Train, save the encoder that agrees best with the teacher on held-out words, and return its figures."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    random = np.random.default_rng(config.seed)
    encoder = TextEncoder(config.text)
    corpus = Corpus.of(
        wordnet.words(Path(config.wordnet)),
        lambda text: _fits(encoder, text),
        phrase_count=config.phrases,
        held_out=config.held_out,
        random=random,
    )
    plain = _targets(corpus, config)
    targets = retrofitted(plain, wordnet.relations(Path(config.wordnet)))
    _start_from_teacher(
        encoder, {text: i for text, i in single_token_words().items() if text in corpus.trained}, targets
    )
    training_set = DistillationSet.from_texts(encoder, corpus.trained, targets)
    tests = {
        f"held_out_{name}{suffix}": DistillationSet.from_texts(encoder, dict.fromkeys(texts, 1.0), wanted)
        for name, texts in (("words", corpus.held_words), ("phrases", corpus.held_phrases))
        for suffix, wanted in (("", targets), ("_of_teacher", plain))
    }
    _LOG.info("%d texts, %d parameters", len(corpus.trained), sum(p.numel() for p in encoder.parameters()))
    best: dict[str, float] = {}
    started = time.monotonic()
    for step, loss in enumerate(distil(encoder, training_set, config, random), start=1):
        if step % config.save_every and step != config.steps:
            continue
        figures = {name: agreement(encoder, test) for name, test in tests.items()}
        _LOG.info("step %d, %.0f s: loss %.4f %s", step, time.monotonic() - started, loss, figures)
        if figures["held_out_words"] > best.get("held_out_words", -1.0):
            best = {**figures, "step": step}
            save_text_encoder(encoder, config, best)
    return best


def distil(
    encoder: TextEncoder, training_set: DistillationSet, config: DistillationConfig, random: np.random.Generator
) -> Iterator[float]:
    """Train ``encoder`` for ``config.steps`` steps on draws from ``training_set``; yields the loss of each step.

    Raises RuntimeError when the loss is no longer a number.
    """
    optimizer = _optimizer(encoder, config)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps + 1, pct_start=0.08, cycle_momentum=False
    )
    for step, batch in zip(range(config.steps), _batches(training_set, config.batch_size, random), strict=False):
        encoder.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
            said = encoder(training_set.tokens[batch])
        loss = _loss(F.normalize(said.float(), dim=-1), training_set.targets[batch])
        if not torch.isfinite(loss):
            raise RuntimeError(f"loss: expected a finite number, got {loss.item()} in step {step}; lower learning_rate")
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield loss.item()


def _optimizer(encoder: TextEncoder, config: DistillationConfig) -> torch.optim.Optimizer:
    if config.optimizer == "adamw":
        return torch.optim.AdamW(encoder.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for name, parameter in encoder.named_parameters():
        is_table = name in ("positional_embedding", "token_embedding.weight", "token_embedding.0.weight")
        parts[parameter.ndim >= 2 and not is_table].append(parameter)
    return Muon([{"params": part, "orthogonal": wanted} for wanted, part in parts.items()], lr=config.learning_rate)


@torch.inference_mode()
def agreement(encoder: TextEncoder, test_set: DistillationSet) -> float:
    """Mean cosine between what the encoder says and the targets."""
    encoder.eval()
    said = torch.cat([encoder(tokens) for tokens in torch.split(test_set.tokens, 1024)])
    return float(F.cosine_similarity(said, test_set.targets).mean())


def load_text_encoder(file: Path) -> TextEncoder:
    """The encoder of a file written here, float32, in eval mode."""
    with safe_open(file, "pt") as stored:
        config = TextConfig(**json.loads(stored.metadata()["text_config"]))
        weights = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    encoder = TextEncoder(config)
    encoder.load_state_dict(weights)
    return encoder.eval()


def _loss(said: Tensor, wanted: Tensor) -> Tensor:
    """Cosine distance to the targets, and how wrong the similarities between the texts of the batch are."""
    distance = 1 - (said * wanted).sum(-1).mean()
    return distance + _RELATIONS * F.mse_loss(said @ said.T, wanted @ wanted.T)


def _batches(training_set: DistillationSet, size: int, random: np.random.Generator) -> Iterator[Tensor]:
    """Indices (size,) of texts drawn by their share, endlessly; texts of a batch are of similar length."""
    length = training_set.tokens.argmax(-1).numpy()
    while True:
        drawn = random.choice(len(length), size=size * _LENGTH_GROUPS, p=training_set.share)
        by_length = drawn[np.argsort(length[drawn], kind="stable")].reshape(_LENGTH_GROUPS, size)
        yield from torch.from_numpy(random.permutation(by_length))


def _targets(corpus: Corpus, config: DistillationConfig) -> dict[str, NDArray[np.float32]]:
    """What the encoder is to say of each text, in the directions in which visible things differ most."""
    texts = corpus.texts
    embeddings = text_teacher.teacher_embeddings(texts, Path(config.cache) if config.cache else None)
    row = {text: number for number, text in enumerate(texts)}
    seen = embeddings[[row[text] for text in corpus.nouns]]
    weights = np.array(list(corpus.nouns.values()))
    project = text_teacher.Projection.fit(seen, weights, config.embed_dim, config.whitening)
    return dict(zip(texts, project(embeddings), strict=True))


@torch.no_grad()
def _start_from_teacher(
    encoder: TextEncoder, whole: Mapping[str, int], targets: Mapping[str, NDArray[np.float32]]
) -> None:
    """Let the factored token table begin with what the teacher says of each word that is one token."""
    tokens, widen = encoder.get_submodule("token_embedding").parameters()  # (vocab_size, rank), (width, rank)
    rank = tokens.shape[1]
    tokens.mul_(0.3 * _TOKEN_SCALE)
    for text, number in whole.items():
        start = torch.from_numpy(targets[text][:rank])
        tokens[number, : len(start)] = start / start.norm() * _TOKEN_SCALE * len(start) ** 0.5
    torch.nn.init.orthogonal_(widen)
    encoder.positional_embedding.normal_(std=0.05)


def _fits(encoder: TextEncoder, text: str) -> bool:
    try:
        encoder.tokenize([text])
    except ValueError:
        return False
    return True


def save_text_encoder(encoder: TextEncoder, config: DistillationConfig, figures: Mapping[str, float]) -> None:
    """Float16 safetensors with where it came from; the old file stays whole until the new one is."""
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "text_config": json.dumps(dataclasses.asdict(config.text)),
        "seed": str(config.seed),
        "teacher": text_teacher.NAME,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "figures": json.dumps({name: round(value, 4) for name, value in figures.items()}),
        "training": json.dumps({k: v for k, v in dataclasses.asdict(config).items() if k not in ("output", "cache")}),
    }
    part = output.with_suffix(".part")
    tensors = {name: value.half().contiguous() for name, value in encoder.state_dict().items()}
    save_file(tensors, part, metadata=metadata)
    part.replace(output)


if __name__ == "__main__":
    import tyro

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger(__name__).info("%s", main(tyro.cli(DistillationConfig)))
