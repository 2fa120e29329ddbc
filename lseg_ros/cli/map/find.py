"""``lseg map find``: find a text in a language map."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import tyro

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.mapping import find, load_map
from lseg_ros.mapping.picture import draw_map, heat_colors, write_picture
from lseg_ros.settings import check, setting
from lseg_ros.vocabulary import Vocabulary

__all__ = ["SETTINGS", "FindSettings", "run"]


@dataclass(frozen=True)
class FindSettings:
    """Find a text in a map that ``lseg map`` or the node saved.

    Prints the places, best first: the point on the object that is nearest to its center, its size, its score (cosine
    similarity, -1 to 1), and the time of its last observation.
    """

    map: tyro.conf.Positional[str] = setting("", "file of the map")  # noqa: RUF009
    text: tyro.conf.Positional[str] = setting("", "what to find; '|' separates synonyms")  # noqa: RUF009
    places: int = setting(5, "largest number of places", minimum=1)
    threshold: float = setting(-1.0, "smallest score; it depends on the checkpoint", minimum=-1.0, maximum=1.0)
    prompt_templates: tuple[str, ...] = setting(
        ("{}",), "prompts in which {} stands for the text; their embeddings are averaged"
    )
    picture: str = setting("", "file (.png) for a picture of the map from above, colored by similarity; empty for none")
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)

    def __post_init__(self) -> None:
        check(self)
        for name in ("map", "text"):
            if not getattr(self, name):
                raise ValueError(f"{name}: expected a value, got none")


SETTINGS = FindSettings


def run(settings: FindSettings) -> int:
    """Print the places. The status is 1 if there is none."""
    vocabulary = Vocabulary.of([settings.text], prompt_templates=settings.prompt_templates)
    segmenter = Segmenter.from_checkpoint(settings.network)
    language_map = load_map(settings.map, segmenter.fingerprint)
    text = segmenter.encode(vocabulary, competing=False).embeddings[0].cpu().numpy()
    places = find(language_map, text, settings.places, settings.threshold)
    for rank, place in enumerate(places, start=1):
        x, y, z = place.point
        size = " x ".join(f"{length:.2f}" for length in place.upper - place.lower)
        seen_s = place.last_seen_ns / 1e9
        print(
            f"{rank}. x {x:.2f} y {y:.2f} z {z:.2f} m, size {size} m, score {place.score:.2f}, seen at {seen_s:.3f} s"
        )
    if settings.picture:
        colors = heat_colors(language_map.similarity(text))
        picture = draw_map(language_map.voxels(), language_map.config.map_voxel_m, colors, places)
        write_picture(Path(settings.picture).expanduser(), picture)
    if not places:
        print(f"nothing in the map matches {settings.text!r}")
    return 0 if places else 1
