"""mIoU against training iterations, from the records of runs with --budgets.

    python benchmarks/budget_curve.py RUNS --out curve.png

One panel for each dataset and architecture, one line for each method and rate with its standard deviation over
repetitions. Needs matplotlib.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from d3s2bench.results.records import read_records

Curve = dict[int, list[float]]


def curves(folder: Path) -> dict[tuple[str, str], dict[str, Curve]]:
    """(dataset and split, architecture) → method → iterations → mIoU of each repetition."""
    found: dict[tuple[str, str], dict[str, Curve]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for record in read_records(folder):
        if record["status"] == "ok":
            spec = record["spec"]
            panel = (f"{spec['dataset']['name']} {spec['dataset']['split']}", spec["arch"])
            found[panel][method(spec)][spec["protocol"]["iterations"]].append(record["metrics"]["miou"])
    return found


def method(spec: Mapping[str, Any]) -> str:
    labels = " soft" if spec["evaluator"]["options"].get("labels") == "soft" else ""
    name = "full" if spec["selector"]["name"] == "full" else f"{spec['selector']['name']}+{spec['synth']['name']}"
    return f"{name}{labels}" + ("" if name == "full" else f" {100 * spec['rate']:.3g} %")


def draw(panels: dict[tuple[str, str], dict[str, Curve]], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(panels), 4), layout="constrained")
    for axes, (title, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], sorted(panels.items()), strict=True
    ):
        for name, curve in sorted(lines.items()):
            budgets = sorted(curve)
            spread = [stdev(curve[k]) if len(curve[k]) > 1 else 0 for k in budgets]
            axes.errorbar(budgets, [mean(curve[k]) for k in budgets], spread, marker="o", capsize=3, label=name)
        axes.set(xscale="log", xlabel="iterations", ylabel="mIoU (%)", title=", ".join(title))
        ticks = sorted({k for curve in lines.values() for k in curve})
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.minorticks_off()
        axes.legend(fontsize="small")
    figure.savefig(file, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the --out folder of the runs")
    parser.add_argument("--out", type=Path, default=Path("budget_curve.png"))
    options = parser.parse_args()
    draw(curves(options.folder), options.out)


if __name__ == "__main__":
    main()
