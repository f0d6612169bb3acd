"""A teacher gives back what was trained, its features at both taps and their statistics by class."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from d3s2bench import IGNORE, Context, ModelError
from d3s2bench_evaluators.networks import Block
from d3s2bench_evaluators.protocol import RECIPES
from d3s2bench_evaluators.teacher import Moments, TorchTeacher, load_teacher
from d3s2bench_evaluators.torch_evaluator import Torch

MakeContext = Callable[..., Context]
SIZE = (48, 32)
COUNT = 5


@pytest.fixture(scope="module", params=RECIPES)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, rectangles: Any, context: MakeContext
) -> Path:
    """A teacher trained for a few steps, of each small architecture."""
    folder = tmp_path_factory.mktemp(request.param)
    protocol = Torch().protocol(request.param, SIZE) | {"iterations": 8}
    student = Torch().train(rectangles(COUNT, classes=3), request.param, protocol, context())
    Torch().save_teacher(student, rectangles(COUNT, classes=3), folder, context())
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(trained, tmp_path / "teacher"))


def images(rectangles: Any, count: int = COUNT) -> Tensor:
    pictures = np.stack([rectangles(count, classes=3).image(i) for i in range(count)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def test_stored_and_loaded_predict_alike(tmp_path: Path, rectangles: Any, context: MakeContext) -> None:
    protocol = Torch().protocol("unet", SIZE) | {"iterations": 8}
    student = Torch().train(rectangles(COUNT), "unet", protocol, context())
    Torch().save_teacher(student, rectangles(COUNT), tmp_path / "teacher", context())
    with torch.no_grad():
        expected = student.network(images(rectangles))
        logits, _ = load_teacher(tmp_path / "teacher", "cpu").features(images(rectangles))
    torch.testing.assert_close(logits, expected, atol=0.02, rtol=0.02)  # weights are stored as float16
    about = json.loads((tmp_path / "teacher" / "teacher.json").read_text())
    assert about["arch"] == "unet" and about["dataset"]["name"] == "toy" and about["protocol"]["iterations"] == 8


def test_frozen_but_differentiable_in_the_images(folder: Path, rectangles: Any) -> None:
    teacher = load_teacher(folder, "cpu")
    assert not teacher.network.training and not any(p.requires_grad for p in teacher.network.parameters())
    larger = F.interpolate(images(rectangles), (45, 64), mode="bilinear").requires_grad_()
    logits, features = teacher.features(larger)
    assert logits.shape == (COUNT, 4, 45, 64) and tuple(features) == teacher.layers
    (logits.sum() + features[teacher.pooled_layer].sum()).backward()
    assert larger.grad is not None and (larger.grad != 0).any(1).float().mean() > 0.9
    again, _ = teacher.features(larger)
    assert torch.equal(logits, again)  # statistics did not move


def test_batchnorm_input_is_what_the_activation_is_made_of(folder: Path, rectangles: Any) -> None:
    teacher = load_teacher(folder, "cpu")
    entered: dict[str, Tensor] = {}
    for name, block in teacher.network.blocks.items():
        block.register_forward_pre_hook(lambda module, inputs, name=name: entered.__setitem__(name, inputs[0]))
    with torch.no_grad():
        inputs = teacher.features(images(rectangles), "batchnorm_input")[1]
        outputs = teacher.features(images(rectangles), "activation")[1]
    assert tuple(inputs) == tuple(outputs) == tuple(teacher.batchnorm) == teacher.layers
    for name, block in teacher.network.blocks.items():
        mean, var = teacher.batchnorm[name]
        assert inputs[name].shape == outputs[name].shape and mean.shape == var.shape == (inputs[name].shape[1],)
        normed = F.batch_norm(inputs[name], mean, var, block.last_norm.weight, block.last_norm.bias)
        added = block.shortcut(entered[name]) if isinstance(block, Block) else 0
        torch.testing.assert_close(outputs[name], F.relu(normed + added))


def test_features_do_not_depend_on_the_batch(folder: Path, rectangles: Any) -> None:
    teacher = load_teacher(folder, "cpu")
    with torch.no_grad():
        together = teacher.features(images(rectangles))[1]
        alone = teacher.features(images(rectangles)[2:3])[1]
    for name in teacher.layers:
        torch.testing.assert_close(alone[name][0], together[name][2], atol=1e-5, rtol=1e-4)


def test_class_features_against_a_direct_computation(folder: Path, rectangles: Any) -> None:
    teacher = load_teacher(folder, "cpu")
    masks = torch.from_numpy(np.stack([rectangles(COUNT, classes=3).mask(i) for i in range(COUNT)]))
    with torch.no_grad():
        features = teacher.features(images(rectangles))[1]
    for name, activation in features.items():
        h, w = activation.shape[-2:]
        rows, columns = ((np.arange(n) + 0.5) * s // n for n, s in ((h, SIZE[1]), (w, SIZE[0])))
        small = masks[:, rows.astype(int)][:, :, columns.astype(int)]
        mean, std = teacher.class_features[name]
        for c in range(3):
            pixels = activation.permute(0, 2, 3, 1)[small == c]
            torch.testing.assert_close(mean[c], pixels.mean(0), atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(std[c], pixels.std(0, correction=0), atol=1e-4, rtol=1e-3)
        assert mean[3].isnan().all() and std[3].isnan().all()  # the toy set made with three classes lacks the fourth


def test_moments_stream() -> None:
    draws = torch.Generator().manual_seed(0)
    features = 1e3 + torch.randn(6, 3, 4, 4, generator=draws)  # a large mean: naive float32 sums would fail
    masks = torch.randint(0, 2, (6, 4, 4), generator=draws)
    masks[0] = IGNORE
    moments = Moments(2, 3, "cpu")
    for i in range(6):
        moments.add(features[i : i + 1], masks[i : i + 1])
    mean, std = moments.stats()
    pixels = features.permute(0, 2, 3, 1)[masks == 1].double()
    torch.testing.assert_close(mean[1].double(), pixels.mean(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(std[1].double(), pixels.std(0, correction=0), atol=1e-4, rtol=0)


def test_pooled_layer_is_the_last_of_the_encoder(folder: Path, rectangles: Any) -> None:
    teacher = load_teacher(folder, "cpu")
    features = teacher.features(images(rectangles))[1]
    areas = {name: f.shape[-1] * f.shape[-2] for name, f in features.items()}
    assert areas[teacher.pooled_layer] == min(areas.values())


def truncate(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:40])


def edit(folder: Path, **changes: Any) -> None:
    about = json.loads((folder / "teacher.json").read_text())
    (folder / "teacher.json").write_text(json.dumps(about | changes))


BREAKS: dict[str, Callable[[Path], object]] = {
    "no_model": lambda folder: (folder / "model.safetensors").unlink(),
    "no_statistics": lambda folder: (folder / "class_features.safetensors").unlink(),
    "no_json": lambda folder: (folder / "teacher.json").unlink(),
    "torn_model": lambda folder: truncate(folder, "model.safetensors"),
    "torn_statistics": lambda folder: truncate(folder, "class_features.safetensors"),
    "torn_json": lambda folder: truncate(folder, "teacher.json"),
    "other_classes": lambda folder: edit(folder, classes=["a", "b"]),
    "other_arch": lambda folder: edit(folder, arch="unit"),
    "other_evaluator": lambda folder: edit(folder, evaluator="mmseg"),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_folder_is_no_teacher(how: str, folder: Path) -> None:
    BREAKS[how](folder)
    with pytest.raises(ModelError, match="d3s2bench train teacher --dataset") as caught:
        load_teacher(folder, "cpu")
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_folder_is_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="d3s2bench train teacher --dataset"):
        Torch().load_teacher(tmp_path / "nowhere", "cpu")


def test_the_type_is_the_engines(folder: Path) -> None:
    from d3s2bench import Teacher

    teacher: Teacher = load_teacher(folder, "cpu")
    assert isinstance(teacher, TorchTeacher)
    assert all(hasattr(teacher, name) for name in (*Teacher.__annotations__, "features"))
