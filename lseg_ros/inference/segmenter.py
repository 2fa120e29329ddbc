"""The segmenter: a network with its device, its precision and a cache of text embeddings."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ParamSpec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.inference import postprocess_triton
from lseg_ros.inference.cuda_graphs import Capture, CudaGraphs, capture_cuda_graph
from lseg_ros.inference.device import memory_mib, select_device, select_dtype
from lseg_ros.inference.embeddings import PixelEmbeddings, upsampled_norm
from lseg_ros.inference.onnx_engine import OnnxEngine, is_installed
from lseg_ros.inference.optimize import fold_batch_norms, prepack_mkldnn, replace_same_padding
from lseg_ros.inference.postprocess import postprocess
from lseg_ros.inference.preprocess import preprocess
from lseg_ros.inference.self_check import Postprocess, check_postprocess, check_upload
from lseg_ros.model import LSeg, load_lseg
from lseg_ros.settings import check, setting
from lseg_ros.structures import Segmentation
from lseg_ros.vocabulary import UNLABELED, Vocabulary

__all__ = ["EncodedVocabulary", "Segmenter", "SegmenterConfig"]

logger = logging.getLogger(__name__)

P = ParamSpec("P")

_MAX_CACHED_TEXTS = 4096
_TEXT_BATCH_SIZE = 128
_SAME_MEANING = 0.6  # from the cosine of an average text (0) to 1
# What a single label competes with: the softmax of one label is always 1, so it would win every pixel.
_OTHER_THINGS = (
    "wall", "floor", "ceiling", "window", "door", "table", "chair", "sofa", "bed", "cabinet", "lamp", "television",
    "sky", "road", "sidewalk", "building", "tree", "grass", "car", "fence", "pole", "person", "animal", "food", "tool",
    "box", "other",
)  # fmt: skip


@dataclass(frozen=True)
class SegmenterConfig:
    """Settings of the network: weights, device, precision and input size."""

    checkpoint: str = setting(
        "demo", "weights: a file, a name known to `lseg checkpoint fetch` (demo_e200), or a preset (demo, vitl16, ...)"
    )
    device: str = setting("auto", "where the network runs: auto (a GPU if there is one), cpu, cuda or cuda:N")
    precision: str = setting(
        "auto",
        "precision of the image encoder; auto: half precision on a GPU, bfloat16 if the CPU supports it, else float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    engine: str = setting(
        "auto",
        "what runs the image encoder; auto: the faster one of PyTorch and, if installed, ONNX Runtime",
        choices=("auto", "torch", "onnxruntime"),
    )
    compile: bool = setting(False, "optimize the image encoder with torch.compile (needs a C compiler, takes minutes)")
    input_size: int = setting(
        -1, "longer side of the network's input; 0 is the size of the image, -1 the size the network was trained for",
        unit="px", minimum=-1, maximum=8192,
    )  # fmt: skip
    cpu_threads: int = setting(0, "CPU threads of the network; 0 uses all cores", minimum=0, maximum=1024)
    unlabeled_threshold: float = setting(
        -1.0,
        "pixels whose winning label has a lower softmax are unlabeled; -1 is the threshold that comes with the network "
        "(0.4 for demo, otherwise 0)",
        minimum=-1.0,
        maximum=1.0,
        dynamic=True,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, eq=False)
class EncodedVocabulary:
    """A vocabulary and its embeddings, on the device of the network.

    Attributes:
        vocabulary: The K labels.
        embeddings: (K, C) float32 of unit norm.
        ids: (K,) uint8 ids of the labels.
        others: (N, C) float32 embeddings of the things that a single label competes with; None for several labels.
    """

    vocabulary: Vocabulary
    embeddings: Tensor
    ids: Tensor
    others: Tensor | None = None

    @cached_property
    def candidates(self) -> tuple[Tensor, Tensor]:
        """(K + N, C) embeddings and (K + N,) uint8 ids of the labels and the other things.

        The id of the other things is 0, unlabeled.
        """
        if self.others is None:
            return self.embeddings, self.ids
        ids = torch.nn.functional.pad(self.ids, (0, len(self.others)), value=UNLABELED)
        return torch.cat([self.embeddings, self.others]), ids


class Segmenter:
    """Segment images with a network, on one device and in one precision.

    ``encode`` is slow; any thread may call it, also while another thread is in ``segment``.

    Attributes:
        config: The settings.
        model: The network, on ``device``.
        device: Where the network runs.
        dtype: The dtype of the image encoder.
        input_size: The longer side of the network's input in pixels; 0 keeps the size of each image.
    """

    def __init__(self, model: LSeg, config: SegmenterConfig) -> None:
        """Use a network as it is, for example one in training.

        The network moves to the device of the settings, and its image encoder to their precision.

        Args:
            model: The network. It is modified, not copied.
            config: The settings; ``checkpoint`` only names the network in the log.

        Raises:
            ValueError: If the device does not exist.
        """
        _limit_threads(config)
        self.config = config
        self.device = select_device(config.device)
        self.dtype = select_dtype(config.precision, self.device)
        self.model = model.to(self.device)
        for part in (model.backbone, model.decoder):
            part.to(self.dtype)
        self.input_size = model.config.input_size_px if config.input_size < 0 else config.input_size
        self._encode_image: Callable[[Tensor], Tensor] = (
            torch.compile(model.encode_low_res) if config.compile else model.encode_low_res
        )
        self._resize_on_device = False
        self._graphs: CudaGraphs | None = None
        self._onnx: OnnxEngine | None = None
        self._prepares_sizes = config.engine == "onnxruntime"  # with auto, only what runs for long, see warm_up
        self._postprocess: Postprocess = postprocess
        self._problems: list[str] = []
        self._cache: OrderedDict[str, Tensor] = OrderedDict()  # text -> embedding, least recently used first
        self._lock = threading.Lock()
        logger.info("%s on %s in %s", config.checkpoint, self.device, self.dtype)

    @classmethod
    def from_checkpoint(cls, config: SegmenterConfig) -> Segmenter:
        """Load the network of the settings and optimize it for inference.

        Raises:
            FileNotFoundError: If the checkpoint does not exist.
            ValueError: If the checkpoint is not an LSeg network, or the device does not exist.
        """
        _limit_threads(config)
        device = select_device(config.device)  # fails before a large file is read
        # The entries of a float16 file reach the device as they are: a small host never holds them at twice the size.
        model = load_lseg(config.checkpoint, dtype=None)
        for part in (model.backbone, model.decoder):
            fold_batch_norms(part)
            replace_same_padding(part)
        segmenter = cls(model, config)
        for rest in (model.head, model.regularization, model.text_encoder):
            if rest is not None:
                rest.float()  # words are encoded once, head and logits are small: half precision would gain nothing
        if device.type == "cpu" and not config.compile:
            for part in (model.backbone, model.decoder):
                prepack_mkldnn(part)
        if device.type == "cuda":
            segmenter.accelerate()
        if config.engine == "onnxruntime" or (config.engine == "auto" and not config.compile and is_installed()):
            only_if_faster = config.engine == "auto"
            segmenter._onnx = OnnxEngine(config.checkpoint, device, segmenter.dtype, only_if_faster=only_if_faster)
        return segmenter

    @property
    def channels(self) -> int:
        """Number of channels of the embeddings."""
        return self.model.config.text.embed_dim

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the network: embeddings of different networks cannot be compared.

        It is a hash of the head, which every training changes, in half precision: that of the file.
        """
        digest = hashlib.sha256()
        for name, value in sorted(self.model.head.state_dict().items()):
            digest.update(name.encode() + value.detach().half().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def problems(self) -> list[str]:
        """The faster code that failed its check and is not used, with the reasons."""
        return [*self._problems, *(part.problem for part in (self._graphs, self._onnx) if part and part.problem)]

    @property
    def engine(self) -> str:
        """What runs the image encoder: PyTorch, or ONNX Runtime and its execution provider."""
        return f"ONNX Runtime, {self._onnx.provider}" if self._onnx and self._onnx.provider else "PyTorch"

    @torch.inference_mode()
    def accelerate(
        self,
        fast_postprocess: Postprocess | None = postprocess_triton.postprocess if postprocess_triton.AVAILABLE else None,
        capture: Capture = capture_cuda_graph,
    ) -> None:
        """Use faster code for GPUs, if it gives the results of the plain code on this device.

        What differs or raises an exception is not used; ``problems`` and the log say why. CUDA graphs are checked when
        they are captured, at the second batch of a size. The network must not change afterwards.

        Args:
            fast_postprocess: Replaces ``postprocess``; None without Triton.
            capture: Captures a CUDA graph.
        """
        self._resize_on_device = self._passes("resizing on the device", check_upload, self.device)
        if fast_postprocess and self._passes("Triton kernel", check_postprocess, fast_postprocess, self.device):
            self._postprocess = fast_postprocess
        self._graphs = CudaGraphs(capture)

    def _passes(self, name: str, check: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
        try:
            check(*args, **kwargs)
        except Exception as error:  # a driver or a compiler may raise anything
            self._problems.append(f"{name} is not used: {type(error).__name__}: {error}")
            logger.warning(self._problems[-1])
            return False
        return True

    def encode(self, vocabulary: Vocabulary, *, competing: bool = True) -> EncodedVocabulary:
        """Compute the embeddings of a vocabulary.

        The embedding of a label is the mean over its synonyms and prompts, normalized again. Texts are cached.

        Args:
            vocabulary: The labels.
            competing: Let a single label compete with other things. Masks need it, similarities do not.

        Raises:
            ValueError: If a label is too long for the text encoder; the message names it.
        """
        prompts = [vocabulary.prompts(label) for label in vocabulary.labels]
        with self._lock:
            for label, texts in zip(vocabulary.labels, prompts):
                try:
                    self.model.text_encoder.tokenize([text for text in texts if text not in self._cache])
                except ValueError as error:
                    raise ValueError(f"label {label.entry!r}: {error}") from error
            encoded = self._encode_texts(dict.fromkeys(text for texts in prompts for text in texts))
            things = self._encode_texts(_OTHER_THINGS) if competing and len(prompts) == 1 else {}
        embeddings = torch.stack([_normalized_mean([encoded[text] for text in texts]) for texts in prompts])  # (K, C)
        ids = torch.tensor([label.id for label in vocabulary.labels], dtype=torch.uint8, device=self.device)
        others = _different_texts(embeddings[0], torch.stack(list(things.values()))) if things else None
        return EncodedVocabulary(vocabulary, embeddings, ids, others)

    def embed(self, image: NDArray[np.uint8]) -> PixelEmbeddings:
        """Compute the pixel embeddings of an image.

        Args:
            image: (H, W, 3) uint8 RGB, at least 32 pixels on each side.

        Raises:
            ValueError: If the image is smaller.
        """
        return self.embed_all([image])[0]

    @torch.inference_mode()
    def embed_all(self, images: Sequence[NDArray[np.uint8]]) -> list[PixelEmbeddings]:
        """Compute the pixel embeddings of several images, like ``embed``.

        Images whose network inputs have the same size form one batch. The results are those of single images, up to
        rounding. The embeddings of a batch are views of one tensor. On a GPU, the work is done when this returns.
        """
        inputs: defaultdict[torch.Size, list[tuple[int, Tensor, tuple[int, int]]]] = defaultdict(list)
        for index, image in enumerate(images):
            x, valid_size = self._preprocess(image)  # (1, 3, h', w')
            inputs[x.shape].append((index, x, valid_size))
        embedded: dict[int, PixelEmbeddings] = {}
        for batch in inputs.values():
            indices, valid_sizes = [index for index, _, _ in batch], [valid_size for _, _, valid_size in batch]
            sizes = [images[index].shape[:2] for index in indices]
            embedded.update(zip(indices, self.embed_input(torch.cat([x for _, x, _ in batch]), valid_sizes, sizes)))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return [embedded[index] for index in range(len(images))]

    @torch.inference_mode()
    def embed_input(
        self, x: Tensor, valid_sizes: Sequence[tuple[int, int]], sizes: Sequence[tuple[int, int]]
    ) -> list[PixelEmbeddings]:
        """Compute the pixel embeddings of a batch.

        On a GPU, the work may not be done when this returns.

        Args:
            x: (B, 3, h', w') network input, on the device.
            valid_sizes: B sizes (h, w), see ``PixelEmbeddings``.
            sizes: B image sizes (H, W).
        """
        low_res, norm = self._encode(self._to_encoder(x))
        return [PixelEmbeddings(*fields) for fields in zip(low_res.split(1), norm.split(1), valid_sizes, sizes)]

    @torch.inference_mode()
    def label(
        self, embedded: PixelEmbeddings, encoded: EncodedVocabulary, unlabeled_threshold: float | None = None
    ) -> Segmentation:
        """Label every pixel of an image.

        Args:
            embedded: The pixel embeddings of the image.
            encoded: The labels.
            unlabeled_threshold: Replaces the threshold of the settings; negative for that of the network.
        """
        threshold = self.config.unlabeled_threshold if unlabeled_threshold is None else unlabeled_threshold
        if threshold < 0:
            threshold = self.model.config.unlabeled_threshold
        maps = self.label_on_device(embedded, *encoded.candidates, threshold).cpu().numpy()
        if encoded.others is not None:
            maps[1][maps[0] == UNLABELED] = 0  # pixels of the other things
        return Segmentation(maps[0], maps[1], encoded.vocabulary)

    @torch.inference_mode()
    def label_on_device(self, embedded: PixelEmbeddings, words: Tensor, ids: Tensor, threshold: float = 0.0) -> Tensor:
        """Label every pixel of an image, without transferring the result from the device.

        Args:
            embedded: The pixel embeddings of the image.
            words: (K, C) float32 embeddings of the labels, of unit norm.
            ids: (K,) value of each label in the label map, of any integer type.
            threshold: Pixels whose winning label has a lower softmax are unlabeled.

        Returns:
            (2, H, W) of the dtype of ``ids``: label map and confidence.
        """
        arguments, model = (embedded.valid_size, embedded.size, ids, threshold), self.model
        if model.regularization is not None:  # not linear in the embeddings, so it needs normalized ones
            return self._postprocess(model.correlate(embedded.pixels, words), *arguments)
        logits = model.correlate(embedded.low_res.float(), words)  # (1, K, h'/4, w'/4)
        return self._postprocess(logits, *arguments, norm=embedded.norm)

    def segment(
        self, image: NDArray[np.uint8], encoded: EncodedVocabulary, unlabeled_threshold: float | None = None
    ) -> Segmentation:
        """Segment an image: ``embed`` and ``label`` in one call.

        Args:
            image: (H, W, 3) uint8 RGB, at least 32 pixels on each side.
            encoded: The labels.
            unlabeled_threshold: Replaces the threshold of the settings.

        Returns:
            Label map and confidence of the size of the image.
        """
        return self.label(self.embed(image), encoded, unlabeled_threshold)

    def warm_up(self, height: int, width: int, max_batch: int = 1) -> None:
        """Run once on a gray image, so that the first real frame does not wait for a compiler.

        With ``engine: auto``, this decides whether ONNX Runtime runs the encoder for images of this shape. Later, the
        first image of another shape does.

        Args:
            height: Height of the expected images in pixels.
            width: Width of the expected images in pixels.
            max_batch: Largest number of images in a batch. ``compile`` compiles for every number up to this.
        """
        image, encoded = np.full((height, width, 3), 127, np.uint8), self.encode(Vocabulary.of(["anything"]))
        if self._onnx is not None:
            self._prepares_sizes = True
            with torch.inference_mode():
                self._onnx.prepare(self._encode_with_torch, self._to_encoder(self._preprocess(image)[0]))
        for count in range(1, max_batch + 1) if self.config.compile else (max_batch,):
            for _ in range(1 if self._graphs is None else 2):  # the second run captures the graph
                self.label(self.embed_all([image] * count)[0], encoded)

    def memory_mib(self) -> dict[str, float]:
        """Return the memory in use in MiB, by name, see ``lseg_ros.inference.device.memory_mib``."""
        return memory_mib(self.device)

    def _preprocess(self, image: NDArray[np.uint8]) -> tuple[Tensor, tuple[int, int]]:
        model = self.model
        mean, std = model.config.image_mean, model.config.image_std
        arguments = (image, self.input_size, model.stride, mean, std, self.device)
        return preprocess(*arguments, resize_on_device=self._resize_on_device)

    def _to_encoder(self, x: Tensor) -> Tensor:
        memory_format = torch.channels_last if self.device.type == "cpu" else torch.preserve_format  # oneDNN's order
        return x.to(self.dtype, memory_format=memory_format)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, h', w') -> ``low_res`` and ``norm`` of the embeddings of the batch."""
        if self._onnx is None:
            return self._encode_with_torch(x)
        if self._prepares_sizes:
            self._onnx.prepare(self._encode_with_torch, x[:1])
        return self._onnx.run(self._encode_with_torch, x)

    def _encode_with_torch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._encode_eagerly(x) if self._graphs is None else self._graphs.run(self._encode_eagerly, x)

    def _encode_eagerly(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low_res = self._encode_image(x)
        return low_res, upsampled_norm(low_res)

    def _encode_texts(self, texts: Iterable[str]) -> dict[str, Tensor]:
        """Return the embedding (C,) of each text, from the cache if possible.

        The caller must hold the lock.
        """
        found = {text: self._cache[text] for text in texts if text in self._cache}
        missing = [text for text in texts if text not in found]
        # In a larger batch on a CPU, the last bits of an embedding depend on the other texts of the batch, and a label
        # would give other confidences after other labels.
        batch_size = 1 if self.device.type == "cpu" else _TEXT_BATCH_SIZE
        for first in range(0, len(missing), batch_size):
            batch = missing[first : first + batch_size]
            found.update(zip(batch, self.model.encode_text(batch)))
        for text in texts:
            self._cache[text] = found[text]
            self._cache.move_to_end(text)
        while len(self._cache) > _MAX_CACHED_TEXTS:
            self._cache.popitem(last=False)
        return found


def _limit_threads(config: SegmenterConfig) -> None:
    if config.cpu_threads:
        torch.set_num_threads(config.cpu_threads)


def _different_texts(label: Tensor, texts: Tensor) -> Tensor:
    """Drop the texts that mean nearly the same as a label.

    The limit depends on the average text, because the cosines of CLIP are all high.

    Args:
        label: (C,) of unit norm.
        texts: (T, C) of unit norm.

    Returns:
        (N, C) the other texts.
    """
    cosines = texts @ label  # (T,)
    return texts[cosines < cosines.median().lerp(torch.ones_like(cosines[0]), _SAME_MEANING)]


def _normalized_mean(embeddings: Sequence[Tensor]) -> Tensor:
    """Return the normalized mean of unit vectors (C,). A single vector is returned unchanged."""
    if len(embeddings) == 1:
        return embeddings[0]
    return torch.nn.functional.normalize(torch.stack(list(embeddings)).mean(dim=0), dim=0)
