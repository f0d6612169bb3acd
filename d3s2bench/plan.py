"""The plan: a graph of stages with shared nodes, built without running anything.

index → selection → distilled → record, with teacher and generator beside them. A node's key is the hash of all that
makes its result; two cells that share a stage share its node, and a node whose artefact exists is not run again.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from d3s2bench.config import RunConfig
from d3s2bench.errors import BudgetError, ConfigError, DatasetError, ModelError, unknown_name
from d3s2bench.files import digest, folder_sha256, read_json
from d3s2bench.interfaces import Dataset
from d3s2bench.plugins import options_of
from d3s2bench.records import find_references, record_file
from d3s2bench.store import Store
from d3s2bench.values import Budget, Json
from d3s2bench.workspace import Workspace

FORMAT = 1
"""Raised when stages write something else for the same inputs: older artefacts are then not reused."""
LONG_SIDE = 96
SETTINGS = ("size", "threads", "device", "eval_split", "teacher", "generator", "teacher_arch", "generator_family")
"""Keys of the configuration, axes and options apart, that change what a cell is."""
STAGES = ("index", "teacher", "generator", "selection", "distilled", "record")


@dataclass(frozen=True)
class Node:
    """One stage with its inputs: ``identity`` makes the key, ``run`` is what the worker needs to know besides."""

    stage: str
    identity: Json
    run: Json
    needs: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        return digest({"format": FORMAT, "stage": self.stage, **self.identity})

    def done(self, store: Store) -> bool:
        if self.stage != "record":
            return store.has(self.stage, self.key)
        file = record_file(store.out, self.key)
        return file.exists() and read_json(file).get("status") == "ok"


@dataclass(frozen=True)
class Cell:
    """One number to be: a method on a dataset at a rate, trained once."""

    dataset: str
    selector: str
    synth: str
    evaluator: str
    arch: str
    rate: float
    seed: int
    labels: str | None = None
    """``soft`` for the control that trains with the teacher's labels, ``hard`` for teachers; None = as configured."""
    converged: bool = False

    @property
    def full(self) -> bool:
        return self.selector == "full"


@dataclass
class Plan:
    """Nodes in an order in which each comes after what it needs."""

    nodes: dict[str, Node] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)
    """Keys of the record nodes, in the order of the cells."""
    references: list[Path] = field(default_factory=list)
    """Shipped records that stand for cells."""

    def add(self, node: Node) -> Node:
        self.nodes.setdefault(node.key, node)
        return node

    def remaining(self, store: Store) -> dict[str, Node]:
        """What is left to run: the ends of the graph that are not done, and what they still need."""
        needed_by_others = {key for node in self.nodes.values() for key in node.needs}
        wanted = self.nodes.keys() - needed_by_others
        left: dict[str, Node] = {}
        for node in reversed(self.nodes.values()):
            if node.key in wanted and not node.done(store):
                left[node.key] = node
                wanted |= set(node.needs)
        return dict(reversed(left.items()))

    def counts(self, store: Store) -> list[tuple[str, int, int]]:
        """(stage, nodes, of them not to run)."""
        left = self.remaining(store)
        rows = []
        for stage in STAGES:
            keys = [key for key, node in self.nodes.items() if node.stage == stage]
            rows.append((stage, len(keys), sum(key not in left for key in keys)))
        return [row for row in rows if row[1]]


@dataclass(frozen=True)
class Model:
    """A teacher or a generator: where it is or will be, and what identifies it in a hash."""

    folder: Path
    identity: str
    family: str
    needs: tuple[str, ...] = ()

    def to_json(self) -> dict[str, str]:
        return {"folder": str(self.folder), "id": self.identity, "family": self.family}


