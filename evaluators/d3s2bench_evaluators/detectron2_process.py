"""detectron2's side: a script for an interpreter that has it, and that needs nothing of d3s2bench.

It reads one job, a line of JSON, on stdin; answers on stdout in lines of JSON: ``progress``, at last ``result`` or, for
what a user can mend, ``error``. Whatever a library prints goes to stderr. It ends when stdin is closed, which is when
its parent ends. ``tool_process`` is the other side.

Semantic segmentation needs nothing that detectron2, torchvision or Mask2Former compile: where those are missing, their
networks run in plain torch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import sys
import threading
import time
import types
import zipfile
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Answer = Callable[..., None]
Job = dict[str, Any]

USES = {
    "DeepLabV3Head": ("deeplab",),
    "DeepLabV3PlusHead": ("deeplab",),
    "WarmupPolyLR": ("deeplab",),
    "PointRendSemSegHead": ("point_rend",),
    "MaskFormer": ("deeplab", "mask2former"),
}
"""What a config names → the projects that define it."""
DATASET = "d3s2bench"
IGNORE = 255


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
    """The config, resolved, the projects that it uses, and the versions of what will run it."""
    if missing := [module for module in ("detectron2", "torchvision", "safetensors") if find_spec(module) is None]:
        raise JobError(f"evaluator detectron2: {sys.executable} has no {', '.join(missing)}: {INSTALL}")
    _import_detectron2()
    file = _config_file(job["config"])
    try:
        config, projects = _read(file, job["changes"])
        config = json.loads(json.dumps(config))
    except JobError:
        raise
    except Exception as error:  # whatever a user's file raises
        reason = " ".join(str(error).split())
        raise JobError(f"detectron2 config {file} cannot be used: {type(error).__name__}: {reason}") from error
    packages = ("detectron2", "mask2former") if "mask2former" in projects else ("detectron2",)
    versions = {name: _version(name) for name in ("detectron2", "fvcore", "torch")}
    return {"config": config, "projects": projects, "versions": versions, "sources": _sources(packages)}


INSTALL = (
    "detectron2 is not on the package index; into an environment with torch: pip install torchvision safetensors; "
    "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2'; "
    "then name its interpreter with --set evaluator.detectron2.python=PATH"
)


def _config_file(name: str) -> Path:
    """A file, or one of detectron2's own by its name."""
    shipped = _folder("detectron2") / "model_zoo" / "configs"
    for file in (Path(name), shipped / name):
        if file.is_file():
            return file
    known = [str(file.relative_to(shipped)) for file in shipped.glob("*/*.yaml")]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"its own are those below {shipped}"
    raise JobError(f"no detectron2 config '{name}': neither a file nor one of detectron2's own; {hint}")


def _read(file: Path, changes: list[Any]) -> tuple[Any, list[str]]:
    """A yaml file with its bases, over the defaults of detectron2 and of the projects that it uses."""
    from detectron2.config import CfgNode

    said = CfgNode(CfgNode.load_yaml_with_base(str(file), allow_unsafe=True))  # Mask2Former's compute lists of sizes
    projects = _projects(said)
    config = _defaults(projects)
    config.merge_from_other_cfg(said)
    config.merge_from_list(changes)
    return config, projects


def _projects(said: Any) -> list[str]:
    model, solver = said.get("MODEL", {}), said.get("SOLVER", {})
    names = (
        model.get("META_ARCHITECTURE"),
        model.get("SEM_SEG_HEAD", {}).get("NAME"),
        solver.get("LR_SCHEDULER_NAME"),
    )
    return sorted({project for name in names for project in USES.get(name, ())})


def _defaults(projects: list[str]) -> Any:
    """With the projects' keys; their networks are registered then."""
    from detectron2.config import get_cfg

    config = get_cfg()
    if "deeplab" in projects:
        importlib.import_module("detectron2.projects.deeplab").add_deeplab_config(config)
    if "point_rend" in projects:
        _project("detectron2.projects.point_rend", "PointRend").add_pointrend_config(config)
    if "mask2former" in projects:
        _mask2former().add_maskformer2_config(config)
    return config


