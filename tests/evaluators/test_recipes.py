"""The published networks have the published sizes, and the published recipes their published values."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from d3s2bench.errors import ConfigError, UnknownNameError
from d3s2bench_evaluators import recipes
from d3s2bench_evaluators.crops import fitted
from d3s2bench_evaluators.segmenters import build_segmenter
from d3s2bench_evaluators.torch_evaluator import Torch

SIZE = (512, 512)
MILLIONS = {
    "mask2former-swin-t": 47,  # Mask2Former, table 3
    "mask2former-swin-s": 69,
    "mask2former-swin-b": 107,
    "segformer-b0": 3.8,  # SegFormer, table 1 (a)
    "segformer-b1": 13.7,
    "segformer-b2": 27.5,
    "segformer-b3": 47.3,
    "segformer-b4": 64.1,
    "segformer-b5": 84.7,
    "upernet-swin-t": 60,  # Swin, table 3
    "upernet-swin-s": 81,
    "upernet-swin-b": 121,
    "upernet-convnext-t": 60,  # ConvNeXt, table 5
    "upernet-convnext-s": 82,
    "upernet-convnext-b": 122,
}
"""Parameters with 150 classes."""
SMALL = {
    "size": [96, 64],
    "channels": [32, 48, 64],
    "iterations": 800,
    "converged_iterations": 6400,
    "batch_size": 4,
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "weight_decay": 1e-2,
    "momentum": 0.9,
    "schedule": "poly",
    "power": 0.9,
    "scale": [0.9, 1.1],
    "flip": 0.5,
    "photometric": 0.1,
    "precision": "fp32",
}
"""The U-Net's protocol, whose hash stands in published records."""


@pytest.mark.parametrize("arch", recipes.ARCHITECTURES)
def test_parameters_as_published(arch: str) -> None:
    with torch.device("meta"):
        network = build_segmenter(arch, 150, Torch().protocol(arch, SIZE))
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS[arch], abs=0.051 if arch.startswith("segformer") else 0.5)


def test_the_small_networks_protocols_stay_as_they_were_published() -> None:
    assert list(Torch().protocol("unet", (96, 64)).items()) == list(SMALL.items())
    assert Torch().protocol("deeplab", (96, 64)) == SMALL | {"channels": [32, 32, 64, 64]}


def test_values_of_the_recipes() -> None:
    mask2former = Torch().protocol("mask2former-swin-s", SIZE)
    expected = {"learning_rate": 1e-4, "weight_decay": 0.05, "encoder_rate": 0.1, "clip": 0.01, "warm_up": 0.0}
    expected |= {"power": 0.9, "batch_size": 16, "converged_iterations": 160_000, "size": [512, 512]}
    assert mask2former.items() >= expected.items()
    assert mask2former["encoder"]["depths"] == [2, 2, 18, 2] and mask2former["encoder"]["drop_path_rate"] == 0.3
    assert mask2former["decoder"]["train_num_points"] == 12544 and mask2former["decoder"]["num_queries"] == 100
    segformer = Torch().protocol("segformer-b2", SIZE)
    expected = {
        "learning_rate": 6e-5,
        "weight_decay": 0.01,
        "decoder_rate": 10.0,
        "warm_up": 1500 / 160_000,
        "clip": 0.0,
    }
    assert segformer.items() >= expected.items()
    assert Torch().protocol("upernet-convnext-t", SIZE)["stage_decay_layers"] == 6
    assert Torch().protocol("upernet-convnext-b", SIZE)["stage_decay_layers"] == 12


SIZES = {"t": "tiny", "s": "small", "b": "base"}
CONFIGS = {
    **{f"mask2former-swin-{s}": f"mask2former/mask2former_swin-{s}_8xb2-160k_ade20k-512x512.py" for s in "ts"},
    "mask2former-swin-b": "mask2former/mask2former_swin-b-in1k-384x384-pre_8xb2-160k_ade20k-640x640.py",
    **{f"segformer-b{k}": f"segformer/segformer_mit-b{k}_8xb2-160k_ade20k-512x512.py" for k in range(5)},
    "segformer-b5": "segformer/segformer_mit-b5_8xb2-160k_ade20k-640x640.py",
    **{
        f"upernet-swin-{s}": f"swin/swin-{size}-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"
        for s, size in SIZES.items()
    },
    **{
        f"upernet-convnext-{s}": f"convnext/convnext-{size}_upernet_8xb2-amp-160k_ade20k-512x512.py"
        for s, size in SIZES.items()
    },
}