class Planner:
    """Builds the plan of a configuration."""

    def __init__(self, config: RunConfig, workspace: Workspace) -> None:
        self.config = config
        self.workspace = workspace
        self.plan = Plan()
        self._models: dict[tuple[str, str], Model] = {}
        self._instances: dict[tuple[str, str, str], tuple[Any, dict[str, Any]]] = {}
        self._sizes: dict[tuple[str, str], int] = {}

    # --- cells -------------------------------------------------------------------------------------------------------

    def matrix(self) -> Plan:
        """The plan of all cells and their controls."""
        for cell in self._cells():
            self._add_record(cell)
        return self.plan

    def sets(self) -> Plan:
        """The plan of the distilled sets alone."""
        for cell in self._asked():
            self._distilled(cell)
        return self.plan

    def model(self, kind: str, dataset: str) -> Node:
        """The node that trains a teacher or a generator."""
        return self.plan.add(self._model_node(kind, dataset))

    def _cells(self) -> Iterator[Cell]:
        seen = set()
        for cell in self._asked():
            for each in (cell, *self._controls(cell)):
                if each not in seen:
                    seen.add(each)
                    yield each

    def _asked(self) -> Iterator[Cell]:
        c = self.config
        axes = product(c.dataset, c.rate, c.evaluator, c.arch, c.selector, c.synth, c.seed)
        for dataset, rate, evaluator, arch, selector, synth, seed in axes:
            yield Cell(dataset, selector, synth, evaluator, arch, rate, seed)

    def _controls(self, cell: Cell) -> Iterator[Cell]:
        """What every comparison needs beside it; the converged reference is trained once, in the first repetition."""
        if self.config.controls == "none":
            return
        yield replace(cell, selector="random", synth="real")
        yield replace(cell, synth="real")
        full = replace(cell, selector="full", synth="real", rate=1.0)
        yield full
        yield replace(full, converged=True, seed=min(self.config.seed))
        if self.config.controls == "all":
            yield replace(cell, synth="layout")
            yield replace(cell, synth="real", labels="soft")

    # --- nodes -------------------------------------------------------------------------------------------------------

    def external(self, folder: Path, identity: str, images: int, described: Json) -> Plan:
        """The plan of scoring a set made elsewhere."""
        c = self.config
        for dataset, evaluator, arch, seed in product(c.dataset, c.evaluator, c.arch, c.seed):
            total = self._split_size(dataset)
            if images > total:
                raise BudgetError(f"{folder} holds {images} images, more than the {total} of {dataset}'s train split")
            rate = images / total
            cell = Cell(dataset, described["selector"]["name"], described["synth"]["name"], evaluator, arch, rate, seed)
            method = {"selector": described["selector"], "synth": described["synth"]}
            self._add_record_of(cell, {"folder": str(folder), "id": identity}, (), method)
        return self.plan

    def _add_record(self, cell: Cell) -> None:
        if cell.full:
            method = {"selector": component_of("full"), "synth": self._component("synthesizer", "real")[1]}
            self._add_record_of(cell, None, (), method)
            return
        distilled = self._distilled(cell)
        pairs = {"folder": str(self._path(distilled)), "id": distilled.key}
        synth, selector = self._component("synthesizer", cell.synth)[1], self._component("selector", cell.selector)[1]
        self._add_record_of(cell, pairs, (distilled.key,), {"selector": selector, "synth": synth})

    def _add_record_of(self, cell: Cell, pairs: Json | None, needs: tuple[str, ...], method: Json) -> None:
        dataset = self._dataset(cell.dataset)
        instance, evaluator = self._component("evaluator", cell.evaluator, cell.labels)
        protocol = self._protocol(instance, cell)
        spec = {
            "dataset": self._described(cell.dataset),
            **method,
            "evaluator": evaluator,
            "arch": cell.arch,
            "rate": cell.rate,
            "seed": cell.seed,
            "protocol": protocol,
            "protocol_hash": digest(protocol),
        }
        if cell.full and (found := find_references(dataset.assets, spec, any_seed=cell.converged)):
            self.plan.references += [file for file in found if file not in self.plan.references]
            return
        models = self._models_of(instance.needs, cell.dataset)
        index = self._index(cell.dataset)
        node = Node(
            "record",
            {
                "dataset": dataset.fingerprint,
                "split": self.config.eval_split,
                "evaluator": evaluator,
                "arch": cell.arch,
                "protocol": protocol,
                "seed": cell.seed,
                "pairs": pairs["id"] if pairs else "full",
                "models": {kind: model.identity for kind, model in models.items()},
                "said": [dataset.name, spec["selector"]["name"], spec["synth"]["name"], cell.rate],
            },
            {
                "dataset": cell.dataset,
                "spec": spec,
                "preset": self.config.preset,
                "command": command_of(cell, self.config, pairs["folder"] if pairs and not needs else None),
                "commit": commit(),
                "pairs": pairs,
                "index": str(self._path(index)),
                "models": {kind: model.to_json() for kind, model in models.items()},
            },
            (index.key, *needs, *(key for model in models.values() for key in model.needs)),
        )
        self.plan.add(node)
        if node.key not in self.plan.records:
            self.plan.records.append(node.key)

    def _index(self, name: str) -> Node:
        identity = {"dataset": self._dataset(name).fingerprint, "split": "train"}
        return self.plan.add(Node("index", identity, {"dataset": name}))

    def _selection(self, cell: Cell) -> Node:
        instance, selector = self._component("selector", cell.selector)
        budget = Budget.from_rate(cell.rate, self._split_size(cell.dataset))
        index = self._index(cell.dataset)
        models = self._models_of(instance.needs, cell.dataset)
        identity = {
            "index": index.key,
            "selector": selector,
            "images": budget.images,
            "seed": None if instance.deterministic else cell.seed,
            **self._numeric(models),
        }
        run = {
            "dataset": cell.dataset,
            "selector": selector,
            "rate": cell.rate,
            "seed": cell.seed,
            "index": str(self._path(index)),
            **self._numeric_run(models),
        }
        return self.plan.add(Node("selection", identity, run, (index.key, *_needs(models))))

    def _distilled(self, cell: Cell) -> Node:
        selection = self._selection(cell)
        instance, synth = self._component("synthesizer", cell.synth)
        if instance.sources_per_image != 1:
            raise ConfigError(f"synthesizer '{cell.synth}' takes {instance.sources_per_image} sources per image")
        models = self._models_of(instance.needs, cell.dataset)
        identity = {
            "dataset": self._dataset(cell.dataset).fingerprint,
            "selection": selection.key,
            "synth": synth,
            "seed": None if instance.deterministic else cell.seed,
            **self._numeric(models),
        }
        run = {
            "dataset": cell.dataset,
            "synth": synth,
            "selector": selection.run["selector"],
            "rate": cell.rate,
            "seed": cell.seed,
            "selection": str(self._path(selection)),
            **self._numeric_run(models),
        }
        return self.plan.add(Node("distilled", identity, run, (selection.key, *_needs(models))))

    def _numeric(self, models: Mapping[str, Model]) -> dict[str, Any]:
        """What changes the numbers of a stage that computes with models."""
        if not models:
            return {}
        named = {kind: model.identity for kind, model in models.items()}
        return {"models": named, "threads": self.config.threads, "device": self.config.device}

    def _numeric_run(self, models: Mapping[str, Model]) -> dict[str, Any]:
        return {"models": {k: m.to_json() for k, m in models.items()}, "threads": self.config.threads}

    # --- models ------------------------------------------------------------------------------------------------------

    def _models_of(self, kinds: tuple[str, ...], dataset: str) -> dict[str, Model]:
        return {kind: self._model(kind, dataset) for kind in kinds}

    def _model(self, kind: str, dataset: str) -> Model:
        """Given by the user, else shipped with the dataset, else trained in this store, else an error or a node."""
        if (kind, dataset) not in self._models:
            self._models[kind, dataset] = self._resolved(kind, dataset)
        return self._models[kind, dataset]

    def _resolved(self, kind: str, name: str) -> Model:
        assets, given = self._dataset(name).assets, getattr(self.config, kind)
        shipped = assets / kind if assets else None
        tuned = kind in self.config.options or (kind == "teacher" and self.config.teacher_arch != "unet")
        folder = Path(given) if given else shipped if shipped and shipped.is_dir() and not tuned else None
        if folder is not None:
            if not folder.is_dir():
                raise ModelError(f"{kind} folder {folder} does not exist")
            if not (folder / f"{kind}.json").is_file():
                make = f"make one with 'd3s2bench train {kind} --dataset {name}'"
                raise ModelError(f"{folder} is no {kind}: it has no {kind}.json; {make}")
            return Model(folder.resolve(), folder_sha256(folder), self._family(kind))
        node = self._model_node(kind, name)
        if not node.done(self.workspace.store) and not self.config.train_missing:
            raise ModelError(
                f"there is no {kind} for dataset '{name}': make one with 'd3s2bench train {kind} --dataset {name}' "
                f"(same --data-root, --out and --set), add --train-missing to this command, or give --{kind} DIR"
            )
        self.plan.add(node)
        return Model(self._path(node), node.key, self._family(kind), (node.key,))

    def _family(self, kind: str) -> str:
        return self.config.evaluator[0] if kind == "teacher" else self.config.generator_family

    def _model_node(self, kind: str, name: str) -> Node:
        family = self._family(kind)
        identity: dict[str, Any] = {"dataset": self._dataset(name).fingerprint, "seed": 0}
        if kind == "teacher":
            instance, evaluator = self._component("evaluator", family, "hard")
            cell = Cell(name, "full", "real", family, self.config.teacher_arch, 1.0, 0, converged=True)
            identity |= {"evaluator": evaluator, "arch": cell.arch, "protocol": self._protocol(instance, cell)}
        else:
            numeric = {"threads": self.config.threads, "device": self.config.device}
            identity |= {"generator": self._component("generator", family)[1], **numeric}
        return Node(kind, identity, {**identity, "dataset": name})

    # --- parts -------------------------------------------------------------------------------------------------------

    def _path(self, node: Node) -> Path:
        return self.workspace.store.path(node.stage, node.key)

    def _dataset(self, name: str) -> Dataset:
        return self.workspace.dataset(name)

    def _split_size(self, name: str, split: str = "train") -> int:
        if (name, split) not in self._sizes:
            self._sizes[name, split] = len(self._dataset(name).split(split))
        return self._sizes[name, split]

    def _described(self, name: str) -> dict[str, Any]:
        dataset = self._dataset(name)
        split = self.config.eval_split
        if split not in dataset.splits:
            have = ", ".join(dataset.splits)
            raise DatasetError(f"dataset '{name}' has no split '{split}': choose one of {have} with --eval-split")
        self._split_size(name, split)  # an empty split or a missing mask shows before anything is trained
        options = self.workspace.dataset_options.get(name, {})
        described = {"name": dataset.name, "fingerprint": dataset.fingerprint, "split": split}
        return described | {"classes": list(dataset.classes), "options": options}

    def _component(self, kind: str, name: str, labels: str | None = None) -> tuple[Any, dict[str, Any]]:
        """The configured instance and its ``{name, options, version}``."""
        if (kind, name, str(labels)) not in self._instances:
            registry = self.workspace.registry
            section = "synth" if kind == "synthesizer" else kind
            options = dict(self.config.options.get(section, {}).get(name, {}))
            if labels == "hard":  # the default of every evaluator, whether it knows soft labels or not
                options.pop("labels", None)
            elif labels:
                options["labels"] = labels
            instance = registry.create(kind, name, options)
            described = {"name": name, "options": options_of(instance), "version": registry.find(kind, name).identity}
            self._instances[kind, name, str(labels)] = (instance, described)
        return self._instances[kind, name, str(labels)]

    def _protocol(self, evaluator: Any, cell: Cell) -> dict[str, Any]:
        """The evaluator's protocol with this run's overrides, threads and device; every part explicit."""
        if cell.arch not in evaluator.architectures():
            raise unknown_name(f"architecture of evaluator '{cell.evaluator}'", cell.arch, evaluator.architectures())
        protocol: dict[str, Any] = evaluator.protocol(cell.arch, self._size(cell.dataset))
        for key, value in self.config.protocol.items():
            if key not in protocol:
                raise unknown_name("protocol key", key, protocol)
            protocol[key] = _like(protocol[key], value, key)
        _check_protocol(protocol)
        if cell.converged:
            protocol["iterations"] = protocol["converged_iterations"]
        return protocol | {"threads": self.config.threads, "device": self.config.device}

    def _size(self, name: str) -> tuple[int, int]:
        if self.config.size:
            return self.config.size[0], self.config.size[1]
        height, width, _ = self._dataset(name).split("train").image(0).shape
        scale = LONG_SIDE / max(width, height)
        return max(16, round(width * scale / 8) * 8), max(16, round(height * scale / 8) * 8)

    def check_options(self) -> None:
        """Options are checked for components that this run does not use, too. Raises ConfigError."""
        for section, named in self.config.options.items():
            for name, options in named.items():
                kind = "synthesizer" if section == "synth" else section
                if kind == "dataset":
                    self.workspace.registry.find(kind, name)  # its own check comes when it is opened
                else:
                    self.workspace.registry.create(kind, name, options)


