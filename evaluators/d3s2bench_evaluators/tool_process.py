"""Our side of ``tool_scripts``: one job in the tool's own interpreter.

Starts the script, passes on progress, returns the result.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from d3s2bench import ConfigError, Json, StageError

Progress: TypeAlias = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Tool:
    """What an evaluator runs beside itself: its name, and the script that knows its jobs."""

    name: str
    script: Path = Path(__file__).parent / "tool_scripts"


def run_job(
    tool: Tool, python: str, job: Json, log: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Runs ``job`` with the interpreter ``python`` and waits; the process never outlives this call, nor this process.

    ``log`` is appended whatever its libraries print.

    Raises:
        ConfigError: no such interpreter, or what the process says is for the user to mend.
        StageError: it ended without a result.
    """
    with log.open("a+b") if log else tempfile.TemporaryFile() as errors:
        before = errors.seek(0, os.SEEK_END)
        process = _started(tool, python, job, errors)
        try:
            result = _result(process, job, progress)
            if result is None:
                why = _why(process.wait(), errors, before, log)
                raise StageError(f"{tool.name} ended in the middle of job '{job['job']}' {why}")
            return result
        finally:
            process.kill()
            process.wait()


def _started(tool: Tool, python: str, job: Json, errors: IO[bytes]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            [python, str(tool.script), tool.name],
            stdin=pipe,
            stdout=pipe,
            stderr=errors,
            env=_environment(job),
            text=True,
        )
    except OSError as error:
        what = f"'{python}' does not run: {error.strerror or error}"
        raise ConfigError(f"evaluator {tool.name}: {what}; name a Python interpreter") from error


def _environment(job: Json) -> dict[str, str]:
    threads = str(job.get("threads", 1))
    numeric = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
    return os.environ | numeric | ({"CUDA_VISIBLE_DEVICES": ""} if job.get("device") == "cpu" else {})


def _result(process: subprocess.Popen[str], job: Json, progress: Progress | None) -> dict[str, Any] | None:
    """None when the process ends before it has one."""
    assert process.stdin and process.stdout
    with suppress(BrokenPipeError):  # it did not start; its log says why
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()  # and stays open: its end tells the process that we are gone
    for line in process.stdout:
        if not line.endswith("\n"):
            return None  # torn: it died while it wrote
        answer = json.loads(line)
        if "error" in answer:
            raise ConfigError(answer["error"])
        if "result" in answer:
            return dict(answer["result"])
        if progress:
            progress(*answer["progress"])
    return None


def _why(code: int, errors: IO[bytes], before: int, log: Path | None) -> str:
    """One line: the signal that ended the process, or the last line that it wrote, which is behind ``before``."""
    errors.seek(before)
    said = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    reason = f"signal {-code}; out of memory?" if code < 0 else (said[-1] if said else f"exit status {code}")
    return f"({reason})" + (f": see {log}" if log else "")
