"""CUDA graphs of the image encoder: one launch per batch instead of one per layer."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from lseg_ros.inference.self_check import Encode, check_encoder

__all__ = ["Capture", "CudaGraphs", "Encode", "capture_cuda_graph"]

logger = logging.getLogger(__name__)

Capture = Callable[[Encode, Tensor], Encode]

_MAX_SHAPES = 8  # each graph keeps the memory of its activations
_MAX_ERROR = 0.05  # of a pixel, relative to its length; two algorithms for bfloat16 differ by less


def capture_cuda_graph(encode: Encode, x: Tensor) -> Encode:
    """Capture the encoder for the shape and dtype of an input.

    Args:
        encode: The encoder.
        x: An input on a GPU.

    Returns:
        A function that replays the graph. Its results are copies, which the next replay does not overwrite.
    """
    with torch.cuda.device(x.device):
        static_input, stream = torch.zeros_like(x), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            encode(static_input)  # libraries allocate their workspaces
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads, which encode labels, may allocate memory meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            static_outputs = encode(static_input)

    def replay(x: Tensor) -> tuple[Tensor, Tensor]:
        static_input.copy_(x)
        graph.replay()
        low_res, norm = static_outputs
        return low_res.clone(), norm.clone()

    return replay


class CudaGraphs:
    """The graphs of an encoder, one per input shape.

    The first input of a shape runs without a graph. The second one captures a graph and compares it with the encoder.
    After a difference or an exception, no graph is used anymore.

    Attributes:
        problem: Why no graph is used, or "".
    """

    def __init__(self, capture: Capture = capture_cuda_graph) -> None:
        self.problem = ""
        self._capture = capture
        self._replays: OrderedDict[torch.Size, Encode | None] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()  # a graph has one input buffer

    def run(self, encode: Encode, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            encode: The encoder, the same in every call.
            x: (B, 3, h', w') network input.

        Returns:
            What ``encode`` returns.
        """
        with self._lock:
            replay = self._replays.get(x.shape)
            if replay is None and x.shape in self._replays and not self.problem:
                replay = self._capture_and_check(encode, x)
            self._replays[x.shape] = replay
            self._replays.move_to_end(x.shape)
            if len(self._replays) > _MAX_SHAPES:
                self._replays.popitem(last=False)
            return encode(x) if replay is None else replay(x)

    def _capture_and_check(self, encode: Encode, x: Tensor) -> Encode | None:
        try:
            replay = self._capture(encode, x)
            check_encoder(replay, encode, x, _MAX_ERROR)
        except Exception as error:  # a driver or a library may raise anything
            self.problem = f"CUDA graphs are not used: {type(error).__name__}: {error}"
            logger.warning(self.problem)
            self._replays.clear()
            return None
        return replay
