"""Checks of the code for GPUs on the device, each with its outcome."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.inference import EncodedVocabulary, Segmenter, SegmenterConfig, postprocess_triton
from lseg_ros.inference.cuda_graphs import capture_cuda_graph
from lseg_ros.inference.embeddings import upsampled_norm
from lseg_ros.inference.postprocess import postprocess
from lseg_ros.inference.self_check import Postprocess, check_encoder, check_postprocess, check_upload
from lseg_ros.model import load_lseg
from lseg_ros.synthetic import SyntheticWorld
from lseg_ros.vocabulary import MAX_ID, Vocabulary

__all__ = ["LABELS", "Check", "Checklist", "check_code", "check_labels"]

LABELS = (5, 20, 150, MAX_ID)
_WORDS = ("floor", "wall", "ceiling", "table", "chair", "person", "lamp", "door")
_AGREEMENT = {"float32": 0.999, "bfloat16": 0.97, "float16": 0.99}  # share of pixels with the label of float32
_MAX_GRAPH_ERROR = 0.05  # of a pixel, relative to its length
_MAX_WRONG_PIXELS = 1e-3  # best labels may be equal up to rounding


@dataclass(frozen=True)
class Check:
    """The outcome of a check.

    Attributes:
        name: What was checked.
        result: passed, failed or skipped.
        reason: Why it failed or was skipped, or "".
        seconds: How long it took.
    """

    name: str
    result: str
    reason: str
    seconds: float


class Checklist:
    """Runs parts one after the other. One that fails does not stop the others.

    Attributes:
        checks: The outcomes so far.
    """

    def __init__(self, deadline_s: float) -> None:
        """Start the clock.

        Args:
            deadline_s: Parts that have not begun after this time are skipped.
        """
        self.checks: list[Check] = []
        self._deadline_s = deadline_s
        self._start_s = time.perf_counter()

    @contextmanager
    def part(self, name: str, skip: str = "") -> Iterator[bool]:
        """Run a part, and record its outcome.

        Args:
            name: What the part checks.
            skip: Why it cannot run here, or "".

        Yields:
            Whether to run it.
        """
        start_s = time.perf_counter()
        if not skip and start_s - self._start_s > self._deadline_s:
            skip = f"the run has already taken {self._deadline_s:.0f} s"
        result, reason = ("skipped", skip) if skip else ("passed", "")
        try:
            yield not skip
        except Exception as error:  # a driver or a compiler may raise anything
            result, reason = "failed", " ".join(f"{type(error).__name__}: {error}".split())[:500]
        seconds = time.perf_counter() - start_s
        self.checks.append(Check(name, result, reason, seconds))
        print(f"  {result:<8}{name}{f': {reason}' if reason else ''} ({seconds:.1f} s)", flush=True)


def check_code(parts: Checklist, device: torch.device) -> None:
    """Compare the code for GPUs with the plain code."""
    gpu_only = "" if device.type == "cuda" else "needs a GPU"
    triton = "" if postprocess_triton.AVAILABLE else "Triton is not installed"
    with parts.part("an image resized on the device equals that of the host") as runs:
        if runs:
            check_upload(device)
    with parts.part("Triton kernel equals PyTorch on the device", gpu_only or triton) as runs:
        if runs:
            check_postprocess(postprocess_triton.postprocess, device)
    for name, candidate, skip in (
        ("PyTorch's label maps on the device", postprocess, ""),
        ("label maps of the Triton kernel", postprocess_triton.postprocess, gpu_only or triton),
    ):
        with parts.part(f"{name} equal those of the CPU for {', '.join(map(str, LABELS))} labels", skip) as runs:
            if runs:
                _compare_with_cpu(candidate, device)


def _compare_with_cpu(candidate: Postprocess, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    for labels in LABELS:
        logits = 6 * torch.randn(1, labels, 60, 80, generator=generator)
        arguments = ((240, 320), (480, 640), torch.arange(1, labels + 1, dtype=torch.uint8), 0.1)
        norm = 1 + torch.rand(1, 1, 120, 160, generator=generator)
        expected = postprocess(logits, *arguments, norm).int()
        size, image_size, ids, threshold = arguments
        found = candidate(logits.to(device), size, image_size, ids.to(device), threshold, norm.to(device)).cpu().int()
        wrong = (found[0] != expected[0]) | ((found[1] - expected[1]).abs() > 1)
        if not (share := float(wrong.float().mean())) <= _MAX_WRONG_PIXELS:
            raise ValueError(f"label map: expected that of the CPU for {labels} labels, got {share:.2%} other pixels")


def check_labels(parts: Checklist, device: torch.device, precisions: Sequence[str]) -> None:
    """Compare the labels of ``demo`` with those of the CPU, and check its tensors' device."""
    image, words = SyntheticWorld(8, 640, 480).frame(1.0).frame.image, Vocabulary.of(_WORDS)
    reference = Segmenter.from_checkpoint(SegmenterConfig(device="cpu", precision="float32", engine="torch"))
    expected = reference.segment(image, reference.encode(words)).label_map
    for precision in dict.fromkeys(("float32", *precisions)):
        with parts.part(f"demo in {precision} on {device.type} gives the labels of the CPU") as runs:
            if not runs:
                continue
            # By default PyTorch runs convolutions on a GPU in TF32, which is not float32.
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                _compare_labels(
                    SegmenterConfig(device=str(device), precision=precision, engine="torch"), image, words, expected
                )
    with parts.part("CUDA graph of demo equals PyTorch", "" if device.type == "cuda" else "needs a GPU") as runs:
        if runs:
            _check_graph(device)


def _compare_labels(
    config: SegmenterConfig, image: NDArray[np.uint8], words: Vocabulary, expected: NDArray[np.uint8]
) -> None:
    segmenter = Segmenter.from_checkpoint(config)
    encoded = segmenter.encode(words)
    for _ in range(3):  # the second captures a graph, the third replays it
        found = segmenter.segment(image, encoded).label_map
    _check_placement(segmenter, encoded, image)
    if segmenter.problems:
        raise ValueError("; ".join(segmenter.problems))
    share, needed = float((found == expected).mean()), _AGREEMENT[config.precision]
    if share < needed:
        raise ValueError(f"label map: expected the label of the CPU in {needed:.1%} of the pixels, got {share:.2%}")


def _check_graph(device: torch.device) -> None:
    model = load_lseg("demo", dtype=torch.bfloat16).to(device)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        low_res = model.encode_low_res(x)
        return low_res, upsampled_norm(low_res)

    with torch.inference_mode():
        x = torch.randn(1, 3, 256, 320, device=device, dtype=torch.bfloat16)
        check_encoder(capture_cuda_graph(encode, x), encode, x, _MAX_GRAPH_ERROR)


def _check_placement(segmenter: Segmenter, encoded: EncodedVocabulary, image: NDArray[np.uint8]) -> None:
    embedded = segmenter.embed(image)
    maps = segmenter.label_on_device(embedded, encoded.embeddings, encoded.ids)
    tensors = {
        **dict(segmenter.model.named_parameters()),
        **dict(segmenter.model.named_buffers()),
        "embeddings of the labels": encoded.embeddings,
        "ids": encoded.ids,
        "embeddings of the pixels": embedded.low_res,
        "norm": embedded.norm,
        "label map": maps,
    }
    for name, tensor in tensors.items():
        if tensor.device.type != segmenter.device.type:
            raise ValueError(f"{name}: expected a tensor on {segmenter.device}, got one on {tensor.device}")
