"""How long `d3s2bench --help` and `d3s2bench plugins` take, as a ratio to importing typer alone.

python benchmarks/startup.py
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time

ROUNDS = 15


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    program = shutil.which("d3s2bench")
    if program is None:
        sys.exit("d3s2bench is not installed here: pip install .")
    commands = {
        "python -c 'import typer'": [sys.executable, "-c", "import typer"],
        "d3s2bench --help": [program, "--help"],
        "d3s2bench plugins": [program, "plugins"],
    }
    # interleaved, so that a busy neighbour harms all alike
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    base = statistics.median(times["python -c 'import typer'"])
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:28} {median:6.3f} s  {median / base:5.2f} ×")


if __name__ == "__main__":
    main()
