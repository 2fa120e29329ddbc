"""Training on several data sets: shares, labels, validation and resuming."""

from __future__ import annotations

import collections
import csv
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from lseg_ros.datasets import IGNORE
from lseg_ros.datasets.mix import read_mix
from lseg_ros.datasets.mixed_images import MixedImages, open_mix
from lseg_ros.training import trainer as trainer_module
from lseg_ros.training.batches import Batch, Batches, build_label_sampler
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.optimization import set_learning_rates
from lseg_ros.training.schedule import MixSchedule, ScheduleConfig
from lseg_ros.training.train import train
from test.support.dataset_trees import write_image, write_mask, write_text
from test.support.small_run import changed, read_weights, small_run

ROOT = Path(__file__).resolve().parents[2]
SETS = """
sets:
  shapes: {root: data, share: 2, ignore: [lawn], synonyms: {sea: [ocean]}}
  rooms: {root: rooms, share: 1}
  synthetic: {dataset: synthetic, share: 1, frames: 500, width: 64, height: 48, colors: true}
"""
SCHEDULE = MixSchedule(
    513, ScheduleConfig(), seed=3, sizes=(7, 6, 500), shares=(0.5, 0.4999, 0.0001), shuffled_sets=(True, True, False)
)


def write_rooms(root: Path) -> None:
    """Write two training images and one validation image, each with one labeled half."""
    write_text(root / "labels.txt", "floor", "wall", "sea")
    for split, count in (("train", 2), ("val", 1)):
        for number in range(count):
            mask = np.full((64, 64), 255, np.uint8)
            mask[32:] = number
            write_mask(root / "masks" / split / f"r{number}.png", mask)
            write_image(root / "images" / split / f"r{number}.png", 64, 64)


def mix_run(folder: Path, text: str = SETS, **settings: Any) -> TrainingConfig:
    """Write the sets and a mix file, and return the settings of a small run."""
    config = small_run(folder, validation_images=2, pictures=2)
    write_rooms(folder / "rooms")
    return changed(config, mix=str(write_text(folder / "mix.yaml", text)), root=str(folder), **settings)


def open_images(folder: Path, text: str = SETS) -> MixedImages:
    return open_mix(read_mix(mix_run(folder, text).mix))


def collect_batches(config: TrainingConfig, count: int) -> tuple[Batches, list[Batch]]:
    mix = read_mix(config.mix, config.data.root)
    images = open_mix(mix)
    sizes = tuple(len(part.images) for part in images.sets)
    schedule = MixSchedule(
        len(images), config.schedule, config.seed, sizes=sizes, shares=mix.shares, shuffled_sets=(True,) * len(sizes)
    )
    batches = Batches(config, images, build_label_sampler(images, config), schedule, (127, 127, 127))
    found = [batches[number] for number in range(count)]
    assert all(isinstance(batch, Batch) for batch in found)
    return batches, [batch for batch in found if isinstance(batch, Batch)]


def test_every_block_of_samples_has_the_shares() -> None:
    for block in range(2):
        indices = [SCHEDULE.image_index(block * 1000 + position) for position in range(1000)]
        counts = collections.Counter(0 if index < 7 else 1 if index < 13 else 2 for index in indices)
        assert counts == {0: 500, 1: 499, 2: 1}  # at least one image of each set


def test_every_image_of_a_set_is_seen_before_one_is_seen_again() -> None:
    indices = [SCHEDULE.image_index(index) for index in range(3000)]
    first = [index for index in indices if index < 7]
    assert all(sorted(first[start : start + 7]) == list(range(7)) for start in range(0, 1400, 7))
    assert first[:7] != first[7:14]
    assert [index for index in indices if index >= 13] == [13, 14, 15]  # scenes keep their order


