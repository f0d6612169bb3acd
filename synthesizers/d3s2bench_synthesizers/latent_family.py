"""What the generator families on Stable Diffusion 1.x have in common.

They are not trained here. Their ``train`` writes a description of a generator for a dataset (``generator.json``: which
models, what each class is called and coloured) after it has seen that the models load and fit; ``load`` reads it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from d3s2bench import ConfigError, Context, Dataset, ModelError, Split, first_line
from d3s2bench_synthesizers.latent_options import PRECISIONS, SAVINGS, SLOT
from d3s2bench_synthesizers.options import check_options

if TYPE_CHECKING:
    from d3s2bench_synthesizers.latent_description import Description
    from d3s2bench_synthesizers.latent_generator import Control, LatentGenerator
    from d3s2bench_synthesizers.latent_models import Loader, StableDiffusion
    from d3s2bench_synthesizers.latent_palettes import RGB

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
QUALITY = "best quality, extremely detailed"
"""What the authors of ControlNet and T2I-Adapter add to prompts in their demonstrations."""


@dataclass(frozen=True)
class LatentFamily(ABC):
    """Options and life of a family; what brings the mask in is left to each.

    Attributes:
        base: Stable Diffusion 1.x in the diffusers layout: a folder, or ``OWNER/NAME`` or ``OWNER/NAME@REVISION`` on
            the Hugging Face hub.
        size: width and height of the images; multiples of 64.
        template: the prompt; ``<classes>`` stands for the classes of the mask, the largest ones if not all have room.
        joint: what stands between two classes.
        negative: the prompt to stay away from.
        cfg: scale of classifier-free guidance by the prompt; 1 = none, which takes half as long.
        rename: pairs ``CLASS=NAME``: what a class of the dataset is called in palette and prompts; ``void`` leaves it
            blank.
        precision: of the networks: ``"fp32"``, ``"bf16"`` or ``"fp16"``. The VAE keeps fp32 under fp16, in which the
            small gradients of guidance would vanish; bf16 is the better half.
        memory: what is done to save memory, of ``checkpointing`` (features are computed again for the gradient),
            ``attention-slicing``, ``vae-slicing`` (images are decoded one by one) and ``vae-tiling`` (large images are
            decoded in tiles).
        trained_on: what the weights have seen, for records.
    """

    base: str = SD15
    size: tuple[int, int] = (512, 512)
    template: str = f"a photo with {SLOT}, {QUALITY}"
    joint: str = ", "
    negative: str = "lowres, cropped, worst quality, low quality"
    cfg: float = 7.5
    rename: tuple[str, ...] = ()
    precision: str = "fp32"
    memory: tuple[str, ...] = ("checkpointing",)
    trained_on: str = "unknown"

    name: ClassVar[str]
    networks: ClassVar[tuple[str, ...]]
    """The options that name a network beside the base."""
    savings: ClassVar[tuple[str, ...]] = tuple(SAVINGS)

    def __post_init__(self) -> None:
        shown = {name: repr(value) for name, value in vars(self).items()}
        check_options(f"generator.{self.name}", shown, self._valid())

    def option(self, name: str) -> str:
        """What an option is called on the command line."""
        return f"generator.{self.name}.{name}"

    def require(self, dataset: Dataset) -> None:
        """What a run that is planned asks, before hours go by: nothing is fetched or loaded, torch neither.

        Raises:
            ModelError: the models cannot be had.
        """
        from d3s2bench_synthesizers.latent_sources import require

        for name, files in self._wanted.items():
            require(getattr(self, name), files, self.option(name))

    def train(self, pairs: Split, folder: Path, context: Context) -> None:
        """Writes ``folder/generator.json`` for the context's dataset; trains nothing and looks at no pair.

        Raises:
            ConfigError: ``rename`` names no class of the dataset.
            ModelError: the models cannot be had or do not fit each other, or a class has no colour.
        """
        from d3s2bench_synthesizers.latent_sources import settled

        sources: dict[str, Any] = {name: settled(getattr(self, name)) for name in self._sources}
        options = replace(self, **sources)
        described = options._describe(context.dataset)
        folders, weights = options._locate(Path())
        description = replace(described, weights=weights)
        _try_out(options._build(description, folders, context.device))
        description.write(folder)

    def load(self, folder: Path, device: str) -> LatentGenerator:
        """The generator that ``folder`` describes, frozen; its options are those of the description.

        Raises:
            ModelError: the folder is no such description, or its models cannot be had or have changed since.
        """
        from d3s2bench_synthesizers.latent_description import RECORD, Description

        description = Description.read(folder, self.name)
        try:
            options = type(self)(**description.options)
        except (TypeError, ConfigError) as error:
            raise ModelError(f"{folder / RECORD} has options that cannot be used ({error}): make it again") from error
        folders, weights = options._locate(folder)
        if weights != description.weights:
            raise ModelError(f"the models of generator '{description.identity}' have changed since: make it again")
        return options._build(description, folders, device)

    def _valid(self) -> dict[str, tuple[bool, str]]:
        """Option → whether it is good, and what to give."""
        return {
            "base": (bool(self.base), "a folder or a name on the hub"),
            "size": (min(self.size) >= 1, "width,height"),
            "template": (self.template.count(SLOT) == 1, f"a prompt with {SLOT} once"),
            "cfg": (self.cfg >= 1, "1 or more"),
            "precision": (self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
            "memory": (set(self.memory) <= set(self.savings), f"any of {', '.join(self.savings)}"),
        }

    @property
    def _sources(self) -> tuple[str, ...]:
        return tuple(name for name in ("base", *self.networks) if getattr(self, name))

    @property
    def _wanted(self) -> dict[str, tuple[str, ...]]:
        """Source → patterns of the files that are read of it."""
        from d3s2bench_synthesizers.latent_sources import NETWORK, STABLE_DIFFUSION

        return {name: STABLE_DIFFUSION if name == "base" else NETWORK for name in self._sources}

    @abstractmethod
    def _control(self, models: StableDiffusion, loader: Loader, colours: Sequence[RGB]) -> Control:
        """What brings masks into the U-Net."""

    def _colours(self, names: Sequence[str], dataset: Dataset) -> Sequence[RGB]:
        """Of each class, for a network that sees the mask as a picture."""
        return ()

    def _words(self, names: Sequence[str]) -> Sequence[str]:
        """What each class is called in prompts."""
        from d3s2bench_synthesizers.latent_prompts import words

        return [words(name) for name in names]

    def _describe(self, dataset: Dataset) -> Description:
        """All but the fingerprint of the models, which takes their whole reading."""
        from d3s2bench_synthesizers.latent_description import Description, renamed

        names = renamed(dataset, self.rename, self.option("rename"))
        return Description(
            family=self.name,
            dataset={"name": dataset.name, "fingerprint": dataset.fingerprint},
            trained_on=self.trained_on,
            classes=tuple(dataset.classes),
            words=tuple(self._words(names)),
            colours=tuple(self._colours(names, dataset)),
            options=asdict(self),
            weights="",
        )

    def _locate(self, beside: Path) -> tuple[dict[str, Path], str]:
        """Where the models lie, and their fingerprint."""
        from d3s2bench_synthesizers.latent_sources import fingerprint, locate

        wanted = self._wanted
        folders = {
            name: locate(getattr(self, name), beside, files, self.option(name)) for name, files in wanted.items()
        }
        return folders, fingerprint([(folders[name], files) for name, files in wanted.items()])

    def _build(self, description: Description, folders: Mapping[str, Path], device: str) -> LatentGenerator:
        from d3s2bench_synthesizers.latent_generator import LatentGenerator
        from d3s2bench_synthesizers.latent_models import Loader
        from d3s2bench_synthesizers.latent_prompts import Prompts

        loader = Loader(folders, device, self.precision, self.memory)
        models = loader.stable_diffusion()
        length = models.text_encoder.config.max_position_embeddings
        return LatentGenerator(
            models,
            self._control(models, loader, description.colours),
            Prompts(models.tokenizer, length, description.words, self.template, self.joint),
            self.size,
            self.cfg,
            self.negative,
            description.identity,
        )


def _try_out(generator: LatentGenerator) -> None:
    """One pass for an empty mask. Raises ModelError when the parts do not fit each other."""
    import torch

    width, height = generator.size
    condition = generator.condition(torch.full((1, height, width), 255))
    try:
        with torch.no_grad():
            generator.denoise(generator.latents([0]), torch.tensor(1), condition)
    except RuntimeError as error:
        raise ModelError(f"the parts of generator '{generator.identity}' do not fit: {first_line(error)}") from error
