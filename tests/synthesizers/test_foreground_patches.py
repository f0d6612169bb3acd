"""Foreground-aware patches: what is foreground, which photographs stay whole, which crop is kept."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from patch_fakes import RIGHT, WRONG, ColourTeacher, Photographs, coloured
from synthesis_fakes import SmallTeacher, Squares, choose, context

from d3s2bench import ConfigError, ModelError, Sample, configure, options_of
from d3s2bench.interfaces import Synthesizer
from d3s2bench_synthesizers.foreground import Foreground, hard, information, realistic
from d3s2bench_synthesizers.grounded_sam import GroundedSam, confident_boxes, prompt, union
from d3s2bench_synthesizers.occupancy import Occupancy, class_ids, foreground_classes, measured, rare_classes
from d3s2bench_synthesizers.patches import grid
from d3s2bench_synthesizers.resize import crop_image, crop_mask, resize_image, resize_mask

CHOSEN = choose(3, 1, 8, 5, 0, 2, 9, 7)
CAR = Foreground(classes=("car",))


def samples(method: Any, start: int = 0, seed: int = 0) -> list[Sample]:
    return list(method.synthesize(CHOSEN, context(seed=seed, teacher=SmallTeacher()), start))


def squares_of_blue(*sides: int) -> Any:
    """Red photographs of 8×8 pixels with a blue square in the upper left corner."""
    masks = [np.zeros((8, 8), np.uint8) for _ in sides]
    for mask, side in zip(masks, sides, strict=True):
        mask[:side, :side] = 2
    return Photographs([coloured(mask) for mask in masks], masks)


# --- what is foreground, and how much of it is little ---------------------------------------------------------------


def test_rare_classes_have_less_than_their_fair_share() -> None:
    counts = np.array([[30, 9, 0, 1], [20, 11, 9, 0]])  # of 80: 50, 20 = 1/4 of all, 9, 1
    assert rare_classes(counts) == [2, 3]
    assert foreground_classes((), counts, "abcd") == [2, 3]
    assert foreground_classes(("b", "0"), counts, "abcd") == [1, 0]
    with pytest.raises(ConfigError, match=r"no mask of train shows b: leave it out of synth\.foreground\.classes"):
        foreground_classes(("a", "b"), np.array([[5, 0], [7, 0]]), "ab")
    with pytest.raises(ConfigError, match=r"name some in synth\.foreground\.classes"):
        foreground_classes((), np.array([[5, 5]]), "ab")
    with pytest.raises(ConfigError, match=r"unknown class in synth\.foreground\.classes 'cat': did you mean 'car'"):
        class_ids(["cat"], ["sky", "car"])


def test_a_threshold_is_the_quantile_over_the_photographs_that_show_the_class() -> None:
    shares = np.array([[0.1, 0.0, 0], [0.2, 0.5, 0], [0.3, 0.0, 0], [0.9, 0.0, 0], [0.0, 0.0, 0]])
    shown = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    found = Occupancy.of(shares, shown, 0.3)
    assert found.thresholds == pytest.approx([0.1 + 0.9 * 0.1, 0.15, 0])  # 0.3 · 3 = 0.9 of the way to the second
    assert [found.main_class(i) for i in range(5)] == [0, 1, 0, 0, None]


def test_photographs_below_the_threshold_are_zoomed_into_and_others_stay_whole() -> None:
    train = squares_of_blue(1, 2, 3, 4, 0)  # occupancies 1, 4, 9, 16 of 64: the quantile 0.5 is 6.5
    method = Foreground(classes=("blue",), quantile=0.5, factor=1, candidates=20, scale=(0.25, 0.5))
    made = list(method.synthesize(choose(0, 1, 2, 3, 4), context(train, teacher=ColourTeacher())))
    notes = [sample.provenance["patches"][0] for sample in made]
    assert [note["box"] is None for note in notes] == [False, False, True, True, True]
    assert [note.get("occupancy") for note in notes] == [1 / 64, 4 / 64, 9 / 64, 16 / 64, None]
    for i, (sample, note) in enumerate(zip(made, notes, strict=True)):
        if note["box"] is None:
            assert np.array_equal(sample.image, train.image(i)) and np.array_equal(sample.mask, train.mask(i))
        else:
            assert (sample.mask == 2).mean() > note["occupancy"] and note["class"] == 2


def test_a_photograph_stays_whole_when_no_crop_shows_its_class() -> None:
    train = squares_of_blue(1, 8)
    method = Foreground(classes=("2",), factor=1, candidates=1, scale=(0.1, 0.1))
    boxes = []
    for seed in range(5):
        given = context(train, seed, teacher=ColourTeacher())
        boxes += [
            note["box"] for sample in method.synthesize(choose(0), given) for note in sample.provenance["patches"]
        ]
    assert None in boxes and all(box is None or box[:2] == [0, 0] for box in boxes)


# --- which crop is kept ---------------------------------------------------------------------------------------------


def test_scores_by_hand() -> None:
    mask = np.array([[2, 2], [0, 255]], np.uint8)
    losses = np.array([[0.0, 1.0], [0.5, 0.0]], np.float32)
    assert information(losses, mask, 2, 3) == pytest.approx((2 * math.log(3) - 1) / 4)
    assert information(losses, mask, 1, 3) == 0
    assert realistic(losses, mask, 2, 3) == pytest.approx(-0.5) and hard(losses, mask, 2, 3) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "keep, best", [("information", math.log(3) - RIGHT), ("realistic", -RIGHT), ("hard", WRONG)]
)  # fmt: skip
def test_the_crop_of_the_highest_score_is_kept(keep: str, best: float) -> None:
    """The square is blue; the teacher reads the rest of its class, around it, as green."""
    mask = np.full((9, 9), 2, np.uint8)
    shown = np.ones((9, 9), np.uint8)
    shown[:3, :3] = 2
    rest = np.full((9, 9), 2, np.uint8)
    train: Any = Photographs([coloured(shown), coloured(rest)], [mask, rest])
    method = Foreground(classes=("blue",), keep=keep, candidates=200, scale=(1 / 9, 1 / 9), factor=1)
    patch = method.zoom(0, 2, (3, 3), context(train, teacher=ColourTeacher()), np.random.default_rng(0))
    assert patch is not None and patch.note[keep] == pytest.approx(best, rel=1e-5)
    assert (patch.note["box"] == [0, 0, 3, 3]) == (keep != "hard")


# --- the contract of a synthesizer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 2])
def test_one_image_for_as_many_sources_as_tiles_each_whole_or_a_crop(factor: int) -> None:
    train, method = Squares(), Foreground(classes=("car",), quantile=0.6, factor=factor)
    made = samples(method)
    assert method.sources_per_image == factor**2 and len(made) == 8 // factor**2 and isinstance(method, Synthesizer)
    assert [i for sample in made for i in sample.sources] == CHOSEN.indices.tolist()
    ways = set()
    for sample in made:
        assert sample.image.shape == (16, 24, 3)
        for i, cell, note in zip(sample.sources, grid((24, 16), factor), sample.provenance["patches"], strict=True):
            left, top, right, bottom = cell
            size, box = (right - left, bottom - top), note["box"]
            ways.add(box is None)
            mask = resize_mask(train.mask(i), size) if box is None else crop_mask(train.mask(i), box, size)
            image = resize_image(train.image(i), size) if box is None else crop_image(train.image(i), box, size)
            assert np.array_equal(sample.mask[top:bottom, left:right], mask)
            assert np.array_equal(sample.image[top:bottom, left:right], image)
    assert ways == {True, False}


def test_a_run_stopped_and_resumed_gives_the_same_and_another_seed_does_not() -> None:
    method = Foreground(classes=("car",), quantile=1.0)
    made, again, tail, other = samples(method), samples(method), samples(method, start=1), samples(method, seed=1)
    assert len(tail) == 1
    for a, b in [*zip(made, again, strict=True), (made[1], tail[0])]:
        assert np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask) and a.provenance == b.provenance
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(made, other, strict=True))


def test_what_cannot_be_done_is_said() -> None:
    wrong: list[dict[str, Any]] = [{"quantile": 1.1}, {"occupancy": "sam"}, {"keep": "best"}, {"factor": 0}]
    for options in wrong:
        with pytest.raises(ConfigError, match=rf"synth\.foreground\.{next(iter(options))} is "):
            Foreground(**options)
    with pytest.raises(ModelError, match="teacher knows 5 classes, dataset 'squares' has 3"):
        next(Foreground(quantile=1.0).synthesize(CHOSEN, context(teacher=SmallTeacher(classes=5))))


# --- Grounded SAM 2 -------------------------------------------------------------------------------------------------


def test_boxes_and_masks_by_hand() -> None:
    assert prompt("Traffic-light_pole") == "traffic light pole."
    boxes = torch.tensor([[0.5, 0.5, 0.5, 1.0], [0.2, 0.2, 0.1, 0.1], [0.0, 0.5, 1.0, 0.5]])
    logits = torch.tensor([[-9.0, 0.1], [-9.0, -0.1], [3.0, -9.0]])
    kept = confident_boxes(logits, boxes, 0.5)
    assert torch.allclose(kept, torch.tensor([[0.25, 0, 0.75, 1], [0, 0.25, 0.5, 0.75]]))
    masks = torch.tensor([[[1.0, -9], [-9, -9]], [[-9, -9], [-9, 1]]])
    assert union(masks, (2, 2)).tolist() == [[True, False], [False, True]]
    assert union(masks[:0], (2, 2)).tolist() == [[False, False], [False, False]]


def test_the_detector_s_boxes_reach_the_segmenter_in_its_pixels() -> None:
    """A detector that always sees the left half; a segmenter of 64×32 pixels that fills the boxes."""

    class Segmenter:
        config = SimpleNamespace(prompt_encoder_config=SimpleNamespace(image_size=[32, 64]))

        def get_image_embeddings(self, pixels: torch.Tensor) -> torch.Tensor:
            assert pixels.shape == (1, 3, 32, 64)
            return pixels

        def __call__(self, image_embeddings: torch.Tensor, input_boxes: torch.Tensor, multimask_output: bool) -> Any:
            masks = torch.full((1, input_boxes.shape[1], 1, 32, 64), -1.0)
            for n, (left, top, right, bottom) in enumerate(input_boxes[0].round().int().tolist()):
                masks[0, n, 0, top:bottom, left:right] = 1
            return SimpleNamespace(pred_masks=masks)

    def detector(pixel_values: Any, input_ids: Any) -> Any:
        seen = SimpleNamespace(
            logits=torch.zeros(1, 40, 3), pred_boxes=torch.tensor([0.25, 0.5, 0.5, 1]).repeat(1, 40, 1)
        )
        return seen

    def prepare(images: Any, return_tensors: str) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.zeros(1)}

    def tokenise(words: str, return_tensors: str) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.zeros(1)}

    image = np.zeros((16, 24, 3), np.uint8)
    for threshold, share in ((0.4, 0.5), (0.6, 0.0)):
        (found,) = GroundedSam(detector, Segmenter(), prepare, tokenise, threshold, "cpu").segment(image, ["car"])
        assert found.shape == (16, 24) and found.mean() == share
        assert found[:, :12].all() == (share > 0) and not found[:, 12:].any()


def test_occupancies_are_measured_once_although_the_run_is_killed(tmp_path: Path) -> None:
    shown = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], bool)
    asked: list[int] = []

    def measure(i: int, classes: Any) -> list[float]:
        asked.append(i)
        if i == 2 and len(asked) == 3:
            raise KeyboardInterrupt
        return [0.25 * (c + 1) for c in classes]

    given = context(workdir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        measured(shown, measure, given)
    with (tmp_path / "occupancy.jsonl").open("a") as journal:
        journal.write("[0.7")  # torn
    assert measured(shown, measure, given).tolist() == [[0.25, 0, 0.75], [0, 0, 0], [0, 0.5, 0]]
    assert asked == [0, 1, 2, 2]


def test_a_second_kill_loses_nothing_that_was_measured(tmp_path: Path) -> None:
    """Both come while the third photograph is measured; the second one before anything new is written."""
    code = (
        "import os, signal; from pathlib import Path; import numpy as np; from d3s2bench import Context\n"
        "from d3s2bench_synthesizers.occupancy import measured\n"
        "def measure(i, classes): return [0.5] if i < 2 else os.kill(os.getpid(), signal.SIGKILL)\n"
        f"measured(np.ones((3, 1), bool), measure, Context(None, workdir=Path({str(tmp_path)!r})))"
    )
    for torn in (b"", b"[0.7"):
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
        with (tmp_path / "occupancy.jsonl").open("ab") as journal:
            journal.write(torn)
    asked: list[int] = []
    shares = measured(np.ones((3, 1), bool), lambda i, _: asked.append(i) or [0.25], context(workdir=tmp_path))
    assert asked == [2] and shares.tolist() == [[0.5], [0.5], [0.25]]
    assert (tmp_path / "occupancy.jsonl").read_text() == "[0.5]\n[0.5]\n[0.25]\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of tiny networks with random weights."""
    place = tmp_path_factory.mktemp("grounded-sam")
    return {
        "detector": save_tiny_detector(place / "detector"),
        "segmenter": save_tiny_segmenter(place / "segmenter"),
    }


