"""Distill sentence embeddings into a small text encoder that ships with the package.

The student learns WordNet's words, the whole words of CLIP's vocabulary, and phrases with colors, materials, sizes and
prompts. The loss compares the embedding of each text with its target, and the similarities within a batch with those of
the targets. The target of a noun is the teacher's embedding, moved toward the words that WordNet relates it to.
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
from research.text_distillation import wordnet
from research.text_distillation.corpus import Corpus, can_tokenize, retrofit
from research.text_distillation.teacher import TEACHER, Projection, teacher_embeddings

__all__ = [
    "DistillationConfig",
    "DistillationSet",
    "distill_text_encoder",
    "load_text_encoder",
    "mean_cosine",
    "save_text_encoder",
    "train_text_encoder",
]

_LOG = logging.getLogger(__name__)
_SIMILARITY_WEIGHT = 5.0  # of the similarity loss, relative to the cosine loss
_BATCHES_PER_DRAW = 8  # drawn together and sorted by length, so that short texts are not padded to long ones
_TOKEN_SCALE = 0.25  # initial RMS of a token's row; small rows learn rare tokens from few examples


@dataclasses.dataclass(frozen=True)
class DistillationConfig:
    """Distill a text encoder. The defaults produce that of the embedded network."""

    output: str = setting("out/text.safetensors", "file to write the text encoder to")
    wordnet: str = setting("/usr/share/wordnet", "folder of WordNet 3.0 (Debian package wordnet-base)")
    cache: str = setting("", "file (.npz) that keeps the teacher's embeddings between runs; empty: none")
    seed: int = setting(0, "seed of texts, weights and batches", minimum=0)
    steps: int = setting(1800, "optimizer steps", minimum=1)
    batch_size: int = setting(1024, "texts per step", minimum=2)
    optimizer: str = setting(
        "muon", "muon (with adamw for the embedding tables and vectors) or adamw", choices=("adamw", "muon")
    )
    learning_rate: float = setting(3e-3, "maximum of the schedule (warm-up, then cosine)", minimum=0.0)
    phrases: int = setting(50000, "number of phrases of adjectives and nouns", minimum=0)
    held_out: int = setting(1000, "number of words, and of phrases, that are only used for tests", minimum=1)
    whitening: float = setting(
        0.3, "strength of the whitening of the teacher's embeddings, 0 for none", minimum=0.0, maximum=1.0
    )
    save_every: int = setting(
        150, "steps between two tests on the held-out words; the best encoder is saved", minimum=1
    )
    threads: int = setting(1, "CPU threads of torch", minimum=1)
    precision: str = setting("bfloat16", "precision of the student's layers", choices=("bfloat16", "float32"))
    width: int = setting(192, "width of the encoder", minimum=1)
    heads: int = setting(4, "attention heads", minimum=1)
    layers: int = setting(3, "layers", minimum=1)
    token_rank: int = setting(88, "rank of the factored token table", minimum=1)
    context_length: int = setting(16, "maximum text length, start and end tokens included", unit="tokens", minimum=3)
    embed_dim: int = setting(128, "size of an embedding", minimum=1, maximum=384)

    def __post_init__(self) -> None:
        check(self)

    @property
    def text(self) -> TextConfig:
        """Architecture of the text encoder."""
        return TextConfig(
            self.width, self.heads, self.layers, self.embed_dim, self.context_length, token_rank=self.token_rank
        )


@dataclasses.dataclass(frozen=True)
class DistillationSet:
    """Texts and their targets.

    Attributes:
        tokens: (K, L) int64 tokens.
        targets: (K, C) float32 embeddings of unit norm.
        share: (K,) float64 probability of each text in a training draw.
    """

    tokens: Tensor
    targets: Tensor
    share: NDArray[np.float64]

    @classmethod
    def from_texts(
        cls, encoder: TextEncoder, texts: Mapping[str, float], targets: Mapping[str, NDArray[np.float32]]
    ) -> DistillationSet:
        """Tokenize texts, given with their weights, and look up their targets."""
        weights = np.array(list(texts.values()))
        stacked = torch.from_numpy(np.stack([targets[text] for text in texts]))
        return cls(encoder.tokenize(list(texts)), stacked, weights / weights.sum())


def distill_text_encoder(config: DistillationConfig) -> dict[str, float]:
    """Train a text encoder and save the version with the best score on held-out words.

    Returns:
        The mean cosines of held-out words and phrases to their targets, and to the targets without WordNet's relations,
        and the step of the saved version.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    random = np.random.default_rng(config.seed)
    encoder = TextEncoder(config.text)
    corpus = Corpus.build(
        wordnet.words(Path(config.wordnet)),
        lambda text: can_tokenize(encoder, text),
        phrase_count=config.phrases,
        held_out=config.held_out,
        random=random,
    )
    teacher_targets = _teacher_targets(corpus, config)
    targets = retrofit(teacher_targets, wordnet.relations(Path(config.wordnet)))
    trained_tokens = {text: token for text, token in single_token_words().items() if text in corpus.trained}
    _initialize_from_teacher(encoder, trained_tokens, targets)
    training_set = DistillationSet.from_texts(encoder, corpus.trained, targets)
    test_sets = {
        f"held_out_{name}{suffix}": DistillationSet.from_texts(encoder, dict.fromkeys(texts, 1.0), test_targets)
        for name, texts in (("words", corpus.held_words), ("phrases", corpus.held_phrases))
        for suffix, test_targets in (("", targets), ("_of_teacher", teacher_targets))
    }
    _LOG.info("%d texts, %d parameters", len(corpus.trained), sum(p.numel() for p in encoder.parameters()))
    best: dict[str, float] = {}
    started = time.monotonic()
    for step, loss in enumerate(train_text_encoder(encoder, training_set, config, random), start=1):
        if step % config.save_every and step != config.steps:
            continue
        scores = {name: mean_cosine(encoder, test_set) for name, test_set in test_sets.items()}
        _LOG.info("step %d, %.0f s: loss %.4f %s", step, time.monotonic() - started, loss, scores)
        if scores["held_out_words"] > best.get("held_out_words", -1.0):
            best = {**scores, "step": step}
            save_text_encoder(encoder, config, best)
    return best


