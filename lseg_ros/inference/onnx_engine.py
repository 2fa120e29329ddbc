"""ONNX Runtime as the engine of the image encoder, in place of PyTorch.

An encoder is exported once for each size of the network's input. The file goes into a cache, whose keys are the
weights, the size, the precision and the versions of the packages involved.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lseg_ros.inference.embeddings import upsampled_norm
from lseg_ros.inference.optimize import fold_batch_norms, replace_same_padding
from lseg_ros.inference.self_check import Encode, check_encoder
from lseg_ros.model import LSeg, load_lseg
from lseg_ros.model.checkpoint import find_checkpoint
from lseg_ros.model.pretrained import cache_folder, sha256

__all__ = ["OnnxEngine", "export_onnx", "is_installed"]

logger = logging.getLogger(__name__)

# Best first. TensorRT leaves layers that it does not support to the next one.
_PROVIDERS = {
    "cuda": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
    "cpu": ("OpenVINOExecutionProvider", "CPUExecutionProvider"),
}
_PACKAGES = (
    "lseg_ros",
    "torch",
    "timm",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
)
_EXPORTERS = ("onnxscript", "onnx_ir")  # they log every constant
_MAX_ERROR = 1e-3  # of a pixel, relative to its length
_MAX_HALF_ERROR = 0.05  # also in TF32, in which both engines compute float32 convolutions on a GPU
_MAX_SIZES = 8  # each session keeps its weights
_MAX_COMPARED_RUNS = 5
_MAX_COMPARED_S = 2.0

_Session = Callable[[Tensor], Tensor]
_Size = tuple[int, int]


def is_installed() -> bool:
    """Return whether ONNX Runtime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def export_onnx(module: nn.Module, image: Tensor, output: str) -> bytes:
    """Export a module as an ONNX model.

    Args:
        module: A module with one input and one output, in eval mode.
        image: An input. The model accepts only its shape and dtype, under the name ``image``.
        output: Name of the output.

    Raises:
        ImportError: If onnx or onnxscript is missing.
        ValueError: If PyTorch is too old.
    """
    if "dynamo" not in inspect.signature(torch.onnx.export).parameters:
        raise ValueError(f"torch: expected PyTorch 2.5 or newer to write ONNX, got {torch.__version__}")
    for name in _EXPORTERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    export: Any = torch.onnx.export
    program = export(module, (image,), dynamo=True, verbose=False, input_names=["image"], output_names=[output])
    model: bytes = program.model_proto.SerializeToString()
    return model


