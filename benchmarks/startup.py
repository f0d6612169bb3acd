"""How long `d3s2bench --help` and `d3s2bench plugins` take, as a ratio to importing typer alone.

python benchmarks/startup.py [--plugins 50]

With plugins, so many are installed beside our own in a temporary folder, five of them broken.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROUNDS = 15
HEALTHY = '''\
"""Brings a selector."""
from d3s2bench import Component, hookimpl
d3s2bench_api = 1
@hookimpl
def register_selectors():
    return [Component("selector", "{name}", "{name}:Mine", "One of many")]
class Mine:
    """The first images."""
    deterministic, needs = True, ()
    def select(self, index, budget, context):
        import numpy as np
        from d3s2bench import Selection
        return Selection(np.arange(budget.images))
'''
BROKEN = {
    "import_error": "from d3s2bench import no_such_name\n",
    "wrong_signature": HEALTHY.replace("register_selectors()", "register_selectors(extra)"),
    "duplicate_name": HEALTHY.replace('"{name}", "', '"random", "'),
    "missing_dependency": "import no_such_library\n" + HEALTHY,
    "too_old": HEALTHY.replace("d3s2bench_api = 1", "d3s2bench_api = 0"),
}


def install(site: Path, count: int) -> list[str]:
    """Puts so many distributions into ``site``, the broken ones among them; returns the names of the healthy ones."""
    healthy = [f"many_{i:02d}" for i in range(count - len(BROKEN))]
    for name, source in {**dict.fromkeys(healthy, HEALTHY), **BROKEN}.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\nWords.\n" * 3)
        (info / "entry_points.txt").write_text(f"[d3s2bench]\n{name} = {name}\n")
        (info / "RECORD").write_text("")
        (site / f"{name}.py").write_text(source.replace("{name}", name))
    return healthy


def commands(program: str) -> dict[str, list[str]]:
    return {
        "python -c 'import typer'": [sys.executable, "-c", "import typer"],
        "d3s2bench --help": [program, "--help"],
        "d3s2bench plugins": [program, "plugins"],
    }


def measure(site: Path, rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each command with what lies in ``site``, after one round that compiles, as an installation
    does; interleaved, so that a busy neighbour harms all alike."""
    program = shutil.which("d3s2bench", path=str(Path(sys.executable).parent)) or shutil.which("d3s2bench")
    if program is None:
        sys.exit("d3s2bench is not installed here: pip install .")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    env |= {"PYTHONPYCACHEPREFIX": str(site / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    times: dict[str, list[float]] = {name: [] for name in commands(program)}
    for _ in range(rounds + 1):
        for name, command in commands(program).items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=env)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=0, help="so many third-party plugins, at least 5")
    asked = parser.parse_args()
    with TemporaryDirectory() as place:
        if asked.plugins:
            install(Path(place), asked.plugins)
        medians = measure(Path(place))
    base = medians["python -c 'import typer'"]
    for name, median in medians.items():
        print(f"{name:28} {median:6.3f} s  {median / base:5.2f} ×")


if __name__ == "__main__":
    main()
