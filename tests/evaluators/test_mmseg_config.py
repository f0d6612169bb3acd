"""mmseg configs brought to a dataset and a protocol: values in, values out, known answers."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from d3s2bench import ConfigError
from d3s2bench_evaluators.mmseg_config import (
    network_config,
    own_inference,
    own_learning_rate,
    own_recipe,
    training_config,
)

CLASSES = ("ground", "red", "green")
WORK = Path("somewhere")
PROTOCOL = {
    "size": [96, 64],
    "scale": None,
    "iterations": 1600,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "precision": "fp32",
    "loader_workers": 0,
}
LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "reduce_zero_label": True}]
CONFIG: dict[str, Any] = {
    "model": {
        "type": "EncoderDecoder",
        "pretrained": "torchvision://resnet50",
        "data_preprocessor": {"type": "SegDataPreProcessor", "size": (512, 512), "pad_val": 0},
        "backbone": {
            "type": "ResNet",
            "norm_cfg": {"type": "SyncBN", "requires_grad": True},
            "init_cfg": {"type": "Pretrained", "checkpoint": "https://somewhere/resnet50.pth"},
        },
        "decode_head": {
            "type": "Mask2FormerHead",
            "num_classes": 150,
            "out_channels": 256,
            "loss_cls": {"class_weight": [1.0] * 150 + [0.1]},
        },
        "auxiliary_head": [{"num_classes": 150, "loss_decode": {"class_weight": [0.5] * 150}}],
        "test_cfg": {"mode": "slide", "crop_size": (512, 512), "stride": (256, 384)},
    },
    "train_dataloader": {
        "batch_size": 2,
        "dataset": {
            "type": "RepeatDataset",
            "dataset": {
                "pipeline": [
                    *LOAD,
                    {"type": "RandomResize", "scale": (2048, 512), "ratio_range": (0.5, 2.0), "keep_ratio": True},
                    {"type": "RandomCrop", "crop_size": (512, 512), "cat_max_ratio": 0.75},
                    {"type": "PackSegInputs"},
                ]
            },
        },
    },
    "test_dataloader": {
        "dataset": {
            "pipeline": [
                LOAD[0],
                {"type": "Resize", "scale": (2048, 512), "keep_ratio": True},
                LOAD[1],
                {"type": "PackSegInputs"},
            ]
        }
    },
    "optim_wrapper": {"type": "AmpOptimWrapper", "loss_scale": "dynamic", "optimizer": {"type": "SGD", "lr": 0.01}},
    "param_scheduler": [
        {"type": "LinearLR", "by_epoch": False, "begin": 0, "end": 1500},
        {"type": "PolyLR", "by_epoch": False, "begin": 1500, "end": 160000},
    ],
    "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 160000},
    "custom_imports": {"imports": "mmdet.models"},
}


FROZEN = {
    "backbone": {"norm_cfg": {"type": "BN", "requires_grad": False}, "norm_eval": True, "frozen_stages": 2},
    "decode_head": {"norm_cfg": {"type": "BN", "requires_grad": False}},
}


def adapted(changes: dict[str, Any] | None = None, **protocol: Any) -> dict[str, Any]:
    config = deepcopy(CONFIG) | (changes or {})
    before = deepcopy(config)
    found = training_config(config, CLASSES, PROTOCOL | protocol, WORK, 7)
    assert config == before, "the config itself must stay as it is"
    return found


def test_the_network_starts_at_random_for_our_classes() -> None:
    model = adapted()["model"]
    assert model["pretrained"] is None and model["backbone"]["init_cfg"] is None
    assert model["backbone"]["norm_cfg"] == {"type": "BN", "requires_grad": True}
    assert model["decode_head"]["num_classes"] == 3 and model["auxiliary_head"][0]["num_classes"] == 3
    assert model["decode_head"]["out_channels"] == 256, "these are features"
    assert model["decode_head"]["loss_cls"]["class_weight"] == [1.0, 1.0, 1.0, 0.1]
    assert model["auxiliary_head"][0]["loss_decode"] == {}, "weights of another dataset's classes"
    assert model["test_cfg"] == {"mode": "whole"}
    assert model["data_preprocessor"] == {"type": "SegDataPreProcessor", "size": (64, 96), "pad_val": 0}


def test_windows_overlap_as_the_configs_do() -> None:
    slide = PROTOCOL | {"inference": "slide"}
    assert network_config(CONFIG, 3, slide)["model"]["test_cfg"] == {
        "mode": "slide",
        "crop_size": (64, 96),
        "stride": (32, 72),
    }
    assert (own_inference(CONFIG), own_inference({"model": {}})) == ("slide", "whole")
    whole = deepcopy(CONFIG)
    whole["model"]["test_cfg"] = {"mode": "whole"}
    assert network_config(whole, 3, slide)["model"]["test_cfg"]["stride"] == (42, 64)
    with pytest.raises(ConfigError, match="inference is 'both': it must be 'whole' or 'slide'"):
        network_config(CONFIG, 3, PROTOCOL | {"inference": "both"})


def test_a_backbone_starts_from_a_file() -> None:
    model = network_config(CONFIG, 3, PROTOCOL, Path("/weights/resnet.safetensors"))["model"]
    checkpoint = "pretrained:/weights/resnet.safetensors"
    assert model["backbone"]["init_cfg"] == {"type": "Pretrained", "checkpoint": checkpoint}
    assert model["backbone"]["norm_cfg"]["type"] == "BN"
    with pytest.raises(ConfigError, match="no 'backbone' for what is pretrained"):
        network_config(CONFIG | {"model": {"type": "EncoderDecoder"}}, 3, PROTOCOL, Path("/weights/resnet.pth"))


def test_what_starts_at_random_is_not_frozen() -> None:
    learns = {"type": "BN", "requires_grad": True}
    random = adapted({"model": FROZEN})["model"]
    assert random["backbone"] == {"norm_cfg": learns, "norm_eval": False, "frozen_stages": -1}
    tuned = network_config(CONFIG | {"model": FROZEN}, 3, PROTOCOL, Path("resnet.pth"))["model"]
    assert FROZEN["backbone"].items() <= tuned["backbone"].items() and tuned["decode_head"]["norm_cfg"] == learns


def test_one_of_several_initialisations_may_be_a_file() -> None:
    normal, file = {"type": "Normal", "std": 0.1}, {"type": "Pretrained", "checkpoint": "https://somewhere"}
    model = adapted({"model": {"backbone": {"init_cfg": [normal, file]}}})["model"]
    assert model["backbone"]["init_cfg"] == [normal]


def test_augmentation_is_the_configs_at_our_size() -> None:
    load, labels, resize, crop, pack = adapted()["train_dataloader"]["dataset"]["pipeline"]
    assert (load, labels) == ({"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}), "train ids as they are"
    assert resize == {"type": "RandomResize", "scale": (96, 64), "ratio_range": (0.5, 2.0), "keep_ratio": True}
    assert crop == {"type": "RandomCrop", "crop_size": (64, 96), "cat_max_ratio": 0.75}
    assert pack == {"type": "PackSegInputs"}


EDGES = {
    "type": "RandomChoiceResize",
    "scales": [512, 1024, 2048],
    "resize_type": "ResizeShortestEdge",
    "max_size": 4096,
}
CITY: dict[str, Any] = {
    "train_dataloader": {
        "dataset": {"pipeline": [*LOAD, EDGES, {"type": "RandomCrop", "crop_size": (512, 1024)}]},
    },
    "test_dataloader": {
        "dataset": {"pipeline": [LOAD[0], {"type": "Resize", "scale": (2048, 1024), "keep_ratio": True}]}
    },
}
"""The published Mask2Former on Cityscapes, whose crop is half as high as its pictures."""


@pytest.mark.parametrize(
    ("size", "scale", "edges", "longest", "tested"),
    [
        ([1024, 512], None, [512, 1024, 2048], 4096, (2048, 1024)),  # the published recipe comes back unchanged …
        ([1024, 512], [2048, 1024], [512, 1024, 2048], 4096, (2048, 1024)),  # … in either way
        ([96, 48], None, [48, 96, 192], 384, (192, 96)),
        ([1024, 512], [1024, 512], [256, 512, 1024], 2048, (1024, 512)),
    ],
)
def test_lengths_of_edges_keep_their_ratio_to_what_is_tested(
    size: list[int], scale: list[int] | None, edges: list[int], longest: int, tested: tuple[int, int]
) -> None:
    found = adapted(CITY, size=size, scale=scale)
    _, _, choice, crop = found["train_dataloader"]["dataset"]["pipeline"]
    assert (choice["scales"], choice["max_size"]) == (edges, longest)
    assert crop["crop_size"] == (size[1], size[0])
    assert found["test_pipeline"][1]["scale"] == tested


def test_on_its_own_dataset_a_config_keeps_its_own_recipe() -> None:
    def of(train: dict[str, Any], changes: dict[str, Any], name: str = "any_8xb2-160k.py") -> Any:
        config = deepcopy(CONFIG) | deepcopy(changes)
        config["train_dataloader"]["dataset"] |= train
        return own_recipe(config, name)

    whole = {"size": [512, 512], "scale": [2048, 512], "batch_size": 16}
    whole |= {"iterations": 10_000, "converged_iterations": 160_000}
    inner = {**CONFIG["train_dataloader"]["dataset"]["dataset"], "type": "ADE20KDataset"}
    assert of({"dataset": inner}, {}) == ("ade20k", whole)
    assert of({"dataset": inner}, {}, "my_own.py") == ("ade20k", whole | {"batch_size": 2}), "what one loader takes"
    assert of({"dataset": inner | {"type": "Mine"}}, {})[0] == ""
    city = of({"type": "CityscapesDataset"}, CITY | {"train_cfg": {"max_iters": 9000}})
    lengths = {"iterations": 9000, "converged_iterations": 9000}
    assert city == ("cityscapes", {"size": [1024, 512], "scale": None, "batch_size": 16} | lengths)
    assert of({"type": "ADE20KDataset", "dataset": {"pipeline": LOAD}}, {}) == ("", {}), "no crop"
    stuff = inner | {"type": "COCOStuffDataset"}
    assert of({"dataset": stuff}, {})[0] == "coco-stuff-164k"
    assert of({"dataset": stuff | {"reduce_zero_label": True}}, {})[0] == "coco-stuff-10k"
    joined = {"type": "ConcatDataset", "datasets": [inner, stuff]}
    assert of({"dataset": joined}, {}) == of({"dataset": inner}, {}), "the first of several"


def test_lengths_of_edges_want_a_scale_to_be_measured_by() -> None:
    untold = {"dataset": {"pipeline": [LOAD[0]]}}
    with pytest.raises(ConfigError, match="its test pipeline has no Resize to a scale"):
        adapted(CITY | {"test_dataloader": untold})


def test_prediction_reads_no_annotation() -> None:
    wide = {"type": "Resize", "scale": (256, 64), "keep_ratio": True}
    assert adapted(scale=[256, 64])["test_pipeline"] == [LOAD[0], wide, {"type": "PackSegInputs"}]


def test_the_schedule_shrinks_with_the_iterations() -> None:
    found = adapted()
    assert found["train_cfg"]["max_iters"] == 1600
    assert [(each["begin"], each["end"]) for each in found["param_scheduler"]] == [(0, 15), (15, 1600)]
    for iterations in (10, 100):  # 0 and 1 of them would warm up
        assert [each["type"] for each in adapted(iterations=iterations)["param_scheduler"]] == ["PolyLR"]


def test_a_schedule_may_have_no_end() -> None:
    cosine = {"type": "CosineAnnealingLR", "by_epoch": False, "begin": 1500, "T_max": 158500}
    steps = {"type": "StepLR", "by_epoch": False, "begin": 0, "end": 160000, "step_size": 40}
    found = adapted({"param_scheduler": [cosine, steps]})["param_scheduler"]
    assert found == [cosine | {"begin": 15, "T_max": 1585}, steps | {"end": 1600, "step_size": 1}]


def test_the_optimiser_keeps_all_but_rate_and_precision() -> None:
    assert own_learning_rate(CONFIG) == 0.01
    assert adapted()["optim_wrapper"] == {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 1e-3}}
    assert adapted(precision="bf16")["optim_wrapper"]["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": None}, "no 'model'"),
        ({"train_cfg": {"max_epochs": 12}}, "trains by epochs"),
        ({"param_scheduler": {"type": "PolyLR", "end": 12}}, "schedules by epochs"),
        ({"test_dataloader": {"dataset": {}}}, "no pipeline in test_dataloader"),
    ],
)
def test_a_config_that_will_not_do_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        adapted(changes)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be one of fp32, bf16, fp16"):
        adapted(precision="int8")
