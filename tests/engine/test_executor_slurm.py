"""Slurm: through submitit's local executor, which runs the same jobs as processes; a real one where there is one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from engine_fakes import WENT_WRONG
from executor_fakes import at_work, check_as_inline, install_watched, journal, times, watched_config

from d3s2bench import ConfigError, StageError, api
from d3s2bench.config import RunConfig
from d3s2bench.interfaces import Site

if find_spec("submitit") is None:
    pytest.skip("submitit is not installed", allow_module_level=True)
from d3s2bench.execution import on_slurm
from d3s2bench.execution.on_slurm import Slurm, SlurmPool, _Running

pytestmark = [pytest.mark.usefixtures("fakes"), pytest.mark.xdist_group("slurm")]


@pytest.fixture
def config(fakes: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Path) -> Callable[..., RunConfig]:
    """A matrix of watched stages for a folder below ``tmp_path``, on the local executor unless it is ``inline``."""
    install_watched(monkeypatch, tmp_path / "site")

    def made(out: str, cluster: str = "local", **given: object) -> RunConfig:
        config = watched_config(tiny, tmp_path / out, **{"synth": "noisy"} | given)
        if out != "inline":
            config.executor, config.options["executor"] = "slurm", {"slurm": {"cluster": cluster, "memory_gb": 0.5}}
        return config

    return made


def interrupting(out: Path, how: Callable[[int], None]) -> threading.Thread:
    """Does something to the process of the first job that has begun a stage."""

    def work() -> None:
        while not at_work(out):
            time.sleep(0.02)
        how(at_work(out)[0][1])

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def preempt(job: int) -> None:
    os.kill(job, signal.SIGUSR2)  # what Slurm sends before a time limit


def lose(job: int) -> None:
    """The job with its controller, as when a machine goes."""
    controller = int(Path(f"/proc/{job}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (controller, job):
        os.kill(pid, signal.SIGKILL)


def test_jobs_give_what_inline_gives(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    """With a cell that fails. Nothing but logs is left of the jobs."""
    given = {"selector": ["watched", "fails"]}
    result = api.run(config("slurm", **given))
    assert re.fullmatch(f"select fails #0: {WENT_WRONG}", next(iter(result.problems.values())))
    check_as_inline(result, api.run(config("inline", **given)), tmp_path / "slurm")
    assert not list((tmp_path / "slurm" / "logs").rglob("*.pkl"))


@pytest.mark.slow
@pytest.mark.parametrize("how", [preempt, lose])
def test_a_job_that_is_stopped_is_done_again(
    config: Callable[..., RunConfig], tmp_path: Path, how: Callable[[int], None]
) -> None:
    """Queued again by submitit when it was preempted, by the run when it was lost."""
    out, given = tmp_path / "slurm", {"seconds": 1.5}
    thread = interrupting(out, how)
    result = api.run(config("slurm", **given))
    thread.join(10)
    assert max(times(out, "began").values()) == 2, "nothing was stopped at work"
    check_as_inline(result, api.run(config("inline", **given)), out)


class Job:
    """A job whose answer is read as ``result`` says."""

    job_id = "17"

    def __init__(self, folder: Path, result: Callable[[], dict[str, Any]]) -> None:
        names = ("submitted_pickle", "result_pickle", "stdout", "stderr")
        self.cancelled = threading.Event()
        self.paths, self.result = SimpleNamespace(**{name: folder / name for name in names}), result

    def done(self) -> bool:
        return False

    def cancel(self) -> None:
        self.cancelled.set()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[..., tuple[SlurmPool, Job, Future[None]]]]:
    """A pool that follows a job."""
    pool = Slurm(cluster="local").start(Site(tmp_path, 1, 1, "cpu"))

    def follow(result: Callable[[], dict[str, Any]] = dict) -> tuple[SlurmPool, Job, Future[None]]:
        job, made = Job(pool.folder, result), Future[None]()
        with pool.lock:
            pool.running.append(_Running(job, "k" * 64, made))
        return pool, job, made

    yield follow
    pool.stop()


def test_a_queue_that_cannot_be_looked_at_ends_all_jobs(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> frozenset[str]:
        raise FileNotFoundError("squeue")

    monkeypatch.setitem(on_slurm.GRACE, "local", 0.1)
    monkeypatch.setattr(SlurmPool, "_queued", gone)
    for _ in range(2):  # the second is submitted later
        _, job, made = watched()
        assert isinstance(error := made.exception(30), StageError)
        assert str(error) == ("its job 17 cannot be followed (FileNotFoundError: squeue): run the same command again")
        assert job.cancelled.wait(10)


def test_an_answer_that_is_no_answer_ends_its_job(watched: Any) -> None:
    def torn() -> dict[str, Any]:
        raise EOFError("Ran out of input")

    _, job, made = watched(torn)
    job.paths.result_pickle.touch()
    assert isinstance(error := made.exception(30), StageError)
    assert str(error) == "its answer cannot be read (EOFError: Ran out of input): run the same command again"


def test_files_that_cannot_be_removed_do_not_hold_a_job_up(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(file: Path, missing_ok: bool = False) -> None:
        raise OSError(116, "Stale file handle")

    _, job, made = watched(lambda: {"error": None, "lost": False})
    monkeypatch.setattr(Path, "unlink", stale)
    job.paths.result_pickle.touch()
    assert made.exception(30) is None


def test_without_slurm_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"there is no Slurm here \(no srun\): start on a login node"):
        Slurm().start(Site(tmp_path, 1, None, "cpu"))
    with pytest.raises(ConfigError, match=r"executor\.slurm\.cluster is 'pbs': give slurm or local"):
        Slurm(cluster="pbs").start(Site(tmp_path, 1, None, "cpu"))


def test_what_sbatch_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores, GPU, time limit and the user's own options, in the script that submitit writes."""
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    slurm = Slurm("gpu", minutes=90, memory_gb=4, setup=["module load cuda"], parameters={"account": "me"})
    script = slurm.submitter(tmp_path / "jobs", threads=3, gpu=True)._executor._make_submission_file_text("x", "id")
    for line in ("partition=gpu", "time=90", "mem=4GB", "cpus-per-task=8", "gpus-per-node=1", "account=me"):
        assert f"#SBATCH --{line}\n" in script
    assert "module load cuda" in script.splitlines()
    assert "--cpus-per-task=8" in script.splitlines()[-1]  # of srun, which does not take it over


