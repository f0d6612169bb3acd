"""detectron2 configs brought to a dataset and a protocol: values in, values out, known answers."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from d3s2bench import ConfigError
from d3s2bench_evaluators.detectron2_config import network_config, own_learning_rate, own_recipe, training_config

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
CONFIG: dict[str, Any] = {
    "MODEL": {
        "META_ARCHITECTURE": "SemanticSegmentor",
        "DEVICE": "cuda",
        "WEIGHTS": "detectron2://somewhere/R-50.pkl",
        "BACKBONE": {"FREEZE_AT": 2},
        "RESNETS": {"NORM": "FrozenBN", "DEPTH": 50},
        "FPN": {"NORM": "naiveSyncBN"},
        "SEM_SEG_HEAD": {"NORM": "GN", "NUM_CLASSES": 54, "IGNORE_VALUE": 254},
        "POINT_HEAD": {"NUM_CLASSES": 80},
    },
    "INPUT": {
        "MIN_SIZE_TRAIN": [256, 1024],
        "MAX_SIZE_TRAIN": 4096,
        "MIN_SIZE_TEST": 512,
        "MAX_SIZE_TEST": 2048,
        "CROP": {"ENABLED": True, "TYPE": "absolute", "SIZE": [512, 1024]},
        "FORMAT": "RGB",
    },
    "SOLVER": {
        "MAX_ITER": 160000,
        "STEPS": [80000, 120000, 159990],
        "WARMUP_ITERS": 1000,
        "IMS_PER_BATCH": 16,
        "REFERENCE_WORLD_SIZE": 8,
        "BASE_LR": 0.02,
        "AMP": {"ENABLED": True},
        "GAMMA": 0.1,
    },
    "DATASETS": {"TRAIN": ["coco"], "TEST": ["coco_val"], "PROPOSAL_FILES_TRAIN": []},
    "DATALOADER": {"NUM_WORKERS": 4, "ASPECT_RATIO_GROUPING": True},
    "TEST": {"EVAL_PERIOD": 5000, "EXPECTED_RESULTS": [["sem_seg"]]},
    "VERSION": 2,
}


def with_values(changes: dict[str, Any]) -> dict[str, Any]:
    """The config with other values: ``{"INPUT.CROP.TYPE": "relative"}``."""
    config = deepcopy(CONFIG)
    for path, value in changes.items():
        *folders, name = path.split(".")
        part = config
        for folder in folders:
            part = part[folder]
        part[name] = value
    return config


def adapted(changes: dict[str, Any] | None = None, pretrained: bool = False, **protocol: Any) -> dict[str, Any]:
    config = with_values(changes or {})
    before = deepcopy(config)
    found = training_config(config, 3, PROTOCOL | protocol, "cpu", WORK, 7, pretrained)
    assert config == before, "the config itself must stay as it is"
    return found


def test_the_network_starts_at_random_for_our_classes() -> None:
    model = adapted()["MODEL"]
    assert model["WEIGHTS"] == "" and model["DEVICE"] == "cpu"
    assert model["BACKBONE"]["FREEZE_AT"] == 0, "what is frozen would stay random"
    assert model["RESNETS"] == {"NORM": "BN", "DEPTH": 50} and model["FPN"]["NORM"] == "BN"
    assert model["SEM_SEG_HEAD"] == {"NORM": "GN", "NUM_CLASSES": 3, "IGNORE_VALUE": 255}
    assert model["POINT_HEAD"]["NUM_CLASSES"] == 3


def test_with_first_weights_it_is_frozen_as_the_config_says() -> None:
    model = adapted(pretrained=True)["MODEL"]
    assert model["BACKBONE"]["FREEZE_AT"] == 2 and model["RESNETS"]["NORM"] == "FrozenBN"
    assert model["FPN"]["NORM"] == "BN", "there is one device all the same"


def test_mask2former_gives_semantic_labels() -> None:
    mode = {"SEMANTIC_ON": False, "INSTANCE_ON": True, "PANOPTIC_ON": True, "OVERLAP_THRESHOLD": 0.8}
    changes = {
        "MODEL.META_ARCHITECTURE": "MaskFormer",
        "MODEL.MASK_FORMER": {"TEST": mode},
        "INPUT.SIZE_DIVISIBILITY": 512,
    }
    found = adapted(changes)
    expected = {"SEMANTIC_ON": True, "INSTANCE_ON": False, "PANOPTIC_ON": False, "OVERLAP_THRESHOLD": 0.8}
    assert found["MODEL"]["MASK_FORMER"]["TEST"] == expected
    assert found["INPUT"]["SIZE_DIVISIBILITY"] == 96, "it pads to a square, never to less than the crop"


@pytest.mark.parametrize(
    ("scale", "edges", "longest"), [(None, [32, 128], (512, 256)), ([512, 256], [128, 512], (2048, 1024))]
)
def test_images_keep_their_proportion_to_the_tests(scale: Any, edges: list[int], longest: tuple[int, int]) -> None:
    images = adapted(scale=scale)["INPUT"]
    assert images["MIN_SIZE_TRAIN"] == edges and images["MIN_SIZE_TEST"] == min(scale or [64])
    assert (images["MAX_SIZE_TRAIN"], images["MAX_SIZE_TEST"]) == longest
    assert images["CROP"] == {"ENABLED": True, "TYPE": "absolute", "SIZE": [64, 96]} and images["FORMAT"] == "RGB"


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [("relative_range", [0.9, 0.9], [0.9, 0.9]), ("absolute_range", [256, 512], [32, 64])],
)
def test_crops_of_no_fixed_size_keep_their_share(kind: str, size: list[float], expected: list[float]) -> None:
    assert adapted({"INPUT.CROP.TYPE": kind, "INPUT.CROP.SIZE": size})["INPUT"]["CROP"]["SIZE"] == expected


def test_the_schedule_shrinks_with_the_iterations() -> None:
    solver = adapted()["SOLVER"]
    assert (solver["MAX_ITER"], solver["WARMUP_ITERS"], solver["CHECKPOINT_PERIOD"]) == (1600, 10, 80)
    assert solver["STEPS"] == [800, 1200], "the last would fall on the end"
    assert adapted(iterations=2)["SOLVER"]["STEPS"] == [1]
    assert adapted(iterations=1)["SOLVER"]["STEPS"] == [], "the schedule refuses a step at the end"


def test_the_optimiser_keeps_all_but_rate_batch_and_precision() -> None:
    solver = adapted()["SOLVER"]
    assert own_learning_rate(CONFIG) == 0.02 and solver["BASE_LR"] == 1e-3 and solver["GAMMA"] == 0.1
    assert solver["IMS_PER_BATCH"] == 4 and solver["REFERENCE_WORLD_SIZE"] == 0, "else it scales both by itself"
    assert solver["AMP"]["ENABLED"] is False and adapted(precision="fp16")["SOLVER"]["AMP"]["ENABLED"] is True


def test_it_trains_on_ours_and_evaluates_nothing() -> None:
    found = adapted()
    assert found["DATASETS"]["TRAIN"] == ["d3s2bench"] and found["DATASETS"]["TEST"] == []
    assert found["TEST"] == {"EVAL_PERIOD": 0, "EXPECTED_RESULTS": []}
    assert (found["SEED"], found["OUTPUT_DIR"]) == (7, str(WORK / "trainer"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"MODEL.META_ARCHITECTURE": "GeneralizedRCNN"}, "of a GeneralizedRCNN.*one of SemanticSegmentor, MaskFormer"),
        ({"INPUT.MIN_SIZE_TEST": 0}, "sets no INPUT.MIN_SIZE_TEST"),
    ],
)
def test_a_config_that_will_not_do_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        network_config(with_values(changes), 3, PROTOCOL, "cpu")


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be one of fp32, fp16"):
        adapted(precision="bf16")


def test_on_its_own_dataset_a_config_keeps_its_own_recipe() -> None:
    recipe = {"size": [1024, 512], "scale": [2048, 512], "batch_size": 16}
    recipe |= {"iterations": 10_000, "converged_iterations": 160_000}
    assert own_recipe(with_values({"DATASETS.TRAIN": ["cityscapes_fine_sem_seg_train"]})) == ("cityscapes", recipe)
    assert own_recipe(CONFIG)[0] == ""
    assert own_recipe(with_values({"INPUT.CROP.TYPE": "relative"})) == ("", {})
