"""Ray: the results of inline, whatever happens to its processes and nodes."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import WENT_WRONG
from executor_fakes import (
    as_results,
    at_work,
    check_as_inline,
    command_line,
    family,
    install_watched,
    journal,
    times,
    watched_config,
)

from d3s2bench import ConfigError, api
from d3s2bench.config import RunConfig
from d3s2bench.execution.events import Event
from d3s2bench.execution.on_ray import Ray, guard
from d3s2bench.interfaces import Site

if find_spec("ray") is None:
    pytest.skip("ray is not installed", allow_module_level=True)
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
os.environ |= TOKEN  # before Ray is imported: it listens on all interfaces
import ray  # noqa: E402

pytestmark = [pytest.mark.usefixtures("fakes"), pytest.mark.xdist_group("ray")]


@pytest.fixture
def config(fakes: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Path) -> Callable[..., RunConfig]:
    """A matrix of watched stages for a folder below ``tmp_path``."""
    install_watched(monkeypatch, tmp_path / "site")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    given = {"selector": ["watched", "random"], "synth": "noisy"}
    return lambda out, **more: watched_config(tiny, tmp_path / out, **given | more)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes on this machine, one core each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    ray.shutdown()
    made.shutdown()


# --- one machine -----------------------------------------------------------------------------------------------------


def without_token() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in TOKEN}


def test_on_this_machine_ray_starts_by_itself(config: Callable[..., RunConfig], tiny: Path, tmp_path: Path) -> None:
    """With a cell that fails: the others go on, and the exit code says so."""
    out, given = tmp_path / "ray", {"selector": ["watched", "fails"]}
    words = ["--selector", "watched", "--selector", "fails", "--executor", "ray", "--workers", "2"]
    made = subprocess.run(command_line(tiny, out, *words), capture_output=True, text=True, env=without_token())
    assert made.returncode == 1
    events = [json.loads(line) for line in made.stdout.splitlines()]
    (failed,) = [event for event in events if event["event"] == "failed" and not event["skipped"]]
    assert re.fullmatch(WENT_WRONG, failed["reason"])
    assert "it went\nwrong" in "".join(file.read_text() for file in (out / "logs").glob("*.log"))
    assert not list((out / "logs").glob("run-*"))
    check_as_inline(*as_results(out, events, config("inline", **given)), out)


def test_a_ray_of_our_own_asks_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TOKEN:
        monkeypatch.delenv(name)
    guard()
    assert "RAY_AUTH_MODE" not in os.environ  # it is imported: too late
    monkeypatch.delitem(sys.modules, "ray")
    guard()
    assert (os.environ["RAY_AUTH_MODE"], len(os.environ["RAY_AUTH_TOKEN"])) == ("token", 64)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    guard()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_device_of_this_machine_is_no_device_of_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--device cuda:1 names a device of this machine"):
        Ray().start(Site(tmp_path, 1, 1, "cuda:1"))
    assert not ray.is_initialized()


# --- two nodes -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_nodes_give_what_inline_gives(config: Callable[..., RunConfig], cluster: Any, tmp_path: Path) -> None:
    given = {"seed": [0, 1], "seconds": 1.5}
    options = options_of(config, given, cluster.address)
    told: list[Event] = []
    result = api.run(config("ray", **given | {"executor": "ray", "options": options}), told.append)
    check_as_inline(result, api.run(config("inline", **given)), tmp_path / "ray")
    assert any(event.name == "progress" and event.note == "naps" for event in told)  # type: ignore[attr-defined]
    assert len({parent for _, _, _, parent in journal(tmp_path / "ray")}) > 1
    for threads, device, need in ((64, "cpu", "64 CPUs"), (1, "cuda", "1 CPUs and 1 GPUs")):
        with pytest.raises(ConfigError, match=f"no node of the Ray cluster has {need}: give --workers N"):
            Ray(cluster.address).start(Site(tmp_path, threads, None, device))


def options_of(config: Callable[..., RunConfig], given: dict[str, Any], address: str) -> dict[str, Any]:
    return config("unused", **given).options | {"executor": {"ray": {"address": address}}}


def killing(out: Path, *kills: tuple[Callable[[], None], int | None]) -> threading.Thread:
    """Does one thing after the other, each while some stage is at work, below that process if one is given."""

    def work() -> None:
        for kill, root in kills:
            while not any(root is None or parent in family(root) for _, parent in at_work(out)):
                time.sleep(0.05)
            kill()
            time.sleep(1)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def kill_all(root: int) -> None:
    """As when a machine goes: at once, and workers below it, too."""
    for pid in family(root):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def raylet(node: Any) -> int:
    """The process of a node that all its others descend from."""
    return int(node.all_processes["raylet"][0].process.pid)


@pytest.mark.slow
def test_a_killed_worker_and_a_lost_node_lose_nothing(
    config: Callable[..., RunConfig], cluster: Any, tmp_path: Path
) -> None:
    out, given = tmp_path / "ray", {"seed": [0, 1, 2, 3], "seconds": 1.5}
    options = options_of(config, given, cluster.address)
    victim = cluster.add_node(num_cpus=1)
    killer = killing(
        out,
        (lambda: os.kill(at_work(out)[0][1], signal.SIGKILL), None),  # a process of Ray
        (lambda: os.kill(at_work(out)[0][0], signal.SIGKILL), None),  # our own
        (lambda: kill_all(raylet(victim)), raylet(victim)),
    )
    result = api.run(config("ray", **given | {"executor": "ray", "options": options}))
    killer.join(60)
    assert result.problems == {}
    assert sum(times(out, "began").values()) >= len(times(out, "began")) + 3, "nobody was killed at work"
    check_as_inline(result, api.run(config("inline", **given)), out)


# --- separate processes, the command line ----------------------------------------------------------------------------


def ray_start(*options: str) -> subprocess.Popen[bytes]:
    """A node in a session of its own."""
    program = Path(sys.executable).with_name("ray")
    plain = ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--block", "--disable-usage-stats"]
    ports = ["--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=100000000"]
    command = [str(program), "start", *plain, *ports, *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def kill_node(node: subprocess.Popen[bytes]) -> None:
    kill_all(node.pid)
    node.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def nodes(config: Any) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a cluster of two nodes, each of processes of its own."""
    port = free_port()
    made = [ray_start("--head", f"--port={port}", "--include-dashboard=False")]
    time.sleep(8)
    made.append(ray_start(f"--address=127.0.0.1:{port}"))
    time.sleep(6)
    yield f"127.0.0.1:{port}", made
    for node in reversed(made):
        kill_node(node)


@pytest.mark.slow
def test_nodes_of_their_own_over_the_command_line(
    config: Callable[..., RunConfig], nodes: tuple[str, list[subprocess.Popen[bytes]]], tiny: Path, tmp_path: Path
) -> None:
    """The second node is killed mid-run."""
    address, (_, second) = nodes
    out, given = tmp_path / "ray", {"seed": [0, 1, 2], "seconds": 1.0}
    naps = [f"--set={kind}.watched.seconds=1.0" for kind in ("selector", "evaluator")]
    words = ["--selector", "watched", "--selector", "random", "--seeds", "3", *naps]
    killer = killing(out, (lambda: kill_node(second), second.pid))
    command = command_line(tiny, out, *words, "--executor", "ray", "--address", address)
    made = subprocess.run(command, capture_output=True, text=True)
    killer.join(60)
    assert made.returncode == 0, made.stderr
    events = [json.loads(line) for line in made.stdout.splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("plan", "table")
    assert max(times(out, "began").values()) > 1, "nobody was killed at work"
    check_as_inline(*as_results(out, events, config("inline", **given)), out)
