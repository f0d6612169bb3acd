"""The process beside ours: what it says reaches us, how it ends is told in one line, and it never outlives us."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from tool_runs import bare_python

from d3s2bench import ConfigError, StageError
from d3s2bench_evaluators.mmseg_evaluator import Mmseg
from d3s2bench_evaluators.tool_process import Tool, run_job
from d3s2bench_evaluators.tool_scripts.mmseg_jobs import _newest_checkpoint

JOB = {"job": "train", "threads": 3, "device": "cpu"}


def script(folder: Path, body: str) -> Tool:
    """A tool whose script has read its job."""
    file = folder / "script.py"
    file.write_text(f"import json, os, sys, time\njob = json.loads(sys.stdin.readline())\n{body}\n")
    return Tool("sample", file)


def run(folder: Path, body: str) -> dict[str, object]:
    return run_job(script(folder, body), sys.executable, JOB, folder / "sample.log")


def test_progress_and_result_come_back(tmp_path: Path) -> None:
    body = "print('{\"progress\": [1, 2, \"loss 3\"]}', flush=True); print(json.dumps({'result': job}), flush=True)"
    told: list[tuple[int, int, str]] = []
    found = run_job(script(tmp_path, body), sys.executable, JOB, None, lambda *now: told.append(now))
    assert found == JOB and told == [(1, 2, "loss 3")]


def test_threads_and_device_are_set_before_it_starts(tmp_path: Path) -> None:
    named = "('OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'CUDA_VISIBLE_DEVICES')"
    found = run(tmp_path, f"print(json.dumps({{'result': {{name: os.environ[name] for name in {named}}}}}))")
    assert found == {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.stderr.write('loading\\n'); raise ValueError('no such layer')", "ValueError: no such layer"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
        ("sys.exit(3)", "exit status 3"),
        ("sys.stdout.write('{\"result\": '); sys.stdout.flush(); os._exit(4)", "exit status 4"),
    ],
)
def test_a_process_that_fails_gives_one_line(tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(StageError) as raised:
        run(tmp_path, body)
    message = str(raised.value)
    assert reason in message and str(tmp_path / "sample.log") in message and "\n" not in message


def test_a_process_that_says_nothing_is_not_given_the_words_of_one_before(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="an old sorrow"):
        run(tmp_path, "sys.exit('an old sorrow')")
    with pytest.raises(StageError, match=r"\(exit status 3\)"):
        run(tmp_path, "sys.exit(3)")
    assert "an old sorrow" in (tmp_path / "sample.log").read_text()


def test_what_the_user_can_mend_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^no such config$"):
        run(tmp_path, "print(json.dumps({'error': 'no such config'}), flush=True); time.sleep(60)")


def test_an_interpreter_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing/python' does not run: No such file"):
        run_job(Mmseg.TOOL, str(tmp_path / "nothing" / "python"), JOB)


def test_an_interpreter_without_mmsegmentation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no mmseg, mmengine.*pip install 'd3s2bench\[mmseg\]'"):
        run_job(Mmseg.TOOL, bare_python(tmp_path), {"job": "describe", "config": "any.py"})


def test_an_interrupt_ends_the_process(tmp_path: Path) -> None:
    def interrupt(done: int, total: int, note: str) -> None:
        raise KeyboardInterrupt

    body = "open(sys.argv[0] + '.pid', 'w').write(str(os.getpid()))\n"
    body += 'print(\'{"progress": [1, 2, ""]}\', flush=True); time.sleep(60)'
    tool = script(tmp_path, body)
    with pytest.raises(KeyboardInterrupt):
        run_job(tool, sys.executable, JOB, None, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path(f"{tool.script}.pid").read_text()), 0)


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """The way our script watches its parent, in a process whose parent is killed."""
    watch = "sys.path.insert(0, os.path.dirname(job['scripts'])); from tool_scripts import jobs; import threading\n"
    watch += "threading.Thread(target=jobs.end_with_parent, daemon=True).start()\n"
    watch += "open(sys.argv[0] + '.pid', 'w').write(str(os.getpid())); time.sleep(60)"
    file, pid = script(tmp_path, watch).script, tmp_path / "script.py.pid"
    code = "import sys; from pathlib import Path; from d3s2bench_evaluators.tool_process import Tool, run_job;"
    code += "run_job(Tool('x', Path(sys.argv[1])), sys.executable, {'job': 'x', 'scripts': sys.argv[2]})"
    parent = subprocess.Popen([sys.executable, "-c", code, str(file), str(Mmseg.TOOL.script)])
    assert appears(pid)
    parent.kill()
    parent.wait()
    assert ends(int(pid.read_text()))


def appears(file: Path) -> bool:
    return waited(lambda: file.exists() and bool(file.read_text()))


def ends(pid: int) -> bool:
    return waited(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


def waited(until: object) -> bool:
    deadline = time.monotonic() + 20
    while not (done := until()) and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.05)
    return bool(done)


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    assert _newest_checkpoint(tmp_path) is None
    for iteration in (9, 10):
        with zipfile.ZipFile(tmp_path / f"iter_{iteration}.pth", "w") as whole:
            whole.writestr("data.pkl", bytes(1000))
    assert _newest_checkpoint(tmp_path) == str(tmp_path / "iter_10.pth")
    newest = tmp_path / "iter_10.pth"
    newest.write_bytes(newest.read_bytes()[:-30])
    assert _newest_checkpoint(tmp_path) == str(tmp_path / "iter_9.pth")


def test_planning_imports_neither_torch_nor_mmseg() -> None:
    code = (
        "import sys; from d3s2bench_evaluators.mmseg_evaluator import Mmseg; Mmseg().architectures();"
        "sys.exit(bool({'torch', 'mmseg', 'mmengine'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
