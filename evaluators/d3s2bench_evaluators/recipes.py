"""The field's networks at their published sizes, with the recipes they were published with.

Sources: Mask2Former, Cheng et al., CVPR 2022 (arXiv 2112.01527); SegFormer, Xie et al., NeurIPS 2021 (2105.15203);
UPerNet, Xiao et al., ECCV 2018 (1807.10221), with Swin, Liu et al., ICCV 2021 (2103.14030), or ConvNeXt, Liu et al.,
CVPR 2022 (2201.03545). Values that the papers leave open are those of the configurations of mmsegmentation 1.x for
ADE20K, ``configs/{mask2former,segformer,swin,convnext}``; FreeMask, Yang et al., NeurIPS 2023 (2310.15160), trains on
synthetic images with the same. Keys of ``encoder`` and ``decoder`` are those of the configurations of transformers.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

SWIN: dict[str, dict[str, Any]] = {
    "t": {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
    "s": {"embed_dim": 96, "depths": [2, 2, 18, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
    "b": {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "window_size": 7},
}
CONVNEXT: dict[str, dict[str, Any]] = {
    "t": {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3], "drop_path_rate": 0.4},
    "s": {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 27, 3], "drop_path_rate": 0.3},
    "b": {"hidden_sizes": [128, 256, 512, 1024], "depths": [3, 3, 27, 3], "drop_path_rate": 0.4},
}
WIDE = [64, 128, 320, 512]
MIT: dict[str, dict[str, Any]] = {
    "b0": {"hidden_sizes": [32, 64, 160, 256], "depths": [2, 2, 2, 2]},
    "b1": {"hidden_sizes": WIDE, "depths": [2, 2, 2, 2]},
    "b2": {"hidden_sizes": WIDE, "depths": [3, 4, 6, 3]},
    "b3": {"hidden_sizes": WIDE, "depths": [3, 4, 18, 3]},
    "b4": {"hidden_sizes": WIDE, "depths": [3, 8, 27, 3]},
    "b5": {"hidden_sizes": WIDE, "depths": [3, 6, 40, 3]},
}
"""SegFormer, table 6."""

UPERNET_DECODER: dict[str, Any] = {
    "hidden_size": 512,
    "pool_scales": [1, 2, 3, 6],
    "auxiliary_channels": 256,
    "auxiliary_loss_weight": 0.4,
}
MASK2FORMER_DECODER: dict[str, Any] = {
    "num_queries": 100,
    "encoder_layers": 6,  # of the pixel decoder
    "decoder_layers": 10,  # 9, and the prediction before the first
    "feature_size": 256,
    "mask_feature_size": 256,
    "hidden_dim": 256,
    "num_attention_heads": 8,
    "encoder_feedforward_dim": 1024,
    "dim_feedforward": 2048,
    "class_weight": 2.0,
    "mask_weight": 5.0,
    "dice_weight": 5.0,
    "no_object_weight": 0.1,
    "train_num_points": 12544,
}

ITERATIONS = 10_000
"""Ours: nobody has published how D3S2 scales the papers' iterations to a distilled set."""

COMMON: dict[str, Any] = {
    "backbone": None,
    "backbone_sha256": None,
    "iterations": ITERATIONS,
    "converged_iterations": 160_000,
    "batch_size": 16,
    "accumulate": 1,
    "processes": 1,
    "optimizer": "adamw",
    "momentum": 0.9,
    "clip": 0.0,
    "encoder_rate": 1.0,
    "decoder_rate": 1.0,
    "stage_decay": 1.0,
    "stage_decay_layers": 0,
    "undecayed": "norms and embeddings",
    "schedule": "poly",
    "power": 1.0,
    "warm_up": 1500 / 160_000,
    "fit": [4.0, 1.0],
    "scale": [0.5, 2.0],
    "scale_step": 0.0,
    "scale_long_side": True,
    "one_class_at_most": 0.75,
    "flip": 0.5,
    "photometric": 1.0,
    "precision": "fp32",
    "inference": "whole",
    "window_stride": 2 / 3,
}
"""What each key means is said in the module ``protocol``."""

RECIPES: dict[str, dict[str, Any]] = {
    "mask2former": {
        "learning_rate": 1e-4,
        "weight_decay": 0.05,
        "encoder_rate": 0.1,
        "clip": 0.01,
        "power": 0.9,
        "warm_up": 0.0,
        "scale_step": 0.1,
        "scale_long_side": False,
        "precision": "bf16",  # theirs: fp16
    },
    "segformer": {"learning_rate": 6e-5, "weight_decay": 0.01, "decoder_rate": 10.0},
    "upernet-swin": {"learning_rate": 6e-5, "weight_decay": 0.01},
    "upernet-convnext": {
        "learning_rate": 1e-4,
        "weight_decay": 0.05,
        "stage_decay": 0.9,
        "undecayed": "vectors",
        "precision": "bf16",  # theirs: fp16
        "inference": "slide",
    },
}


