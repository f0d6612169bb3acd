"""The contract of generators: families of layout-to-image diffusion models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from d3s2bench.errors import ModelError
from d3s2bench.interfaces import GeneratorFamily
from d3s2bench.testing.base import DEVICES, Contract, prepare
from d3s2bench.testing.tiny import CLASSES, TinyDataset, TinySplit

PAIRS = TinySplit(6)


class GeneratorContract(Contract):
    """What a family of generators keeps to. Try it with options that train in no time:

    >>> class TestMine(GeneratorContract):  # doctest: +SKIP
    ...     component = Mine(iterations=2)
    """

    interface = GeneratorFamily

    def trained(self, place: Path, device: str = "cpu") -> Any:
        """A model, trained on six pairs and loaded again."""
        from d3s2bench.interfaces import Context

        folder, work = place / "generator", place / "work"
        folder.mkdir(parents=True)
        work.mkdir()
        self.component.train(PAIRS, folder, Context(TinyDataset(PAIRS), 3, device, work))
        return self.component.load(folder, device)

    def test_what_it_trained_can_be_loaded(self, tmp_path: Path) -> None:
        generator = self.trained(tmp_path)
        about = tmp_path / "generator" / "generator.json"
        assert about.is_file() and json.loads(about.read_text()).get("family"), "generator.json must tell its family"
        assert generator.num_classes == len(CLASSES), f"it is for {generator.num_classes} classes, not {len(CLASSES)}"
        generator.scheduler.set_timesteps(3)
        assert len(generator.scheduler.timesteps) == 3, "its scheduler must be one of diffusers"

    def test_it_says_what_it_cannot_be_made_for(self) -> None:
        """``require``, where it has one, takes a dataset."""
        if require := getattr(self.component, "require", None):
            assert require(TinyDataset(PAIRS)) is None, "require(dataset) raises, or gives nothing"

    def test_noise_follows_from_each_seed_alone(self, tmp_path: Path) -> None:
        generator = self.trained(tmp_path)
        assert generator.latents([5, 6])[1].equal(generator.latents([6])[0]), "row i must come from seeds[i] alone"
        assert not generator.latents([5]).equal(generator.latents([6])), "two seeds gave the same noise"

    def test_it_denoises_and_paints_what_masks_say(self, tmp_path: Path) -> None:
        import torch

        generator = self.trained(tmp_path)
        width, height = generator.size
        masks = torch.zeros(2, height, width, dtype=torch.int64)
        masks[1, : height // 2] = 255
        generator.scheduler.set_timesteps(2)
        z = generator.latents([1, 2]).requires_grad_()
        prediction = generator.denoise(z, generator.scheduler.timesteps[0], generator.condition(masks))
        assert prediction.shape == z.shape, f"its prediction is {tuple(prediction.shape)} for {tuple(z.shape)}"
        images = generator.decode(prediction)
        assert images.shape == (2, 3, height, width), f"its images are {tuple(images.shape)}, not (2, 3, height, width)"
        (gradient,) = torch.autograd.grad(images.square().sum(), z)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0, "no gradient comes back to the latents"
        assert generator.encode(images.detach().clamp(0, 1)).shape == z.shape, "encode must give what decode takes"

    def test_the_same_seed_trains_the_same_model(self, tmp_path: Path) -> None:
        import torch

        first, second = (self.trained(tmp_path / name) for name in ("first", "second"))
        masks = torch.zeros(1, first.size[1], first.size[0], dtype=torch.int64)
        z, t = first.latents([1]), torch.tensor(500)
        made = [generator.denoise(z, t, generator.condition(masks)) for generator in (first, second)]
        assert made[0].equal(made[1]), "the same seed trained another model"

    def test_another_folder_is_no_generator(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError):
            self.component.load(tmp_path, "cpu")

    @DEVICES
    def test_it_computes_where_it_is_told(self, device: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        prepare(device, self.component, monkeypatch, torch=True)
        assert self.trained(tmp_path, device).latents([1]).device.type == device