def command_of(cell: Cell, config: RunConfig, folder: str | None = None) -> str:
    """The command line that repeats one cell, ``folder`` if that was made elsewhere; --data-root and --out are the
    reader's own. The references on the full train split come with every run."""
    words = ["d3s2bench", "evaluate", folder] if folder else ["d3s2bench", "run"]
    words += ["--dataset", cell.dataset, "--evaluator", cell.evaluator, "--arch", cell.arch, "--seed", str(cell.seed)]
    if not folder:
        selector, synth = ("random", "real") if cell.full else (cell.selector, cell.synth)
        words += ["--selector", selector, "--synth", synth, "--rate", str(cell.rate)]
    words += ["--preset", config.preset] if config.preset else []
    for key, value in _settings(config, cell).items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def _settings(config: RunConfig, cell: Cell) -> dict[str, Any]:
    """What ``--set`` must say: all that is not at its default and no axis."""
    plain = {name: getattr(config, name) for name in SETTINGS if getattr(config, name) != getattr(RunConfig(), name)}
    for section, components in config.options.items():
        plain |= {f"{section}.{name}.{key}": v for name, options in components.items() for key, v in options.items()}
    plain |= {f"protocol.{key}": value for key, value in config.protocol.items()}
    return plain | ({f"evaluator.{cell.evaluator}.labels": cell.labels} if cell.labels else {})


def _like(default: Any, value: Any, key: str) -> Any:
    """An override of the same type as what it replaces; a whole number will do where a fraction may stand."""
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if isinstance(value, tuple):
        value = list(value)
    if default is not None and type(value) is not type(default):
        raise ConfigError(f"protocol.{key} is {value!r}: it must be of type {type(default).__name__}, as {default!r}")
    return value


def _check_protocol(protocol: Json) -> None:
    for key in ("iterations", "converged_iterations", "batch_size"):
        if protocol.get(key, 1) < 1:
            raise ConfigError(f"protocol.{key} is {protocol[key]}: it must be at least 1")
    size = protocol.get("size", [16, 16])
    if len(size) != 2 or not all(isinstance(side, int) and side >= 16 for side in size):
        raise ConfigError(f"protocol.size is {size}: it must be [width, height], each at least 16 pixels")


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The commit of the code when it runs from a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:  # an environment may lie in someone else's checkout
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        return subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _needs(models: Mapping[str, Model]) -> tuple[str, ...]:
    return tuple(key for model in models.values() for key in model.needs)


def component_of(name: str) -> dict[str, Any]:
    """How a record describes what is no component of ours."""
    return {"name": name, "options": {}, "version": ""}
