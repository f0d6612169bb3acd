"""mmsegmentation's side: a script for an interpreter that has it, and that needs nothing of d3s2bench.

It reads one job, a line of JSON, on stdin; answers on stdout in lines of JSON: ``progress``, at last ``result`` or, for
what a user can mend, ``error``. Whatever a library prints goes to stderr. It ends when stdin is closed, which is when
its parent ends. ``tool_process`` is the other side.

mmcv-lite will do in place of a compiled mmcv, for networks whose operations have a way in plain torch.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import sys
import threading
import time
import types
import zipfile
from collections.abc import Callable
from difflib import get_close_matches
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Answer = Callable[..., None]
Job = dict[str, Any]

DISTRIBUTIONS = {
    "mmseg": ("mmsegmentation",),
    "mmengine": ("mmengine",),
    "mmcv": ("mmcv", "mmcv-lite"),
    "mmdet": ("mmdet",),
    "torch": ("torch",),
}


class JobError(Exception):
    """What a user can mend, in one line."""


def main() -> None:
    """Runs the job of stdin."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer(result=JOBS[job["job"]](job, answer))
    except JobError as error:
        answer(error=str(error))


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


# --- describe --------------------------------------------------------------------------------------------------------


def describe(job: Job, answer: Answer) -> Job:
    """The config, resolved, as a Python literal (JSON has no tuples), and the versions of what will run it."""
    _need("mmseg", "mmengine", "mmcv", "safetensors")
    from mmengine.config import Config

    _find_packages_without_setuptools()
    file = _config_file(job["config"])
    try:
        text = repr(Config.fromfile(str(file), import_custom_modules=False).to_dict())
        ast.literal_eval(text)
    except Exception as error:  # whatever a user's file raises
        reason = " ".join(str(error).splitlines()[:1])
        raise JobError(f"mmseg config {file} cannot be used: {type(error).__name__}: {reason}") from error
    return {"config": text, "versions": {name: _version(*names) for name, names in DISTRIBUTIONS.items()}}


def _need(*modules: str) -> None:
    if missing := [module for module in modules if find_spec(module) is None]:
        raise JobError(
            f"evaluator mmseg: {sys.executable} has no {', '.join(missing)}: pip install 'd3s2bench[mmseg]' there, or "
            "name another interpreter with --set evaluator.mmseg.python=PATH"
        )


def _config_file(name: str) -> Path:
    """A file, or one of mmseg's own by its name."""
    shipped = _folder("mmsegmentation") / ".mim" / "configs"
    for file in (Path(name), shipped / name):
        if file.is_file():
            return file
    known = [str(file.relative_to(shipped)) for file in shipped.glob("*/*.py")]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"its own are those below {shipped}"
    raise JobError(f"no mmseg config '{name}': neither a file nor one of mmsegmentation's own; {hint}")


def _version(*distributions: str) -> str | None:
    """Of the first that is installed, without what tells builds of one version apart."""
    for name in distributions:
        try:
            return metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return None


# --- train -----------------------------------------------------------------------------------------------------------


def train(job: Job, answer: Answer) -> Job:
    """mmseg's Runner on the config, from its newest checkpoint; its last weights in ``weights``, as safetensors."""
    config = _prepared(job)
    from mmengine.runner import Runner

    checkpoint = _newest_checkpoint(Path(config.work_dir))
    config.update(load_from=checkpoint, resume=checkpoint is not None)
    runner = Runner.from_cfg(config)
    runner.register_hook(_reporter(job["seed"], answer), priority="VERY_LOW")
    runner.train()
    _save_weights(runner.model, Path(job["weights"]))
    return {}


def _newest_checkpoint(folder: Path) -> str | None:
    """A kill may have torn the last; what is whole is a zip file, whose directory is at its end."""
    files = sorted(folder.glob("iter_*.pth"), key=lambda file: int(file.stem[5:]))
    return next((str(file) for file in reversed(files) if zipfile.is_zipfile(file)), None)


def _reporter(seed: int, answer: Answer) -> Any:
    """Tells the progress, and makes a resumed training equal an unbroken one: what the network draws in iteration k
    depends on the seed and k alone. Data are drawn by other generators, whose state mmengine brings back by loading
    again what has been trained on."""
    import torch
    from mmengine.hooks import Hook

    class Reporter(Hook):  # type: ignore[misc,unused-ignore]
        told = 0.0

        def before_save_checkpoint(self, runner: Any, checkpoint: Job) -> None:
            """torch loads nothing but tensors and plain values: logs go, they are objects and numpy's numbers."""
            checkpoint["message_hub"]["log_scalars"] = {}
            checkpoint["message_hub"]["runtime_info"].pop("eta", None)

        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            torch.manual_seed(seed << 32 | batch_idx)

        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            if time.monotonic() - self.told > 0.2 or batch_idx + 1 == runner.max_iters:
                self.told = time.monotonic()
                answer(progress=[batch_idx + 1, runner.max_iters, f"loss {outputs['loss'].item():.3f}"])

    return Reporter()


