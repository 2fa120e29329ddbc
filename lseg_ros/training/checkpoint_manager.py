"""The last checkpoint of a run: all that it needs to go on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric

from lseg_ros.training.config import TrainingConfig

__all__ = ["RunState"]

# settings that may be others when a run goes on: they change no weight
_FREE = ("output", "workers", "threads", "validate_every", "validation_images", "pictures", "log_every", "resume")


class RunState:
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
