"""One run: step, validation, checkpoint, until the last step."""

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
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.model import LSeg
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.training.batches import Batch, BatchError, Batches
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.loss import WordPixelLoss
from lseg_ros.training.optimization import build_optimizer, lr_factor, set_learning_rates
from lseg_ros.training.validation import Validation

__all__ = ["CheckpointManager", "GracefulStop", "Trainer", "ignore_sigint"]

_LOG = logging.getLogger(__name__)
# settings that may be others when a run goes on: they change no weight
_FREE = ("output", "workers", "threads", "validate_every", "validation_images", "pictures", "log_every", "resume")


class Trainer:
    """One process's part of a run."""

    def __init__(
        self,
        config: TrainingConfig,
        fabric: Fabric,
        module: WordPixelLoss,
        batches: Batches,
        validation: Validation | None,
    ) -> None:
        self.config, self.fabric, self.batches, self.validation = config, fabric, batches, validation
        self.schedule = batches.schedule
        self.output = Path(config.output).expanduser()
        self.output.mkdir(parents=True, exist_ok=True)
        optimizer = build_optimizer(module.model, config.optimization, config.schedule.batch_size)
        self.loss, self.optimizer = fabric.setup(module, optimizer)
        self.model: LSeg = module.model
        self.predictor = Predictor.from_model(self.model)
        self.state = CheckpointManager(fabric, config, self.loss, self.optimizer)
        self.figures: dict[str, float] = {}
        self.every = config.validate_every or max(1, self.schedule.images // self.schedule.samples_seen(1))
        if config.resume and self.state.restore() and fabric.is_global_zero:
            _LOG.info("going on after %d of %d steps", self.state.step, self.schedule.steps)

    def fit(self) -> None:
        """Step by step, from where the last checkpoint was."""
        steps, first = range(self.state.step, self.schedule.steps), self.fabric.is_global_zero
        batches = self._batches()
        with (
            GracefulStop() as stop,
            tqdm(
                total=self.schedule.steps, initial=self.state.step, desc="train", unit="step", disable=not first
            ) as bar,
        ):
            self.loss.train()
            for step in steps:
                loss = self._step(step, batches)
                self.state.step = step + 1
                bar.set_postfix({"loss": f"{loss:.3f}", **_shown(self.figures)}, refresh=False)
                bar.update()
                last = self.state.step == self.schedule.steps
                if self.state.step % self.config.log_every == 0 or last:
                    self.fabric.log_dict({"loss": loss, "rate": self._rate()}, self.state.step)
                if self.state.step % self.every == 0 or last:
                    self._validate()
                    self._save()
                if self._any(stop.requested) and not last:
                    self._save()
                    if first:
                        _LOG.info("interrupted and saved after step %d: the same command goes on", self.state.step)
                    raise KeyboardInterrupt

    def finish(self) -> Path:
        """Write the final weights; where the run was over before, score them again."""
        if not self.figures:
            self._validate()
        path = self.output / "final.safetensors"
        self._write(path)
        for logger in self.fabric.loggers:
            logger.finalize("success")
        if self.fabric.is_global_zero:
            _LOG.info("trained weights: %s", path)
        self.fabric.barrier()
        return path

    def _step(self, step: int, batches: Iterator[Batch | BatchError]) -> float:
        """One optimizer step over the accumulated batches; returns the mean loss."""
        set_learning_rates(self.optimizer, lr_factor(step, self.schedule, self.config.optimization))
        parts, total = self.config.schedule.accumulate, 0.0
        for part in range(parts):
            batch = next(batches)
            self._stop_together(batch.message if isinstance(batch, BatchError) else "")
            assert isinstance(batch, Batch)  # a fault has ended the run
            with self.fabric.no_backward_sync(self.loss, enabled=part < parts - 1):
                loss = self.loss(batch)
                self._stop_together(_fault_of(loss, step, batch))
                self.fabric.backward(loss / parts)
            total += loss.item() / parts
        if self.config.optimization.gradient_clip:
            self.fabric.clip_gradients(self.loss, self.optimizer, max_norm=self.config.optimization.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    def _batches(self) -> Iterator[Batch | BatchError]:
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
        """Score the val split, draw some of it, and keep the weights where they are the best so far."""
        if self.validation is None:
            return
        self.loss.eval()
        fault = ""
        try:
            task = self.validation.count_share(self.predictor, self.fabric.global_rank, self.fabric.world_size)
        except (OSError, ValueError) as error:
            fault = str(error)
        self._stop_together(fault)
        scores = dataclasses.asdict(task.result().scores)  # of all processes' shares
        self.figures = {name: value for name, value in scores.items() if isinstance(value, float)}
        self.fabric.log_dict(self.figures, self.state.step)
        if self.fabric.is_global_zero:
            self._draw()
        if self.figures["miou"] > self.state.best:
            self.state.best = self.figures["miou"]
            self._write(self.output / "best.safetensors")
        self.loss.train()

    def _save(self) -> None:
        """All that the run needs to go on, and the weights alone, for a run with other settings to begin with."""
        self.state.save()
        self._write(self.output / "last.safetensors")

    def _draw(self) -> None:
        assert self.validation is not None
        for number, picture in enumerate(self.validation.pictures(self.predictor, self.config.pictures)):
            path = self.output / "pictures" / f"{number}" / f"step_{self.state.step:07}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
            for logger in self.fabric.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image(f"validation/{number}", picture, self.state.step, dataformats="HWC")

    def _write(self, path: Path) -> None:
        if not self.fabric.is_global_zero:
            return
        provenance = {
            "training": json.dumps(dataclasses.asdict(self.config)),
            "classes": json.dumps(self.batches.sampler.classes),
            "validation": json.dumps({name: round(value, 4) for name, value in self.figures.items()}),
            "step": str(self.state.step),
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "tool": f"lseg_ros {lseg_ros.__version__}",
        }
        save_lseg(self.model, path, half=self.config.half_weights, metadata=provenance)

    def _rate(self) -> float:
        return max(group["lr"] for group in self.optimizer.param_groups)

    def _stop_together(self, fault: str) -> None:
        """Raise ValueError where this process has a fault, and end quietly where only another has one."""
        found = self._any(bool(fault))
        if fault:
            raise ValueError(fault)
        if found:
            raise SystemExit(2)

    def _any(self, mine: bool) -> bool:
        """Whether it is so in any process: what ends one ends all, at the same place, or they would wait for it."""
        if self.fabric.world_size == 1:
            return mine
        share: Any = self.fabric.all_reduce(torch.tensor(float(mine), device=self.fabric.device), reduce_op="mean")
        return bool(share > 0)


def _fault_of(loss: torch.Tensor, step: int, batch: Batch) -> str:
    """What is wrong with a loss, in a sentence that names the samples it is of; "" where nothing is."""
    if torch.isfinite(loss):
        return ""
    return f"loss: expected a finite value, got {loss.item()} in step {step}, of the samples {', '.join(batch.names)}"


def _shown(figures: dict[str, float]) -> dict[str, str]:
    return {"mIoU": f"{figures['miou']:.3f}"} if "miou" in figures else {}


class CheckpointManager:
    """Module, optimizer, steps done and the best mIoU so far, kept in ``last.ckpt`` of the output folder."""

    def __init__(self, fabric: Fabric, config: TrainingConfig, module: Any, optimizer: Any) -> None:
        self.step = 0
        self.best = -1.0
        self._fabric = fabric
        self._parts = {"module": module, "optimizer": optimizer}
        self._settings = _settings(config) | {"processes": fabric.world_size}
        self._path = Path(config.output).expanduser() / "last.ckpt"

    def restore(self) -> bool:
        """Take over what is kept, where something is; ValueError where it is of a run with other settings."""
        if not self._path.exists():
            return False
        # settings first: parts of another shape would fail with less of a reason
        kept = self._fabric.load(self._path)
        before = json.loads(kept["settings"])
        changed = [
            f"{name} was {before.get(name)!r}, is {value!r}"
            for name, value in self._settings.items()
            if before.get(name) != value
        ]
        if changed:
            raise ValueError(
                f"resume: expected the settings of the run in {self._path} ({'; '.join(changed)}); "
                "--no-resume begins anew, --output sets another folder"
            )
        self._fabric.load(self._path, dict(self._parts))
        self.step, self.best = kept["step"], kept["best"]
        return True

    def save(self) -> None:
        """The file appears whole or not at all; every process must ask for it."""
        part = self._path.with_name("last.ckpt.part")
        content = {"step": self.step, "best": self.best, "settings": json.dumps(self._settings)}
        self._fabric.save(part, {**self._parts, **content})
        if self._fabric.is_global_zero:
            part.replace(self._path)
        self._fabric.barrier()


def _settings(config: TrainingConfig) -> dict[str, Any]:
    """All that the weights depend on, by the names of the flags."""
    flat: dict[str, Any] = {}
    for name, value in dataclasses.asdict(config).items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return json.loads(json.dumps({name: value for name, value in flat.items() if name not in _FREE}))


class GracefulStop:
    """While it is entered, the first signal only sets ``asked``; a second one interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> GracefulStop:
        if threading.current_thread() is threading.main_thread():  # no other may
            self._before = {each: signal.signal(each, self._note) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def ignore_sigint(_: int) -> None:
    """For processes that read images: a terminal's Ctrl-C reaches them too, and the run still needs their batches."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