def train_text_encoder(
    encoder: TextEncoder, training_set: DistillationSet, config: DistillationConfig, random: np.random.Generator
) -> Iterator[float]:
    """Train ``encoder`` for ``config.steps`` steps; yields the loss of each step.

    Raises:
        RuntimeError: If the loss is not finite.
    """
    optimizer = _build_optimizer(encoder, config)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps + 1, pct_start=0.08, cycle_momentum=False
    )
    batches = _draw_batches(training_set, config.batch_size, random)
    for step, batch in zip(range(config.steps), batches, strict=False):
        encoder.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
            embeddings = encoder(training_set.tokens[batch])
        loss = _loss(F.normalize(embeddings.float(), dim=-1), training_set.targets[batch])
        if not torch.isfinite(loss):
            raise RuntimeError(f"loss: expected a finite number, got {loss.item()} in step {step}; lower learning_rate")
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield loss.item()


@torch.inference_mode()
def mean_cosine(encoder: TextEncoder, test_set: DistillationSet) -> float:
    """Return the mean cosine between the encoder's embeddings and the targets."""
    encoder.eval()
    embeddings = torch.cat([encoder(tokens) for tokens in torch.split(test_set.tokens, 1024)])
    return float(F.cosine_similarity(embeddings, test_set.targets).mean())


def load_text_encoder(file: Path) -> TextEncoder:
    """Load an encoder that ``save_text_encoder`` wrote, in float32 and eval mode."""
    with safe_open(file, "pt") as stored:
        config = TextConfig(**json.loads(stored.metadata()["text_config"]))
        weights = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    encoder = TextEncoder(config)
    encoder.load_state_dict(weights)
    return encoder.eval()