def _save_weights(model: Any, file: Path) -> None:
    from safetensors.torch import save_file

    partial = file.with_suffix(".partial")
    save_file({name: value.contiguous().clone().cpu() for name, value in model.state_dict().items()}, str(partial))
    partial.replace(file)


# --- predict ---------------------------------------------------------------------------------------------------------


def predict(job: Job, answer: Answer) -> Job:
    """A label map ``predictions/NAME.png`` for each of ``items`` (name, height, width), at that size."""
    config = _prepared(job)
    import numpy as np
    import torch
    from mmengine.dataset import Compose, pseudo_collate
    from PIL import Image

    model, transforms = _trained_model(config, job), Compose(config.test_pipeline)
    folder = Path(job["predictions"])
    for done, (name, height, width) in enumerate(job["items"], 1):
        file = folder / f"{name}.png"
        if not file.exists():
            data = transforms({"img_path": str(Path(job["images"]) / f"{name}.png")})
            data["data_samples"].set_metainfo({"ori_shape": (height, width)})  # where mmseg brings its logits to
            with torch.no_grad():
                labels = model.test_step(pseudo_collate([data]))[0].pred_sem_seg.data[0]
            Image.fromarray(labels.cpu().numpy().astype(np.uint8)).save(file.with_suffix(".partial"), "PNG")
            file.with_suffix(".partial").replace(file)
        answer(progress=[done, len(job["items"]), ""])
    return {}


def _trained_model(config: Any, job: Job) -> Any:
    from mmseg.registry import MODELS
    from safetensors.torch import load_file

    model = MODELS.build(config.model)
    model.load_state_dict(load_file(job["weights"]))
    return model.to(job["device"]).eval()


# --- what both need --------------------------------------------------------------------------------------------------


def _prepared(job: Job) -> Any:
    """The job's config, with mmseg's components registered; threads and device set."""
    import torch
    from mmengine.config import Config
    from mmengine.runner import CheckpointLoader

    torch.set_num_threads(job["threads"])
    if job["device"].startswith("cuda:"):
        torch.cuda.set_device(job["device"])
    _import_operations()
    importlib.import_module("mmseg.utils").register_all_modules()
    config = Config(ast.literal_eval(job["config"]))
    for module in config.get("imports", ()):
        importlib.import_module(module)
    CheckpointLoader.register_scheme("safetensors:", _load_safetensors, force=True)
    return config


def _load_safetensors(file: str, map_location: Any = None) -> Any:
    from safetensors.torch import load_file

    return load_file(file[len("safetensors:") :])


class _NotCompiled(types.ModuleType):
    """Stands in for mmcv's compiled operations while ``mmcv.ops`` looks whether they are there."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError(f"this network needs mmcv's compiled operation '{name}': install mmcv for mmcv-lite")

        return missing


def _import_operations() -> None:
    """``mmcv.ops``, without what is compiled where that is missing."""
    if find_spec("mmcv._ext") is not None:
        return
    sys.modules["mmcv._ext"] = _NotCompiled("mmcv._ext")
    try:
        importlib.import_module("mmcv.ops")
    finally:
        del sys.modules["mmcv._ext"]  # mmengine's report of the environment would take it for the real one


def _find_packages_without_setuptools() -> None:
    """mmengine finds the base of ``_base_ = 'mmseg::…'`` through pkg_resources, which setuptools 82 has no more."""
    if find_spec("pkg_resources") is None:
        module: Any = importlib.import_module("mmengine.config.config")
        module.is_installed = lambda package: _version(package) is not None
        module.get_installed_path = lambda package: str(_folder(package))


def _folder(distribution: str) -> Path:
    """The folder of a distribution's import package."""
    top = (metadata.distribution(distribution).read_text("top_level.txt") or distribution).split()[0]
    spec = find_spec(top)
    assert spec and spec.origin
    return Path(spec.origin).parent


JOBS: dict[str, Callable[[Job, Answer], Job]] = {"describe": describe, "train": train, "predict": predict}

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file, whose modules are no top-level ones
    main()
