"""The generator families `controlnet`, `t2i-adapter` and `freestyle`: their options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3s2bench import Dataset
from d3s2bench_synthesizers.latent_family import LatentFamily
from d3s2bench_synthesizers.latent_options import PALETTES, SAVINGS, SLOT, VOCABULARIES

if TYPE_CHECKING:
    from d3s2bench_synthesizers.latent_generator import Control
    from d3s2bench_synthesizers.latent_models import Loader, StableDiffusion
    from d3s2bench_synthesizers.latent_palettes import RGB

SD14 = "CompVis/stable-diffusion-v1-4"


@dataclass(frozen=True)
class PictureFamily(LatentFamily):
    """A family whose network sees the mask as a picture.

    Attributes:
        palette: the colours the network knows classes by: ``"ade20k"``, ``"coco"`` or the ``"dataset"``'s own.
        strength: what its features are multiplied by.
    """

    palette: str = "dataset"
    strength: float = 1.0

    def _valid(self) -> dict[str, tuple[bool, str]]:
        return {
            **super()._valid(),
            **{name: (bool(getattr(self, name)), "a folder or a name on the hub") for name in self.networks},
            "palette": (self.palette in PALETTES, f"one of {', '.join(PALETTES)}"),
        }

    def _colours(self, names: Sequence[str], dataset: Dataset) -> Sequence[RGB]:
        from d3s2bench_synthesizers.latent_palettes import look_up

        if self.palette == "dataset":
            return dataset.palette
        return [entry.colour for entry in look_up(names, self.palette, self.option("rename"))]


@dataclass(frozen=True)
class ControlNetFamily(PictureFamily):
    """ControlNet for segmentation.

    Attributes:
        controlnet: the network: a folder, or a name on the hub. The default one knows the palettes of ADE20K and COCO.
    """

    controlnet: str = "lllyasviel/control_v11p_sd15_seg"
    palette: str = "ade20k"
    cfg: float = 9.0
    trained_on: str = "ade20k/train, COCO"

    name: ClassVar[str] = "controlnet"
    networks: ClassVar[tuple[str, ...]] = ("controlnet",)

    def _control(self, models: StableDiffusion, loader: Loader, colours: Sequence[RGB]) -> Control:
        from diffusers import ControlNetModel

        from d3s2bench_synthesizers.latent_controlnet import ControlNet

        network = loader.network(ControlNetModel, loader.folders["controlnet"])
        return ControlNet(network, colours, self.strength)


@dataclass(frozen=True)
class AdapterFamily(PictureFamily):
    """T2I-Adapter for segmentation.

    Attributes:
        adapter: the network: a folder, or a name on the hub. The default one was trained on COCO-Stuff in colours that
            are unpublished; this revision of it has safetensors.
    """

    base: str = SD14
    adapter: str = "TencentARC/t2iadapter_seg_sd14v1@refs/pr/2"
    trained_on: str = "COCO-Stuff"

    name: ClassVar[str] = "t2i-adapter"
    networks: ClassVar[tuple[str, ...]] = ("adapter",)

    def _control(self, models: StableDiffusion, loader: Loader, colours: Sequence[RGB]) -> Control:
        from diffusers import T2IAdapter

        from d3s2bench_synthesizers.latent_adapter import Adapter

        return Adapter(loader.network(T2IAdapter, loader.folders["adapter"]), colours, self.strength)


@dataclass(frozen=True)
class FreestyleFamily(LatentFamily):
    """FreestyleNet: rectified cross-attention.

    Attributes:
        unet: FreestyleNet's U-Net in the diffusers layout: a folder, or a name on the hub. Its authors publish LDM
            checkpoints, which diffusers' ``convert_original_stable_diffusion_to_diffusers.py`` converts. Empty = the
            U-Net of the base, which was never trained to keep to a layout.
        vocabulary: what classes are called: ``"names"`` (the dataset's; for COCO-Stuff they are those of FreestyleNet)
            or ``"ade20k"`` (those of FreestyleNet's ADE20K model).
    """

    base: str = SD14
    unet: str = ""
    vocabulary: str = "names"
    template: str = SLOT
    joint: str = " "
    negative: str = ""
    cfg: float = 2.0

    name: ClassVar[str] = "freestyle"
    networks: ClassVar[tuple[str, ...]] = ("unet",)
    savings: ClassVar[tuple[str, ...]] = tuple(saving for saving in SAVINGS if saving != "attention-slicing")

    def _valid(self) -> dict[str, tuple[bool, str]]:
        known = (self.vocabulary in VOCABULARIES, f"one of {', '.join(VOCABULARIES)}")
        return {**super()._valid(), "vocabulary": known}

    def _words(self, names: Sequence[str]) -> Sequence[str]:
        from d3s2bench_synthesizers.latent_palettes import look_up

        if self.vocabulary == "names":
            return super()._words(names)
        return super()._words([entry.words for entry in look_up(names, self.vocabulary, self.option("rename"))])

    def _control(self, models: StableDiffusion, loader: Loader, colours: Sequence[RGB]) -> Control:
        from d3s2bench_synthesizers.latent_freestyle import Rectified

        width, height = self.size
        return Rectified(models.unet, (width // models.factor, height // models.factor))