def save_text_encoder(encoder: TextEncoder, config: DistillationConfig, scores: Mapping[str, float]) -> None:
    """Write float16 safetensors with the settings and scores as metadata, atomically."""
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "text_config": json.dumps(dataclasses.asdict(config.text)),
        "seed": str(config.seed),
        "teacher": TEACHER,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "figures": json.dumps({name: round(value, 4) for name, value in scores.items()}),
        "training": json.dumps({k: v for k, v in dataclasses.asdict(config).items() if k not in ("output", "cache")}),
    }
    temporary = output.with_suffix(".part")
    tensors = {name: value.half().contiguous() for name, value in encoder.state_dict().items()}
    save_file(tensors, temporary, metadata=metadata)
    temporary.replace(output)


def _build_optimizer(encoder: TextEncoder, config: DistillationConfig) -> torch.optim.Optimizer:
    if config.optimizer == "adamw":
        return torch.optim.AdamW(encoder.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for name, parameter in encoder.named_parameters():
        is_table = name in ("positional_embedding", "token_embedding.weight", "token_embedding.0.weight")
        groups[parameter.ndim >= 2 and not is_table].append(parameter)
    return Muon(
        [{"params": parameters, "orthogonal": orthogonal} for orthogonal, parameters in groups.items()],
        lr=config.learning_rate,
    )


def _loss(embeddings: Tensor, targets: Tensor) -> Tensor:
    """Return the cosine distance to the targets plus the error of the batch's similarities."""
    distance = 1 - (embeddings * targets).sum(-1).mean()
    return distance + _SIMILARITY_WEIGHT * F.mse_loss(embeddings @ embeddings.T, targets @ targets.T)


def _draw_batches(training_set: DistillationSet, size: int, random: np.random.Generator) -> Iterator[Tensor]:
    """Yield batches of text indices (size,), drawn by share, without end.

    The texts of a batch have similar lengths.
    """
    length = training_set.tokens.argmax(-1).numpy()
    while True:
        drawn = random.choice(len(length), size=size * _BATCHES_PER_DRAW, p=training_set.share)
        by_length = drawn[np.argsort(length[drawn], kind="stable")].reshape(_BATCHES_PER_DRAW, size)
        yield from torch.from_numpy(random.permutation(by_length))


def _teacher_targets(corpus: Corpus, config: DistillationConfig) -> dict[str, NDArray[np.float32]]:
    """Return the projected teacher embedding of each text.

    The projection keeps the directions in which visible things differ most.
    """
    texts = corpus.texts
    embeddings = teacher_embeddings(texts, Path(config.cache) if config.cache else None)
    row = {text: number for number, text in enumerate(texts)}
    nouns = embeddings[[row[text] for text in corpus.nouns]]
    weights = np.array(list(corpus.nouns.values()))
    project = Projection.fit(nouns, weights, config.embed_dim, config.whitening)
    return dict(zip(texts, project(embeddings), strict=True))


@torch.no_grad()
def _initialize_from_teacher(
    encoder: TextEncoder, tokens: Mapping[str, int], targets: Mapping[str, NDArray[np.float32]]
) -> None:
    """Initialize the token table with the targets of the words that are a single token."""
    table, widen = encoder.get_submodule("token_embedding").parameters()  # (vocab_size, rank), (width, rank)
    rank = table.shape[1]
    table.mul_(0.3 * _TOKEN_SCALE)
    for text, token in tokens.items():
        target = torch.from_numpy(targets[text][:rank])
        table[token, : len(target)] = target / target.norm() * _TOKEN_SCALE * len(target) ** 0.5
    torch.nn.init.orthogonal_(widen)
    encoder.positional_embedding.normal_(std=0.05)
