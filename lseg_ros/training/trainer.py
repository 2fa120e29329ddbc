"""The training loop: steps, validation, checkpoints, and a graceful stop."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import cv2
import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from torch.utils.data import DataLoader
from tqdm import tqdm

import lseg_ros
from lseg_ros.datasets.mix import Mix
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.model import LSeg
from lseg_ros.model.checkpoint import find_checkpoint, save_lseg
from lseg_ros.model.provenance import UNKNOWN, TrainingSet, provenance
from lseg_ros.model.weight_files import open_weights
from lseg_ros.training.batches import Batch, BatchError, Batches
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.loss import WordPixelLoss
from lseg_ros.training.optimization import build_optimizer, lr_factor, set_learning_rates
from lseg_ros.training.validation import Validation

__all__ = ["CheckpointManager", "GracefulStop", "Trainer", "ignore_sigint"]

_LOG = logging.getLogger(__name__)
# Settings that may change when a run is resumed, because the weights do not depend on them.
_FREE_SETTINGS = (
    "output", "workers", "threads", "validate_every", "validation_images", "pictures", "log_every", "resume",
)  # fmt: skip


class Trainer:
    """The training loop of one process.

    With several processes, all of them call the same methods in the same order.

    Args:
        config: Settings of the run.
        fabric: The launched Fabric.
        loss: The loss with the network to train.
        batches: The batches of this process.
        validation: The val split, or None to train without validation.
        mix: The data sets of a run with several of them, else None.
    """

    def __init__(
        self,
        config: TrainingConfig,
        fabric: Fabric,
        loss: WordPixelLoss,
        batches: Batches,
        validation: Validation | None,
        mix: Mix | None = None,
    ) -> None:
        self.config, self.fabric, self.batches, self.validation, self.mix = config, fabric, batches, validation, mix
        self.schedule = batches.schedule
        self.output = Path(config.output).expanduser()
        self.output.mkdir(parents=True, exist_ok=True)
        optimizer = build_optimizer(loss.model, config.optimization, config.schedule.batch_size)
        self.loss, self.optimizer = fabric.setup(loss, optimizer)
        self.model: LSeg = loss.model
        self.predictor = Predictor.from_model(self.model)
        self.state = CheckpointManager(fabric, config, self.loss, self.optimizer, mix)
        self.scores: dict[str, float] = {}  # of the last validation
        self.provenance = _provenance(config, mix)
        self.validation_interval = config.validate_every or max(
            1, self.schedule.images // self.schedule.samples_seen(1)
        )
        if config.resume and self.state.restore() and fabric.is_global_zero:
            _LOG.info("resuming after %d of %d steps", self.state.step, self.schedule.steps)

    def fit(self) -> None:
        """Train from the last checkpoint to the last step.

        Raises:
            ValueError: A sample cannot be loaded or a loss is not finite.
            KeyboardInterrupt: SIGINT or SIGTERM arrived; the current step is finished and saved.
        """
        steps, is_first = range(self.state.step, self.schedule.steps), self.fabric.is_global_zero
        batches = self._load_batches()
        with (
            GracefulStop() as stop,
            tqdm(
                total=self.schedule.steps, initial=self.state.step, desc="train", unit="step", disable=not is_first
            ) as progress,
        ):
            self.loss.train()
            for step in steps:
                loss = self._step(step, batches)
                self.state.step = step + 1
                progress.set_postfix({"loss": f"{loss:.3f}", **_progress_scores(self.scores)}, refresh=False)
                progress.update()
                is_last = self.state.step == self.schedule.steps
                if self.state.step % self.config.log_every == 0 or is_last:
                    self.fabric.log_dict({"loss": loss, "rate": self._max_rate()}, self.state.step)
                if self.state.step % self.validation_interval == 0 or is_last:
                    self._validate()
                    self._save()
                if self._any_process(stop.requested) and not is_last:
                    self._save()
                    if is_first:
                        _LOG.info(
                            "interrupted and saved after step %d; run the same command to resume", self.state.step
                        )
                    raise KeyboardInterrupt

    def finish(self) -> Path:
        """Write the final weights, and validate them if this run has not done so.

        Returns:
            The file of the weights.
        """
        if not self.scores:
            self._validate()
        path = self.output / "final.safetensors"
        self._write_weights(path)
        for logger in self.fabric.loggers:
            logger.finalize("success")
        if self.fabric.is_global_zero:
            _LOG.info("trained weights: %s", path)
        self.fabric.barrier()
        return path

    def _step(self, step: int, batches: Iterator[Batch | BatchError]) -> float:
        """Take one optimizer step over the accumulated batches and return the mean loss."""
        set_learning_rates(self.optimizer, lr_factor(step, self.schedule, self.config.optimization))
        parts, total = self.config.schedule.accumulate, 0.0
        for part in range(parts):
            batch = next(batches)
            self._raise_in_all_processes(batch.message if isinstance(batch, BatchError) else "")
            assert isinstance(batch, Batch)  # a BatchError has ended the run
            with self.fabric.no_backward_sync(self.loss, enabled=part < parts - 1):
                loss = self.loss(batch)
                self._raise_in_all_processes(_describe_bad_loss(loss, step, batch))
                self.fabric.backward(loss / parts)
            total += loss.item() / parts
        if self.config.optimization.gradient_clip:
            self.fabric.clip_gradients(self.loss, self.optimizer, max_norm=self.config.optimization.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    def _load_batches(self) -> Iterator[Batch | BatchError]:
        start = self.state.step * self.config.schedule.accumulate
        loader = DataLoader(
            self.batches,
            batch_size=None,
            sampler=range(start, len(self.batches)),
            num_workers=self.config.workers,
            worker_init_fn=ignore_sigint,
            pin_memory=self.fabric.device.type == "cuda",
        )
        on_device: Any = self.fabric.setup_dataloaders(loader, use_distributed_sampler=False)
        return iter(on_device)

    def _validate(self) -> None:
        """Score the val split, draw some predictions, and write the weights if they are the best."""
        if self.validation is None:
            return
        self.loss.eval()
        fault = ""
        try:
            tasks = self.validation.count_share(self.predictor, self.fabric.global_rank, self.fabric.world_size)
        except (OSError, ValueError) as error:
            fault = str(error)
        self._raise_in_all_processes(fault)
        self.scores = self.validation.scores(tasks)
        self.fabric.log_dict(self.scores, self.state.step)
        if self.fabric.is_global_zero:
            if self.mix:
                _LOG.info("mIoU after step %d: %s", self.state.step, _describe_miou(self.scores))
            self._draw()
        if self.scores["miou"] > self.state.best:
            self.state.best = self.scores["miou"]
            self._write_weights(self.output / "best.safetensors")
        self.loss.train()

    def _save(self) -> None:
        """Write the checkpoint, and the weights alone to start other runs from."""
        self.state.save()
        self._write_weights(self.output / "last.safetensors")

    def _draw(self) -> None:
        assert self.validation is not None
        for number, picture in enumerate(self.validation.pictures(self.predictor, self.config.pictures)):
            path = self.output / "pictures" / f"{number}" / f"step_{self.state.step:07}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
            for logger in self.fabric.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image(f"validation/{number}", picture, self.state.step, dataformats="HWC")

    def _write_weights(self, path: Path) -> None:
        if not self.fabric.is_global_zero:
            return
        metadata = {
            "training": json.dumps(dataclasses.asdict(self.config)),
            "classes": json.dumps(self.batches.sampler.classes),
            "validation": json.dumps({name: round(value, 4) for name, value in self.scores.items()}),
            "step": str(self.state.step),
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "tool": f"lseg_ros {lseg_ros.__version__}",
            **self.provenance,
        }
        if self.mix:
            metadata["mix"] = json.dumps(self.mix.settings)
        save_lseg(self.model, path, half=self.config.half_weights, metadata=metadata)

    def _max_rate(self) -> float:
        return max(group["lr"] for group in self.optimizer.param_groups)

    def _raise_in_all_processes(self, fault: str) -> None:
        """Raise ValueError if this process has a fault, and SystemExit if only another one has.

        All processes stop at the same place; otherwise the others would wait forever.
        """
        any_fault = self._any_process(bool(fault))
        if fault:
            raise ValueError(fault)
        if any_fault:
            raise SystemExit(2)

    def _any_process(self, condition: bool) -> bool:
        """Return whether the condition holds in any process."""
        if self.fabric.world_size == 1:
            return condition
        share: Any = self.fabric.all_reduce(torch.tensor(float(condition), device=self.fabric.device), reduce_op="mean")
        return bool(share > 0)


class CheckpointManager:
    """The checkpoint ``last.ckpt`` in the output folder, from which a run resumes exactly.

    Attributes:
        step: Number of finished steps.
        best: Best mIoU so far, -1 before the first validation.
    """

    def __init__(
        self, fabric: Fabric, config: TrainingConfig, module: Any, optimizer: Any, mix: Mix | None = None
    ) -> None:
        self.step = 0
        self.best = -1.0
        self._fabric = fabric
        self._parts = {"module": module, "optimizer": optimizer}
        self._settings = _relevant_settings(config, mix) | {"processes": fabric.world_size}
        self._path = Path(config.output).expanduser() / "last.ckpt"

    def restore(self) -> bool:
        """Load the checkpoint if there is one, and return whether there is.

        Raises:
            ValueError: The checkpoint is of a run with other settings.
        """
        if not self._path.exists():
            return False
        # Compare the settings first: loading parts of other shapes would fail with a less helpful message.
        checkpoint = self._fabric.load(self._path)
        previous = json.loads(checkpoint["settings"])
        changed = [
            f"{name} was {previous.get(name)!r}, is {value!r}"
            for name, value in self._settings.items()
            if previous.get(name) != value
        ]
        if changed:
            raise ValueError(
                f"resume: expected the settings of the run in {self._path}, got others ({'; '.join(changed)}); "
                "use --no-resume to start over, or --output to choose another folder"
            )
        self._fabric.load(self._path, dict(self._parts))
        self.step, self.best = checkpoint["step"], checkpoint["best"]
        return True

    def save(self) -> None:
        """Write the checkpoint atomically. Every process must call this."""
        part = self._path.with_name("last.ckpt.part")
        content = {"step": self.step, "best": self.best, "settings": json.dumps(self._settings)}
        self._fabric.save(part, {**self._parts, **content})
        if self._fabric.is_global_zero:
            part.replace(self._path)
        self._fabric.barrier()


class GracefulStop:
    """Context manager that defers SIGINT and SIGTERM.

    A run can then finish its step and save. The first signal only sets ``requested``; the second one raises
    KeyboardInterrupt. Outside of the main thread, where Python does not allow signal handlers, the context manager does
    nothing.

    Attributes:
        requested: Whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> GracefulStop:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def ignore_sigint(_: int) -> None:
    """Ignore SIGINT in a data loading worker.

    Ctrl-C reaches it too, but the trainer still needs its batches.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _relevant_settings(config: TrainingConfig, mix: Mix | None) -> dict[str, Any]:
    """Return the settings that the weights depend on, by the names of their flags.

    The contents of a mix file count, not its path.
    """
    flat: dict[str, Any] = {}
    for name, value in dataclasses.asdict(config).items():
        flat.update(value if isinstance(value, dict) else {name: value})
    flat.update(mix.settings if mix else {})
    return json.loads(json.dumps({name: value for name, value in flat.items() if name not in _FREE_SETTINGS}))


def _provenance(config: TrainingConfig, mix: Mix | None) -> dict[str, str]:
    """Return license and training data of the weights, and of the initial weights."""
    if mix:
        sets = [
            TrainingSet(entry.name, share, entry.license or UNKNOWN) for entry, share in zip(mix.entries, mix.shares)
        ]
    else:
        sets = [TrainingSet(Path(config.data.root).expanduser().name or config.data.dataset, 1.0)]
    source = config.initialization.init
    initial = open_weights(find_checkpoint(source)).metadata if source else {}
    return provenance(sets, mix.license if mix else "", initial)


def _describe_bad_loss(loss: torch.Tensor, step: int, batch: Batch) -> str:
    """Return an error message with the samples, or an empty string if the loss is finite."""
    if torch.isfinite(loss):
        return ""
    return f"loss: expected a finite value, got {loss.item()} in step {step} for the samples {', '.join(batch.names)}"


def _progress_scores(scores: dict[str, float]) -> dict[str, str]:
    return {"mIoU": f"{scores['miou']:.3f}"} if "miou" in scores else {}


def _describe_miou(scores: dict[str, float]) -> str:
    """Format the mean mIoU over the sets of a mix and that of each set."""
    parts = [f"{name.partition('/')[2]} {value:.3f}" for name, value in scores.items() if name.startswith("miou/")]
    return f"{scores['miou']:.3f} ({', '.join(parts)})"
