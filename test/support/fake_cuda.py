"""A CUDA device without a GPU: tensors have a device, a dtype and a shape, but no values.

PyTorch's FakeTensorMode rejects operations on tensors of different devices, as a GPU does. Here every copy between the
host and the device is recorded as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lseg_ros.inference import postprocess, postprocess_triton, preprocess

__all__ = ["DEVICE", "Transfers", "fake_cuda"]

DEVICE = torch.device("cuda:0")
_CACHES = (
    postprocess._row_weights,
    postprocess_triton._tables,
    preprocess._channel_constants,
    preprocess._resize_weights,
)


class Transfers(TorchDispatchMode):
    """Records the copies between the host and the device.

    Attributes:
        uploads: Bytes of each copy to the device.
        downloads: Bytes of each copy to the host.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uploads: list[int] = []
        self.downloads: list[int] = []

    def clear(self) -> None:
        """Forget all copies."""
        self.uploads.clear()
        self.downloads.clear()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for output in tree_leaves(result):
            for source in tree_leaves((args, kwargs)):
                if isinstance(output, Tensor) and isinstance(source, Tensor) and output.device != source.device:
                    (self.uploads if output.device == DEVICE else self.downloads).append(source.nbytes)
        return result


class _Values(TorchFunctionMode):
    """Replaces what needs values or the driver: pinned memory, arrays of numpy, and decisions."""

    def __init__(self, transfers: Transfers) -> None:
        super().__init__()
        self._transfers = transfers

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "pin_memory":
            return args[0]
        if name == "numpy":
            assert args[0].device.type == "cpu", "expected a tensor on the host"
            return np.zeros(tuple(args[0].shape), str(args[0].dtype).removeprefix("torch."))
        if name == "__bool__":
            self._transfers.downloads.append(args[0].nbytes)
            return True
        return func(*args, **(kwargs or {}))


@contextmanager
def fake_cuda() -> Iterator[Transfers]:
    """Run the code of a ``with`` block as if there were a CUDA device.

    Within the block, every new tensor has no values.
    """
    transfers = Transfers()
    with (
        mock.patch.multiple("torch.cuda", synchronize=mock.DEFAULT, device_of=nullcontext),
        FakeTensorMode(allow_non_fake_inputs=True),
        _Values(transfers),
        transfers,
    ):
        for cache in _CACHES:  # tensors from outside have values, those from inside have none
            cache.cache_clear()
        try:
            yield transfers
        finally:
            for cache in _CACHES:
                cache.cache_clear()
