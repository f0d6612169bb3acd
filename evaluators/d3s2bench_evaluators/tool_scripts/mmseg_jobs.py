"""mmsegmentation's side: describe a config, train, predict."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .jobs import (
    Answer,
    Job,
    JobError,
    LossTeller,
    config_file,
    first_weights,
    missing,
    newest_whole,
    package_folder,
    save_weights,
    set_torch,
    version,
    write_label_maps,
)
from .openmmlab import find_packages_without_setuptools, import_operations

SCHEME = "pretrained:"
"""Begins the address of first weights, which mmengine then reads by ``first_weights``."""
DISTRIBUTIONS = {
    "mmseg": ("mmsegmentation",),
    "mmengine": ("mmengine",),
    "mmcv": ("mmcv", "mmcv-lite"),
    "mmdet": ("mmdet",),
    "torch": ("torch",),
}


def describe(job: Job, answer: Answer) -> Job:
    """The config, resolved, as a Python literal (JSON has no tuples), and the versions of what will run it."""
    if absent := missing("mmseg", "mmengine", "mmcv", "safetensors"):
        raise JobError(
            f"evaluator mmseg: {sys.executable} has no {', '.join(absent)}: pip install 'd3s2bench[mmseg]' there, or "
            "name another interpreter with --set evaluator.mmseg.python=PATH"
        )
    from mmengine.config import Config

    find_packages_without_setuptools()
    shipped = package_folder("mmseg") / ".mim" / "configs"
    file = config_file("mmseg", job["config"], shipped, ".py", "mmsegmentation")
    try:
        text = repr(Config.fromfile(str(file), import_custom_modules=False).to_dict())
        ast.literal_eval(text)
    except Exception as error:  # whatever a user's file raises
        reason = " ".join(str(error).splitlines()[:1])
        raise JobError(f"mmseg config {file} cannot be used: {type(error).__name__}: {reason}") from error
    return {"config": text, "versions": {name: version(*names) for name, names in DISTRIBUTIONS.items()}}


def train(job: Job, answer: Answer) -> Job:
    """mmseg's Runner on the config, from its newest checkpoint; its last weights in ``weights``, as safetensors."""
    config = _prepared(job)
    from mmengine.runner import Runner

    checkpoint = _newest_checkpoint(Path(config.work_dir))
    config.update(load_from=checkpoint, resume=checkpoint is not None)
    runner = Runner.from_cfg(config)
    runner.register_hook(_reporter(job["seed"], answer), priority="VERY_LOW")
    if job["pretrained"] and checkpoint is None:
        runner.register_hook(_fit(Path(job["pretrained"])))
    runner.train()
    save_weights(runner.model, Path(job["weights"]))
    return {}


def _newest_checkpoint(folder: Path) -> str | None:
    found = newest_whole(sorted(folder.glob("iter_*.pth"), key=lambda file: int(file.stem[5:])))
    return str(found) if found else None


def _reporter(seed: int, answer: Answer) -> Any:
    """Tells the progress, and makes a resumed training equal an unbroken one: what the network draws in iteration k
    depends on the seed and k alone. Data are drawn by other generators, whose state mmengine brings back by loading
    again what has been trained on."""
    import torch
    from mmengine.hooks import Hook

    class Reporter(Hook):  # type: ignore[misc,unused-ignore]
        teller = LossTeller(answer)

        def before_save_checkpoint(self, runner: Any, checkpoint: Job) -> None:
            """torch loads nothing but tensors and plain values: logs go, they are objects and numpy's numbers."""
            checkpoint["message_hub"]["log_scalars"] = {}
            checkpoint["message_hub"]["runtime_info"].pop("eta", None)

        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            torch.manual_seed(seed << 32 | batch_idx)

        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            self.teller.tell(batch_idx + 1, runner.max_iters, lambda: outputs["loss"].item())

    return Reporter()


def _fit(file: Path) -> Any:
    """Tells first weights of another backbone, which mmengine is content with. Vectors do not count: biases and norms
    start at the same values anywhere."""
    from mmengine.hooks import Hook

    class Fit(Hook):  # type: ignore[misc,unused-ignore]
        def before_train(self, runner: Any) -> None:
            held = [value for value in runner.model.backbone.parameters() if value.ndim > 1]
            given = [value for value in _tensors(first_weights("mmseg", file)) if value.ndim > 1]
            if not any(new.shape == now.shape and new.to(now).equal(now) for new in given for now in held):
                raise JobError(f"evaluator mmseg: pretrained is {file}: no weight in it fits this backbone")

    return Fit()


def _tensors(found: Any) -> Iterator[Any]:
    """Those in dicts at any depth."""
    if isinstance(found, dict):
        for value in found.values():
            yield from _tensors(value)
    elif hasattr(found, "ndim"):
        yield found


def predict(job: Job, answer: Answer) -> Job:
    """A label map ``predictions/NAME.png`` for each of ``items`` (name, height, width), at that size."""
    config = _prepared(job)
    from mmengine.dataset import Compose, pseudo_collate

    model, transforms = _trained_model(config, job), Compose(config.test_pipeline)

    def labels(image: str, height: int, width: int) -> Any:
        data = transforms({"img_path": image})
        data["data_samples"].set_metainfo({"ori_shape": (height, width)})  # where mmseg brings its logits to
        return model.test_step(pseudo_collate([data]))[0].pred_sem_seg.data[0]

    return write_label_maps(job, answer, labels)


def _trained_model(config: Any, job: Job) -> Any:
    from mmseg.registry import MODELS
    from safetensors.torch import load_file

    model = MODELS.build(config.model)
    model.load_state_dict(load_file(job["weights"]))
    return model.to(job["device"]).eval()


def _prepared(job: Job) -> Any:
    """The job's config, with mmseg's components registered; threads and device set."""
    from mmengine.config import Config
    from mmengine.runner import CheckpointLoader

    set_torch(job)
    import_operations()
    importlib.import_module("mmseg.utils").register_all_modules()
    config = Config(ast.literal_eval(job["config"]))
    for module in config.get("imports", ()):
        importlib.import_module(module)
    CheckpointLoader.register_scheme(SCHEME, _load_first_weights, force=True)
    return config


def _load_first_weights(address: str, map_location: Any = None) -> Any:
    return first_weights("mmseg", Path(address.removeprefix(SCHEME)))


JOBS: dict[str, Callable[[Job, Answer], Job]] = {"describe": describe, "train": train, "predict": predict}
