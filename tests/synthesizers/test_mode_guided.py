"""Mode guidance: modes of a dataset that has two, and the update by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.cluster.vq import kmeans2
from scipy.spatial import distance
from synthesis_fakes import Squares, choose, context, small_generator

from d3s2bench import ConfigError, Image
from d3s2bench_synthesizers.layout import Layout
from d3s2bench_synthesizers.mode_guided import ModeGuided
from d3s2bench_synthesizers.modes import ModeGuidance, Modes, discover, spread
from d3s2bench_synthesizers.sampling import NoiseLevel


@dataclass(frozen=True)
class TwoModes(Squares):
    """Dark photographs and, at odd numbers, bright ones."""

    def image(self, i: int) -> Image:
        value = 200 + i if i % 2 else 20 + i
        return np.full((self.size[1], self.size[0], 3), value, np.uint8)


def test_modes_are_the_means_of_the_clusters() -> None:
    modes = discover(context(TwoModes(), generator=small_generator()), 2, pool=10)
    found = sorted((modes.centres.flatten(1).mean(1) + 2) / 4 * 255)
    assert [float(value) for value in found] == pytest.approx([24, 205], abs=1e-3)  # 20, 22, … 28 and 201, … 209
    rows = modes.of([0, 2, 4, 1, 3])
    assert rows[0] == rows[1] == rows[2] != rows[3] == rows[4]


@pytest.mark.parametrize("count", [1, 2, 17, 60])
def test_k_means_starts_where_that_of_scipy_would(count: int) -> None:
    points = np.random.default_rng(3).normal(size=(60, 5)).astype(np.float32)
    ours = spread(points, count, np.random.default_rng(count))
    theirs, _ = kmeans2(points, count, iter=1, minit="++", seed=np.random.default_rng(count), missing="warn")
    assert ours.dtype == np.float64 and len(np.unique(ours, axis=0)) == count
    assert np.array_equal(kmeans2(points, ours, iter=1, minit="matrix")[0], theirs)


def test_k_means_start_measures_each_distance_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    real = distance.cdist
    monkeypatch.setattr(distance, "cdist", lambda a, b, by: measured.append(len(a) * len(b)) or real(a, b, by))
    spread(np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32), 20, np.random.default_rng(0))
    assert sum(measured) == 19 * 50


def test_no_more_modes_than_photographs_are_drawn() -> None:
    assert len(discover(context(TwoModes(count=3), generator=small_generator()), 8, pool=2).centres) == 3


def test_the_clean_estimate_goes_a_share_of_the_way() -> None:
    generator = small_generator()
    generator.scheduler.set_timesteps(10)
    t = generator.scheduler.timesteps[3]
    z, masks = generator.latents([1, 2]), torch.zeros(2, 16, 24, dtype=torch.long)
    condition = generator.condition(masks)
    modes = Modes(torch.randn(3, *z.shape[1:]), context(generator=generator))
    guidance = ModeGuidance(modes, 0.1, (0.0, 0.5), rows=(2, 0))
    level = NoiseLevel.at(generator.scheduler, t)
    with torch.no_grad():
        clean = level.clean(z, generator.denoise(z, t, condition))
        moved = level.clean(z, guidance(generator, z, t, condition, masks))
    torch.testing.assert_close(moved, 0.9 * clean + 0.1 * modes.centres[[2, 0]], atol=1e-4, rtol=1e-4)


def test_guidance_stops_half_way() -> None:
    guidance = ModeGuidance(Modes(torch.zeros(1, 3, 2, 2), context()), 0.1, (0.0, 0.5))
    assert [guidance.covers(k, 50) for k in (0, 24, 25, 49)] == [True, True, False, False]


def test_a_sample_depends_on_its_number_alone_and_tells_its_mode() -> None:
    place = context(TwoModes(), generator=small_generator())
    method, selection = ModeGuided(steps=4, batch=2), choose(0, 1, 2, 3, 5)
    whole, rest = list(method.synthesize(selection, place)), list(method.synthesize(selection, place, start=3))
    assert [sample.image.tobytes() for sample in whole[3:]] == [sample.image.tobytes() for sample in rest]
    assert [sample.sources for sample in whole] == [(0,), (1,), (2,), (3,), (5,)]
    assert all(0 <= sample.provenance["mode"] < 5 for sample in whole)


def test_no_strength_is_no_guidance() -> None:
    place = context(TwoModes(), generator=small_generator())
    (guided,) = ModeGuided(steps=4, strength=0.0).synthesize(choose(3), place)
    (plain,) = Layout(steps=4).synthesize(choose(3), place)
    assert int(np.abs(guided.image.astype(int) - plain.image).max()) <= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strength": 2.0}, "strength is 2.0: give 0 to 1"),
        ({"pool": 0}, "pool"),
        ({"steps": 4, "window": (0.3, 0.45)}, "window is .*that hold a step"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ModeGuided(**options)  # type: ignore[arg-type]
