"""Stable Diffusion with ControlNet, T2I-Adapter and rectified attention: as generators, and against diffusers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import huggingface_hub
import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    T2IAdapter,
    UNet2DConditionModel,
)
from huggingface_hub.errors import LocalEntryNotFoundError
from latent_fakes import SIZE, Streets, double, families, in_context, masks_of, write_models
from safetensors.torch import load_file, save_file
from synthesis_fakes import SmallTeacher, Squares, choose, context
from torch import Tensor

from d3s2bench import ConfigError, ModelError, Teacher, configure, file_sha256
from d3s2bench_synthesizers import latent_sources
from d3s2bench_synthesizers.filtered import Filtered
from d3s2bench_synthesizers.guidance import Guidance
from d3s2bench_synthesizers.guided import Guided
from d3s2bench_synthesizers.latent_families import ControlNetFamily, FreestyleFamily
from d3s2bench_synthesizers.latent_family import LatentFamily
from d3s2bench_synthesizers.latent_generator import LatentGenerator
from d3s2bench_synthesizers.latent_models import dtype
from d3s2bench_synthesizers.latent_palettes import coloured
from d3s2bench_synthesizers.latent_sources import NETWORK, STABLE_DIFFUSION, locate, require
from d3s2bench_synthesizers.layout import Layout
from d3s2bench_synthesizers.mode_guided import ModeGuided
from d3s2bench_synthesizers.sampling import NoiseLevel, sample
from d3s2bench_synthesizers.terms import ClassFeatureMatching, SegmentationConsistency

MASKS = masks_of([[0, 1], [2, 255]], [[1, 1], [0, 2]])
EMPTY = torch.full_like(MASKS, 255)
NAMES = ("controlnet", "t2i-adapter", "freestyle")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def folders(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A described generator of each family."""
    place = tmp_path_factory.mktemp("generators")
    for family in families(models):
        family.train(Squares(), place / family.name, in_context())
    return {name: place / name for name in NAMES}


@pytest.fixture(params=NAMES)
def generator(request: Any, folders: dict[str, Path], models: Path) -> LatentGenerator:
    return family_of(request.param, models).load(folders[request.param], "cpu")


def family_of(name: str, models: Path, **options: Any) -> LatentFamily:
    found = next(family for family in families(models) if family.name == name)
    return replace(found, **options)


def built(name: str, models: Path, place: Path, **options: Any) -> LatentGenerator:
    """Described and loaded."""
    family = family_of(name, models, **options)
    family.train(Squares(), place, in_context())
    return family.load(place, "cpu")


def network_of(generator: LatentGenerator) -> Any:
    """What is plugged into Stable Diffusion."""
    return cast(Any, generator.control).network


def teacher(dtype: torch.dtype = torch.float32) -> Teacher:
    return cast(Teacher, SmallTeacher(dtype=dtype))


# --- as a generator --------------------------------------------------------------------------------------------------


def test_an_image_depends_on_its_seed_and_mask_alone(generator: LatentGenerator) -> None:
    together = sample(generator, MASKS, [1, 2], 3)
    assert together.shape == (2, 3, SIZE[1], SIZE[0]) and together.dtype == torch.float32
    assert torch.equal(together, sample(generator, MASKS, [1, 2], 3))
    for row, seed in enumerate((1, 2)):
        alone = sample(generator, MASKS[row : row + 1], [seed], 3)
        torch.testing.assert_close(alone, together[row : row + 1], atol=1e-5, rtol=0)
    assert (sample(generator, MASKS, [3, 2], 3)[0] - together[0]).abs().max() > 1e-3


def test_the_layout_alone_changes_the_image(generator: LatentGenerator) -> None:
    """Mirrored, the mask has the same classes, so the prompt is the same."""
    z, t = generator.latents([1, 2]), torch.tensor(500)
    here, mirrored = generator.condition(MASKS), generator.condition(MASKS.flip(-1))
    assert torch.equal(here.text, mirrored.text)
    assert (generator.denoise(z, t, here) - generator.denoise(z, t, mirrored)).abs().max() > 1e-3