def _mask2former(size: str) -> dict[str, Any]:
    # Swin-B: the ImageNet-1k weights of 384 pixels, with their windows
    window = {"window_size": 12} if size == "b" else {}
    return {"encoder": {**SWIN[size], **window, "drop_path_rate": 0.3}, "decoder": MASK2FORMER_DECODER}


def _segformer(size: str) -> dict[str, Any]:
    encoder = {**MIT[size], "num_attention_heads": [1, 2, 5, 8], "drop_path_rate": 0.1}
    width = 256 if size in ("b0", "b1") else 768
    return {"encoder": encoder, "decoder": {"decoder_hidden_size": width, "classifier_dropout_prob": 0.1}}


def _upernet_swin(size: str) -> dict[str, Any]:
    return {"encoder": {**SWIN[size], "drop_path_rate": 0.3}, "decoder": UPERNET_DECODER}


def _upernet_convnext(size: str) -> dict[str, Any]:
    encoder = {**CONVNEXT[size], "layer_scale_init_value": 1.0}
    return {"encoder": encoder, "decoder": UPERNET_DECODER, "stage_decay_layers": 6 if size == "t" else 12}


ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"mask2former-swin-{size}": ("mask2former", _mask2former(size)) for size in SWIN},
    **{f"segformer-{size}": ("segformer", _segformer(size)) for size in MIT},
    **{f"upernet-swin-{size}": ("upernet-swin", _upernet_swin(size)) for size in SWIN},
    **{f"upernet-convnext-{size}": ("upernet-convnext", _upernet_convnext(size)) for size in CONVNEXT},
}
"""Architecture → its family, and what its size adds to the recipe."""

DATASETS: dict[str, dict[str, dict[str, Any]]] = {
    "mask2former": {
        "ade20k": {"size": [512, 512], "converged_iterations": 160_000},  # FreeMask: 320,000
        "coco-stuff-164k": {"size": [512, 512], "converged_iterations": 160_000},  # FreeMask
        "cityscapes": {"size": [1024, 512], "fit": [8.0, 2.0], "converged_iterations": 90_000},
    },
    "segformer": {
        "ade20k": {"size": [512, 512], "converged_iterations": 160_000},
        "coco-stuff-164k": {"size": [512, 512], "converged_iterations": 80_000},
        "cityscapes": {
            "size": [1024, 1024],
            "fit": [2.0, 1.0],
            "batch_size": 8,
            "converged_iterations": 160_000,
            "inference": "slide",
            "window_stride": 0.75,
        },
    },
    "upernet-swin": {"ade20k": {"size": [512, 512], "converged_iterations": 160_000}},
    "upernet-convnext": {"ade20k": {"size": [512, 512], "converged_iterations": 160_000}},
}
"""What a family's recipe changes for a dataset; ``size`` is the crop. SegFormer's: its §4.1."""

ELSEWHERE: dict[str, dict[str, Any]] = {
    "coco-stuff-164k": {"size": [512, 512], "converged_iterations": 80_000},
    "coco-stuff-10k": {"size": [512, 512], "converged_iterations": 40_000},
    "cityscapes": {"size": [1024, 512], "fit": [4.0, 2.0], "converged_iterations": 80_000},
    "voc2012": {"size": [512, 512], "converged_iterations": 40_000},
    "nyuv2": {"size": [480, 480], "converged_iterations": 40_000},
}
"""Where a family has published nothing: crops and iterations of mmsegmentation's configurations of other networks for
these datasets; those of NYUv2 are ours, the short side of its photographs."""

LARGER_CROP: dict[str, dict[str, Any]] = {
    "mask2former-swin-b": {"size": [640, 640]},
    "segformer-b5": {"size": [640, 640], "fit": [3.2, 1.0]},
}
"""On ADE20K: images within 2560 × 640 and 2048 × 640."""


def published(arch: str) -> dict[str, Any]:
    """The recipe of an architecture, whatever the size of its input."""
    family, sized = ARCHITECTURES[arch]
    return deepcopy({**COMMON, **RECIPES[family], **sized})


def published_for(arch: str, dataset: str) -> dict[str, Any]:
    """What the recipe changes for a dataset: the crop, the iterations; nothing for a dataset that is not known."""
    changes = deepcopy(DATASETS[ARCHITECTURES[arch][0]].get(dataset, ELSEWHERE.get(dataset, {})))
    return changes | (deepcopy(LARGER_CROP.get(arch, {})) if dataset == "ade20k" else {})
