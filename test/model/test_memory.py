"""Tests of the memory that loading takes: files are mapped, and converted entry by entry.

Each file is loaded in its own process, whose peak resident memory is compared before and after.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lseg_ros.model import LSeg, LSegConfig
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.model.key_mapping import to_official_key
from lseg_ros.model.text_encoder import TextConfig

CONFIG = LSegConfig(  # half of the weights are text, so that conversions matter; 210 MB
    width=256, depth=12, heads=4, taps=(2, 5, 8, 11), reassemble=(32, 64, 128, 128), features=64, patch_size=32,
    text=TextConfig(width=512, heads=8, layers=4, embed_dim=64, vocab_size=49408),
)  # fmt: skip

# One process imports, and a child process loads each file. VmHWM, because ru_maxrss includes the parent.
MEASURE = """
import json, os, sys
import torch
from lseg_ros.model import load_lseg
torch.set_num_threads(1)
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
small, *files = sys.argv[1:]
load_lseg(small)  # a first load allocates PyTorch's own buffers
for file in files:
    if not os.fork():
        before = peak()
        model = load_lseg(file)
        print(json.dumps([peak() - before, sum(value.nbytes for value in model.state_dict().values())]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    model, folder = LSeg(CONFIG).eval(), tmp_path_factory.mktemp("files")
    files = {name: folder / name for name in ("small.safetensors", "float32.safetensors", "half.safetensors", "a.ckpt")}
    text = TextConfig(width=64, heads=1, layers=1, embed_dim=24)
    save_lseg(LSeg(dataclasses.replace(CONFIG, text=text)).eval(), files["small.safetensors"])
    save_lseg(model, files["float32.safetensors"])
    save_lseg(model, files["half.safetensors"], half=True)
    _write_lightning(model, files["a.ckpt"])
    return files


@pytest.fixture(scope="module")
def measured(files: dict[str, Path]) -> dict[str, tuple[int, int]]:
    """The peak memory of loading each file, and the size of its tensors, in bytes."""
    command = [sys.executable, "-c", MEASURE, *map(str, files.values())]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return dict(zip(list(files)[1:], map(json.loads, result.stdout.splitlines()), strict=True))


def _write_lightning(model: LSeg, path: Path) -> None:
    """Write a file like the authors'.

    It has CLIP's matrices in float16, the rest in float32, and an optimizer state.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        half = name.startswith("text_encoder.transformer") and value.ndim >= 2
        tensors[f"net.{to_official_key(name, model.config)}"] = value.half() if half else value
    torch.save({"state_dict": tensors, "optimizer_states": [torch.zeros(10_000_000)]}, path)


@pytest.mark.parametrize("name", ["float32.safetensors", "a.ckpt"])
def test_loading_takes_at_most_one_and_a_half_times_the_file_size(
    files: dict[str, Path], measured: dict[str, tuple[int, int]], name: str
) -> None:
    assert measured[name][0] <= 1.5 * files[name].stat().st_size


def test_loading_a_float16_file_takes_little_more_than_its_network(
    measured: dict[str, tuple[int, int]],
) -> None:
    peak, size = measured["half.safetensors"]
    assert peak <= 1.2 * size
