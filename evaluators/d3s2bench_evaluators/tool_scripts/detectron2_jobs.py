"""detectron2's side: describe a config, train, predict."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .detectron2_import import import_detectron2
from .detectron2_projects import defaults, mask2former_trainer, projects_of
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

DATASET = "d3s2bench"
IGNORE = 255


def describe(job: Job, answer: Answer) -> Job:
    """The config, resolved, the projects that it uses, and the versions of what will run it."""
    if absent := missing("detectron2", "torchvision", "safetensors"):
        raise JobError(f"evaluator detectron2: {sys.executable} has no {', '.join(absent)}: {INSTALL}")
    import_detectron2()
    shipped = package_folder("detectron2") / "model_zoo" / "configs"
    file = config_file("detectron2", job["config"], shipped, ".yaml", "detectron2")
    try:
        config, projects = _read(file, job.get("changes", []))
        config = json.loads(json.dumps(config))
    except JobError:
        raise
    except Exception as error:  # whatever a user's file raises
        reason = " ".join(str(error).split())
        raise JobError(f"detectron2 config {file} cannot be used: {type(error).__name__}: {reason}") from error
    packages = ("detectron2", "mask2former") if "mask2former" in projects else ("detectron2",)
    versions = {name: version(name) for name in ("detectron2", "fvcore", "torch")}
    return {"config": config, "projects": projects, "versions": versions, "sources": _sources(packages)}


INSTALL = (
    "detectron2 is not on the package index; into an environment with torch: pip install torchvision safetensors; "
    "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2'; "
    "then name its interpreter with --set evaluator.detectron2.python=PATH"
)


def _read(file: Path, changes: list[Any]) -> tuple[Any, list[str]]:
    """A yaml file with its bases, over the defaults of detectron2 and of the projects that it uses."""
    from detectron2.config import CfgNode

    said = CfgNode(CfgNode.load_yaml_with_base(str(file), allow_unsafe=True))  # Mask2Former's compute lists of sizes
    projects = projects_of(said)
    config = defaults(projects)
    config.merge_from_other_cfg(said)
    config.merge_from_list(changes)
    return config, projects


def _sources(packages: tuple[str, ...]) -> dict[str, str]:
    """What identifies packages that stay at one version, or have none, while their sources change."""
    return {package: _digest(package_folder(package)) for package in packages}


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()


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
    save_weights(trainer.model, Path(job["weights"]))
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

    base: Any = mask2former_trainer() if "mask2former" in projects else _semantic_trainer()

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


def _readable(file: Path, work: Path) -> str:
    """First weights as detectron2's checkpointer may read them; it matches names by their ends."""
    import torch

    torch.save(first_weights("detectron2", file), work / "pretrained.pth")
    return f"{work / 'pretrained.pth'}?matching_heuristics=True"


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
    found = newest_whole(sorted(folder.glob("model_[0-9]*.pth")))
    return found.name if found else None


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
        teller = LossTeller(answer)

        def before_step(self) -> None:
            torch.manual_seed(seed << 32 | self.trainer.iter)

        def after_step(self) -> None:
            losses = self.trainer.storage.history("total_loss")
            self.teller.tell(self.trainer.iter + 1, self.trainer.max_iter, losses.latest)

    return Reporter()


def predict(job: Job, answer: Answer) -> Job:
    """A label map ``predictions/NAME.png`` for each of ``items`` (name, height, width), at that size."""
    config = _prepared(job)
    from detectron2.data import DatasetMapper

    model, mapper = _trained_model(config, job), DatasetMapper(config, False)

    def labels(image: str, height: int, width: int) -> Any:
        scores = model([mapper({"file_name": image}) | {"height": height, "width": width}])[0]["sem_seg"]
        return scores.argmax(0)

    return write_label_maps(job, answer, labels)


def _trained_model(config: Any, job: Job) -> Any:
    from detectron2.modeling import build_model
    from safetensors.torch import load_file

    model, weights = build_model(config), load_file(job["weights"])
    for name, value in model.state_dict().items():  # load_state_dict would rename what it takes for old weights
        value.copy_(weights[name])
    return model.eval()


def _prepared(job: Job) -> Any:
    """The job's config, frozen, its projects' networks registered; threads and device set."""
    set_torch(job)
    import_detectron2()
    from detectron2.config import CfgNode

    config = defaults(job["projects"])
    config.merge_from_other_cfg(CfgNode(job["config"]))
    config.freeze()
    return config


JOBS: dict[str, Callable[[Job, Answer], Job]] = {"describe": describe, "train": train, "predict": predict}
