"""A saved language map as the source of a page."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from lseg_ros.inference import Segmenter
from lseg_ros.mapping import LanguageMap, find, label_voxels
from lseg_ros.mapping.picture import heat_colors, view_from_above
from lseg_ros.query import QueryResult
from lseg_ros.structures import Frame, Segmentation
from lseg_ros.view.feed import Found, LabeledFrame, MapCloud
from lseg_ros.visualization import palette
from lseg_ros.vocabulary import Vocabulary, parse_synonyms

__all__ = ["MapFeed"]

_SIDE_PX = 640


class MapFeed:
    """A ``Feed`` with one frame: the map from above.

    Attributes:
        title: Name of the map.
        length: 1.
        moving: False.
        threshold: The initial ``unlabeled_threshold``.
        cameras: No names, because a map has no camera.
        camera: "".
    """

    length = 1
    moving = False

    def __init__(self, segmenter: Segmenter, language_map: LanguageMap, vocabulary: Vocabulary, title: str) -> None:
        """Encode the labels.

        Args:
            segmenter: The network of the map.
            language_map: The map. It must not change.
            vocabulary: The initial labels.
            title: Path of the map.

        Raises:
            ValueError: If the map is empty, or the network cannot encode a label.
        """
        if not len(language_map):
            raise ValueError(f"{title}: expected a map with voxels, got an empty one")
        self.title = title
        configured = segmenter.config.unlabeled_threshold
        self._threshold = configured if configured >= 0 else segmenter.model.config.unlabeled_threshold
        self.threshold: float | None = self._threshold
        self.cameras: Sequence[str] = ()
        self.camera = ""
        self._segmenter = segmenter
        self._map = language_map
        self._voxels = language_map.voxels()
        self._above = view_from_above(self._voxels, language_map.config.map_voxel_m, max_side_px=_SIDE_PX)
        self._frame = Frame(self._above.paint(self._voxels.colors))
        self._encoded = segmenter.encode(vocabulary)
        self._labels = np.zeros(len(language_map), np.uint8)  # of the voxels

    def read(self, index: int, timeout_s: float) -> LabeledFrame:
        """Label the map."""
        start_s = time.perf_counter()
        words, ids = (tensor.cpu().numpy() for tensor in self._encoded.candidates)
        self._labels, confidence = label_voxels(self._map, words, ids, self._threshold)
        above, is_shown = self._above.index, self._above.index >= 0
        maps = [np.where(is_shown, values[above], 0).astype(np.uint8) for values in (self._labels, confidence)]
        segmentation = Segmentation(maps[0], maps[1], self._encoded.vocabulary)
        return LabeledFrame(self.title, 0, self._frame, segmentation, (time.perf_counter() - start_s) * 1e3)

    def read_again(self, timeout_s: float) -> LabeledFrame:
        """Label the map with the current labels and threshold."""
        return self.read(0, timeout_s)

    def set_labels(self, entries: Sequence[str], colors: Sequence[str] | None = None) -> None:
        """Encode other labels."""
        self._encoded = self._segmenter.encode(self._encoded.vocabulary.replace(entries, colors=colors))

    def set_threshold(self, threshold: float) -> None:
        """Use another threshold from the next labeling on."""
        self._threshold = threshold

    def select_camera(self, name: str) -> None:
        """Do nothing: there is no camera."""

    def query(self, text: str) -> Found:
        """Find the best place of a text.

        Its point is in the map, and its pixel in the map from above.
        """
        parse_synonyms(text, "text")
        word = self._encode(text)
        (place,) = find(self._map, word, 1)
        similarity = self._map.similarity(word)
        picture = np.where(self._above.index >= 0, similarity[self._above.index], similarity.min())
        return Found(
            self._frame, QueryResult(picture, place.score, self._above.pixel(place.point), place.point), in_map=True
        )

    def has_map(self) -> bool:
        """Return True."""
        return True

    def map_cloud(self, query: str, hidden: Collection[int]) -> MapCloud:
        """Return the voxels, colored by similarity or by label.

        Unlabeled ones have the color of the images.
        """
        if query:
            return MapCloud(self._voxels.centers, heat_colors(self._map.similarity(self._encode(query))))
        colors = palette(self._encoded.vocabulary)[self._labels]
        colors[self._labels == 0] = self._voxels.colors[self._labels == 0]
        shown = ~np.isin(self._labels, list(hidden))
        return MapCloud(self._voxels.centers[shown], colors[shown])

    def rest(self) -> None:
        """Do nothing: the network stays loaded."""

    def command(self, frame: LabeledFrame, image: str) -> str:
        """Return the ``lseg view`` command of this map and its labels."""
        vocabulary = self._encoded.vocabulary
        words = ["lseg", "view", self.title, "--labels", *vocabulary.entries]
        if vocabulary.prompt_templates != ("{}",):
            words += ["--prompt-templates", *vocabulary.prompt_templates]
        return shlex.join(words)

    def _encode(self, text: str) -> NDArray[np.float32]:
        """Encode a text, (C,) float32 of unit norm."""
        vocabulary = Vocabulary.of([text], prompt_templates=self._encoded.vocabulary.prompt_templates)
        return np.asarray(self._segmenter.encode(vocabulary, competing=False).embeddings[0].cpu().numpy(), np.float32)
