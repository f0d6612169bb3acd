"""From a configuration to a plan: which cells a comparison needs, and the stages that each of them takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from d3s2bench.config import RunConfig
from d3s2bench.datasets.held_out import DEV
from d3s2bench.errors import BudgetError, DatasetError
from d3s2bench.files import digest
from d3s2bench.interfaces import Dataset
from d3s2bench.planning.command import command_of, commit
from d3s2bench.planning.configured import Configured, unversioned
from d3s2bench.planning.models import Model, Models, needs_of
from d3s2bench.planning.plan import Cell, Node, Plan
from d3s2bench.results.records import find_references
from d3s2bench.values import Budget, Json
from d3s2bench.workspace import Workspace


class Planner:
    """Builds the plan of a configuration."""

    def __init__(self, config: RunConfig, workspace: Workspace) -> None:
        self.config = config
        self.workspace = workspace
        self.plan = Plan()
        self.configured = Configured(config, workspace)
        self.models = Models(config, workspace, self.configured, self.plan)
        self._sizes: dict[tuple[str, str], int] = {}
        self._indices: dict[str, Node] = {}
        self._descriptions: dict[str, dict[str, Any]] = {}
        self._paths: dict[str, str] = {}
        self._columns: dict[tuple[object, ...], dict[str, Any]] = {}

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
        return self.plan.add(self.models.node(kind, dataset))

    def _cells(self) -> Iterator[Cell]:
        seen = set()
        for cell in self._asked():
            for each in (cell, *self._controls(cell)):
                if each not in seen:
                    seen.add(each)
                    yield each

    def _asked(self) -> Iterator[Cell]:
        c = self.config
        axes = product(c.dataset, c.rate, c.evaluator, c.arch, c.selector, c.synth, c.budget, c.seed)
        for dataset, rate, evaluator, arch, selector, synth, budget, seed in axes:
            yield Cell(dataset, selector, synth, evaluator, arch, rate, seed, budget)

    def _controls(self, cell: Cell) -> Iterator[Cell]:
        """What every comparison needs beside it; the converged reference is trained once, in the first repetition."""
        if self.config.controls == "none":
            return
        changed = self.configured.described("selector", "random")["changed"]
        yield replace(cell, selector="random", synth="real", as_shipped=bool(changed))
        yield replace(cell, synth="real")
        full = replace(cell, selector="full", synth="real", rate=1.0)
        yield full
        yield replace(full, converged=True, budget=1.0, seed=min(self.config.seed))
        if self.config.controls == "all":
            yield replace(cell, synth="layout")
            yield replace(cell, synth="real", labels="soft")

    # --- nodes -------------------------------------------------------------------------------------------------------

    def external(self, folder: Path, identity: str, images: int, described: Json) -> Plan:
        """The plan of scoring a set made elsewhere."""
        c = self.config
        method = {"selector": described["selector"], "synth": described["synth"]}
        selector, synth = method["selector"]["name"], method["synth"]["name"]
        for dataset, evaluator, arch, budget, seed in product(c.dataset, c.evaluator, c.arch, c.budget, c.seed):
            total = self._split_size(dataset)
            if images > total:
                raise BudgetError(f"{folder} holds {images} images, more than the {total} of {dataset}'s train split")
            rate = Budget.of_images(images, total).rate
            cell = Cell(dataset, selector, synth, evaluator, arch, rate, seed, budget)
            self._add_record_of(cell, {"folder": str(folder), "id": identity}, None, method)
        return self.plan

    def _add_record(self, cell: Cell) -> None:
        described = self.configured.described
        if cell.full:
            method = {"selector": unversioned("full"), "synth": described("synthesizer", "real")}
            self._add_record_of(cell, None, None, method)
            return
        distilled = self._distilled(cell)
        pairs = {"folder": self._path(distilled), "id": distilled.key}
        method = {"selector": self._selector(cell)[1], "synth": described("synthesizer", cell.synth)}
        self._add_record_of(cell, pairs, distilled, method)

    def _add_record_of(self, cell: Cell, pairs: Json | None, distilled: Node | None, method: Json) -> None:
        """``pairs`` says where the training pairs lie, None = all of train; ``distilled`` is the node that makes them,
        None when nothing here does."""
        spec = self._spec(cell, method)
        assets = self._dataset(cell.dataset).assets
        if cell.full and (found := find_references(assets, spec, any_seed=cell.converged)):
            self.plan.references += [file for file in found if file not in self.plan.references]
            return
        models = self.models.of(self._evaluator(cell)[0].needs, cell.dataset)
        index, quality = self._index(cell.dataset), self._quality(cell, distilled)
        run = {
            "dataset": cell.dataset,
            "spec": spec,
            "preset": self.config.preset,
            "command": command_of(cell, self.config, pairs["folder"] if pairs and not distilled else None),
            "commit": commit(),
            "pairs": pairs,
            "index": self._path(index),
            "models": {kind: model.to_json() for kind, model in models.items()},
            "quality": {"key": quality.key, "folder": self._path(quality)} if quality else None,
        }
        before = [node.key for node in (index, distilled, quality) if node]
        needs = (*before, *needs_of(models))
        node = Node("record", self._record_identity(cell, spec, pairs, models), run, needs)
        if node.key not in self.plan.nodes:
            self.plan.records.append(node.key)
        self.plan.add(node)

    def _selector(self, cell: Cell) -> tuple[Any, dict[str, Any]]:
        return self.configured.component("selector", cell.selector, as_shipped=cell.as_shipped)

    def _evaluator(self, cell: Cell) -> tuple[Any, dict[str, Any]]:
        return self.configured.component("evaluator", cell.evaluator, cell.labels)

    def _spec(self, cell: Cell, method: Json) -> dict[str, Any]:
        place = {"rate": cell.rate, "seed": cell.seed}
        return {"dataset": self._described(cell.dataset), **method, **place, **self._column(cell)}

    def _column(self, cell: Cell) -> dict[str, Any]:
        """What all methods and repetitions are trained with, made once for them."""
        column = (cell.dataset, cell.evaluator, cell.labels, cell.arch, cell.budget, cell.converged)
        if column not in self._columns:
            instance, evaluator = self._evaluator(cell)
            protocol = self.configured.protocol(instance, cell)
            trained = {"evaluator": evaluator, "arch": cell.arch, "protocol": protocol}
            self._columns[column] = {**trained, "protocol_hash": digest(protocol)}
        return self._columns[column]

    def _record_identity(
        self, cell: Cell, spec: Json, pairs: Json | None, models: Mapping[str, Model]
    ) -> dict[str, Any]:
        return {
            "dataset": spec["dataset"]["fingerprint"],
            "split": spec["dataset"]["split"],
            "evaluator": spec["evaluator"],
            "arch": cell.arch,
            "protocol": spec["protocol"],
            "seed": cell.seed,
            "pairs": pairs["id"] if pairs else "full",
            "models": {kind: model.identity for kind, model in models.items()},
            "said": [spec["dataset"]["name"], spec["selector"]["name"], spec["synth"]["name"], cell.rate],
        }

    def _index(self, name: str) -> Node:
        if name not in self._indices:
            identity = {"dataset": self._dataset(name).fingerprint, "split": "train"}
            self._indices[name] = self.plan.add(Node("index", identity, {"dataset": name}))
        return self._indices[name]

    def _selection(self, cell: Cell, sources: int) -> Node:
        """The choice of ``sources`` images of train for each image of the distilled set."""
        instance, selector = self._selector(cell)
        budget = Budget.from_rate(cell.rate, self._split_size(cell.dataset)).times(sources)
        index = self._index(cell.dataset)
        models = self.models.of(instance.needs, cell.dataset)
        identity = {
            "index": index.key,
            "selector": selector,
            "images": budget.images,
            "seed": None if instance.deterministic else cell.seed,
            **self._numeric(instance.needs, models),
        }
        run = {
            "dataset": cell.dataset,
            "selector": selector,
            "rate": cell.rate,
            "images": budget.images,
            "seed": cell.seed,
            "index": self._path(index),
            **self._numeric_run(models),
        }
        return self.plan.add(Node("selection", identity, run, (index.key, *needs_of(models))))

    def _distilled(self, cell: Cell) -> Node:
        instance, synth = self.configured.component("synthesizer", cell.synth)
        selection = self._selection(cell, instance.sources_per_image)
        models = self.models.of(instance.needs, cell.dataset)
        identity = {
            "dataset": self._dataset(cell.dataset).fingerprint,
            "selection": selection.key,
            "synth": synth,
            "seed": None if instance.deterministic else cell.seed,
            **self._numeric(instance.needs, models),
        }
        run = {
            "dataset": cell.dataset,
            "synth": synth,
            "selector": selection.run["selector"],
            "rate": cell.rate,
            "seed": cell.seed,
            "selection": self._path(selection),
            **self._numeric_run(models),
        }
        return self.plan.add(Node("distilled", identity, run, (selection.key, *needs_of(models))))

    def _quality(self, cell: Cell, distilled: Node | None) -> Node | None:
        """The node that measures a set under a judge, where this was asked for."""
        if distilled is None or not self.config.quality:
            return None
        models = self.models.of(("judge",), cell.dataset)
        identity = {"distilled": distilled.key, **self._numeric(("judge",), models)}
        run = {
            "dataset": cell.dataset,
            "selector": distilled.run["selector"],
            "synth": distilled.run["synth"],
            "seed": cell.seed,
            "distilled": self._path(distilled),
            **self._numeric_run(models),
        }
        return self.plan.add(Node("quality", identity, run, (distilled.key, *needs_of(models))))

    def _numeric(self, needs: tuple[str, ...], models: Mapping[str, Model]) -> dict[str, Any]:
        """What changes the numbers of a stage that computes with torch."""
        if not needs:
            return {}
        named = {kind: model.identity for kind, model in models.items()}
        return {"models": named, "threads": self.config.threads, "device": self.config.device_type}

    def _numeric_run(self, models: Mapping[str, Model]) -> dict[str, Any]:
        return {"models": {k: m.to_json() for k, m in models.items()}, "threads": self.config.threads}

    # --- parts -------------------------------------------------------------------------------------------------------

    def _path(self, node: Node) -> str:
        if node.key not in self._paths:
            self._paths[node.key] = str(self.workspace.store.path(node.stage, node.key))
        return self._paths[node.key]

    def _dataset(self, name: str) -> Dataset:
        return self.workspace.dataset(name)

    def _split_size(self, name: str, split: str = "train") -> int:
        if (name, split) not in self._sizes:
            self._sizes[name, split] = len(self._dataset(name).split(split))
        return self._sizes[name, split]

    def _described(self, name: str) -> dict[str, Any]:
        if name not in self._descriptions:
            self._descriptions[name] = self._describe(name)
        return self._descriptions[name]

    def _describe(self, name: str) -> dict[str, Any]:
        dataset = self._dataset(name)
        held_out = self.workspace.holdout(name)
        split = self.config.eval_split or (DEV if held_out else getattr(dataset, "eval_split", "test"))
        if split not in dataset.splits:
            others = [other for other in dataset.splits if other != "train"]
            choice = f"choose one of {', '.join(others)} with --eval-split, or" if others else "it has train alone, so"
            part = "keep a part of train out with --holdout PATTERN"
            raise DatasetError(f"dataset '{name}' has no split '{split}': {choice} {part}")
        self._split_size(name, split)  # an empty split or a missing mask shows before anything is trained
        options = dict(self.workspace.dataset_options.get(name, {}))
        described = {"name": dataset.name, "fingerprint": dataset.fingerprint, "split": split}
        options |= {"holdout": held_out} if held_out else {}
        return described | {"classes": list(dataset.classes), "options": options}