class OnnxEngine:
    """The image encoder of a checkpoint in ONNX Runtime, one session per input size.

    A session is used only if its results are those of PyTorch. After a difference or an exception, PyTorch runs.

    Attributes:
        problem: Why PyTorch runs instead, or "".
        provider: The execution provider in use, or "".
    """

    def __init__(
        self,
        checkpoint: str,
        device: torch.device,
        dtype: torch.dtype,
        *,
        only_if_faster: bool = False,
        cache: Path | None = None,
    ) -> None:
        """Remember the arguments. Nothing is loaded before ``prepare``.

        Args:
            checkpoint: As for ``load_lseg``.
            device: Where the encoder runs, cpu or cuda.
            dtype: Precision of the encoder in PyTorch. On a GPU, the session has half precision if this is one.
            only_if_faster: Compare the time with that of PyTorch, and use the faster one.
            cache: Folder of exported files; by default ``onnx`` in the cache folder of the package.
        """
        self.problem = self.provider = ""
        self._checkpoint = checkpoint
        self._device = device
        is_half = device.type == "cuda" and dtype != torch.float32
        self._dtype = torch.float16 if is_half else torch.float32
        self._max_error = _MAX_ERROR if device.type == "cpu" and dtype == torch.float32 else _MAX_HALF_ERROR
        self._only_if_faster = only_if_faster
        self._given_cache = cache
        self._threads = torch.get_num_threads()
        self._sessions: dict[_Size, _Session | None] = {}  # None: PyTorch is used
        self._lock = threading.Lock()

    @property
    def _cache(self) -> Path:
        return self._given_cache or cache_folder() / "onnx"  # raises an exception if the user has no home

    def prepare(self, encode: Encode, x: Tensor) -> None:
        """Load the session for a size, after an export if necessary.

        Nothing happens if the size is known, or if there are too many sizes.

        Args:
            encode: The encoder in PyTorch.
            x: (1, 3, h', w') network input.
        """
        size = (x.shape[2], x.shape[3])
        with self._lock:
            if size not in self._sessions and len(self._sessions) < _MAX_SIZES and not self.problem:
                try:
                    self._sessions[size] = self._open(encode, x)
                except Exception as error:  # an exporter, a runtime or a driver may raise anything
                    self._give_up(error)

    def run(self, encode: Encode, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch with the session of its size, or with PyTorch if there is none.

        Args:
            encode: The encoder in PyTorch.
            x: (B, 3, h', w') network input.

        Returns:
            What ``encode`` returns.
        """
        session = self._sessions.get((x.shape[2], x.shape[3]))
        if session is None:
            return encode(x)
        try:
            return _with_norm(session)(x)
        except Exception as error:
            self._give_up(error)
            return encode(x)

    def _give_up(self, error: Exception) -> None:
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, ImportError):
            reason = f"expected the packages of `pip install 'lseg_ros[onnxruntime]'`, got none ({reason})"
        self.problem, self.provider = f"ONNX Runtime is not used: {type(error).__name__}: {reason}", ""
        logger.warning(self.problem)
        self._sessions.clear()

    def _open(self, encode: Encode, x: Tensor) -> _Session | None:
        """Return a session with the results of PyTorch, or None if PyTorch is faster."""
        size, file = f"{x.shape[3]}x{x.shape[2]}", self._file(x)
        for is_cached in (True, False):
            try:
                name, session = self._connect(file.read_bytes() if is_cached else self._export(file, x))
                check_encoder(_with_norm(session), encode, x, self._max_error)
                break
            except Exception as error:
                if not is_cached:
                    raise
                if not isinstance(error, FileNotFoundError):
                    logger.warning("%s cannot be used and is written again: %s", file, error)
        if self._only_if_faster:
            ours, theirs = _fastest_ms([_with_norm(session), encode], x)
            logger.info("%s: ONNX Runtime (%s) takes %.1f ms, PyTorch %.1f ms", size, name, ours, theirs)
            if theirs <= ours:
                return None
        logger.info("ONNX Runtime (%s) encodes inputs of %s", name, size)
        self.provider = name
        return session

    def _file(self, x: Tensor) -> Path:
        try:
            weights = sha256(find_checkpoint(self._checkpoint))
        except FileNotFoundError:
            weights = self._checkpoint  # a preset, whose random weights are always the same
        facts = [weights, str(tuple(x.shape)), str(self._dtype), *map(_version, _PACKAGES)]
        key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
        return self._cache / f"{Path(self._checkpoint).stem}-{x.shape[3]}x{x.shape[2]}-{key}.onnx"

    def _export(self, file: Path, x: Tensor) -> bytes:
        """Export the encoder, and write the file if the cache permits."""
        logger.info("exporting the image encoder for inputs of %dx%d, which takes a while", x.shape[3], x.shape[2])
        with torch.inference_mode(False), torch.no_grad():
            model = load_lseg(self._checkpoint)
            for part in (model.backbone, model.decoder):
                fold_batch_norms(part)
                replace_same_padding(part)
                part.to(self._dtype)
            image = torch.zeros(1, *x.shape[1:], dtype=self._dtype)
            exported = export_onnx(_Encoder(model).eval(), image, "low_res")
        try:
            _write_atomically(file, exported)
        except OSError as error:
            logger.warning("the exported encoder cannot be kept, so each start exports it again: %s", error)
        return exported

    def _connect(self, model: bytes) -> tuple[str, _Session]:
        """Open a session with the first provider that works.

        Returns:
            The name of the provider, and the session.
        """
        import onnxruntime

        known = _PROVIDERS.get(self._device.type, ())
        providers = [name for name in known if name in onnxruntime.get_available_providers()]
        failures = []
        for index, name in enumerate(providers):
            try:
                chosen = [(other, self._provider_options(other)) for other in providers[index:]]
                session = onnxruntime.InferenceSession(model, self._session_options(onnxruntime), providers=chosen)
                if session.get_providers()[0] != name:  # its libraries are missing
                    raise RuntimeError("it is installed but cannot be loaded")
                return name, self._bind(session)
            except Exception as error:
                failures.append(f"{name}: {error}")
        raise RuntimeError(
            f"expected one of {', '.join(known) or 'no provider'} for {self._device.type}, got "
            f"{'; '.join(failures) or ', '.join(onnxruntime.get_available_providers())}"
        )

    def _session_options(self, onnxruntime: Any) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3  # errors
        # As for PyTorch (lseg_ros.openmp): a robot's cores have other work too.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def _provider_options(self, name: str) -> dict[str, str]:
        index = str(self._device.index or 0)
        if name == "CUDAExecutionProvider":
            return {"device_id": index}
        if name == "OpenVINOExecutionProvider":
            return {"device_type": "CPU", "num_of_threads": str(self._threads)}
        if name == "TensorrtExecutionProvider":  # it takes minutes to build an engine
            half = str(self._dtype == torch.float16)
            cached = {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(self._cache)}
            return {"device_id": index, "trt_fp16_enable": half, **(cached if os.access(self._cache, os.W_OK) else {})}
        return {}

    def _bind(self, session: Any) -> _Session:
        """Turn a session into a function of a batch (B, 3, h', w').

        The images of a batch run one after the other. Inputs and outputs stay in the memory of PyTorch.
        """
        device, index, shape = self._device.type, self._device.index or 0, session.get_outputs()[0].shape
        input_type = np.float16 if self._dtype == torch.float16 else np.float32

        def run(x: Tensor) -> Tensor:
            x = x.to(self._dtype, memory_format=torch.contiguous_format)
            low_res = torch.empty(len(x), *shape[1:], device=x.device)
            if device == "cuda":
                torch.cuda.current_stream(x.device).synchronize()  # ONNX Runtime has its own stream
            for image, output in zip(x.split(1), low_res.split(1)):
                binding = session.io_binding()
                binding.bind_input("image", device, index, input_type, tuple(image.shape), image.data_ptr())
                binding.bind_output("low_res", device, index, np.float32, tuple(output.shape), output.data_ptr())
                session.run_with_iobinding(binding)  # returns when the output is complete
            return low_res

        return run


class _Encoder(nn.Module):
    """``LSeg.encode_low_res`` as the forward of a module, as exporters require."""

    def __init__(self, model: LSeg) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """(1, 3, h', w') -> (1, C, h'/4, w'/4) float32."""
        return self.model.encode_low_res(image)


def _with_norm(session: _Session) -> Encode:
    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        low_res = session(x)
        return low_res, upsampled_norm(low_res)

    return encode


def _fastest_ms(candidates: Sequence[Encode], x: Tensor) -> list[float]:
    """Return the shortest time of each candidate.

    They run in turn, so that other load affects all alike.
    """
    fastest = [float("inf")] * len(candidates)
    end = time.perf_counter() + _MAX_COMPARED_S
    for _ in range(_MAX_COMPARED_RUNS):
        for index, candidate in enumerate(candidates):
            start = time.perf_counter()
            candidate(x)
            if x.device.type == "cuda":
                torch.cuda.synchronize(x.device)
            fastest[index] = min(fastest[index], (time.perf_counter() - start) * 1e3)
        if time.perf_counter() > end:
            break
    return fastest


def _write_atomically(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=file.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(part).replace(file)
    finally:
        Path(part).unlink(missing_ok=True)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