def test_classes_are_those_of_all_sets_and_targets_index_them(tmp_path: Path) -> None:
    images = open_images(tmp_path)
    assert images.classes[:5] == ("ball|sphere", "sea", "floor", "wall", "sea")
    assert len(images) == 8 + 2 + 500
    assert set(np.unique(images[0].target)) == {IGNORE, 0, 1}  # the lawn is ignored
    assert set(np.unique(images[8].target)) == {IGNORE, 2}
    assert images.name(9).endswith("rooms/images/train/r1.png")
    assert set(np.unique(images[10].target)) <= {IGNORE, *range(5, len(images.classes))}
    red_ball, ball = images.classes.index("red ball"), images.classes.index("ball")
    assert images.parents[red_ball] == ball


def test_ignoring_a_class_with_colors_ignores_its_colors(tmp_path: Path) -> None:
    images = open_images(
        tmp_path, "sets: {s: {dataset: synthetic, share: 1, colors: true, ignore: [ball], width: 64, height: 48}}"
    )
    assert not [name for name in images.classes if name.endswith("ball")]
    red_cup, cup = images.classes.index("red cup"), images.classes.index("cup")
    assert images.parents[red_cup] == cup


def test_an_image_is_compared_with_the_labels_of_its_own_set_only(tmp_path: Path) -> None:
    config = mix_run(tmp_path, complete_share=0.5, batch_size=4)
    batches, found = collect_batches(config, 12)
    sampler, images = batches.sampler, batches.images
    assert isinstance(images, MixedImages)
    allowed = {"data": {0, 1}, "rooms": {2, 3, 4}, "scene": set(range(5, len(images.classes)))}
    texts: dict[str, set[str]] = collections.defaultdict(set)
    for batch in found:
        for name, target, (prompt,) in zip(batch.names, batch.target, batch.prompts):
            kind = "data" if "data/images" in name else "rooms" if "rooms/images" in name else "scene"
            assert set(prompt.classes.tolist()) <= allowed[kind]
            assert set(target.unique().tolist()) <= allowed[kind] | {IGNORE}
            assert int(prompt.target_lut[target].max()) < len(prompt.classes)
            count = len(sampler.classes)
            texts[kind] |= {sampler.texts[row - count] for row in prompt.text_indices.tolist() if row >= count}
    assert texts["data"] == {"ball", "sphere", "sea", "ocean"}
    assert texts["rooms"] == {"floor", "wall", "sea"}


def test_synonyms_do_not_change_the_embedding_that_evaluation_uses(tmp_path: Path) -> None:
    images = open_images(tmp_path)
    sampler = build_label_sampler(images, TrainingConfig())

    def encode(texts: Any) -> torch.Tensor:
        return torch.eye(len(sampler.texts))[[sampler.texts.index(text) for text in texts]]

    assert torch.equal(sampler.embeddings(encode)[1], encode(["sea"])[0])


def test_images_without_masks_have_no_prompts(tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "a.jpg", 64, 64)
    text = "sets: {rooms: {root: rooms, share: 1}, photos: {root: photos, share: 1, unlabeled: true}}"
    _, found = collect_batches(mix_run(tmp_path, text, batch_size=8), 2)
    for batch in found:
        for name, target, prompts in zip(batch.names, batch.target, batch.prompts):
            assert len(prompts) == ("photos" not in name)
            assert "photos" not in name or (target == IGNORE).all()
    assert any("photos" in name for batch in found for name in batch.names)


HINTS = """
sets:
  shapes: {root: data, share: 1}
  photos:
    root: photos
    share: 1
    unlabeled: true
    hints:
      - {rows: [0, 0.5], possible: [wall, lamp], absent: [floor]}
      - {possible: [wall, floor], absent: [sky]}
"""


