"""Training, saving and loading of the generator family `pixel`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from PIL import Image
from synthesis_fakes import Squares, context, small_generator

from d3s2bench import ConfigError, DatasetError, ModelError, train_steps
from d3s2bench.datasets.scenes import Scenes
from d3s2bench_synthesizers import pixel_training
from d3s2bench_synthesizers.crops import Crops
from d3s2bench_synthesizers.pixel_family import PixelFamily
from d3s2bench_synthesizers.pixel_pipeline import LayoutToImagePipeline, build, save
from d3s2bench_synthesizers.pixel_training import draw, schedule, working_size

TINY = PixelFamily(iterations=6, batch_size=2, channels=(16, 16), long_side=24, ema=0.5)
SHIPPED = (Scenes(Path()).assets or Path("absent")) / "generator"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pixel")
    TINY.train(Squares(), folder / "generator", context(workdir=folder))
    return folder / "generator"


def weights(folder: Path) -> bytes:
    return (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()


def test_the_folder_holds_a_diffusers_pipeline_its_record_and_samples(trained: Path) -> None:
    record = json.loads((trained / "generator.json").read_text())
    assert json.loads((trained / "model_index.json").read_text())["_class_name"] == "LayoutToImagePipeline"
    assert record["dataset"] == {"name": "squares", "fingerprint": "f" * 64, "pairs": 10}
    assert (record["family"], record["size"], record["classes"]) == ("pixel", [24, 16], ["sky", "road", "car"])
    assert (record["training"]["iterations"], len(record["training"]["loss"])) == (6, 6)
    with Image.open(trained / "samples.png") as sheet:
        assert sheet.size == (3 * 24, 8 * 16)


def test_a_loaded_model_paints_what_diffusers_loads(trained: Path) -> None:
    loaded = TINY.load(trained, "cpu")
    plain = LayoutToImagePipeline.from_pretrained(trained).to(torch.float32)
    masks = torch.from_numpy(Squares().mask(0)).long()[None]
    assert (loaded.size, loaded.num_classes, loaded.patch) == ((24, 16), 3, 2)
    assert torch.equal(loaded(masks, [1], 3), plain(masks, [1], 3))
    assert loaded.identity.startswith("pixel squares ")
    assert not any(parameter.requires_grad for parameter in loaded.unet.parameters())


def test_half_precision_on_disk_changes_weights_by_rounding_alone(tmp_path: Path) -> None:
    original = small_generator()
    save(original, tmp_path, {"family": "pixel", "dataset": {"name": "squares"}})
    loaded = TINY.load(tmp_path, "cpu").unet.state_dict()
    for name, value in original.unet.state_dict().items():
        assert torch.equal(loaded[name], value.half().float())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(trained: Path, tmp_path: Path) -> None:
    TINY.train(Squares(), tmp_path / "again", context(workdir=tmp_path))
    TINY.train(Squares(), tmp_path / "other", context(seed=1, workdir=tmp_path))
    assert weights(tmp_path / "again") == weights(trained) != weights(tmp_path / "other")


def test_a_model_with_other_options_is_trained_and_loaded(trained: Path, tmp_path: Path) -> None:
    options = replace(TINY, iterations=2, attention=2, crop=0.5)
    for name in ("generator", "again"):
        options.train(Squares(), tmp_path / name, context(workdir=tmp_path))
    assert weights(tmp_path / "generator") == weights(tmp_path / "again")
    record = json.loads((tmp_path / "generator" / "generator.json").read_text())
    assert (record["size"], record["training"]["attention"], record["training"]["crop"]) == ([24, 16], 2, 0.5)
    assert attentions(options.load(tmp_path / "generator", "cpu")) == 7
    with Image.open(tmp_path / "generator" / "samples.png") as cropped, Image.open(trained / "samples.png") as whole:
        pairs = [np.asarray(sheet)[:, : 2 * 24] for sheet in (cropped, whole)]
    assert np.array_equal(*pairs)


def attentions(model: LayoutToImagePipeline) -> int:
    return sum(isinstance(module, Attention) for module in model.unet.modules())


@pytest.mark.parametrize(("levels", "blocks"), [(0, 0), (1, 4), (2, 7), (3, 10)])
def test_attention_is_at_the_coarsest_levels(levels: int, blocks: int) -> None:
    """One block on the way down, two on the way up, and one between; none at all for 0."""
    model = build(3, (24, 16), 2, (16, 16, 16), attention=levels)
    assert attentions(model) == blocks
    assert [any(isinstance(m, Attention) for m in level.modules()) for level in model.unet.down_blocks] == [
        level >= 3 - levels for level in range(3)
    ]


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="no shipped models of scenes")
def test_the_shipped_generator_is_of_the_default_architecture() -> None:
    shipped, options = PixelFamily().load(SHIPPED, "cpu"), PixelFamily()
    fresh = build(16, (96, 64), options.patch, options.channels, attention=options.attention)
    assert shipped.identity.startswith("pixel scenes ")
    configs = [json.loads(model.unet.to_json_string()) for model in (shipped, fresh)]
    public = [{key: value for key, value in config.items() if key[0] != "_"} for config in configs]
    assert public[0] == public[1]


def test_a_killed_training_goes_on_where_it_was(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_training, "train_steps", partial(train_steps, every_seconds=0.0))
    seen: list[int] = []

    now = [0.0]
    monkeypatch.setattr("d3s2bench.checkpoint.time.monotonic", lambda: now[0])

    def killed(done: int, total: int, note: str) -> None:
        now[0] += 2
        seen.append(done)
        if len(seen) == 4:
            raise KeyboardInterrupt

    broken = context(workdir=tmp_path)
    broken.progress = killed
    for _ in range(2):
        if len(seen) < 4:
            with pytest.raises(KeyboardInterrupt):
                TINY.train(Squares(), tmp_path / "generator", broken)
        else:
            TINY.train(Squares(), tmp_path / "generator", broken)
    assert seen == [0, 1, 2, 3, 3, 4, 5, 6]
    assert weights(tmp_path / "generator") == weights(trained)
    record = json.loads((tmp_path / "generator" / "generator.json").read_text())
    assert record["training"]["seconds"] == 2 * 3 + 2 * 4  # three saved steps, then three and the last report


KNOWS_BF16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()


@pytest.mark.parametrize("precision", ["fp32"] + ["bf16"] * KNOWS_BF16)
def test_training_learns(tmp_path: Path, precision: str) -> None:
    options = PixelFamily(
        iterations=60, batch_size=4, learning_rate=4e-3, channels=(16, 16), long_side=24, precision=precision
    )
    options.train(Squares(), tmp_path / "generator", context(workdir=tmp_path))
    curve = json.loads((tmp_path / "generator" / "generator.json").read_text())["training"]["loss"]
    assert np.mean(curve[-10:]) < 0.85 * np.mean(curve[:5])


def test_a_precision_that_the_processor_imitates_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(ConfigError, match="'bf16', which this processor does not know: give 'fp32'"):
        replace(TINY, precision="bf16").train(Squares(), tmp_path / "generator", context(workdir=tmp_path))


@pytest.mark.parametrize(
    ("aspect", "expected"), [((96, 64), (96, 64)), ((240, 180), (96, 72)), ((64, 96), (64, 96)), ((900, 30), (96, 8))]
)
def test_the_working_size_keeps_the_aspect(aspect: tuple[int, int], expected: tuple[int, int]) -> None:
    class Blank:
        def __len__(self) -> int:
            return 3

        def mask(self, i: int) -> np.ndarray:
            return np.zeros(aspect[::-1], np.uint8)

    assert working_size(Blank(), 96, PixelFamily().unit) == expected  # type: ignore[arg-type]


def test_batches_flip_image_and_mask_together_and_depend_on_the_seed_alone() -> None:
    masks = np.stack([Squares().mask(i) for i in range(4)])
    images = masks[..., None].repeat(3, axis=-1)
    picked, labels, noise, times = draw(images, masks, 64, 9, Crops((24, 16), 1.0))
    assert torch.equal((picked[:, 0] * 255).round().long(), labels)
    stored = {mask.tobytes() for mask in masks}
    flipped = [labels[i].numpy().astype(np.uint8).tobytes() not in stored for i in range(64)]
    assert 16 < sum(flipped) < 48
    assert torch.equal((times * 64).long(), torch.arange(64))
    again = draw(images, masks, 64, 9, Crops((24, 16), 1.0))
    assert all(torch.equal(a, b) for a, b in zip((picked, labels, noise, times), again, strict=True))


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    rates = [schedule(k, 1000) for k in range(1000)]
    assert rates[0] == pytest.approx(1 / 100) and rates[99] == rates[600] == max(rates) == 1
    assert rates[800] == pytest.approx(0.5) and rates[-1] == pytest.approx(1 / 400)


def test_a_split_without_pairs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no pairs"):
        TINY.train(Squares(count=0), tmp_path, context(workdir=tmp_path))


def test_ignored_pixels_are_a_class_of_their_own_and_unknown_labels_an_error() -> None:
    generator = small_generator()
    masks = torch.zeros(1, 16, 24, dtype=torch.long)
    masks[0, :, 12:] = 255
    unfolded = torch.nn.functional.pixel_shuffle(generator.condition(masks), 2)
    assert unfolded.shape == (1, 4, 16, 24)
    assert bool((unfolded[0, 0, :, :12] == 1).all() and (unfolded[0, 3, :, 12:] == 1).all())
    assert bool((unfolded.sum(dim=1) == 1).all())
    masks[0, 0, 0] = 3
    with pytest.raises(ModelError, match=r"label 3 .* 3 classes: .*d3s2bench train generator --dataset NAME"):
        generator.condition(masks)


def damage_json(folder: Path) -> None:
    (folder / "generator.json").write_text("{")


def damage_family(folder: Path) -> None:
    (folder / "generator.json").write_text('{"family": "latent"}')


def damage_weights(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


def damage_config(folder: Path) -> None:
    (folder / "unet" / "config.json").unlink()


def damage_all(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize("damage", [damage_json, damage_family, damage_weights, damage_config, damage_all])
def test_a_folder_that_is_no_generator_is_named(trained: Path, tmp_path: Path, damage: Any) -> None:
    folder = tmp_path / "generator"
    shutil.copytree(trained, folder)
    damage(folder)
    with pytest.raises(ModelError, match=f"{folder}.*d3s2bench train generator --dataset NAME") as caught:
        TINY.load(folder, "cpu")
    assert "\n" not in str(caught.value)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match="precision is 'fp16'"):
        PixelFamily(precision="fp16")
    with pytest.raises(ConfigError, match="channels"):
        PixelFamily(channels=(20, 40))
    for attention in (-1, 4):
        with pytest.raises(ConfigError, match=rf"generator\.pixel\.attention is {attention}: give 0 to 3 levels"):
            PixelFamily(attention=attention)
    for crop in (0.0, 1.1):
        with pytest.raises(ConfigError, match=rf"generator\.pixel\.crop is {crop}"):
            PixelFamily(crop=crop)


def test_defaults_fit_the_size_limit() -> None:
    options = PixelFamily()
    unet = build(16, (96, 64), options.patch, options.channels).unet
    assert 2 * sum(parameter.numel() for parameter in unet.parameters()) < 10.5e6
