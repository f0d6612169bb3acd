"""The terms by hand, the gradient by finite differences, the length of a step by its definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from synthesis_fakes import SmallTeacher, small_generator
from test_sampling import MASKS, double_generator
from torch import Tensor

from d3s2bench_synthesizers.guidance import Guidance, norm
from d3s2bench_synthesizers.sampling import NoiseLevel, sample
from d3s2bench_synthesizers.terms import ClassFeatureMatching, SegmentationConsistency, class_statistics
from d3s2bench_synthesizers.window import guided_steps

NOTHING = torch.empty(0)
TERMS = (SegmentationConsistency(), ClassFeatureMatching(SmallTeacher(dtype=torch.float64).class_features))


def logits_of(*probabilities: float) -> Tensor:
    """``(1, 2, 1, W)`` logits that give class 0 these probabilities."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()])[None, :, None]


def test_consistency_is_the_mean_cross_entropy_of_labelled_pixels() -> None:
    masks = torch.tensor([[[0, 0, 1, 255]]])
    loss = SegmentationConsistency(weight=3.0).loss(NOTHING, logits_of(0.5, 0.25, 0.5, 0.01), {}, masks)
    expected = 3 * (torch.tensor([2.0, 4.0, 2.0]).double().log().mean())
    torch.testing.assert_close(loss, expected[None])


def test_class_balanced_consistency_is_the_mean_over_classes() -> None:
    masks = torch.tensor([[[0, 0, 1, 255]]])
    loss = SegmentationConsistency(class_balanced=True).loss(NOTHING, logits_of(0.5, 0.25, 0.5, 0.01), {}, masks)
    two, four = torch.tensor([2.0, 4.0]).double().log()
    torch.testing.assert_close(loss, (((two + four) / 2 + two) / 2)[None])


def test_a_mask_without_labels_costs_nothing() -> None:
    masks = torch.full((1, 1, 4), 255)
    logits = logits_of(0.5, 0.25, 0.5, 0.01)
    reference = {"layer": (torch.zeros(2, 2).double(), torch.ones(2, 2).double())}
    assert SegmentationConsistency().loss(NOTHING, logits, {}, masks).tolist() == [0]
    assert ClassFeatureMatching(reference).loss(NOTHING, logits, {"layer": logits}, masks).tolist() == [0]


def test_matching_by_hand() -> None:
    """Class 0 has features 1 and 3 (mean 2, std 1), class 1 only one pixel, class 2 is absent from real images."""
    features = {"layer": torch.tensor([[[[1.0, 3.0, 9.0, 5.0, 7.0]]]])}
    masks = torch.tensor([[[0, 0, 1, 2, 2]]])
    nan = float("nan")
    reference = {"layer": (torch.tensor([[5.0], [0.0], [nan]]), torch.tensor([[2.0], [4.0], [nan]]))}
    loss = ClassFeatureMatching(reference, weight=2.0, min_pixels=2).loss(NOTHING, NOTHING, features, masks)
    # ((2 - 5)² + (1 - 2)²) over the mean variance (2² + 4²) / 2 of the classes that real images have
    torch.testing.assert_close(loss, torch.tensor([2.0 * 10 / 10]))


def test_features_of_real_statistics_cost_nothing() -> None:
    features = torch.randn(1, 3, 8, 12, generator=torch.manual_seed(0), dtype=torch.float64)
    masks = torch.arange(2).repeat_interleave(6).expand(1, 8, 12)
    mean, std = class_statistics(features, torch.stack([masks == 0, masks == 1], dim=1))
    loss = ClassFeatureMatching({"layer": (mean[0], std[0])}).loss(NOTHING, NOTHING, {"layer": features}, masks)
    torch.testing.assert_close(loss, torch.zeros(1).double(), atol=1e-12, rtol=0)


def test_class_statistics_equal_torch_on_each_class() -> None:
    features = torch.randn(2, 3, 4, 6, generator=torch.manual_seed(1), dtype=torch.float64)
    members = torch.rand(2, 2, 4, 6, generator=torch.manual_seed(2)) < 0.5
    mean, std = class_statistics(features, members)
    for b in range(2):
        for c in range(2):
            rows = features[b, :, members[b, c]]
            torch.testing.assert_close(mean[b, c], rows.mean(dim=1))
            torch.testing.assert_close(std[b, c], rows.std(dim=1, unbiased=False))