@pytest.mark.parametrize("arch", recipes.ARCHITECTURES)
def test_recipes_are_those_of_mmsegs_configurations(arch: str, mmseg_folder: Path) -> None:
    """Wherever the two say the same thing in their own words."""
    config = pytest.importorskip("mmengine.config").Config
    theirs = config.fromfile(str(mmseg_folder / ".mim" / "configs" / CONFIGS[arch]), import_custom_modules=False)
    ours = Torch().protocol(arch, SIZE) | Torch().dataset_recipe(arch, "ade20k")
    wrapper, backbone, test = theirs.optim_wrapper, theirs.model.backbone, theirs.model.test_cfg
    scaled = wrapper.get("paramwise_cfg") or {}
    head = (scaled.get("custom_keys") or {}).get("head", {}).get("lr_mult", 1.0)
    warm = [each.end for each in theirs.param_scheduler if each.type == "LinearLR"]
    (resize,) = (step for step in theirs.train_pipeline if "Resize" in step.type)
    long, short = resize.get("scale") or (resize.max_size, theirs.crop_size[0])
    assert {
        "learning_rate": wrapper.optimizer.lr,
        "weight_decay": wrapper.optimizer.weight_decay,
        "decoder_rate": head,
        "clip": (wrapper.get("clip_grad") or {}).get("max_norm", 0),
        "stage_decay": scaled.get("decay_rate", 1.0),
        "stage_decay_layers": scaled.get("num_layers", 0),
        "converged_iterations": theirs.train_cfg.max_iters,
        "batch_size": 16,  # 8xb2
        "power": next(each.power for each in theirs.param_scheduler if each.type == "PolyLR"),
        "warm_up": sum(warm) / theirs.train_cfg.max_iters,
        "size": list(theirs.crop_size[::-1]),
        "fit": [long / theirs.crop_size[0], short / theirs.crop_size[0]],
        "inference": test.mode,
    }.items() <= ours.items()
    assert backbone.drop_path_rate == ours["encoder"]["drop_path_rate"]
    assert backbone.get("window_size") == ours["encoder"].get("window_size")
    assert int(ours["window_stride"] * theirs.crop_size[0]) == test.get("stride", (341,))[0] or test.mode == "whole"
    if "decoder_layers" in ours["decoder"]:
        loss, cost = theirs.model.decode_head, ours["decoder"]
        weights = (loss.loss_cls.loss_weight, loss.loss_mask.loss_weight, loss.loss_dice.loss_weight)
        assert weights == (cost["class_weight"], cost["mask_weight"], cost["dice_weight"])
        assert loss.loss_cls.class_weight[-1] == cost["no_object_weight"] and loss.num_queries == cost["num_queries"]


def test_what_a_recipe_changes_for_a_dataset() -> None:
    assert Torch().dataset_recipe("segformer-b5", "ade20k")["fit"] == [3.2, 1.0]
    assert Torch().dataset_recipe("mask2former-swin-b", "ade20k")["size"] == [640, 640]
    assert Torch().dataset_recipe("mask2former-swin-s", "cityscapes")["converged_iterations"] == 90_000
    assert Torch().dataset_recipe("mask2former-swin-s", "camvid") == {} == Torch().dataset_recipe("unet", "ade20k")
    assert Torch().dataset_recipe("upernet-swin-s", "voc2012") == {"size": [512, 512], "converged_iterations": 40_000}
    for arch in recipes.ARCHITECTURES:
        for dataset in {*recipes.ELSEWHERE, *recipes.DATASETS[recipes.ARCHITECTURES[arch][0]]}:
            changes = Torch().dataset_recipe(arch, dataset)
            assert min(changes["size"]) >= 480 and set(changes) <= set(Torch().protocol(arch, SIZE))


@pytest.mark.parametrize(
    ("arch", "size", "factor", "expected"),
    [
        # MIN_SIZE_TRAIN 512 … 2048, MAX_SIZE_TRAIN 4096 in Mask2Former's Base-Cityscapes-SemanticSegmentation.yaml
        ("mask2former-swin-s", (2048, 1024), 2.0, (4096, 2048)),
        ("mask2former-swin-s", (2048, 1024), 0.5, (1024, 512)),
        ("mask2former-swin-s", (2048, 1024), 1.0, (2048, 1024)),
        ("segformer-b0", (2048, 1024), 2.0, (4096, 2048)),
        ("upernet-swin-t", (2048, 1024), 2.0, (4096, 2048)),
    ],
)
def test_cityscapes_is_scaled_up_and_down(
    arch: str, size: tuple[int, int], factor: float, expected: tuple[int, int]
) -> None:
    protocol = Torch().protocol(arch, SIZE) | Torch().dataset_recipe(arch, "cityscapes")
    assert fitted(size, protocol, factor) == expected


def test_overrides_are_completed_and_checked() -> None:
    protocol = Torch().protocol("segformer-b0", SIZE) | {"encoder": {"depths": [1, 1, 1, 1]}}
    whole = Torch().completed("segformer-b0", protocol)
    assert whole["encoder"] == {**recipes.published("segformer-b0")["encoder"], "depths": [1, 1, 1, 1]}
    assert Torch().completed("unet", SMALL) == SMALL
    with pytest.raises(UnknownNameError, match=r"key of protocol\.encoder 'depth': did you mean 'depths'"):
        Torch().completed("segformer-b0", protocol | {"encoder": {"depth": [1]}})
    with pytest.raises(ConfigError, match=r"warm_up is 1500: it is a share of the iterations"):
        Torch().completed("segformer-b0", protocol | {"warm_up": 1500.0})
    with pytest.raises(ConfigError, match="must be a mapping"):
        Torch().completed("segformer-b0", protocol | {"decoder": 3})
    with pytest.raises(ConfigError, match="backbone is null"):
        Torch().completed("segformer-b0", protocol | {"backbone_sha256": "00"})
    with pytest.raises(ConfigError, match="make no segformer-b0"):
        build_segmenter("segformer-b0", 4, protocol | {"encoder": {"hidden_sizes": [8, 16]}})


def test_an_unknown_architecture_is_told_its_neighbour() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mask2former-swin-s'"):
        Torch().protocol("mask2former-swins", SIZE)
    with pytest.raises(UnknownNameError, match="did you mean 'segformer-b"):
        Torch().dataset_recipe("segformer-b9", "ade20k")
