"""Tests of the segmenter, with a complete network of random weights."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.inference.cuda_graphs import Encode
from lseg_ros.inference.postprocess import postprocess
from lseg_ros.inference.preprocess import preprocess
from lseg_ros.model import LSeg
from lseg_ros.synthetic import CLASSES, SyntheticWorld
from lseg_ros.vocabulary import Vocabulary
from test.support.tiny_network import CONFIG

WORDS = Vocabulary.of(["floor", "sofa|couch", "person", "tree", "car", "sky"])


@pytest.fixture(scope="module")
def segmenter(checkpoint: str) -> Segmenter:
    return Segmenter.from_checkpoint(
        SegmenterConfig(checkpoint=checkpoint, device="cpu", precision="float32", input_size=0, cpu_threads=1)
    )


def picture(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """Make an image of patches in random colors."""
    patches = np.random.default_rng(seed).integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    return np.ascontiguousarray(patches.repeat(16, axis=0).repeat(16, axis=1)[:height, :width])


def is_arg_max(label_map: np.ndarray, logits: torch.Tensor) -> bool:
    """Check that each pixel has the label with the highest logit, up to float32 rounding.

    Args:
        label_map: (H, W) labels 1 to K.
        logits: (K, H, W).
    """
    chosen = logits.gather(0, torch.from_numpy(label_map).long()[None] - 1)[0]
    return bool((chosen >= logits.amax(dim=0) - 1e-4).all())


class TestSingleLabel:
    def test_competes_with_other_things(self, segmenter: Segmenter) -> None:
        encoded = segmenter.encode(Vocabulary.of(["elephant"]))
        assert len(encoded.embeddings) == len(encoded.ids) == 1
        assert encoded.others is not None
        assert len(encoded.others) > 10
        assert segmenter.encode(Vocabulary.of(["elephant", "other"])).others is None

    def test_does_not_compete_with_itself(self, segmenter: Segmenter) -> None:
        for name in ("wall", "Wall|partition"):
            encoded = segmenter.encode(Vocabulary.of([name]))
            wall = segmenter.encode(Vocabulary.of(["wall", "floor"])).embeddings[0]
            assert encoded.others is not None
            assert (encoded.others @ wall).max() < 0.99

    def test_does_not_win_pixels_of_other_things(self) -> None:
        network = Segmenter.from_checkpoint(SegmenterConfig(device="cpu", precision="float32", cpu_threads=1))
        view = SyntheticWorld(seed=2).frame(0.0)
        floor, elephant = (
            network.segment(view.frame.image, network.encode(Vocabulary.of([name]))) for name in ("floor", "elephant")
        )
        found, truth = floor.label_map > 0, view.labels == CLASSES.index("floor") + 1
        assert np.count_nonzero(found & truth) > 0.7 * np.count_nonzero(found | truth)
        assert np.array_equal(found, floor.confidence > 0)
        assert np.count_nonzero(elephant.label_map) < 0.05 * elephant.label_map.size


class TestSegment:
    def test_labels_are_the_arg_max_of_the_model(self, segmenter: Segmenter) -> None:
        image, encoded = picture(), segmenter.encode(WORDS)
        x, _ = preprocess(image, 0, 32, CONFIG.image_mean, CONFIG.image_std)
        with torch.inference_mode():
            logits = segmenter.model(x, encoded.embeddings)[0]
        result = segmenter.segment(image, encoded)
        assert len(np.unique(result.label_map)) > 1
        assert is_arg_max(result.label_map, logits)
        assert np.allclose(result.confidence, logits.softmax(dim=0).amax(dim=0).numpy() * 255, atol=1)
        assert result.vocabulary is WORDS

    @given(height=st.integers(32, 140), width=st.integers(32, 140))
    @hypothesis.settings(max_examples=25)
    def test_labels_of_an_image_of_any_size_are_those_of_the_model(
        self, segmenter: Segmenter, height: int, width: int
    ) -> None:
        image, encoded = picture(height, width), segmenter.encode(WORDS)
        mean, std = (torch.tensor(values)[:, None, None] for values in (CONFIG.image_mean, CONFIG.image_std))
        x = (torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std
        with torch.inference_mode():
            logits = segmenter.model(x[None], encoded.embeddings)[0]
        assert is_arg_max(segmenter.segment(image, encoded).label_map, logits)

    @pytest.mark.parametrize("size", [(32, 32), (33, 47), (240, 320), (61, 200), (97, 32)])
    @pytest.mark.parametrize("input_size", [-1, 0, 64])
    def test_result_has_the_size_of_the_image(
        self, segmenter: Segmenter, size: tuple[int, int], input_size: int
    ) -> None:
        config = dataclasses.replace(segmenter.config, input_size=input_size)
        result = Segmenter.from_checkpoint(config).segment(picture(*size), segmenter.encode(WORDS))
        assert result.label_map.shape == result.confidence.shape == size
        assert set(np.unique(result.label_map)) <= set(range(1, 7))
        assert result.confidence.min() >= 1

    def test_default_input_size_is_that_of_the_network(self, checkpoint: str) -> None:
        assert Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint)).input_size == CONFIG.input_size_px

    def test_threshold_leaves_uncertain_pixels_unlabeled(self, segmenter: Segmenter) -> None:
        encoded = segmenter.encode(WORDS)
        labeled = segmenter.segment(picture(), encoded)
        threshold = float(np.median(labeled.confidence)) / 255
        result = segmenter.segment(picture(), encoded, unlabeled_threshold=threshold)
        unlabeled = result.label_map == 0
        assert unlabeled.any()
        assert not unlabeled.all()
        assert np.array_equal(result.confidence == 0, unlabeled)
        assert np.array_equal(result.label_map[~unlabeled], labeled.label_map[~unlabeled])

    def test_uses_the_threshold_of_the_settings_by_default(self, segmenter: Segmenter) -> None:
        config = dataclasses.replace(segmenter.config, unlabeled_threshold=1.0)
        assert not Segmenter.from_checkpoint(config).segment(picture(), segmenter.encode(WORDS)).label_map.any()

    def test_negative_threshold_is_that_of_the_network(self, segmenter: Segmenter) -> None:
        strict = dataclasses.replace(CONFIG, unlabeled_threshold=1.0)
        one = Segmenter(LSeg(strict).eval(), segmenter.config)
        encoded = one.encode(WORDS)
        assert segmenter.config.unlabeled_threshold == -1
        assert not one.segment(picture(), encoded).label_map.any()
        assert one.segment(picture(), encoded, unlabeled_threshold=0.0).label_map.all()

    def test_rejects_images_that_are_too_small(self, segmenter: Segmenter) -> None:
        with pytest.raises(ValueError, match="at least 32x32 pixels, got 64x16"):
            segmenter.segment(picture(16, 64), segmenter.encode(WORDS))

    def test_bfloat16_gives_nearly_the_same_labels(self, segmenter: Segmenter) -> None:
        encoded = segmenter.encode(WORDS)
        half = Segmenter.from_checkpoint(dataclasses.replace(segmenter.config, precision="bfloat16"))
        assert half.encode(WORDS).embeddings.dtype == torch.float32
        same = half.segment(picture(), encoded).label_map == segmenter.segment(picture(), encoded).label_map
        assert same.mean() > 0.9

    @pytest.mark.gpu
    def test_gpu_gives_the_same_labels_as_the_cpu(self, segmenter: Segmenter) -> None:
        on_gpu = Segmenter.from_checkpoint(dataclasses.replace(segmenter.config, device="cuda", precision="float32"))
        expected = segmenter.segment(picture(), segmenter.encode(WORDS)).label_map
        same = on_gpu.segment(picture(), on_gpu.encode(WORDS)).label_map == expected
        assert same.mean() > 0.99


class TestAccelerate:
    """The code for GPUs, replaced by functions that run on a CPU."""

    @staticmethod
    def correct_capture(encode: Encode, x: torch.Tensor) -> Encode:
        return encode

    @staticmethod
    def stale_capture(encode: Encode, x: torch.Tensor) -> Encode:
        return lambda _: encode(torch.zeros_like(x))

    def test_uses_code_that_gives_the_same_results(self, segmenter: Segmenter) -> None:
        calls: list[str] = []

        def fast_postprocess(*args: Any, **kwargs: Any) -> torch.Tensor:
            calls.append("postprocess")
            return postprocess(*args, **kwargs)

        def capture(encode: Encode, x: torch.Tensor) -> Encode:
            calls.append("capture")
            return encode

        fast = Segmenter.from_checkpoint(segmenter.config)
        fast.accelerate(fast_postprocess, capture)
        calls.clear()
        fast.warm_up(96, 128)
        assert calls == ["postprocess", "capture", "postprocess"]
        expected = segmenter.segment(picture(), segmenter.encode(WORDS))
        assert np.array_equal(fast.segment(picture(), fast.encode(WORDS)).label_map, expected.label_map)
        assert calls[3:] == ["postprocess"]
        assert fast.problems == []

    def test_faulty_code_is_reported_and_not_used(self, segmenter: Segmenter, caplog: pytest.LogCaptureFixture) -> None:
        def faulty_postprocess(*args: Any, **kwargs: Any) -> torch.Tensor:
            return postprocess(*args, **kwargs).flip(2)

        expected = segmenter.segment(picture(), segmenter.encode(WORDS))
        fast = Segmenter.from_checkpoint(segmenter.config)
        fast.accelerate(faulty_postprocess, self.stale_capture)
        for _ in range(3):
            result = fast.segment(picture(), fast.encode(WORDS))
            assert np.array_equal(result.label_map, expected.label_map)
            assert np.array_equal(result.confidence, expected.confidence)
        kernel, graphs = fast.problems
        assert kernel.startswith("Triton kernel is not used: ValueError: label map: expected that of PyTorch")
        assert graphs.startswith("CUDA graphs are not used: ValueError: results: expected those of the encoder")
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert warnings == fast.problems

    def test_an_image_that_is_resized_on_the_device_gets_nearly_the_same_labels(self, segmenter: Segmenter) -> None:
        config = dataclasses.replace(segmenter.config, input_size=96)
        plain, fast = Segmenter.from_checkpoint(config), Segmenter.from_checkpoint(config)
        fast.accelerate(None, self.correct_capture)
        image = picture(120, 200)
        same = fast.segment(image, fast.encode(WORDS)).label_map == plain.segment(image, plain.encode(WORDS)).label_map
        assert same.mean() > 0.98

    @pytest.mark.gpu
    def test_a_gpu_passes_all_checks(self, segmenter: Segmenter) -> None:
        on_gpu = Segmenter.from_checkpoint(dataclasses.replace(segmenter.config, device="cuda"))
        on_gpu.warm_up(96, 128)
        assert on_gpu.problems == []


class TestEmbedAll:
    def test_images_of_a_batch_give_the_same_embeddings_as_single_images(self, segmenter: Segmenter) -> None:
        sizes = [(96, 128), (64, 64), (90, 120), (96, 128), (64, 64)]  # 90x120 is padded to the input of 96x128
        images = [picture(*size, seed) for seed, size in enumerate(sizes)]
        for image, together in zip(images, segmenter.embed_all(images)):
            alone = segmenter.embed(image)
            assert (together.size, together.valid_size) == (alone.size, alone.valid_size) == (image.shape[:2],) * 2
            assert together.pixels.shape == alone.pixels.shape
            assert torch.allclose(together.pixels, alone.pixels, atol=1e-5)

    def test_images_with_the_same_input_size_form_one_batch(
        self, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batches: list[tuple[int, ...]] = []
        encode_image = segmenter._encode_image

        def recorded(x: torch.Tensor) -> torch.Tensor:
            batches.append(tuple(x.shape))
            return encode_image(x)

        monkeypatch.setattr(segmenter, "_encode_image", recorded)
        segmenter.embed_all([picture(96, 128), picture(64, 64), picture(90, 120)])
        assert batches == [(2, 3, 96, 128), (1, 3, 64, 64)]

    def test_no_images_give_no_embeddings(self, segmenter: Segmenter) -> None:
        assert segmenter.embed_all([]) == []


class TestEncode:
    def test_averages_and_normalizes_synonyms(self, segmenter: Segmenter) -> None:
        encoded = segmenter.encode(WORDS)
        mean = segmenter.model.encode_text(["sofa", "couch"]).mean(dim=0)
        assert torch.allclose(encoded.embeddings[1], mean / mean.norm(), atol=1e-6)
        assert torch.allclose(encoded.embeddings.norm(dim=1), torch.ones(6), atol=1e-6)

    def test_averages_prompts_like_synonyms(self, segmenter: Segmenter) -> None:
        encoded = segmenter.encode(Vocabulary.of(["tree"], prompt_templates=["a {}", "the {}"]))
        mean = segmenter.model.encode_text(["a tree", "the tree"]).mean(dim=0)
        assert torch.allclose(encoded.embeddings[0], mean / mean.norm(), atol=1e-6)

    def test_encodes_only_new_texts(self, checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        segmenter = Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint))
        encoded_texts: list[str] = []
        encode_text = segmenter.model.encode_text

        def recorded(texts: Sequence[str]) -> torch.Tensor:
            encoded_texts.extend(texts)
            return encode_text(texts)

        monkeypatch.setattr(segmenter.model, "encode_text", recorded)
        first = segmenter.encode(WORDS)
        encoded_texts.clear()
        second = segmenter.encode(WORDS.append(["lamp"]))
        assert encoded_texts == ["lamp"]
        assert torch.equal(second.embeddings[:6], first.embeddings)

    def test_the_embedding_of_a_label_does_not_depend_on_the_labels_before(self) -> None:
        texts = ["floor", "wall", "fire extinguisher", "red ball", "zebra", "cup", "road sign", "a chair by a window"]
        config = SegmenterConfig(device="cpu", precision="float32", cpu_threads=1)
        first, second = (Segmenter.from_checkpoint(config) for _ in range(2))
        expected = first.encode(Vocabulary.of(texts)).embeddings
        second.encode(Vocabulary.of(texts[3:5]))
        second.encode(Vocabulary.of(texts[:2]))
        assert torch.equal(second.encode(Vocabulary.of(texts)).embeddings, expected)

    def test_names_a_label_that_is_too_long(self, segmenter: Segmenter) -> None:
        long = "very " * 40 + "long"
        with pytest.raises(ValueError, match=f"label 'short.{long}': .*expected at most 16 tokens"):
            segmenter.encode(Vocabulary.of(["floor", f"short|{long}"]))

    def test_one_thread_can_encode_while_another_segments(self, segmenter: Segmenter) -> None:
        encoded = segmenter.encode(WORDS)
        expected = segmenter.segment(picture(), encoded).label_map
        other = threading.Thread(
            target=lambda: [segmenter.encode(Vocabulary.of([f"word {number}"])) for number in range(30)]
        )
        other.start()
        results = [segmenter.segment(picture(), encoded).label_map for _ in range(5)]
        other.join()
        assert all(np.array_equal(label_map, expected) for label_map in results)


class TestConfig:
    def test_warms_up_with_any_size(self, segmenter: Segmenter) -> None:
        segmenter.warm_up(50, 70)
        segmenter.warm_up(50, 70, max_batch=3)

    @pytest.mark.parametrize("device", ["tpu", "cuda:99", "gpu"])
    def test_rejects_a_device_that_does_not_exist(self, checkpoint: str, device: str) -> None:
        with pytest.raises(ValueError, match=f"device: expected auto, cpu, cuda .* got '{device}'"):
            Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint, device=device))

    def test_names_a_missing_checkpoint(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"missing\.ckpt"):
            Segmenter.from_checkpoint(SegmenterConfig(checkpoint=str(tmp_path / "missing.ckpt")))

    @pytest.mark.parametrize("change", [{"precision": "int8"}, {"input_size": -2}, {"unlabeled_threshold": 1.5}])
    def test_names_invalid_settings(self, change: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=f"{next(iter(change))}: expected"):
            SegmenterConfig(**change)  # type: ignore[arg-type]