def test_a_photograph_is_looked_at_once_for_all_words(tiny: dict[str, str]) -> None:
    image, words = Squares().image(0), ["sky", "car", "road"]
    for threshold, looks in ((0.0, 1), (1.0, 0)):
        model = GroundedSam.load(tiny["detector"], tiny["segmenter"], threshold, "cpu")
        alone = [model.segment(image, [word])[0] for word in words]
        seen: list[Any] = []
        model.segmenter.vision_encoder.register_forward_hook(lambda *call, seen=seen: seen.append(call))
        assert np.array_equal(model.segment(image, words), alone)
        assert len(seen) == looks and np.any(alone) == bool(looks)


def test_occupancy_is_measured_once_for_all_sets_of_a_process(tiny: dict[str, str], tmp_path: Path) -> None:
    shares, train = [], Squares(count=2, fingerprint="measured once")
    for name in ("one", "another"):
        method = Foreground(classes=("car",), occupancy="grounded-sam", quantile=len(shares) / 2, **tiny)
        shares.append(method.measure(context(train, seed=len(shares), workdir=tmp_path / name)).shares)
    assert np.array_equal(*shares) and [file.parent.name for file in tmp_path.rglob("*.jsonl")] == ["one"]


def test_models_of_transformers_measure_occupancy(tiny: dict[str, str], tmp_path: Path) -> None:
    """Tiny ones with random weights, saved and loaded; a threshold of 1 finds no box, so no foreground."""
    shares = {}
    for threshold in (0.0, 1.0):
        method = Foreground(
            classes=("car", "road"), occupancy="grounded-sam", box_threshold=threshold, factor=1, **tiny
        )
        given = context(Squares(count=3), teacher=SmallTeacher(), workdir=tmp_path / str(threshold))
        made = list(method.synthesize(choose(2, 0), given))
        shares[threshold] = method.measure(given).shares
        told = [sample.provenance["patches"][0]["occupancy"] for sample in made]
        assert told == shares[threshold][[2, 0]].max(axis=1).tolist()
    assert (shares[1.0] == 0).all() and shares[0.0].max() > 0 and shares[0.0].max() <= 1


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none' cannot be loaded as GroundingDino.*: give a folder with its safe"):
        Foreground(occupancy="grounded-sam", detector=str(tmp_path / "none"))


