"""Words and images in, segmentations out: the network with its device, its precision and its memory for words."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.inference.device import memory_mib, select_device, select_dtype
from lseg_ros.inference.embeddings import PixelEmbeddings, upsampled_norm
from lseg_ros.inference.optimize import fold_batch_norms, prepack_mkldnn
from lseg_ros.inference.postprocess import postprocess
from lseg_ros.inference.preprocess import preprocess
from lseg_ros.model import LSeg, load_lseg
from lseg_ros.settings import check, setting
from lseg_ros.structures import Segmentation
from lseg_ros.vocabulary import Vocabulary

__all__ = ["EncodedVocabulary", "Segmenter", "SegmenterConfig"]

logger = logging.getLogger(__name__)

_MOST_TEXTS = 4096  # whose embeddings are remembered
_TEXTS_AT_ONCE = 128


@dataclass(frozen=True)
class SegmenterConfig:
    """How the network runs."""

    checkpoint: str = setting(
        "demo", "weights: a file, a name of `lseg checkpoint fetch` (demo_e200), or a preset (demo, vitl16, ...)"
    )
    device: str = setting("auto", "where the network runs: auto (a GPU if there is one), cpu, cuda or cuda:N")
    precision: str = setting(
        "auto",
        "of the image encoder; auto is a half precision on a GPU, bfloat16 on a CPU that has it, else float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    compile: bool = setting(False, "optimize the image encoder with torch.compile (needs a C compiler, takes minutes)")
    input_size: int = setting(
        -1, "longer side of the network's input; 0 is the image's own, -1 what the network was made for",
        unit="px", minimum=-1, maximum=8192,
    )  # fmt: skip
    cpu_threads: int = setting(0, "threads of the network on a CPU, 0 for all cores", minimum=0, maximum=1024)
    unlabeled_threshold: float = setting(
        0.0, "softmax of the winning label below which a pixel stays unlabeled", minimum=0.0, maximum=1.0, dynamic=True
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, eq=False)
class EncodedVocabulary:
    """A vocabulary as the network sees it: embeddings (K, C) float32 of unit norm and ids (K,) uint8, on its device."""

    vocabulary: Vocabulary
    embeddings: Tensor
    ids: Tensor


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
        self._known: OrderedDict[str, Tensor] = OrderedDict()  # text -> embedding, the last used last
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
        segmenter = cls(model, config)
        for rest in (model.head, model.regularization, model.text_encoder):
            if rest is not None:
                rest.float()  # words are encoded once, head and logits are small: half precision would gain nothing
        if device.type == "cpu" and not config.compile:
            for part in (model.backbone, model.decoder):
                prepack_mkldnn(part)
        return segmenter

    def encode(self, vocabulary: Vocabulary) -> EncodedVocabulary:
        """Texts to embeddings: each label's is the mean over its synonyms and prompts, normalized again.

        Texts seen before cost nothing. Raises ValueError that names a label too long for the text encoder.
        """
        prompts = [vocabulary.prompts(label) for label in vocabulary.labels]
        with self._lock:
            for label, texts in zip(vocabulary.labels, prompts):
                try:
                    self.model.text_encoder.tokenize([text for text in texts if text not in self._known])
                except ValueError as error:
                    raise ValueError(f"label {label.entry!r}: {error}") from error
            known = self._texts(dict.fromkeys(text for texts in prompts for text in texts))
        embeddings = torch.stack([_mean_direction([known[text] for text in texts]) for texts in prompts])  # (K, C)
        ids = torch.tensor([label.id for label in vocabulary.labels], dtype=torch.uint8, device=self.device)
        return EncodedVocabulary(vocabulary, embeddings, ids)

    def embed(self, image: NDArray[np.uint8]) -> PixelEmbeddings:
        """(H, W, 3) uint8 RGB, 32 pixels or more on each side -> pixel embeddings; done when it returns."""
        return self.embed_all([image])[0]

    @torch.inference_mode()
    def embed_all(self, images: Sequence[NDArray[np.uint8]]) -> list[PixelEmbeddings]:
        """``embed`` for several images: those of which the network's input has one size go through it as one batch.

        Each gives what it gives alone, to rounding. The embeddings of a batch are views of one tensor.
        """
        inputs: defaultdict[torch.Size, list[tuple[int, Tensor, tuple[int, int]]]] = defaultdict(list)
        for index, image in enumerate(images):
            x, valid_size = self._preprocess(image)  # (1, 3, h', w')
            inputs[x.shape].append((index, x, valid_size))
        embedded: dict[int, PixelEmbeddings] = {}
        for batch in inputs.values():
            numbers, pictures = [index for index, _, _ in batch], [picture for _, _, picture in batch]
            sizes = [images[number].shape[:2] for number in numbers]
            embedded.update(zip(numbers, self.embed_input(torch.cat([x for _, x, _ in batch]), pictures, sizes)))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return [embedded[index] for index in range(len(images))]

    @torch.inference_mode()
    def embed_input(
        self, x: Tensor, valid_size: Sequence[tuple[int, int]], sizes: Sequence[tuple[int, int]]
    ) -> list[PixelEmbeddings]:
        """The network's input (B, 3, h', w') on the device -> B embeddings, perhaps not done when it returns.

        valid_size, sizes: see ``PixelEmbeddings``.
        """
        order = torch.channels_last if self.device.type == "cpu" else torch.preserve_format  # oneDNN would reorder
        low_res = self._encode_image(x.to(self.dtype, memory_format=order))  # (B, C, h'/4, w'/4)
        norm = upsampled_norm(low_res)  # (B, 1, h'/2, w'/2)
        return [PixelEmbeddings(*each) for each in zip(low_res.split(1), norm.split(1), valid_size, sizes)]

    @torch.inference_mode()
    def label(
        self, embedded: PixelEmbeddings, encoded: EncodedVocabulary, unlabeled_threshold: float | None = None
    ) -> Segmentation:
        """Pixel embeddings and words -> the label of every pixel; the threshold is the settings' where None."""
        threshold = self.config.unlabeled_threshold if unlabeled_threshold is None else unlabeled_threshold
        both = self.label_on_device(embedded, encoded.embeddings, encoded.ids, threshold).cpu().numpy()
        return Segmentation(both[0], both[1], encoded.vocabulary)

    @torch.inference_mode()
    def label_on_device(self, embedded: PixelEmbeddings, words: Tensor, ids: Tensor, threshold: float = 0.0) -> Tensor:
        """``label`` before it leaves the device: (2, H, W) of the type of ``ids``, label map and confidence.

        words: (K, C) float32 of unit norm. ids: (K,), what the label map says for each, of any integer type.
        """
        where, model = (embedded.valid_size, embedded.size, ids, threshold), self.model
        if model.regularization is not None:  # not linear in the embeddings
            return postprocess(model.correlate(embedded.pixels, words), *where)
        logits = model.correlate(embedded.low_res.float(), words)  # (1, K, h'/4, w'/4)
        return postprocess(logits, *where, norm=embedded.norm)

    def segment(
        self, image: NDArray[np.uint8], encoded: EncodedVocabulary, unlabeled_threshold: float | None = None
    ) -> Segmentation:
        """(H, W, 3) uint8 RGB -> its segmentation, of its own size: ``embed`` and ``label`` in one."""
        return self.label(self.embed(image), encoded, unlabeled_threshold)

    def warm_up(self, height: int, width: int, most: int = 1) -> None:
        """Run on an image of this size, so that the first real frame does not wait for a compiler.

        most: images that will go through as one batch. ``compile`` makes code for each number of images.
        """
        image, encoded = np.full((height, width, 3), 127, np.uint8), self.encode(Vocabulary.of(["anything"]))
        for count in range(1, most + 1) if self.config.compile else (most,):
            self.label(self.embed_all([image] * count)[0], encoded)

    def memory_mib(self) -> dict[str, float]:
        """See ``memory_mib``."""
        return memory_mib(self.device)

    def _preprocess(self, image: NDArray[np.uint8]) -> tuple[Tensor, tuple[int, int]]:
        model = self.model
        mean, std = model.config.image_mean, model.config.image_std
        return preprocess(image, self.input_size, model.stride, mean, std, self.device)

    def _texts(self, texts: Iterable[str]) -> dict[str, Tensor]:
        """Embeddings (C,) of texts, those of new ones made and remembered; needs the lock."""
        found = {text: self._known[text] for text in texts if text in self._known}
        fresh = [text for text in texts if text not in found]
        for first in range(0, len(fresh), _TEXTS_AT_ONCE):
            some = fresh[first : first + _TEXTS_AT_ONCE]
            found.update(zip(some, self.model.encode_text(some)))
        for text in texts:
            self._known[text] = found[text]
            self._known.move_to_end(text)
        while len(self._known) > _MOST_TEXTS:
            self._known.popitem(last=False)
        return found


def _limit_threads(config: SegmenterConfig) -> None:
    if config.cpu_threads:
        torch.set_num_threads(config.cpu_threads)


def _mean_direction(embeddings: Sequence[Tensor]) -> Tensor:
    """Unit vectors (C,) -> their mean, normalized again; a single one stays as it is to the last bit."""
    if len(embeddings) == 1:
        return embeddings[0]
    return torch.nn.functional.normalize(torch.stack(list(embeddings)).mean(dim=0), dim=0)
