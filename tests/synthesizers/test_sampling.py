"""The sampling loop against diffusers' own pipeline, Song et al.'s formula, and itself in other parametrisations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from hypothesis import given
from hypothesis import strategies as st
from synthesis_fakes import SmallTeacher, small_generator
from torch import Tensor

from d3s2bench import ConfigError
from d3s2bench_synthesizers.guidance import Guidance
from d3s2bench_synthesizers.sampling import NoiseLevel, sample
from d3s2bench_synthesizers.terms import SegmentationConsistency

MASKS = torch.tensor([[[0] * 12 + [1] * 12] * 8 + [[2] * 20 + [255] * 4] * 8] * 2)
FORMS = ("epsilon", "v_prediction", "sample")


class Unconditional:
    """A generator without a mask: the noise-predicting UNet of diffusers' DDIMPipeline."""

    size = (8, 8)
    num_classes = 3

    def __init__(self) -> None:
        torch.manual_seed(3)
        self.unet = UNet2DModel(
            sample_size=8, block_out_channels=(16, 16), down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2, layers_per_block=1, norm_num_groups=8,
        )  # fmt: skip
        self.scheduler: Any = DDIMScheduler(clip_sample=False)

    def latents(self, seeds: Sequence[int]) -> Tensor:
        return torch.cat([torch.randn(1, 3, 8, 8, generator=torch.manual_seed(seed)) for seed in seeds])

    def condition(self, masks: Tensor) -> None:
        return None

    def denoise(self, z: Tensor, t: Tensor, condition: None) -> Tensor:
        return self.unet(z, t).sample

    def decode(self, z: Tensor) -> Tensor:
        return z / 2 + 0.5

    def encode(self, images: Tensor) -> Tensor:
        return images * 2 - 1


class Reparametrised:
    """The same generator, whose network predicts something else."""

    def __init__(self, generator: Any, form: str) -> None:
        self.wrapped, self.form = generator, form
        self.scheduler = DDIMScheduler.from_config(generator.scheduler.config, prediction_type=form)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    def denoise(self, z: Tensor, t: Tensor, condition: Any) -> Tensor:
        inner = NoiseLevel.at(self.wrapped.scheduler, t)
        clean = inner.clean(z, self.wrapped.denoise(z, t, condition))
        return NoiseLevel(inner.alpha, inner.sigma, self.form).prediction(z, clean)


def double_generator() -> Any:
    generator = small_generator()
    generator.unet.double()
    latents = generator.latents
    generator.latents = lambda seeds: latents(seeds).double()
    return generator


def test_equals_the_pipeline_of_diffusers() -> None:
    ours = Unconditional()
    pipeline = DDIMPipeline(ours.unet, ours.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    noise = [torch.Generator().manual_seed(seed) for seed in (7, 8)]
    theirs = pipeline(batch_size=2, generator=noise, num_inference_steps=6, output_type="np").images
    images = sample(ours, torch.zeros(2, 8, 8, dtype=torch.long), [7, 8], 6)
    np.testing.assert_allclose(images.movedim(1, -1).numpy(), theirs, atol=2e-6)


def test_equals_our_pipeline_called_as_users_call_it() -> None:
    generator = small_generator()
    assert torch.equal(sample(generator, MASKS, [1, 2], 4), generator(MASKS, [1, 2], num_inference_steps=4))


def test_equals_the_formula_of_ddim() -> None:
    """Song et al. 2021, equation 12 with η = 0; the last step goes to α = 1 of timestep 0's predecessor."""
    generator = double_generator()
    z, condition, steps = generator.latents([4, 5]), generator.condition(MASKS), 5
    shares = generator.scheduler.alphas_cumprod.double()
    times = [round(1000 * (steps - k) / steps) - 1 for k in range(steps)]
    for k, t in enumerate(times):
        share = shares[t]
        following = shares[times[k + 1]] if k + 1 < steps else torch.tensor(1.0).double()
        velocity = generator.denoise(z, torch.tensor(t), condition)
        clean = share.sqrt() * z - (1 - share).sqrt() * velocity
        noise = share.sqrt() * velocity + (1 - share).sqrt() * z
        z = following.sqrt() * clean + (1 - following).sqrt() * noise
    expected = (z / 4 + 0.5).clamp(0, 1)
    torch.testing.assert_close(sample(generator, MASKS, [4, 5], steps), expected, atol=1e-6, rtol=0)


@given(share=st.floats(0.01, 0.99), form=st.sampled_from(FORMS), seed=st.integers(0, 99))
def test_predictions_and_clean_estimates_convert_both_ways(share: float, form: str, seed: int) -> None:
    numbers = torch.Generator().manual_seed(seed)
    clean, noise, prediction = torch.randn(3, 2, 3, 4, 4, generator=numbers, dtype=torch.float64)
    alpha, sigma = torch.tensor([share, 1 - share], dtype=torch.float64).sqrt()
    level = NoiseLevel(alpha, sigma, form)
    z = level.alpha * clean + level.sigma * noise
    known = {"epsilon": noise, "sample": clean, "v_prediction": level.alpha * noise - level.sigma * clean}
    torch.testing.assert_close(level.prediction(z, clean), known[form])
    torch.testing.assert_close(level.clean(z, known[form]), clean)
    torch.testing.assert_close(level.noise(z, clean), noise)
    torch.testing.assert_close(level.prediction(z, level.clean(z, prediction)), prediction)


def test_an_unknown_prediction_type_is_named() -> None:
    with pytest.raises(ConfigError, match="'flow'"):
        NoiseLevel(torch.ones(()), torch.ones(()), "flow").clean(torch.ones(1), torch.ones(1))


@pytest.mark.parametrize("through", [False, True])
def test_guidance_does_not_depend_on_what_the_network_predicts(through: bool) -> None:
    generator = double_generator()
    teacher = SmallTeacher(dtype=torch.float64)
    guidance = Guidance(teacher, (SegmentationConsistency(),), 0.1, (0.2, 1.0), through_generator=through)
    images = [sample(Reparametrised(generator, form), MASKS, [1, 2], 5, guidance) for form in FORMS]
    unguided = sample(generator, MASKS, [1, 2], 5)
    assert (images[0] - unguided).abs().max() > 1e-2
    for image in images[1:]:
        torch.testing.assert_close(image, images[0], atol=1e-6, rtol=0)


def test_guidance_of_no_length_changes_nothing() -> None:
    generator = double_generator()
    guidance = Guidance(SmallTeacher(dtype=torch.float64), (SegmentationConsistency(),), scale=0.0)
    guided, unguided = sample(generator, MASKS, [1, 2], 5, guidance), sample(generator, MASKS, [1, 2], 5)
    torch.testing.assert_close(guided, unguided, atol=1e-6, rtol=0)
