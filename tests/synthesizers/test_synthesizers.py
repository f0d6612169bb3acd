"""The contract of the synthesizers: order, seeds, resuming, masks, provenance, errors."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from synthesis_fakes import SmallTeacher, Squares, choose, context, small_generator, small_models

from d3s2bench import ConfigError, ModelError, Sample, derive_seed
from d3s2bench.interfaces import Synthesizer
from d3s2bench_synthesizers import register_generators, register_synthesizers
from d3s2bench_synthesizers.choice import KEEP, Choice
from d3s2bench_synthesizers.guided import Guided
from d3s2bench_synthesizers.layout import Layout
from d3s2bench_synthesizers.real import Real
from d3s2bench_synthesizers.resize import resize_image, resize_mask

PAINTERS = [Layout(steps=2, batch=3), Guided(steps=2, batch=3), Guided(steps=2, batch=3, candidates=2, keep="hard")]
ALL: list[Any] = [Real(), *PAINTERS]
CHOSEN = choose(3, 1, 8, 1, 0, 2, 9)


def samples(synthesizer: Any, start: int = 0, dataset: Squares | None = None, seed: int = 0) -> list[Sample]:
    return list(synthesizer.synthesize(CHOSEN, context(dataset, seed, **small_models()), start))


def same(a: Sample, b: Sample) -> bool:
    return np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask) and a.sources == b.sources


@pytest.mark.parametrize("synthesizer", ALL)
def test_one_pair_for_each_selected_mask_in_order(synthesizer: Any) -> None:
    made = samples(synthesizer)
    assert [sample.sources for sample in made] == [(3,), (1,), (8,), (1,), (0,), (2,), (9,)]
    for sample in made:
        assert sample.image.shape == (16, 24, 3) and sample.image.dtype == np.uint8
        assert np.array_equal(sample.mask, Squares().mask(sample.sources[0]))


@pytest.mark.parametrize("start", [1, 3, 5, 7])
@pytest.mark.parametrize("synthesizer", ALL)
def test_a_stopped_run_goes_on_with_the_same_bytes(synthesizer: Any, start: int) -> None:
    whole, tail = samples(synthesizer), samples(synthesizer, start)
    assert len(tail) == len(whole) - start
    assert all(same(a, b) for a, b in zip(whole[start:], tail, strict=True))


@pytest.mark.parametrize("synthesizer", PAINTERS)
def test_a_mask_chosen_twice_gives_two_images_and_another_seed_others(synthesizer: Any) -> None:
    made, other = samples(synthesizer), samples(synthesizer, seed=1)
    assert not np.array_equal(made[1].image, made[3].image)
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(made, other, strict=True))


@pytest.mark.parametrize("synthesizer", PAINTERS)
def test_larger_masks_are_resized_with_nearest_neighbour(synthesizer: Any) -> None:
    large = Squares(size=(60, 40))
    for sample in samples(synthesizer, dataset=large):
        resized = Image.fromarray(large.mask(sample.sources[0])).resize((24, 16), Image.Resampling.NEAREST)
        assert np.array_equal(sample.mask, np.asarray(resized))
        assert sample.image.shape == (16, 24, 3)


def test_real_gives_photographs_at_their_own_size() -> None:
    large = Squares(size=(60, 40))
    for sample in samples(Real(), dataset=large):
        assert np.array_equal(sample.image, large.image(sample.sources[0]))
        assert np.array_equal(sample.mask, large.mask(sample.sources[0]))


def test_provenance_names_seed_models_and_losses() -> None:
    layout, guided = samples(PAINTERS[0])[0].provenance, samples(PAINTERS[1])[0].provenance
    assert set(layout) == {"seed", "generator"}
    assert layout["seed"] == guided["seed"]
    assert (guided["generator"], guided["teacher"]) == ("pixel", "SmallTeacher")
    assert all(guided["losses"][name] > 0 for name in ("seg", "feat"))


@pytest.mark.parametrize("keep", KEEP)
def test_of_several_candidates_the_best_is_kept(keep: str) -> None:
    """Best by the losses that the provenance tells; those are the losses of the very image, but for its rounding."""
    guided = Guided(steps=2, batch=3, candidates=3, keep=keep)
    guidance = guided.guidance(context(**small_models()))
    kept = samples(guided)
    for sample in kept:
        note, told = sample.provenance, [candidate["losses"] for candidate in sample.provenance["candidates"]]
        seg, total = [losses["seg"] for losses in told], [losses["seg"] + losses["feat"] for losses in told]
        assert note["candidate"] == (np.argmax(seg) if keep == "hard" else np.argmin(total))
        assert {"seed": note["seed"], "losses": note["losses"]} == note["candidates"][note["candidate"]]
        image, mask = torch.from_numpy(sample.image).movedim(-1, 0)[None] / 255, torch.from_numpy(sample.mask).long()
        for name, loss in guidance.losses(image, mask[None]).items():
            assert float(loss) == pytest.approx(note["losses"][name], rel=0.02)
    assert len({sample.provenance["candidate"] for sample in kept}) > 1


def test_more_candidates_leave_the_first_ones_as_they_are() -> None:
    one, two, three = (samples(Guided(steps=2, batch=3, candidates=count)) for count in (1, 2, 3))
    for k, (only, pair, triple) in enumerate(zip(one, two, three, strict=True)):
        assert only.provenance["seed"] == derive_seed("sample", 0, k)
        first = {"seed": only.provenance["seed"], "losses": only.provenance["losses"]}
        assert pair.provenance["candidates"] == triple.provenance["candidates"][:2]
        assert pair.provenance["candidates"][0] == first
        assert same(only, pair) == (pair.provenance["candidate"] == 0)
    assert not {"candidate", "candidates"} & set(one[0].provenance)


def test_the_first_of_equal_candidates_is_kept() -> None:
    image = Squares().image(0)
    painted = [(image, {"seed": k, "losses": {"seg": seg, "feat": 1.0}}) for k, seg in enumerate((2.0, 3.0, 2.0, 3.0))]
    assert [Choice(4, keep).best(painted)[1]["candidate"] for keep in ("faithful", "hard")] == [0, 1]


@pytest.mark.parametrize(("options", "readings"), [({}, 5 + 1), ({"every": 2}, 3 + 1), ({"candidates": 2}, 2 * 6)])
def test_what_guidance_costs_in_passes_of_the_teacher(options: dict[str, Any], readings: int) -> None:
    """One for each guided step of the five, and one for the losses of the finished images."""
    models, passes = small_models(), []
    features = models["teacher"].features
    models["teacher"].features = lambda images: passes.append(len(images)) or features(images)
    list(Guided(steps=5, batch=7, **options).synthesize(CHOSEN, context(**models)))
    assert passes == [7] * readings


def test_weights_of_zero_leave_a_term_out() -> None:
    for option, left in (("seg", "feat"), ("feat", "seg")):
        guided: Any = Guided(steps=1, **{option: 0.0})
        assert set(samples(guided)[0].provenance["losses"]) == {left}


def test_models_of_another_dataset_are_refused() -> None:
    models = {"generator": small_generator(classes=5), "teacher": SmallTeacher()}
    message = "generator knows 5 classes, dataset 'squares' has 3: .*train generator --dataset squares"
    for synthesizer in PAINTERS:
        with pytest.raises(ModelError, match=message):
            next(iter(synthesizer.synthesize(CHOSEN, context(**models))))
    models = {"generator": small_generator(), "teacher": SmallTeacher(classes=5)}
    with pytest.raises(ModelError, match="teacher knows 5 classes"):
        next(iter(Guided(steps=1).synthesize(CHOSEN, context(**models))))


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0}, {"batch": 0}, {"scale": -1.0}, {"seg": -0.1}, {"seg": 0.0, "feat": 0.0},
        {"window": (0.5, 0.5)}, {"window": (-0.1, 1.0)}, {"normalise": "unit"},
        {"window": (0.3, 0.31)}, {"window": (0.2, 0.8), "steps": 1},
        {"every": 0}, {"candidates": 0}, {"keep": "varied"}, {"keep": "hard", "seg": 0.0},
    ],
)  # fmt: skip
def test_wrong_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"synth\.guided\.({'|'.join([*options, 'feat'])})"):
        Guided(**options)


def test_wrong_layers_are_named() -> None:
    with pytest.raises(ConfigError, match="names third: the teacher has first, second"):
        samples(Guided(layers=("first", "third")))


def test_layout_refuses_no_steps() -> None:
    with pytest.raises(ConfigError, match=r"synth\.layout\.steps is 0"):
        Layout(steps=0)


def test_registered_components_exist_and_load_nothing_heavy() -> None:
    targets = [component.target for component in [*register_synthesizers(), *register_generators()]]
    modules = [target.partition(":")[0] for target in targets]
    script = (
        "import sys, importlib\n"
        f"for module in {modules}: importlib.import_module(module)\n"
        "heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    for synthesizer in ALL:
        assert isinstance(synthesizer, Synthesizer)


def test_resizing_to_the_same_size_copies_nothing() -> None:
    image, mask = Squares().image(0), Squares().mask(0)
    assert resize_image(image, (24, 16)) is image and resize_mask(mask, (24, 16)) is mask
    assert resize_image(image, (12, 8)).shape == (8, 12, 3)


@pytest.mark.parametrize("synthesizer", PAINTERS[:2])
def test_a_generator_that_paints_no_numbers_is_told(synthesizer: Any) -> None:
    """As bytes its images would be black."""
    models = small_models()
    with torch.no_grad():
        next(models["generator"].unet.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="paints what are no numbers: with precision fp16 take bf16 or fp32"):
        next(synthesizer.synthesize(CHOSEN, context(**models)))
