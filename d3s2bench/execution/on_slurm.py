"""The executor ``slurm``: stages as jobs of Slurm, in an array where several are ready, through submitit.

A job that Slurm preempts, or ends at its time limit, is queued again and goes on from what it has left in the store.
Jobs outlive a driver that is killed; the next run then waits for them, or finds what they have made. Python, packages
and the output folder lie under the same paths on all nodes. submitit keeps its files in ``<out>/logs/slurm``, pickles
among them, which it reads back: let nobody write there whom you would not let run code.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from d3s2bench.errors import ConfigError, D3S2Error, StageError, WorkerDied
from d3s2bench.execution.remote import INTERVAL, Followed, check_device, end, error_of, run_task
from d3s2bench.execution.resources import places
from d3s2bench.interfaces import Site, Task
from d3s2bench.values import Json

QUEUE = {"slurm": 10.0, "local": 0.5}
"""Seconds between two looks at the queue."""
GRACE = {"slurm": 60.0, "local": 2.0}
"""Seconds that a job may be out of the queue before its answer is there, and that the queue or the folder may not be
looked at: network folders show files late, and are away for a moment."""


@dataclass(frozen=True)
class Slurm:
    """Jobs of Slurm, one per stage: as many CPUs as it has threads; a GPU and more CPUs where it computes on one."""

    partition: str = ""
    """Where jobs go; "" is the cluster's default."""
    minutes: int = 240
    """Time limit of a job; one that needs longer is queued again and goes on, ``requeues`` times."""
    memory_gb: float = 8.0
    """Of a job."""
    cpus_per_gpu: int = 8
    """Of a job on a GPU, at least: those that prepare its batches."""
    requeues: int = 20
    """How often a job that reached its time limit is queued again."""
    retries: int = 3
    """How often a stage is tried in a new job when its job was lost."""
    jobs: int = 256
    """In the queue at once, unless --workers says it."""
    setup: list[str] = field(default_factory=list)
    """Shell lines before each job, as ``module load cuda``."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Further options of sbatch: ``executor.slurm.parameters.account=NAME``."""
    cluster: str = "slurm"
    """``local`` = processes of this machine in place of Slurm, for a try."""

    def start(self, site: Site) -> SlurmPool:
        check_device(site)
        if self.cluster not in QUEUE:
            raise ConfigError(f"executor.slurm.cluster is '{self.cluster}': give slurm or local")
        if self.cluster == "slurm" and submitit.SlurmExecutor.affinity() < 0:
            raise ConfigError("there is no Slurm here (no srun): start on a login node, or leave out --executor slurm")
        count = places(site.threads, site.device) if self.cluster == "local" else self.jobs
        return SlurmPool(self, site, site.workers or count)

    def submitter(self, folder: Path, threads: int, gpu: bool) -> submitit.AutoExecutor:
        """Submits jobs with these needs; ``folder`` is for its files."""
        requeues = {f"{self.cluster}_max_num_timeout": self.requeues}
        made = submitit.AutoExecutor(folder, cluster=self.cluster, **requeues)
        made.update_parameters(name="d3s2bench", nodes=1, tasks_per_node=1, timeout_min=self.minutes)
        cpus = max(threads, self.cpus_per_gpu) if gpu else threads
        made.update_parameters(mem_gb=self.memory_gb, cpus_per_task=cpus, **({"gpus_per_node": 1} if gpu else {}))
        if self.cluster == "slurm":
            made.update_parameters(**self._sbatch(cpus))
        return made

    def _sbatch(self, cpus: int) -> dict[str, Any]:
        told: dict[str, Any] = {"slurm_partition": self.partition} if self.partition else {}
        told["slurm_srun_args"] = [f"--cpus-per-task={cpus}"]  # since Slurm 22.05 not taken over from sbatch
        told["slurm_setup"] = list(self.setup)
        told["slurm_additional_parameters"] = dict(self.parameters)
        return told | {"slurm_array_parallelism": self.jobs}


class StageJob:
    """What a job calls. Queued again with the same work, it goes on from what the stage has left in the store."""

    def __call__(self, work: Json) -> dict[str, Any]:
        return run_task(work)

    def checkpoint(self, work: Json) -> Any:
        """What submitit puts in the queue again."""
        return submitit.helpers.DelayedSubmission(self, work)


@dataclass
class _Running:
    job: Any
    key: str
    made: Future[None]
    missed: float | None = None
    """Since when the queue has not known it."""