# --- the real one ----------------------------------------------------------------------------------------------------


def slurm_answers() -> bool:
    return shutil.which("sinfo") is not None and subprocess.run(["sinfo"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not slurm_answers(), reason="there is no Slurm here")
@pytest.mark.parametrize("sent", ["KILL", "USR2"])
def test_a_real_slurm_gives_what_inline_gives(config: Callable[..., RunConfig], tmp_path: Path, sent: str) -> None:
    """Two selections make an array; the first job at work is killed, or told that its time is up and queued again,
    for which Slurm takes two minutes."""
    out, given = tmp_path / "slurm", {"selector": ["watched", "random"], "seconds": 2.0}

    def send(job: int) -> None:
        variables = Path(f"/proc/{job}/environ").read_bytes().split(b"\0")
        (number,) = [each.partition(b"=")[2].decode() for each in variables if each.startswith(b"SLURM_JOB_ID=")]
        subprocess.run(["scancel", f"--signal={sent}", number], check=True)

    thread = interrupting(out, send)
    result = api.run(config("slurm", "slurm", **given))
    thread.join(10)
    assert max(times(out, "began").values()) == 2, "nobody was stopped at work"
    check_as_inline(result, api.run(config("inline", **given)), out)
    assert len({parent for *_, parent in journal(out)}) > 1
