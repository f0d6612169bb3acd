"""Developing on a part of train, at several budgets, with a judge: through the real command line."""

from __future__ import annotations

from pathlib import Path

from test_run import TINY_RUN, d3s2bench

from d3s2bench.results.evaluation_log import read_evaluations
from d3s2bench.results.records import read_records


def test_a_development_run(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    command = ["run", "--data-root", f"tiny={tiny}", "--out", str(out), *TINY_RUN, "--holdout", "00*"]
    command += ["--synth", "layout", "--budgets", "0.5,1", "--train-missing"]
    made = d3s2bench(*command)
    assert made.returncode == 0, made.stderr

    records = list(read_records(out))
    assert {r["spec"]["dataset"]["split"] for r in records} == {"dev"}
    assert sorted(r["spec"]["protocol"]["iterations"] for r in records) == [6, 6, 6, 6, 12, 12, 12, 12, 20]
    assert {r["budget"]["total_images"] for r in records} == {10}
    assert len({r["id"] for r in records}) == len(list(read_evaluations(out))) == 9
    assert max(r["provenance"]["evaluations"]["number"] for r in records) == 9

    judged = d3s2bench(*command, "--quality")
    assert judged.returncode == 0, judged.stderr
    assert len(list(read_evaluations(out))) == 9, "nothing is trained or scored again"
    found = {
        r["spec"]["synth"]["name"]: r["quality"] for r in read_records(out) if r["spec"]["selector"]["name"] != "full"
    }
    assert found["real"]["nearest_rmse_mean"] == 0 < found["layout"]["nearest_rmse_mean"]
    assert found["real"]["diversity"] == 1
    assert found["real"]["judge"] == found["layout"]["judge"]

    again = d3s2bench(*command, "--quality")
    assert again.stdout == judged.stdout
    assert "[1/" not in again.stderr, "nothing is left to do"

    (generator,) = (out / "store" / "generator").glob("*/generator.json")
    leaking = d3s2bench(
        *command[: command.index("--holdout")],
        "--holdout",
        "01*",
        "--synth",
        "layout",
        "--generator",
        str(generator.parent),
    )
    assert leaking.returncode == 1
    assert "the generator has learnt from other images of 'tiny' than --holdout '01*' leaves" in leaking.stderr