class SlurmPool:
    """Stages in the queue."""

    def __init__(self, slurm: Slurm, site: Site, count: int) -> None:
        self.slurm, self.count, self.retries = slurm, count, slurm.retries
        self.followed = Followed(site)
        self.folder = (site.out / "logs" / "slurm" / self.followed.folder.name).absolute()
        self.folder.mkdir(parents=True)
        self.running: list[_Running] = []
        self.looked, self.queued = float("-inf"), frozenset[str]()
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def submit(self, tasks: Sequence[Task], progress: Callable[[str, int, int, str], None]) -> list[Future[None]]:
        """One array for all that need the same. Raises StageError when Slurm takes no job."""
        alike: defaultdict[tuple[int, bool], list[Task]] = defaultdict(list)
        for task in tasks:
            alike[task.threads, task.gpu].append(task)
        made: dict[str, Future[None]] = {}
        for (threads, gpu), group in alike.items():
            jobs = self._array(threads, gpu, [self.followed.follow(task, progress) for task in group])
            running = [_Running(job, task.key, Future()) for job, task in zip(jobs, group, strict=True)]
            made |= {each.key: each.made for each in running}
            with self.lock:
                self.running += running
        return [made[task.key] for task in tasks]

    def _array(self, threads: int, gpu: bool, works: list[dict[str, Any]]) -> list[submitit.Job[Any]]:
        try:
            return list(self.slurm.submitter(self.folder, threads, gpu).map_array(StageJob(), works))
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise StageError(f"Slurm takes no job: {' '.join(str(error).split())}") from error

    def stop(self) -> None:
        """Takes all jobs out of the queue."""
        self.stopped.set()
        self.thread.join()
        self._cancel(self.running)
        self.followed.stop()

    def _cancel(self, running: list[_Running]) -> None:
        with suppress(OSError):
            if self.slurm.cluster == "local":
                for each in running:
                    each.job.cancel()
            elif running:
                subprocess.run(["scancel", *(each.job.job_id for each in running)], check=False)

    # --- the queue ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        failing: float | None = None
        while not self.stopped.wait(min(INTERVAL, QUEUE[self.slurm.cluster])):
            try:
                self._look_at_all()
                failing = None
            except Exception as error:
                failing = failing or time.monotonic()
                if time.monotonic() - failing > GRACE[self.slurm.cluster]:
                    self._give_up(error)

    def _look_at_all(self) -> None:
        with self.lock:
            running = list(self.running)
        if running and time.monotonic() - self.looked > QUEUE[self.slurm.cluster]:
            self.looked, self.queued = time.monotonic(), self._queued(running)
        there = set(self.folder.iterdir())  # a network folder that is listed shows what is new
        for each in running:
            self._look(each, each.job.job_id in self.queued, each.job.paths.result_pickle in there)

    def _give_up(self, error: Exception) -> None:
        """What cannot be looked at would be waited for without end."""
        with self.lock:
            lost, self.running = self.running, []
        what = " ".join(f"{type(error).__name__}: {error}".split())
        for each in lost:
            self.followed.leave(each.key)
            told = f"its job {each.job.job_id} cannot be followed ({what}): run the same command again"
            each.made.set_exception(StageError(told))
        self._cancel(lost)

    def _queued(self, running: list[_Running]) -> frozenset[str]:
        """Ids of the jobs that wait or run. All of them when Slurm does not answer: that loses no job."""
        if self.slurm.cluster == "local":
            return frozenset(each.job.job_id for each in running if not each.job.done())
        command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
        answer = subprocess.run(command, capture_output=True, text=True)
        return frozenset(each.job.job_id for each in running) if answer.returncode else frozenset(answer.stdout.split())

    def _look(self, each: _Running, queued: bool, answered: bool) -> None:
        if answered:
            self._end(each, partial(_problem, each.job))
        elif queued:
            each.missed = None
        elif each.missed is None:
            each.missed = time.monotonic()
        elif time.monotonic() - each.missed > GRACE[self.slurm.cluster]:
            lost = WorkerDied(f"its job {each.job.job_id} was lost: see {each.job.paths.stderr}")
            self._end(each, lambda: lost)

    def _end(self, each: _Running, problem: Callable[[], D3S2Error | None]) -> None:
        """The future ends before its files go: nobody waits for them."""
        with self.lock:
            self.running.remove(each)
        self.followed.leave(each.key)  # before: it may be submitted again at once
        end(each.made, problem)
        paths = each.job.paths
        logs = [] if each.made.exception() else [paths.stdout, paths.stderr]
        for file in (paths.submitted_pickle, paths.result_pickle, *logs):
            with suppress(OSError):
                file.unlink()


def _problem(job: Any) -> D3S2Error | None:
    try:
        return error_of(job.result())
    except UncompletedJobError as error:  # no answer of ours: a bug, other packages there, or too many time limits
        lines = [line for line in str(error).splitlines() if "Error" in line]
        return StageError(f"its job failed ({lines[-1].strip() if lines else error}): see {job.paths.stderr}")
