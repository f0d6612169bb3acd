"""The real thing: on held-out masks, guidance must convince a network that took no part in it.

The judge is of another architecture than the teacher and is trained here on a part of the train split; the masks are
of the validation split; guided and unguided images start from the same noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from d3s2bench import Context, Image, Mask, Sample, Selection, Split
from d3s2bench.datasets.scenes import Scenes
from d3s2bench_evaluators.torch_evaluator import Torch
from d3s2bench_synthesizers.guided import Guided
from d3s2bench_synthesizers.layout import Layout
from d3s2bench_synthesizers.pixel_family import PixelFamily

ASSETS = Scenes(Path()).assets or Path("absent")
COUNT = 12
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((ASSETS / model).is_dir() for model in ("generator", "teacher")), reason="no shipped models of scenes"
    ),
]


class HeldOut(Scenes):
    """Scenes whose masks to paint are those of its validation split."""

    def split(self, name: str) -> Split:
        return super().split("val" if name == "train" else name)


@dataclass(frozen=True)
class Part:
    """The first pairs of a split."""

    whole: Split
    count: int

    def __len__(self) -> int:
        return self.count

    def image(self, i: int) -> Image:
        return self.whole.image(i)

    def mask(self, i: int) -> Mask:
        return self.whole.mask(i)

    def item_name(self, i: int) -> str:
        return self.whole.item_name(i)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("judge")
    scenes, evaluator = Scenes(folder), Torch()
    protocol = evaluator.protocol("deeplab", (96, 64)) | {"iterations": 300}
    student = evaluator.train(Part(scenes.split("train"), 500), "deeplab", protocol, Context(scenes, workdir=folder))
    return student.network


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    generator, teacher = (
        PixelFamily().load(ASSETS / "generator", "cpu"),
        Torch().load_teacher(ASSETS / "teacher", "cpu"),
    )
    dataset = HeldOut(tmp_path_factory.mktemp("scenes"))
    return Context(dataset, load_generator=lambda: generator, load_teacher=lambda: teacher)


def tensors(samples: Iterator[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images ``(N, 3, H, W)`` in 0…1 and masks ``(N, H, W)``."""
    made = list(samples)
    images = torch.from_numpy(np.stack([sample.image for sample in made])).movedim(-1, 1).float() / 255
    return images, torch.from_numpy(np.stack([sample.mask for sample in made])).long()


@torch.no_grad()
def agreement(network: Any, images: torch.Tensor, masks: torch.Tensor) -> float:
    """Share of the labelled pixels that the network sees as the mask says."""
    labelled = masks != 255
    return float((network(images).argmax(dim=1) == masks)[labelled].float().mean())


def test_guidance_lowers_both_losses_and_convinces_a_judge(judge: Any, context: Context) -> None:
    selection = Selection(np.arange(COUNT))
    guided, masks = tensors(Guided().synthesize(selection, context))
    unguided, _ = tensors(Layout(batch=Guided().batch).synthesize(selection, context))
    guidance = Guided().guidance(context)
    after, before = guidance.losses(guided, masks), guidance.losses(unguided, masks)
    for name in ("seg", "feat"):
        assert float(after[name].mean()) < 0.8 * float(before[name].mean()), name
    assert agreement(judge, guided, masks) > agreement(judge, unguided, masks) + 0.01