def _project(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise JobError(f"evaluator detectron2: {sys.executable} cannot import {name} ({reason}): {PROJECT}") from error


PROJECT = (
    "PointRend and Mask2Former need opencv-python-headless, Mask2Former also timm, scipy and a checkout of "
    "github.com/facebookresearch/Mask2Former on the PYTHONPATH or in a .pth file of site-packages"
)


def _mask2former() -> Any:
    """Its attention in plain torch where its operations are not compiled: its own way on CPUs, taken on any error."""
    try:
        importlib.import_module("MultiScaleDeformableAttention")
    except ImportError:
        sys.modules["MultiScaleDeformableAttention"] = types.ModuleType("MultiScaleDeformableAttention")
    return _project("mask2former", "Mask2Former")


def _version(distribution: str) -> str | None:
    """Without what tells builds of one version apart."""
    try:
        return metadata.version(distribution).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def _sources(packages: tuple[str, ...]) -> dict[str, str]:
    """What identifies packages that stay at one version, or have none, while their sources change."""
    return {package: _digest(_folder(package)) for package in packages}


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec and spec.origin
    return Path(spec.origin).parent


# --- train -----------------------------------------------------------------------------------------------------------


def train(job: Job, answer: Answer) -> Job:
    """detectron2's trainer on the config, from its newest checkpoint; the last weights in ``weights``."""
    if job["pretrained"]:
        job["config"]["MODEL"]["WEIGHTS"] = _readable(Path(job["pretrained"]), Path(job["weights"]).parent)
    config = _prepared(job)
    from detectron2.utils.env import seed_all_rng

    _register(Path(job["pairs"]), job["classes"])
    seed_all_rng(job["seed"])
    Path(config.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
    trainer = _trainer(job["projects"])(config)
    _begin(trainer, Path(config.OUTPUT_DIR), job["pretrained"])
    trainer.data_loader = _advanced(trainer.data_loader, job["seed"], trainer.start_iter)
    trainer.register_hooks([_reporter(job["seed"], answer)])
    if trainer.start_iter < trainer.max_iter:
        trainer.train()
    _save_weights(trainer.model, Path(job["weights"]))
    return {}


def _register(pairs: Path, classes: list[str]) -> None:
    """The pairs as a dataset of DatasetCatalog."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    DatasetCatalog.register(DATASET, partial(_records, pairs))
    MetadataCatalog.get(DATASET).set(stuff_classes=classes, ignore_label=IGNORE, evaluator_type="sem_seg")


def _records(pairs: Path) -> list[Job]:
    from PIL import Image

    def record(image: Path) -> Job:
        with Image.open(image) as opened:
            width, height = opened.size
        mask = pairs / "annotations" / image.name
        return {"file_name": str(image), "sem_seg_file_name": str(mask), "width": width, "height": height}

    return [record(image) for image in sorted((pairs / "images").glob("*.png"))]


def _trainer(projects: list[str]) -> Any:
    """The project's own, telling its log less and keeping two checkpoints, since a kill may tear the newer one."""
    from detectron2.engine.hooks import PeriodicCheckpointer
    from detectron2.utils.events import CommonMetricPrinter

    base: Any = _mask2former_trainer() if "mask2former" in projects else _semantic_trainer()

    class Trainer(base):  # type: ignore[misc,unused-ignore]
        def build_writers(self) -> list[Any]:
            return [CommonMetricPrinter(self.max_iter)]

        def build_hooks(self) -> list[Any]:
            hooks: list[Any] = super().build_hooks()
            for hook in hooks:
                if isinstance(hook, PeriodicCheckpointer):
                    hook.max_to_keep = 2
            return hooks

    return Trainer


def _semantic_trainer() -> Any:
    """DefaultTrainer with the mapper and the scheduler that the training scripts of DeepLab and PointRend give it."""
    from detectron2.data import DatasetMapper, build_detection_train_loader
    from detectron2.engine import DefaultTrainer
    from detectron2.projects.deeplab import build_lr_scheduler

    class Trainer(DefaultTrainer):  # type: ignore[misc,unused-ignore]
        @classmethod
        def build_train_loader(cls, cfg: Any) -> Any:
            return build_detection_train_loader(cfg, mapper=DatasetMapper(cfg, True, augmentations=_augmentations(cfg)))

        @classmethod
        def build_lr_scheduler(cls, cfg: Any, optimizer: Any) -> Any:
            return build_lr_scheduler(cfg, optimizer)

    return Trainer


def _augmentations(config: Any) -> list[Any]:
    """Resized, cropped, coloured, flipped, in this order."""
    import detectron2.data.transforms as transforms
    from detectron2.data.detection_utils import build_augmentation

    images, middle = config.INPUT, []
    if images.CROP.ENABLED:
        most = images.CROP.get("SINGLE_CATEGORY_MAX_AREA", 1.0)
        crop = transforms.RandomCrop_CategoryAreaConstraint(images.CROP.TYPE, images.CROP.SIZE, most, IGNORE)
        middle.append(crop)
    if images.get("COLOR_AUG_SSD", False):
        colour = importlib.import_module("detectron2.projects.point_rend").ColorAugSSDTransform
        middle.append(colour(img_format=images.FORMAT))
    resize, *flip = build_augmentation(config, True)
    return [resize, *middle, *flip]


def _mask2former_trainer() -> Any:
    """Of its training script, which lies beside its package."""
    _mask2former()
    script = _folder("mask2former").parent / "train_net.py"
    if not script.is_file():
        raise JobError(f"evaluator detectron2: no {script}: Mask2Former must be a whole checkout")
    spec = importlib.util.spec_from_file_location("mask2former_train_net", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Trainer


def _readable(file: Path, work: Path) -> str:
    """First weights as detectron2's checkpointer reads them: names are matched by their ends."""
    if file.suffix == ".safetensors":
        import torch
        from safetensors.torch import load_file

        torch.save(load_file(file), work / "pretrained.pth")
        file = work / "pretrained.pth"
    return f"{file}?matching_heuristics=True"


def _begin(trainer: Any, folder: Path, pretrained: str) -> None:
    """At the newest checkpoint that is whole, or at the first weights."""
    checkpoint = _newest_checkpoint(folder)
    if checkpoint:
        trainer.checkpointer.tag_last_checkpoint(checkpoint)
    before = [value.clone() for value in trainer.model.parameters()] if pretrained else []
    trainer.resume_or_load(resume=checkpoint is not None)
    if before and all(old.equal(new) for old, new in zip(before, trainer.model.parameters(), strict=True)):
        raise JobError(f"evaluator detectron2: pretrained is {pretrained}: no weight in it fits this network")


def _newest_checkpoint(folder: Path) -> str | None:
    """A kill may have torn the last; what is whole is a zip file, whose directory is at its end."""
    files = sorted(folder.glob("model_[0-9]*.pth"))
    return next((file.name for file in reversed(files) if zipfile.is_zipfile(file)), None)


def _advanced(loader: Any, seed: int, iterations: int) -> Iterator[Any]:
    """Batches without those that were trained on before: loaded again, so that all draws that follow are the same."""
    from detectron2.utils.env import seed_all_rng

    seed_all_rng(seed)
    batches: Iterator[Any] = iter(loader)
    for _ in range(iterations):
        next(batches)
    return batches


def _reporter(seed: int, answer: Answer) -> Any:
    """Tells the progress, and makes a resumed training equal an unbroken one: what the network draws in iteration k
    depends on the seed and k alone. Data are drawn by other generators, of Python and numpy."""
    import torch
    from detectron2.engine import HookBase

    class Reporter(HookBase):  # type: ignore[misc,unused-ignore]
        told = 0.0

        def before_step(self) -> None:
            torch.manual_seed(seed << 32 | self.trainer.iter)

        def after_step(self) -> None:
            done, total = self.trainer.iter + 1, self.trainer.max_iter
            if time.monotonic() - self.told > 0.2 or done == total:
                self.told = time.monotonic()
                answer(progress=[done, total, f"loss {self.trainer.storage.history('total_loss').latest():.3f}"])

    return Reporter()


def _save_weights(model: Any, file: Path) -> None:
    from safetensors.torch import save_file

    written = file.with_suffix(".partial")
    save_file({name: value.contiguous().clone().cpu() for name, value in model.state_dict().items()}, str(written))
    written.replace(file)


# --- predict ---------------------------------------------------------------------------------------------------------


def predict(job: Job, answer: Answer) -> Job:
    """A label map ``predictions/NAME.png`` for each of ``items`` (name, height, width), at that size."""
    config = _prepared(job)
    import numpy as np
    import torch
    from detectron2.data import DatasetMapper
    from PIL import Image

    model, mapper = _trained_model(config, job), DatasetMapper(config, False)
    folder = Path(job["predictions"])
    for done, (name, height, width) in enumerate(job["items"], 1):
        image = mapper({"file_name": str(Path(job["images"]) / f"{name}.png")})
        with torch.no_grad():
            scores = model([image | {"height": height, "width": width}])[0]["sem_seg"]
        file = folder / f"{name}.png"
        Image.fromarray(scores.argmax(0).cpu().numpy().astype(np.uint8)).save(file)
        answer(progress=[done, len(job["items"]), ""])
    return {}


def _trained_model(config: Any, job: Job) -> Any:
    from detectron2.modeling import build_model
    from safetensors.torch import load_file

    model, weights = build_model(config), load_file(job["weights"])
    for name, value in model.state_dict().items():  # load_state_dict would rename what it takes for old weights
        value.copy_(weights[name])
    return model.eval()


# --- what both need --------------------------------------------------------------------------------------------------


def _prepared(job: Job) -> Any:
    """The job's config, frozen, its projects' networks registered; threads and device set."""
    import torch

    torch.set_num_threads(job["threads"])
    if job["device"].startswith("cuda:"):
        torch.cuda.set_device(job["device"])
    _import_detectron2()
    from detectron2.config import CfgNode

    config = _defaults(job["projects"])
    config.merge_from_other_cfg(CfgNode(job["config"]))
    config.freeze()
    return config


def _import_detectron2() -> None:
    """torchvision built for another torch raises at its import unless its operations have their signatures; detectron2
    imports it for boxes, which semantic segmentation has none of."""
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library.Library
        _SIGNATURES.append(library("torchvision", "DEF"))
        for operation in ("nms", "qnms"):
            _SIGNATURES[0].define(f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")
    importlib.import_module("detectron2.engine")


_SIGNATURES: list[Any] = []
"""They last as long as this object."""

JOBS: dict[str, Callable[[Job, Answer], Job]] = {"describe": describe, "train": train, "predict": predict}

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file, whose modules are no top-level ones
    main()