@pytest.mark.parametrize("step", [0, 3])
@pytest.mark.parametrize("through", [False, True])
def test_the_slope_is_the_derivative_of_the_loss(through: bool, step: int) -> None:
    generator, guidance = double_generator(), Guidance(SmallTeacher(dtype=torch.float64), TERMS, 0.1)
    guidance = Guidance(guidance.teacher, TERMS, 0.1, through_generator=through)
    generator.scheduler.set_timesteps(5)
    t = generator.scheduler.timesteps[step]
    z, condition = generator.latents([1, 2]), generator.condition(MASKS)
    level = NoiseLevel.at(generator.scheduler, t)

    def clean_at(z: Tensor) -> Tensor:
        return level.clean(z, generator.denoise(z, t, condition))

    def loss(at: Tensor) -> float:
        clean = clean_at(at) if through else at
        return sum(float(loss.sum()) for loss in guidance.losses(generator.decode(clean), MASKS).values())

    clean, slope = guidance.slope(generator, z, t, condition, MASKS)
    torch.testing.assert_close(clean, clean_at(z))
    origin = z if through else clean
    for seed in range(3):
        direction = torch.randn(z.shape, generator=torch.manual_seed(seed), dtype=torch.float64)
        numeric = (loss(origin + 1e-5 * direction) - loss(origin - 1e-5 * direction)) / 2e-5
        assert float((slope * direction).sum()) == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def moved(normalise: str, scale: float) -> tuple[Any, Tensor, Tensor, Tensor, Tensor]:
    """The noise level, z, the clean estimate before and after guidance, and the slope at a middle step."""
    generator = double_generator()
    guidance = Guidance(SmallTeacher(dtype=torch.float64), TERMS, scale, normalise=normalise)
    generator.scheduler.set_timesteps(5)
    t = generator.scheduler.timesteps[2]
    z, condition = generator.latents([1, 2]), generator.condition(MASKS)
    level = NoiseLevel.at(generator.scheduler, t)
    clean, slope = guidance.slope(generator, z, t, condition, MASKS)
    after = level.clean(z, guidance(generator, z, t, condition, MASKS))
    return level, z, clean, after, slope


def test_estimate_moves_the_clean_estimate_by_a_share_of_its_norm() -> None:
    level, _, clean, after, slope = moved("estimate", 0.3)
    expected = clean - 0.3 * level.sigma * norm(clean) * slope / norm(slope)
    torch.testing.assert_close(after, expected, atol=1e-6, rtol=1e-6)


def test_eps_moves_the_noise_estimate_by_a_share_of_its_norm() -> None:
    level, z, clean, after, slope = moved("eps", 0.3)
    before = level.noise(z, clean)
    expected = before + 0.3 * level.sigma * norm(before) * slope / norm(slope)
    torch.testing.assert_close(level.noise(z, after), expected, atol=1e-6, rtol=1e-6)


def test_none_adds_the_gradient_to_the_noise_estimate() -> None:
    level, z, clean, after, slope = moved("none", 7.0)
    torch.testing.assert_close(
        level.noise(z, after), level.noise(z, clean) + 7 * level.sigma * slope, atol=1e-6, rtol=1e-6
    )


def test_the_window_counts_steps() -> None:
    guidance = Guidance(SmallTeacher(), TERMS, 0.1, window=(0.2, 0.6))
    assert [k for k in range(10) if guidance.covers(k, 10)] == [2, 3, 4, 5]
    everywhere = Guidance(SmallTeacher(), TERMS, 0.1)
    assert all(everywhere.covers(k, 7) for k in range(7))


@pytest.mark.parametrize(("every", "guided"), [(1, [3, 4, 5, 6, 7]), (2, [3, 5, 7]), (3, [3, 6]), (9, [3])])
def test_every_counts_from_the_first_step_of_the_window(every: int, guided: list[int]) -> None:
    guidance = Guidance(SmallTeacher(), TERMS, 0.1, window=(0.25, 0.8), every=every)
    assert [k for k in range(10) if guidance.covers(k, 10)] == guided


def test_each_image_is_guided_by_itself() -> None:
    generator = double_generator()
    guidance = Guidance(SmallTeacher(dtype=torch.float64), TERMS, 0.1)
    masks = torch.stack([MASKS[0], MASKS[0].flip(-1)])
    together = sample(generator, masks, [1, 2], 4, guidance)
    alone = [sample(generator, masks[i : i + 1], [seed], 4, guidance) for i, seed in enumerate((1, 2))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)


def test_a_window_is_taken_as_it_is_written() -> None:
    """0.28 · 25 is 7, although the product of the two floats is a little more."""
    assert guided_steps(25, (0.28, 1.0)) == range(7, 25) and guided_steps(25, (0.0, 0.28)) == range(7)
    assert guided_steps(25, (0.3, 0.5)) == range(8, 13) and guided_steps(50, (0.0, 1.0)) == range(50)
    guidance = Guidance(SmallTeacher(), TERMS, 0.1, window=(0.28, 0.5), every=2)
    assert [k for k in range(25) if guidance.covers(k, 25)] == [7, 9, 11]


def test_guidance_lowers_its_own_losses() -> None:
    teacher, generator = SmallTeacher(), small_generator()
    guidance = Guidance(teacher, (SegmentationConsistency(), ClassFeatureMatching(teacher.class_features)), 0.2)
    guided, unguided = (sample(generator, MASKS, [1, 2], 10, how) for how in (guidance, None))
    after, before = guidance.losses(guided, MASKS), guidance.losses(unguided, MASKS)
    assert all(bool((after[name] < before[name]).all()) for name in ("seg", "feat"))
