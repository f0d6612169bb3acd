"""The main job from an empty store: wall seconds to the final table, and the seconds that its records say.

python benchmarks/main_job.py [OPTIONS OF d3s2bench run]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = ["d3s2bench", "run", "--out", folder, *sys.argv[1:]]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        print(f"\nto the table: {time.perf_counter() - start:.1f} s")
        for file in sorted(Path(folder, "records").glob("*.json")):
            print_timings(json.loads(file.read_text()))
        for kind in ("teacher", "generator"):
            for file in Path(folder, "store", kind).glob("*/artefact.json"):
                print(f"{'train ' + kind:36} {json.loads(file.read_text())['seconds']:6.1f} s")


def print_timings(record: dict) -> None:
    spec = record["spec"]
    parts = (spec["selector"]["name"], spec["synth"]["name"], spec["arch"], str(spec["protocol"]["iterations"]), "it")
    times = (f"{stage} {seconds:.1f} s" for stage, seconds in record["timings"].items() if seconds is not None)
    print(f"{' '.join(parts):36} {', '.join(times)}; peak {record['peak_memory'] / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