def test_the_options_of_a_record_identify_the_networks(tiny: dict[str, str], tmp_path: Path) -> None:
    moved = {name: shutil.copytree(folder, tmp_path / name) for name, folder in tiny.items()}
    here, there = (
        options_of(Foreground(occupancy="grounded-sam", detector=str(of["detector"]), segmenter=str(of["segmenter"])))
        for of in (tiny, moved)
    )
    assert here != there and all(here[f"{name}_sha256"] == there[f"{name}_sha256"] != "" for name in tiny)
    (moved["segmenter"] / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"segmenter '.*' has SHA-256 .*: its files have changed"):
        configure(Foreground, "it", there)
    assert options_of(Foreground())["detector_sha256"] == ""  # nothing is looked up for what is not asked


def save_tiny_detector(folder: Path) -> str:
    from transformers import BertConfig, BertTokenizer, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig
    from transformers import GroundingDinoImageProcessor as Processor

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "car", "road", "sky"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    Processor(size={"shortest_edge": 32, "longest_edge": 64}).save_pretrained(folder)
    swin = SwinConfig(
        image_size=32, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2, out_indices=[2, 3, 4]
    )
    bert = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=16,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=1, decoder_layers=2, num_queries=20,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=8, decoder_ffn_dim=8,
        num_feature_levels=3, encoder_n_points=1, decoder_n_points=1, max_text_len=16,
    )  # fmt: skip
    torch.manual_seed(0)
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    return str(folder)


def save_tiny_segmenter(folder: Path) -> str:
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2MaskDecoderConfig,
        Sam2Model,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    backbone = Sam2HieraDetConfig(
        hidden_size=8, image_size=[64, 64], window_positional_embedding_background_size=[2, 2],
        blocks_per_stage=[1] * 4, embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1] * 4,
        window_size_per_stage=[2] * 4, global_attention_blocks=[],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=16,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )  # fmt: skip
    prompts = Sam2PromptEncoderConfig(hidden_size=16, image_size=64, patch_size=16, mask_input_channels=4)
    decoder = Sam2MaskDecoderConfig(
        hidden_size=16, mlp_dim=16, num_hidden_layers=1, num_attention_heads=1, iou_head_hidden_dim=16
    )
    torch.manual_seed(0)
    config = Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    Sam2Model(config).save_pretrained(folder)
    return str(folder)
