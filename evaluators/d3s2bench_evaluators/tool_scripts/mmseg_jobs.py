"""mmsegmentation's side: describe a config, train, predict."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .jobs import (
    Answer,
    Job,
    JobError,
    LossTeller,
    config_file,
    missing,
    newest_whole,
    package_folder,
    save_weights,
    set_torch,
    version,
    write_label_maps,
)
from .openmmlab import find_packages_without_setuptools, import_operations

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
    CheckpointLoader.register_scheme("safetensors:", _load_safetensors, force=True)
    return config


def _load_safetensors(file: str, map_location: Any = None) -> Any:
    from safetensors.torch import load_file

    return load_file(file[len("safetensors:") :])


JOBS: dict[str, Callable[[Job, Answer], Job]] = {"describe": describe, "train": train, "predict": predict}
