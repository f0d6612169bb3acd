"""What stands below the comparison in Markdown. Each section is empty where it has nothing to say."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from d3s2bench import Json
from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.names import NAMED
from d3s2bench_leaderboards.quality import MEASURES

if TYPE_CHECKING:
    import pandas as pd

    from d3s2bench_leaderboards.comparisons import Comparison
    from d3s2bench_leaderboards.names import Names
    from d3s2bench_leaderboards.quality import Quality
    from d3s2bench_leaderboards.rows import Part, Row, Setting
    from d3s2bench_leaderboards.stability import Agreement, Ranked, Stability

TESTS = """\
Over the n repetitions that both have: mean paired difference, p of the two-sided sign-flip test, which holds the test
images fixed, and p corrected among the methods of one dataset, rate, architecture and protocol (Holm). Better: the
share of all pairs of repetitions, common or not, in which the method is above random + real (ties half)."""
CELL = "{selector} + {synth}, {labels} labels ({dataset}, {rate}, {arch})"
LARGER = 1.5
"""Photographs differ in size, and a selection may be of large ones."""
TOO_FEW = " †: so few repetitions cannot show a difference, whatever it is."
GAINS = """\
Δ mIoU: paired over n repetitions, with the 95 % t interval over repetitions; it does not contain the choice of the test
images nor of the teacher and generator, of which there is one; not corrected for how many intervals there are."""
RANKS = """\
mIoU, mean ± standard deviation over the repetitions, and in parentheses the rank among the methods at all of these
iterations; the full train set has none. The protocols differ in nothing else. τ: Kendall's τ-b (1: the same order; -1:
reversed) of the methods that both have, by their means and by each of n common repetitions."""

QUALITY = """\
judge: agreement of a network of another architecture, which took no part, with the masks, in percent. Feature distance:
of the judge's features by class to those of the train split (0: the same). Diversity: of the set over that of the
photographs whose masks it has; within a class over that of the train split. Nearest photograph: root mean square
difference of thumbnails in grey levels, mean over the set; nearest of all: the least over all sets. Mean ± standard
deviation over different sets."""


def replaced(number: int) -> str:
    return f"{_plural(number, 'record')} not shown: replaced by later ones of the same cell." if number else ""


def mixed(rows: Sequence[Row], named: Names) -> str:
    """What was made by different code, on different processors or of larger images, and is compared all the same."""
    return " ".join(filter(None, [_code(rows, named), _processors(rows, named), _larger(rows, named)]))


def _larger(rows: Sequence[Row], named: Names) -> str:
    """A rate counts images: sets whose images are larger than photographs hold more than it says."""
    photographs: dict[Part, float] = defaultdict(float)
    for row in rows:
        if row.setting.synth.name == "real":
            photographs[row.setting.dataset] = max(photographs[row.setting.dataset], row.pixels_per_image)
    told = []
    for row in rows:
        usual = photographs.get(row.setting.dataset, 0.0)
        if usual and row.pixels_per_image > LARGER * usual:
            told.append(f"{CELL.format(**_in_words(row, named))}: {row.pixels_per_image / usual:.1f} times")
    return f"More pixels per image than photographs have: {'; '.join(told)}." if told else ""


def _in_words(row: Row, named: Names) -> dict[str, str]:
    return {**named[row.setting], "rate": cells.percent(row.setting.rate)}


def _processors(rows: Iterable[Row], named: Names) -> str:
    """Where the numbers of one protocol are of several kinds of processors, or of GPUs: a seed gives others on each."""
    kinds: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        place = named[row.setting]["dataset"], named[row.setting]["arch"], row.setting.protocol[:8]
        for record in row.records.values():
            kinds[place] |= {kind for kind in [_processor(record["versions"])] if kind}
    found = [(place, sorted(each)) for place, each in sorted(kinds.items()) if len(each) > 1]
    told = "; ".join(f"{', '.join(each)} ({dataset}, {arch}, {protocol})" for (dataset, arch, protocol), each in found)
    return f"Different processors, whose numbers differ for the same seed: {told}." if told else ""


def _processor(versions: Json) -> str:
    return str(versions.get("gpu") or f"{versions.get('cpu', '')} {versions.get('processor', '')}".strip())


def _code(rows: Iterable[Row], named: Names) -> str:
    """Rows whose repetitions were made by different code."""
    found = [row for row in rows if len(row.versions) > 1]
    if not found:
        return ""
    told = (CELL.format(**_in_words(row, named)) for row in found)
    return f"Repetitions of different code: {'; '.join(told)}. Run the older ones again."


def evaluations(records: Iterable[Json]) -> str:
    return "\n".join(_evaluations(*split, *counts) for split, counts in looks(records))


def looks(records: Iterable[Json]) -> list[tuple[tuple[str, str], tuple[int, int]]]:
    """How often each split has been scored, and with how many configurations: as far as the records know. They may be
    of several stores, each of which has counted for itself: so there are at least as many as there are numbers. Splits
    of one name may be of other images, and have been counted apart."""
    most: dict[tuple[str, str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    scored: Counter[tuple[str, str, str]] = Counter()
    for record in records:
        if said := record["provenance"].get("evaluations"):  # a number that came with the package was no look
            data = record["spec"]["dataset"]
            split = data["name"], data["split"], data["fingerprint"]
            scored[split] += record["status"] == "ok"
            number, configurations = most[split]
            most[split] = max(number, said["number"]), max(configurations, said["configurations"])
    total: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for (name, of_it, images), (number, configurations) in most.items():
        times, with_ = total[name, of_it]
        total[name, of_it] = times + max(number, scored[name, of_it, images]), with_ + configurations
    return sorted(total.items())


def _evaluations(dataset: str, split: str, number: int, configurations: int) -> str:
    name = cells.escape(dataset.replace("`", "'"))
    times, with_ = _plural(number, "time"), _plural(configurations, "configuration")
    return f"`{name}` {cells.escape(split)} was evaluated {times}, with {with_}."


def tests(found: Sequence[Comparison], named: Names) -> str:
    """Over at least two repetitions."""
    tested = [test for test in found if test.n > 1 and not math.isnan(test.p)]
    if not tested:
        return ""
    settings = [test.row.setting for test in tested]
    parts = {part: [cells.escape(named[setting][part]) for setting in settings] for part in NAMED}
    columns = {"dataset": parts.pop("dataset"), "rate": [cells.percent(setting.rate) for setting in settings], **parts}
    columns |= {
        "n": [str(test.n) for test in tested],
        "Δ random": [cells.quantity(test.mean, test.row.metric.unit, "+") for test in tested],
        "p": [f"{test.p:.4f}" for test in tested],
        "p (Holm)": [f"{test.corrected:.4f}{'†' * test.untold}" for test in tested],
        "better": [f"{test.improvement:.2f}" for test in tested],
        "iterations": [str(setting.iterations) for setting in settings],
        "protocol": [setting.protocol[:8] for setting in settings],
    }
    few = TOO_FEW if any(test.untold for test in tested) else ""
    return f"## Against random + real\n\n{cells.table(columns, (*NAMED, 'protocol'))}\n\n{TESTS}{few}"


def gains(parts: pd.DataFrame) -> str:
    """Parts with at least two repetitions: one says nothing of the spread."""
    lines = parts[parts["n"] > 1].to_dict("records")
    if not lines:
        return ""
    columns = {
        "dataset": [cells.escape(line["dataset"]) for line in lines],
        "rate": [cells.percent(line["rate"]) for line in lines],
        "arch": [cells.escape(line["arch"]) for line in lines],
        "part": [line["part"] for line in lines],
        "difference": [cells.escape(line["difference"]) for line in lines],
        "n": [str(line["n"]) for line in lines],
        "Δ mIoU": [cells.spread(line["mean"], line["std"], "+") for line in lines],
        "95 % interval": [_interval(line["low"], line["high"]) for line in lines],
        "iterations": [str(line["iterations"]) for line in lines],
        "protocol": [line["protocol"] for line in lines],
    }
    table = cells.table(columns, ("dataset", "arch", "part", "difference", "protocol"))
    return f"## Where the gain comes from\n\n{table}\n\n{GAINS}"


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"


def ranks(tables: Sequence[Stability], named: Names) -> str:
    if not tables:
        return ""
    return "\n\n".join(["## Rank over training budgets", *(_budgets(table, named) for table in tables), RANKS])


def _budgets(table: Stability, named: Names) -> str:
    """A caption, the methods with a column for each budget, and the agreement of the budgets."""
    first = _setting(table.methods[0])
    used = {budget: row.setting.protocol[:8] for method in table.methods for budget, row in method.rows.items()}
    protocols = ", ".join(used[budget] for budget in table.budgets)
    cell = f"{named[first]['dataset']}, {cells.percent(first.rate)}, {named[first]['arch']}"
    caption = f"On {cell}, protocols {protocols}:"
    return "\n\n".join([cells.escape(caption), _methods(table, named), _taus(table.agreements)])


def _methods(table: Stability, named: Names) -> str:
    texts = [named[_setting(method)] for method in table.methods]
    parts = {part: [cells.escape(text[part]) for text in texts] for part in ("selector", "synth", "labels")}
    budgets = {str(budget): [_ranked(method, budget) for method in table.methods] for budget in table.budgets}
    return cells.table(parts | budgets, tuple(parts))


def _setting(method: Ranked) -> Setting:
    """Of any of its budgets: those that a table names are the same in all."""
    return next(iter(method.rows.values())).setting


def _ranked(method: Ranked, budget: int) -> str:
    row: Row | None = method.rows.get(budget)
    if row is None or math.isnan(row.mean):
        return ""
    rank = f" ({method.ranks[budget]})" if budget in method.ranks else ""
    return cells.spread(row.mean, row.std) + rank


def _taus(agreements: Sequence[Agreement]) -> str:
    columns = {
        "iterations": [" and ".join(map(str, a.budgets)) for a in agreements],
        "methods": [str(a.methods) for a in agreements],
        "τ of the means": [cells.spread(a.tau, math.nan) for a in agreements],
        "τ of a repetition": [cells.spread(a.mean, a.std) for a in agreements],
        "n": [str(len(a.by_repetition)) for a in agreements],
    }
    return cells.table(columns, ())


def quality(found: Sequence[Quality], named: Names) -> str:
    if not found:
        return ""
    texts = [named[each.row.setting] for each in found]
    rate = [cells.percent(each.row.setting.rate) for each in found]
    parts = {part: [cells.escape(text[part]) for text in texts] for part in NAMED}
    columns = {"dataset": parts.pop("dataset"), "rate": rate, **parts}
    columns |= {header: [cells.spread(*each.measures[key]) for each in found] for key, header in MEASURES.items()}
    columns |= {
        "iterations": [str(each.row.setting.iterations) for each in found],
        "mIoU": [cells.spread(each.row.mean, each.row.std) for each in found],
    }
    return f"## Quality of the distilled sets\n\n{cells.table(columns, NAMED)}\n\n{QUALITY}"


def failures(records: Iterable[Json]) -> str:
    """One line for each record that is not ok."""
    failed = {f"- {cells.escape(failure(record))}" for record in records if record["status"] != "ok"}
    return "\n".join(["## Without a result", "", *sorted(failed)]) if failed else ""


def failed(records: Iterable[Json]) -> str:
    """How many runs gave no number, where there is no room to list them."""
    number = sum(record["status"] != "ok" for record in records)
    return f"{_plural(number, 'run')} gave no result; a cell without another one stands as missing." if number else ""


def failure(record: Json) -> str:
    """What gave no number, and why."""
    spec = record["spec"]
    labels = spec["evaluator"]["options"].get("labels", "hard")
    method = f"{spec['selector']['name']} + {spec['synth']['name']}, {labels} labels, seed {spec['seed']}"
    cell = f"{spec['dataset']['name']}, {cells.percent(spec['rate'])}, {spec['arch']}, {method}"
    return f"{record['id']}: {cell}: {record['status']}: {record['reason']}"


def _plural(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