def test_hints_apply_to_their_rows_of_the_whole_image(tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "a.jpg", 128, 128)
    config = mix_run(tmp_path, HINTS, batch_size=8, base_size=128, smallest_scale=1.0, largest_scale=1.0, crop=64)
    batches, found = collect_batches(config, 4)
    texts, count = batches.sampler.texts, len(batches.sampler.classes)
    halves = 0
    for batch in found:
        assert batch.unlabeled is not None
        for name, unlabeled, hints in zip(batch.names, batch.unlabeled, batch.hints):
            if "photos" not in name:
                assert not hints
                continue
            assert unlabeled.all()
            words = [[[texts[row - count] for row in part.tolist()] for part in hint[2:]] for hint in hints]
            assert words[-1] == [["wall", "floor"], ["sky"]]
            assert words[:-1] in ([], [[["wall", "lamp"], ["floor"]]])
            assert hints[-1].first_row == 0
            assert hints[-1].end_row >= 16
            halves += any(0 < hint.end_row < 16 for hint in hints[:-1])
    assert halves  # crops with the middle of the image


@pytest.mark.parametrize("workers", [0, 1])
def test_trains_on_hints_without_a_classifier(tmp_path: Path, workers: int) -> None:
    write_image(tmp_path / "photos" / "a.jpg", 64, 64)
    text = HINTS.replace("photos\n    share: 1", "photos\n    share: 999")
    config = mix_run(tmp_path, text, steps=1, validation_images=-1, workers=workers)
    before, after = read_weights(config.initialization.init), read_weights(train(config))
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_rejects_hints_with_a_head_of_classes(tmp_path: Path) -> None:
    config = mix_run(tmp_path, HINTS, validation_images=-1, complete_share=1.0)
    with pytest.raises(ValueError, match=r"head: expected words with the hints of photos in .*mix\.yaml, got classes"):
        train(changed(config, head="classes"))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("root: none", FileNotFoundError, "root: expected a folder, got .*none, which does not exist"),
        ("root: none, unlabeled: true", FileNotFoundError, "root: expected a folder, got .*none"),
        ("root: empty, unlabeled: true", ValueError, "root: expected images in .*empty, got none"),
        ("root: rooms, ignore: [door]", ValueError, r"ignore: expected labels of the set \(floor, wall, sea\), got 'd"),
        ("root: rooms, ignore: [floor, wall, sea]", ValueError, "ignore: expected at least one label that is not"),
        ("root: rooms, synonyms: {door: [gate]}", ValueError, "synonyms: expected labels of the set .*, got 'door'"),
        (
            "root: rooms, synonyms: {wall: [Floor]}",
            ValueError,
            r"synonyms\.wall: expected words of no other .* 'Floor'",
        ),
    ],
)
def test_rejects_sets_that_do_not_fit_the_file(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=rf"mix\.yaml: sets\.a: {message}"):
        open_images(tmp_path, f"sets: {{a: {{share: 1, {text}}}}}")


def test_rejects_a_mix_without_labels(tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "a.jpg")
    with pytest.raises(ValueError, match="sets: expected a set with labels, got only unlabeled ones"):
        open_images(tmp_path, "sets: {a: {root: photos, share: 1, unlabeled: true}}")


@pytest.mark.parametrize("change", [{"epochs": 2}, {"validate_every": 0}, {"lr_schedule": "poly"}])
def test_rejects_settings_that_count_epochs(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="mix: expected epochs 0, validate_every above 0 and lr_schedule cosine"):
        changed(TrainingConfig(mix="mix.yaml"), **change)