def test_noise_comes_from_seeds_and_images_round_trip_in_shape(generator: LatentGenerator) -> None:
    z = generator.latents([7, 8])
    assert torch.equal(z[1], torch.randn(4, 4, 8, generator=torch.Generator().manual_seed(8)))
    images = generator.decode(z)
    assert generator.encode(images).shape == z.shape and images.dtype == z.dtype
    assert (generator.num_classes, generator.size) == (3, SIZE)
    assert generator.identity.startswith(tuple(f"{name} squares " for name in NAMES))


def test_the_scheduler_is_that_of_the_base_as_ddim(generator: LatentGenerator) -> None:
    scheduler = generator.scheduler
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    torch.testing.assert_close(scheduler.alphas_cumprod, (1 - betas).cumprod(0))
    assert (scheduler.config.prediction_type, scheduler.config.clip_sample) == ("epsilon", False)


def test_layout_paints_with_it(generator: LatentGenerator) -> None:
    drawn = list(Layout(steps=2, batch=2).synthesize(choose(3, 1), context(Streets(), generator=generator)))
    assert [pair.image.shape for pair in drawn] == [(SIZE[1], SIZE[0], 3)] * 2
    assert drawn[0].provenance["generator"] == generator.identity


# --- against diffusers -----------------------------------------------------------------------------------------------


