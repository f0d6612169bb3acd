"""The executor ``ray``: stages as tasks of Ray, on this machine or on a cluster (https://docs.ray.io).

Ray's processes listen on all interfaces, and whoever reaches them runs code: one that is started here takes only those
who have its token (``RAY_AUTH_MODE``), unless the environment says otherwise or Ray was imported before.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from d3s2bench.errors import ConfigError, D3S2Error, StageError, WorkerDied
from d3s2bench.execution.remote import Followed, check_device, end, error_of, run_task
from d3s2bench.execution.resources import places
from d3s2bench.interfaces import Site, Task

QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
STORE = 100 * 2**20
"""Bytes of Ray's object store: what goes through it is a few kB of JSON."""


@dataclass(frozen=True)
class Ray:
    """Tasks of Ray: a stage takes as many of its CPUs as it has threads, and GPUs where it computes on ``cuda``.

    A stage whose process or node is lost is tried again elsewhere, ``retries`` times: what it had done is in the store.
    """

    address: str = ""
    """Of the cluster, HOST:PORT or ``auto``; empty = a Ray of our own on this machine."""
    retries: int = 3
    gpus: float = 1.0
    """GPUs per stage that computes on ``cuda``; 0.5 lets two share one."""

    def start(self, site: Site) -> RayPool:
        check_device(site)
        if not self.address:
            guard()
        import ray

        own = not ray.is_initialized()
        if own and self.address:
            _join(self.address)
        elif own:
            _start_here(site)
        try:
            needs = (float(site.threads), self.gpus if site.device == "cuda" else 0.0)
            return RayPool(site, site.workers or _count(*needs), self.retries, self.gpus, own)
        except BaseException:
            if own:
                ray.shutdown()
            raise


def guard() -> None:
    """Has Ray ask for a token; must come before it is imported."""
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _start_here(site: Site) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    cpus = site.threads * (site.workers or places(site.threads))
    own = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE}
    ray.init(address="local", _node_ip_address="127.0.0.1", **own, **QUIET)


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address=address, **QUIET)
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = " ".join(str(error).split())
        raise ConfigError(f"--address {address}: no Ray cluster can be joined there ({what})") from error


def _count(cpus: float, gpus: float) -> int:
    """How many stages with these needs the cluster takes at once."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fits = [min(_times(node, "CPU", cpus), _times(node, "GPU", gpus) if gpus else 10**9) for node in alive]
    if not sum(fits):
        need = f"{cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
        raise ConfigError(f"no node of the Ray cluster has {need}: give --workers N if it will grow, or --device cpu")
    return sum(fits)


def _times(resources: dict[str, float], name: str, each: float) -> int:
    return int(resources.get(name, 0) // each)


class RayPool:
    """Stages on Ray; ``own`` says that this process's connection to it is ours to end."""

    def __init__(self, site: Site, count: int, retries: int, gpus: float, own: bool) -> None:
        import ray

        self.ray, self.count, self.retries, self.gpus, self.own = ray, count, retries, gpus, own
        self.followed = Followed(site)
        self.call = ray.remote(run_task)
        self.running: dict[str, Any] = {}

    def submit(self, tasks: Sequence[Task], progress: Callable[[str, int, int, str], None]) -> list[Future[None]]:
        return [self._submit(task, self.followed.follow(task, progress)) for task in tasks]

    def _submit(self, task: Task, work: dict[str, Any]) -> Future[None]:
        made: Future[None] = Future()
        needs = {"num_cpus": task.threads, "num_gpus": self.gpus if task.gpu else 0}
        # tried again by the runner: Ray itself would try a stage that is out of memory for ever
        answer = self.call.options(name=task.name, max_retries=0, **needs).remote(work)
        self.running[task.key] = answer
        answer.future().add_done_callback(partial(self._ended, task.key, made))
        return made

    def _ended(self, key: str, made: Future[None], answer: Future[dict[str, Any]]) -> None:
        self.running.pop(key, None)
        self.followed.leave(key)
        end(made, partial(_problem, answer))

    def stop(self) -> None:
        for answer in list(self.running.values()):
            self.ray.cancel(answer, force=True)
        self.followed.stop()
        if self.own:
            self.ray.shutdown()


def _problem(answer: Future[dict[str, Any]]) -> D3S2Error | None:
    error = answer.exception()
    return _explained(error) if error else error_of(answer.result())


def _explained(error: BaseException) -> StageError:
    """What Ray says of a task that did not answer, in one line."""
    from ray.exceptions import RayTaskError

    if isinstance(error, RayTaskError):
        what = " ".join(str(error.cause or error).split())
        return StageError(f"its node cannot run d3s2bench ({what}): all nodes need the same packages")
    name, told = type(error).__name__, str(error).strip().splitlines()
    return WorkerDied(f"its process or its node was lost ({name}: {told[0] if told else 'no message'})")
