"""The plan: a graph of stages with shared nodes, built without running anything.

index → selection → distilled → record, with teacher and generator beside them, and quality beside a distilled set. A
node's key is the hash of all that makes its result; two cells that share a stage share its node, and a node whose
artefact exists is not run again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from d3s2bench.files import digest, read_json
from d3s2bench.results.records import record_file
from d3s2bench.storage.store import Store
from d3s2bench.values import Json

FORMAT = 1
"""Raised when stages write something else for the same inputs: older artefacts are then not reused."""
STAGES = ("index", "teacher", "generator", "selection", "distilled", "quality", "record")


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
        found = read_json(file) if file.exists() else {}
        return found.get("status") == "ok" and self._has_quality(found)

    def _has_quality(self, record: Json) -> bool:
        """Whether a record says what this node was asked to find out about its set."""
        asked = self.run.get("quality")
        return not asked or (record.get("quality") or {}).get("key") == asked["key"]


@dataclass(frozen=True)
class Cell:
    """One number to be: a method on a dataset at a rate, trained once for ``budget`` × the protocol's iterations."""

    dataset: str
    selector: str
    synth: str
    evaluator: str
    arch: str
    rate: float
    seed: int
    budget: float = 1.0
    labels: str | None = None
    """``soft`` for the control that trains with the teacher's labels, ``hard`` for teachers; None = as configured."""
    converged: bool = False
    as_shipped: bool = False
    """The selector has its default options, whatever the configuration says: a control is one draw of chance."""

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
