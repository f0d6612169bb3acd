"""``d3s2bench explain``: where a number comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from d3s2bench.cli.options import DataRoots, Debug
from d3s2bench.cli.words import print_table, seconds_text

if TYPE_CHECKING:
    from d3s2bench.upkeep.explanation import Explanation


def explain(
    record: Annotated[str, typer.Argument(metavar="RECORD", help="A record's JSON file, or DIR/ID.")],
    again: Annotated[bool, typer.Option("--rerun", help="Do it all again in a new folder and compare.")] = False,
    within: Annotated[float, typer.Option("--within", help="Points of mIoU that a rerun may differ by.")] = 0.0,
    trust: Annotated[bool, typer.Option("--trust", help="Rerun a command that names code, too.")] = False,
    data_root: DataRoots = None,
    debug: Debug = False,
) -> None:
    """Show where a number comes from; exit code 1 when it does not follow from its counts or a rerun differs."""
    from d3s2bench.upkeep.explanation import explain, find_record
    from d3s2bench.upkeep.rerun import rerun

    found = explain(find_record(record))
    _print_explanation(found)
    wrong = found.recomputed is not None and not found.follows
    if again:
        made = rerun(found.record, [word for root in data_root or () for word in ("--data-root", root)], trust)
        why = f": {found.changes}" if made.difference and found.changes else ""
        typer.echo(f"again      mIoU {made.again:.4f}, {made.difference:+.4f} points{why}")
        wrong |= abs(made.difference) > within
    if wrong:
        raise typer.Exit(1)


def _print_explanation(found: Explanation) -> None:
    record, made = found.record, found.record["provenance"]
    rows = [
        ["record", f"{record['id']} {record['status']}" + (f": {record['reason']}" if record["reason"] else "")],
        ["cell", _cell(found)],
        ["score", _score(found)],
        ["made", f"{record['created']}, commit {made['commit'] or 'not known'}"],
        ["code", ", ".join(f"{code.kind} {code.name} {code.version}" for code in found.code) or "none"],
        *([["changed", found.changes]] if found.changes else []),
        ["versions", _versions(record["versions"])],
        ["seeds", ", ".join(f"{name} {seed}" for name, seed in made["seeds"].items() if seed is not None) or "none"],
        ["seconds", ", ".join(f"{k} {v:.1f}" for k, v in record["timings"].items() if v is not None) or "none"],
        ["command", str(made["command"])],
    ]
    print_table(rows)
    parts = [
        [part.role, part.key[:12], seconds_text(part.seconds), part.what, str(part.folder or "")]
        for part in found.parts
    ]
    if parts:
        typer.echo()
        print_table([["PART", "KEY", "TOOK", "WHAT", "WHERE"], *parts])


def _cell(found: Explanation) -> str:
    from d3s2bench.upkeep.inventory import component_in_words

    spec = found.record["spec"]
    method = f"{component_in_words(spec['selector'])} + {component_in_words(spec['synth'])}"
    trained = f"{component_in_words(spec['evaluator'])} {spec['arch']}, {spec['protocol']['iterations']} iterations"
    return f"{method}, rate {spec['rate']:g} of {spec['dataset']['name']}, {trained}, #{spec['seed']}"


def _score(found: Explanation) -> str:
    metrics, split = found.record["metrics"], found.record["spec"]["dataset"]["split"]
    if metrics is None or found.recomputed is None:
        return "none"
    counts = found.file.parent / found.record["confusion"]["path"]
    if found.follows:
        return f"mIoU {metrics['miou']:.4f} on {split}; it follows from its counts, {counts}"
    return f"mIoU {metrics['miou']:.4f} on {split}; its counts, {counts}, give {found.recomputed:.4f}: do not use it"


def _versions(then: dict[str, str]) -> str:
    from d3s2bench.results.records import versions

    here = versions()
    return ", ".join(
        f"{name} {version}" + (f" (here {here[name]})" if here.get(name, version) != version else "")
        for name, version in then.items()
    )
