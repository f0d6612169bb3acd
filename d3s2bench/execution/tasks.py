"""Nodes of a plan as tasks: all that a stage needs, as JSON, wherever it is worked on."""

from __future__ import annotations

from pathlib import Path

from d3s2bench.execution.progress import label
from d3s2bench.interfaces import Task
from d3s2bench.planning.plan import Node
from d3s2bench.values import Json
from d3s2bench.workspace import Workspace


def task_of(node: Node, workspace: Workspace, threads: int) -> Task:
    """``threads`` are the protocol's; a stage that computes without torch keeps one core busy."""
    work = {
        "cwd": str(Path.cwd()),  # the paths of a plan may be relative
        "workspace": workspace.to_json(),
        "threads": threads,
        "node": {"stage": node.stage, "identity": node.identity, "run": node.run},
    }
    return Task(node.key, label(node), numeric_threads(node) or 1, device_of(node).startswith("cuda"), work)


def node_of(message: Json) -> Node:
    """The node of a task's ``work["node"]``."""
    return Node(message["stage"], message["identity"], message["run"])


def numeric_threads(node: Node) -> int | None:
    """Part of what the node computes; None for stages that compute without torch."""
    threads: int | None = node.identity.get("threads") or node.identity.get("protocol", {}).get("threads")
    return threads


def device_of(node: Node) -> str:
    """Where the node computes."""
    return str(node.identity.get("device") or node.identity.get("protocol", {}).get("device") or "cpu")
