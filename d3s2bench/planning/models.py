"""Where a run's teacher, generator and judge come from: given, shipped with the dataset, or trained in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d3s2bench.config import RunConfig
from d3s2bench.errors import ConfigError, ModelError
from d3s2bench.files import folder_sha256, read_json
from d3s2bench.planning.configured import Configured
from d3s2bench.planning.plan import Cell, Node, Plan
from d3s2bench.workspace import Workspace

ROLES = {"teacher": "teacher", "generator": "generator", "judge": "teacher"}
"""What a model is for → the stage that makes it: a judge is a teacher of another architecture that takes no part."""


@dataclass(frozen=True)
class Model:
    """A model: where it is or will be, and what identifies it in a hash."""

    folder: Path
    identity: str
    family: str
    needs: tuple[str, ...] = ()

    def to_json(self) -> dict[str, str]:
        return {"folder": str(self.folder), "id": self.identity, "family": self.family}


class Models:
    """Resolves each model once and adds the nodes that train what is missing to the plan."""

    def __init__(self, config: RunConfig, workspace: Workspace, configured: Configured, plan: Plan) -> None:
        self.config, self.workspace, self.configured, self.plan = config, workspace, configured, plan
        self._found: dict[tuple[str, str], Model] = {}

    def of(self, roles: tuple[str, ...], dataset: str) -> dict[str, Model]:
        """By role; ``torch`` stands for no model."""
        return {role: self._model(role, dataset) for role in roles if role != "torch"}

    def _model(self, role: str, dataset: str) -> Model:
        if (role, dataset) not in self._found:
            if role == "judge":
                self._require_another_judge(dataset)
            self._found[role, dataset] = self._given(role, dataset) or self._trained(role, dataset)
        return self._found[role, dataset]

    def _require_another_judge(self, dataset: str) -> None:
        """What guides the images must not judge them."""
        judge, teacher = (self._architecture(role, dataset) for role in ("judge", "teacher"))
        if judge and judge == teacher:
            raise ConfigError(
                f"the judge would be a {judge} like the teacher: give another with --judge DIR or --set judge_arch=NAME"
            )

    def _architecture(self, role: str, dataset: str) -> str | None:
        """That of a model that is given, as far as it tells, or of the one that would be trained."""
        folder = self._folder(role, dataset)
        if folder is None:
            return self._arch(role)
        file = folder / f"{ROLES[role]}.json"
        about = read_json(file) if file.is_file() else None
        return about.get("arch") if isinstance(about, dict) else None

    def _given(self, role: str, dataset: str) -> Model | None:
        """By the user, else with the dataset, unless the configuration asks for another than that."""
        folder, stage = self._folder(role, dataset), ROLES[role]
        if folder is None:
            return None
        if not folder.is_dir():
            raise ModelError(f"{role} folder {folder} does not exist")
        if not (folder / f"{stage}.json").is_file():
            make = f"make one with 'd3s2bench train {stage} --dataset {dataset}'"
            raise ModelError(f"{folder} is no {role}: it has no {stage}.json; {make}")
        about = read_json(folder / f"{stage}.json")
        if not isinstance(about, dict):
            raise ModelError(f"{folder / f'{stage}.json'} is no JSON object: train the {role} again")
        self._require_unseen(role, about.get("dataset"), dataset)
        if stage == "teacher":
            self._require_classes(role, about.get("classes"), dataset)
        family = about.get("family")  # a generator tells its own
        return Model(folder.resolve(), folder_sha256(folder), family or self._family(role))

    def _require_unseen(self, role: str, learnt: Any, dataset: str) -> None:
        """What is held out of train may have been seen by a model that has learnt from other images of the dataset."""
        held_out, known = self.workspace.holdout(dataset), learnt if isinstance(learnt, dict) else {}
        opened = self.workspace.dataset(dataset)
        if held_out and known.get("name") == opened.name and known.get("fingerprint") != opened.fingerprint:
            raise ModelError(
                f"the {role} has learnt from other images of '{dataset}' than --holdout '{held_out}' leaves, perhaps "
                f"from those held out: make one with 'd3s2bench train {ROLES[role]} --dataset {dataset}' and the same "
                "--holdout"
            )

    def _require_classes(self, role: str, known: Any, dataset: str) -> None:
        """By name and order: a teacher of as many other classes would give numbers that mean nothing."""
        wanted = list(self.workspace.dataset(dataset).classes)
        if isinstance(known, list) and known != wanted:
            at = next((i for i, pair in enumerate(zip(known, wanted, strict=False)) if pair[0] != pair[1]), None)
            differs = "" if at is None else f", class {at} is '{known[at]}' there and '{wanted[at]}' here"
            raise ModelError(
                f"the {role} knows {len(known)} classes, dataset '{dataset}' has {len(wanted)}{differs}: make one with "
                f"'d3s2bench train {ROLES[role]} --dataset {dataset}'"
            )

    def _folder(self, role: str, dataset: str) -> Path | None:
        assets, given = self.workspace.dataset(dataset).assets, getattr(self.config, role)
        if given:
            return Path(given)
        shipped = assets / role if assets else None
        return shipped if shipped and shipped.is_dir() and not self._tuned(role) else None

    def _tuned(self, role: str) -> bool:
        default = RunConfig()
        return (
            role in self.config.options
            or (role != "generator" and bool(self.config.teacher_protocol))
            or (role == "teacher" and self.config.teacher_arch != default.teacher_arch)
            or (role == "judge" and self.config.judge_arch != default.judge_arch)
        )

    def _trained(self, role: str, dataset: str) -> Model:
        """In this store, by an earlier run or by this one."""
        node, stage = self.node(role, dataset), ROLES[role]
        if not node.done(self.workspace.store) and not self.config.train_missing:
            arch = f" --set teacher_arch={self.config.judge_arch}" if role == "judge" else ""
            raise ModelError(
                f"there is no {role} for dataset '{dataset}': make one with "
                f"'d3s2bench train {stage} --dataset {dataset}{arch}' "
                f"(same --data-root, --holdout, --out and --set), add --train-missing to this command, "
                f"or give --{role} DIR"
            )
        if role == "generator" and not node.done(self.workspace.store):
            self._require_generator(dataset)
        self.plan.add(node)
        return Model(self.workspace.store.path(stage, node.key), node.key, self._family(role), (node.key,))

    def _require_generator(self, dataset: str) -> None:
        """Asks the family whether it can make one, where it knows before it has tried."""
        family, _ = self.configured.component("generator", self.config.generator_family)
        if require := getattr(family, "require", None):
            require(self.workspace.dataset(dataset))

    def _family(self, role: str) -> str:
        return self.config.generator_family if role == "generator" else self.config.teacher_evaluator

    def node(self, role: str, dataset: str) -> Node:
        """The node that trains a model on the dataset's train split."""
        identity: dict[str, Any] = {"dataset": self.workspace.dataset(dataset).fingerprint, "seed": 0}
        family = self._family(role)
        if role == "generator":
            numeric = {"threads": self.config.threads, "device": self.config.device_type}
            identity |= {"generator": self.configured.described("generator", family), **numeric}
        else:
            instance, evaluator = self.configured.component("evaluator", family, "hard")
            cell = Cell(dataset, "full", "real", family, self._arch(role), 1.0, 0, converged=True)
            protocol = self.configured.protocol(instance, cell, self.config.teacher_protocol)
            identity |= {"evaluator": evaluator, "arch": cell.arch, "protocol": protocol}
        return Node(ROLES[role], identity, {**identity, "dataset": dataset})

    def _arch(self, role: str) -> str:
        return self.config.teacher_arch if role == "teacher" else self.config.judge_arch


def needs_of(models: Mapping[str, Model]) -> tuple[str, ...]:
    """Keys of the nodes that make the models."""
    return tuple(key for model in models.values() for key in model.needs)