def test_learns_and_reports_the_scores_of_every_set_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    config = mix_run(tmp_path, steps=8, validate_every=4, log_every=1, batch_size=4)
    path = train(config)
    rows = list(csv.DictReader((tmp_path / "run" / "log" / "version_0" / "metrics.csv").open()))
    scored = [row for row in rows if row["miou"]]
    assert len(scored) == 2
    for row in scored:
        parts = [float(row[f"miou/{name}"]) for name in ("shapes", "rooms", "synthetic")]
        assert float(row["miou"]) == pytest.approx(sum(parts) / 3)
    assert re.search(r"mIoU after step 8: 0\.\d+ \(shapes [\d.]+, rooms [\d.]+, synthetic [\d.]+\)", caplog.text)
    with safe_open(path, framework="pt") as weights:
        metadata = weights.metadata()
    assert json.loads(metadata["mix"])["mix"] == ["shapes", "rooms", "synthetic"]
    assert [item["set"] for item in json.loads(metadata["training_data"])] == ["shapes", "rooms", "synthetic"]
    assert set(json.loads(metadata["validation"])) >= {"miou", "miou/shapes", "miou/rooms", "miou/synthetic"}
    assert len(list((tmp_path / "run" / "pictures").iterdir())) == 2


def test_validates_only_the_sets_that_ask_for_it_and_have_a_val_split(tmp_path: Path) -> None:
    text = SETS.replace("root: rooms, share: 1", "root: rooms, share: 1, validate: false")
    config = mix_run(tmp_path, text, steps=1, log_every=1)
    (tmp_path / "data" / "images" / "val").rename(tmp_path / "elsewhere")
    train(config)
    rows = list(csv.DictReader((tmp_path / "run" / "log" / "version_0" / "metrics.csv").open()))
    assert [name for name in rows[0] if name.startswith("miou/")] == ["miou/synthetic"]


def test_reports_a_mix_without_a_val_split(tmp_path: Path) -> None:
    config = mix_run(tmp_path, "sets: {a: {root: data, share: 1, validate: false}}")
    with pytest.raises(ValueError, match=r"mix\.yaml: sets: expected a set with a val split, or validation_images -1"):
        train(config)


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = mix_run(tmp_path, steps=4, validate_every=2, pictures=0, workers=0)
    uninterrupted = read_weights(train(changed(config, output=str(tmp_path / "uninterrupted"))))
    calls = []

    def interrupt(optimizer: torch.optim.Optimizer, factor: float) -> None:
        calls.append(0)
        if len(calls) == 3:
            raise RuntimeError("killed")
        set_learning_rates(optimizer, factor)

    monkeypatch.setattr(trainer_module, "set_learning_rates", interrupt)
    with pytest.raises(RuntimeError, match="killed"):
        train(config)
    resumed = read_weights(train(config))
    assert all(torch.equal(value, resumed[name]) for name, value in uninterrupted.items())


def test_rejects_resuming_after_a_change_of_the_mix_file(tmp_path: Path) -> None:
    config = mix_run(tmp_path, steps=2, pictures=0, validation_images=-1)
    train(config)
    Path(config.mix).rename(tmp_path / "renamed.yaml")
    config = changed(config, mix=str(tmp_path / "renamed.yaml"))
    train(config)  # the name does not matter
    write_text(tmp_path / "renamed.yaml", SETS.replace("ignore: [lawn], ", ""))
    with pytest.raises(ValueError, match=r"resume: expected the settings .* got others \(mix\.shapes was"):
        train(config)
    write_text(tmp_path / "renamed.yaml", "\n".join(SETS.splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"got others \(mix was \['shapes', 'rooms', 'synthetic'\], is \['shapes', 'r"):
        train(config)


@pytest.mark.slow
def test_trains_in_two_processes_from_the_command_line(tmp_path: Path) -> None:
    config = mix_run(tmp_path)
    flags = f"""--mix {config.mix} --root {tmp_path} --init {config.initialization.init} --steps 2 --batch-size 2
        --base-size 80 --crop 64 --pictures 0 --workers 0 --threads 1 --validate-every 2 --validation-images 2
        --devices 2 --accelerator cpu --output {tmp_path}/two"""
    done = subprocess.run(
        [sys.executable, "-m", "lseg_ros.cli", "train", *flags.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "mIoU after step 2: " in done.stderr
    moved = read_weights(tmp_path / "two" / "final.safetensors")["head.weight"]
    assert not torch.equal(moved, read_weights(config.initialization.init)["head.weight"])