def painted_by(pipeline: Any, generator: LatentGenerator, prompt: str, **given: Any) -> Tensor:
    """The image of a pipeline of diffusers with the same networks, noise, steps and guidance."""
    models = generator.models
    parts = {"vae": models.vae, "unet": models.unet, "scheduler": models.scheduler, "tokenizer": models.tokenizer}
    unused = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    made = pipeline(text_encoder=models.text_encoder, **parts, **unused, **given.pop("plugged", {}))
    made.set_progress_bar_config(disable=True)
    images = made(
        prompt, negative_prompt=generator.negative, guidance_scale=generator.cfg, latents=generator.latents([1]),
        num_inference_steps=3, width=SIZE[0], height=SIZE[1], output_type="np", **given,
    ).images  # fmt: skip
    return torch.from_numpy(images).movedim(-1, 1)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_controlnet_equals_the_pipeline_of_diffusers(models: Path, tmp_path: Path, cfg: float) -> None:
    options = {"cfg": cfg, "negative": "a cat", "strength": 0.7, "palette": "dataset"}
    generator = built("controlnet", models, tmp_path, **options)
    theirs = painted_by(
        StableDiffusionControlNetPipeline, generator, "a sky, road, car", controlnet_conditioning_scale=0.7,
        image=coloured(MASKS[:1], Squares().palette), plugged={"controlnet": network_of(generator)},
    )  # fmt: skip
    torch.testing.assert_close(sample(generator, MASKS[:1], [1], 3), theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_t2i_adapter_equals_the_pipeline_of_diffusers(models: Path, tmp_path: Path, cfg: float) -> None:
    generator = built("t2i-adapter", models, tmp_path, cfg=cfg, negative="a cat", strength=0.7)
    theirs = painted_by(
        StableDiffusionAdapterPipeline, generator, "a sky, road, car", adapter_conditioning_scale=0.7,
        image=coloured(MASKS[:1], Squares().palette), plugged={"adapter": network_of(generator)},
    )  # fmt: skip
    torch.testing.assert_close(sample(generator, MASKS[:1], [1], 3), theirs, atol=1e-5, rtol=0)


def test_freestyle_without_classes_equals_the_pipeline_of_diffusers(models: Path, tmp_path: Path) -> None:
    generator = built("freestyle", models, tmp_path, cfg=3.0, negative="a cat")
    theirs = painted_by(StableDiffusionPipeline, generator, "a")
    torch.testing.assert_close(sample(generator, EMPTY[:1], [1], 3), theirs, atol=1e-5, rtol=0)


# --- guidance --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("through", [False, True])
def test_the_slope_of_guidance_is_the_derivative_of_its_loss(generator: LatentGenerator, through: bool) -> None:
    """Through the VAE, and through the U-Net as well; features are computed again for the gradient."""
    double(generator)
    guidance = Guidance(teacher(torch.float64), (SegmentationConsistency(),), 0.1, through_generator=through)
    z, t, condition = generator.latents([1, 2]), torch.tensor(500), generator.condition(MASKS)
    level = NoiseLevel.at(generator.scheduler, t)

    def clean_at(z: Tensor) -> Tensor:
        return level.clean(z, generator.denoise(z, t, condition))

    def loss(at: Tensor) -> float:
        images = generator.decode(clean_at(at) if through else at)
        return float(guidance.losses(images, MASKS)["seg"].sum())

    clean, slope = guidance.slope(generator, z, t, condition, MASKS)
    origin = z if through else clean
    direction = torch.randn(z.shape, generator=torch.manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        numeric = (loss(origin + 1e-5 * direction) - loss(origin - 1e-5 * direction)) / 2e-5
    assert slope.isfinite().all() and abs(numeric) > 1e-4
    assert float((slope * direction).sum()) == pytest.approx(numeric, rel=1e-5)


@pytest.mark.parametrize(
    ("term", "options"),
    [
        ("seg", {}),
        ("seg", {"memory": ("checkpointing", "vae-slicing")}),
        ("seg", {"memory": ("attention-slicing", "vae-tiling")}),
        ("seg", {"precision": "bf16"}),
        ("feat", {}),
        ("feat", {"memory": ("checkpointing",)}),
    ],
)
def test_guidance_lowers_its_loss_whatever_saves_memory(
    models: Path, tmp_path: Path, term: str, options: dict[str, Any]
) -> None:
    generator = built("controlnet", models, tmp_path, **options, palette="dataset")
    terms = {"seg": SegmentationConsistency(), "feat": ClassFeatureMatching(teacher().class_features)}
    guidance = Guidance(teacher(), (terms[term],), 0.3)
    plain, guided = (sample(generator, MASKS, [1, 2], 4, correction) for correction in (None, guidance))
    before, after = (guidance.losses(images, MASKS)[term] for images in (plain, guided))
    assert (after < 0.95 * before).all()


def test_checkpointing_decodes_again_for_the_gradient(models: Path, tmp_path: Path) -> None:
    """Which is how it needs less memory: a flag that no version of diffusers heeded would not."""

    def decoded(*memory: str) -> int:
        generator, calls = built("controlnet", models, tmp_path / "+".join(memory), memory=memory), []
        generator.models.vae.decoder.mid_block.register_forward_pre_hook(lambda *given: calls.append(given))
        z, condition = generator.latents([1, 2]), generator.condition(MASKS)
        Guidance(teacher(), (SegmentationConsistency(),), 0.1).slope(generator, z, torch.tensor(500), condition, MASKS)
        return len(calls)

    assert (decoded(), decoded("checkpointing")) == (1, 2)


SYNTHESIZERS: list[Any] = [
    Guided(steps=3, every=2, candidates=2),
    ModeGuided(steps=4),
    Filtered(options={"steps": 3}),
    Filtered(base="guided", options={"steps": 3}),
]


@pytest.mark.parametrize("synthesizer", SYNTHESIZERS, ids=["guided", "mode-guided", "filtered", "filtered guided"])
def test_every_synthesizer_paints_with_every_generator(synthesizer: Any, generator: LatentGenerator) -> None:
    given = context(generator=generator, teacher=teacher())
    made, plain = (
        list(each.synthesize(choose(3, 1), given))
        for each in (synthesizer, Layout(steps=synthesizer_steps(synthesizer)))
    )
    assert [sample.image.shape for sample in made] == [(SIZE[1], SIZE[0], 3)] * 2
    same = [np.array_equal(a.image, b.image) for a, b in zip(made, plain, strict=True)]
    assert same == [synthesizer == SYNTHESIZERS[2]] * 2  # filtered layout is layout, but for its mask


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("synthesizer", SYNTHESIZERS, ids=["guided", "mode-guided", "filtered", "filtered guided"])
@pytest.mark.parametrize("name", NAMES)
def test_every_synthesizer_paints_with_every_generator_on_a_gpu(
    synthesizer: Any, name: str, models: Path, tmp_path: Path
) -> None:
    family = family_of(name, models, memory=())  # what is computed again in a backward pass is beyond the pretended one
    family.train(Squares(), tmp_path, replace(in_context(), device="cuda"))
    loaded = family.load(tmp_path, "cuda")
    assert loaded.latents([1]).device.type == "cuda"
    there = replace(context(generator=loaded, teacher=SmallTeacher().to("cuda")), device="cuda")
    assert len(list(synthesizer.synthesize(choose(0, 1), there))) == 2


def synthesizer_steps(synthesizer: Any) -> int:
    return synthesizer.options["steps"] if isinstance(synthesizer, Filtered) else synthesizer.steps


@pytest.mark.parametrize(
    ("family", "precision", "vae"),
    [
        ("t2i-adapter", "bf16", torch.bfloat16),
        ("t2i-adapter", "fp16", torch.float32),
        ("controlnet", "fp16", torch.float32),
        ("freestyle", "bf16", torch.bfloat16),
    ],
)
def test_half_precision_paints_nearly_the_same(
    models: Path, tmp_path: Path, family: str, precision: str, vae: torch.dtype
) -> None:
    """The VAE keeps fp32 under fp16; noise and steps are fp32 in any case."""
    exact = built(family, models, tmp_path / "fp32")
    rough = built(family, models, tmp_path / precision, precision=precision)
    assert rough.models.unet.dtype == dtype(precision) and rough.models.vae.dtype == vae
    images = sample(rough, MASKS, [1, 2], 3)
    assert images.dtype == torch.float32
    assert 0 < (images - sample(exact, MASKS, [1, 2], 3)).abs().mean() < 0.02


def test_what_saves_memory_is_turned_on(models: Path, tmp_path: Path) -> None:
    memory = ("checkpointing", "attention-slicing", "vae-slicing", "vae-tiling")
    generator = built("controlnet", models, tmp_path, memory=memory)
    unet, vae = generator.models.unet, generator.models.vae
    assert unet.is_gradient_checkpointing and vae.is_gradient_checkpointing and vae.use_slicing and vae.use_tiling
    assert {type(processor).__name__ for processor in unet.attn_processors.values()} == {"SlicedAttnProcessor"}


# --- descriptions ----------------------------------------------------------------------------------------------------


def test_a_description_says_what_the_generator_is(models: Path, folders: dict[str, Path]) -> None:
    about = json.loads((folders["controlnet"] / "generator.json").read_text())
    assert (about["family"], about["trained_on"]) == ("controlnet", "ade20k/train, COCO")
    assert about["dataset"] == {"name": "squares", "fingerprint": "f" * 64}
    assert about["classes"] == about["words"] == ["sky", "road", "car"]
    assert about["colours"] == [[6, 230, 230], [140, 140, 140], [0, 102, 200]]
    assert about["options"]["base"] == str(models / "base") and about["options"]["size"] == list(SIZE)
    assert json.loads((folders["freestyle"] / "generator.json").read_text())["colours"] == []


def test_a_description_moves_with_models_beside_it(models: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "elsewhere" / "models")
    place = tmp_path / "elsewhere" / "generator"
    shutil.copytree(folders["controlnet"], place)
    about = json.loads((place / "generator.json").read_text())
    about["options"] |= {"base": "../models/base", "controlnet": "../models/controlnet"}
    (place / "generator.json").write_text(json.dumps(about))
    moved, original = (ControlNetFamily().load(folder, "cpu") for folder in (place, folders["controlnet"]))
    assert torch.equal(sample(moved, MASKS, [1, 2], 2), sample(original, MASKS, [1, 2], 2))


def test_freestyle_takes_a_unet_of_its_own(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "base" / "unet", tmp_path / "unet")
    other = UNet2DConditionModel.from_pretrained(tmp_path / "unet")
    other.conv_out.bias.data += 1
    other.save_pretrained(tmp_path / "unet")
    plain, tuned = (
        built("freestyle", models, tmp_path / name, cfg=1.0, unet=unet)
        for name, unet in (("plain", ""), ("tuned", str(tmp_path / "unet")))
    )
    z, t = plain.latents([1, 2]), torch.tensor(500)
    torch.testing.assert_close(
        tuned.denoise(z, t, tuned.condition(MASKS)), plain.denoise(z, t, plain.condition(MASKS)) + 1
    )


def test_models_that_have_changed_are_refused(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "models")
    family = family_of("t2i-adapter", tmp_path / "models")
    family.train(Squares(), tmp_path / "generator", in_context())
    shutil.copy(models / "controlnet" / "config.json", tmp_path / "models" / "adapter" / "config.json")
    with pytest.raises(ModelError, match=r"t2i-adapter squares .* have changed since"):
        family.load(tmp_path / "generator", "cpu")


@pytest.mark.parametrize("content", [None, "{", '{"family": "pixel"}', '{"family": "controlnet"}'])
def test_a_folder_that_is_no_description_is_named(tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "generator"
    if content is not None:
        folder.mkdir()
        (folder / "generator.json").write_text(content)
    with pytest.raises(ModelError, match=f"{folder} .*d3s2bench train generator --set generator_family=controlnet"):
        ControlNetFamily().load(folder, "cpu")


def test_models_that_are_missing_or_foreign_are_named(models: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for option, value, says in (
        ("base", "/nowhere/at/all", "there is no folder /nowhere/at/all: give generator.controlnet.base=DIR"),
        ("controlnet", str(tmp_path / "empty"), "no ControlNetModel can be read from .*safetensors"),
        ("base", str(models / "controlnet"), "no UNet2DConditionModel can be read from .*unet"),
    ):
        family = family_of("controlnet", models, **{option: value})
        with pytest.raises(ModelError, match=says) as caught:
            family.train(Squares(), tmp_path / "generator", in_context())
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "generator").exists()


@pytest.mark.parametrize(
    ("part", "weight"),
    [("unet", "conv_out.bias"), ("vae", "encoder.conv_in.bias"), ("text_encoder", "final_layer_norm.bias")],
)
def test_missing_weights_are_not_replaced_by_random_ones(models: Path, tmp_path: Path, part: str, weight: str) -> None:
    base = shutil.copytree(models / "base", tmp_path / "base")
    (file,) = (base / part).glob("*.safetensors")
    weights = load_file(file)
    (missing,) = (name for name in weights if name.endswith(weight))
    save_file({name: value for name, value in weights.items() if name != missing}, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"can be read from .*: give a folder in the diffusers layout") as caught:
        built("freestyle", models, tmp_path / "generator", base=str(base))
    assert weight in str(caught.value)


def test_pickled_weights_are_refused(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "adapter", tmp_path / "pickled")
    network = T2IAdapter.from_pretrained(tmp_path / "pickled")
    (tmp_path / "pickled" / "diffusion_pytorch_model.safetensors").unlink()
    network.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    family = family_of("t2i-adapter", models, adapter=str(tmp_path / "pickled"))
    with pytest.raises(ModelError, match=r"no T2IAdapter can be read from .*pickled.*safetensors"):
        family.train(Squares(), tmp_path / "generator", in_context())


def test_models_are_read_for_their_fingerprint_once(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(latent_sources, "file_sha256", lambda file: read.append(file) or file_sha256(file))
    family = family_of("controlnet", models)
    for step in (lambda: family.train(Squares(), tmp_path, in_context()), lambda: family.load(tmp_path, "cpu")):
        read.clear()
        step()
        assert models / "base" / "unet" / "config.json" in read and len(read) == len(set(read))


def test_a_hub_name_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    fetch = "hf download someone/some-model --revision v1 --local-dir DIR"
    with pytest.raises(ModelError, match=f"someone/some-model@v1.*`{fetch}`, then give generator.x.base=DIR"):
        locate("someone/some-model@v1", tmp_path, STABLE_DIFFUSION, "generator.x.base")
    with pytest.raises(ModelError, match=f"someone/some-model@v1.*`{fetch}`, then give generator.x.base=DIR"):
        require("someone/some-model@v1", STABLE_DIFFUSION, "generator.x.base")
    with pytest.raises(ModelError, match=r"there is no folder .*nowhere: give generator\.x\.base=DIR or"):
        require("nowhere", STABLE_DIFFUSION, "generator.x.base")


def test_what_is_asked_before_a_run_fetches_nothing(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    asked: list[Any] = []

    def snapshot(name: str, *, local_files_only: bool, **given: Any) -> str:
        assert local_files_only
        if name == "someone/cached":
            return "there"
        raise LocalEntryNotFoundError("not there")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda api, name, revision: asked.append((name, revision)))
    for adapter in ("someone/cached", "someone/else@abc", str(models / "adapter")):
        family_of("t2i-adapter", models, adapter=adapter).require(in_context().dataset)
    assert asked == [("someone/else", "abc")]
    with pytest.raises(ModelError, match=r"base has no unet/config\.json: give generator\.x\.base another folder, or"):
        (models / "half" / "base").mkdir(parents=True)
        require(str(models / "half" / "base"), STABLE_DIFFUSION, "generator.x.base")


def test_a_hub_name_with_a_network_is_fetched(monkeypatch: pytest.MonkeyPatch, models: Path, tmp_path: Path) -> None:
    asked: list[Any] = []

    def snapshot(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision, tuple(allow_patterns)))
        return str(models / "adapter")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    family = family_of("t2i-adapter", models, adapter="someone/adapter@abc")
    family.train(Squares(), tmp_path, in_context())
    family.load(tmp_path, "cpu")
    assert set(asked) == {("someone/adapter", "abc", NETWORK)}
    assert json.loads((tmp_path / "generator.json").read_text())["options"]["adapter"] == "someone/adapter@abc"


def test_parts_that_do_not_fit_each_other_are_refused(models: Path, tmp_path: Path) -> None:
    T2IAdapter(channels=[8, 12], num_res_blocks=1, downscale_factor=2).save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelError, match=r"the parts of generator 't2i-adapter squares .* do not fit"):
        family_of("t2i-adapter", models, adapter=str(tmp_path / "wide")).train(Squares(), tmp_path, in_context())
    with pytest.raises(ModelError, match="size 18×8 does not fit the model: give multiples of 4"):
        family_of("freestyle", models, size=(18, 8)).train(Squares(), tmp_path, in_context())


def test_classes_without_a_colour_are_named(models: Path, tmp_path: Path) -> None:
    strange = in_context(Squares(classes=("sky", "quark", "gluon")))
    family = family_of("controlnet", models)
    with pytest.raises(ModelError, match=r"no colour for quark, gluon: .*'generator.controlnet.rename=\[quark=NAME\]'"):
        family.train(Squares(), tmp_path, strange)
    replace(family, rename=("quark=ball", "gluon=void")).train(Squares(), tmp_path, strange)
    about = json.loads((tmp_path / "generator.json").read_text())
    assert about["words"] == ["sky", "ball", ""] and about["colours"] == [[6, 230, 230], [255, 0, 163], [0, 0, 0]]
    with pytest.raises(ConfigError, match="rename has 'bus=train': give CLASS=NAME with one of the classes sky, quark"):
        replace(family, rename=("bus=train",)).train(Squares(), tmp_path, strange)


def test_freestyle_knows_what_its_ade20k_model_calls_classes(models: Path, tmp_path: Path) -> None:
    rooms = in_context(Squares(classes=("windowpane", "earth", "wall")))
    for vocabulary, called in (("names", ["windowpane", "earth", "wall"]), ("ade20k", ["window", "ground", "wall"])):
        family_of("freestyle", models, vocabulary=vocabulary).train(Squares(), tmp_path, rooms)
        assert json.loads((tmp_path / "generator.json").read_text())["words"] == called


def test_a_label_without_a_class_is_an_error(generator: LatentGenerator) -> None:
    with pytest.raises(ModelError, match="label 3 is unknown to a generator of 3 classes"):
        generator.condition(MASKS.clamp(max=3))


def test_options_come_from_the_command_line_and_wrong_ones_are_named() -> None:
    given = {"size": [768, 512], "rename": ["train=bus"], "memory": ["vae-tiling"], "cfg": 2}
    made = configure(ControlNetFamily, "generator 'controlnet'", given)
    assert made == ControlNetFamily(size=(768, 512), rename=("train=bus",), memory=("vae-tiling",), cfg=2.0)
    for wrong in ({"palette": "voc"}, {"precision": "int8"}, {"cfg": 0.5}, {"template": "a photo"}, {"controlnet": ""}):
        with pytest.raises(ConfigError, match=f"generator.controlnet.{next(iter(wrong))} is"):
            configure(ControlNetFamily, "generator 'controlnet'", wrong)
    with pytest.raises(ConfigError, match=r"generator.freestyle.memory is"):
        FreestyleFamily(memory=("attention-slicing",))
