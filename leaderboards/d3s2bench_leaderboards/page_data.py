"""What stands behind the numbers of a page: their repetitions, as JSON that cannot leave its script."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from d3s2bench import Json, plain
from d3s2bench_leaderboards import cells
from d3s2bench_leaderboards.panels import class_points
from d3s2bench_leaderboards.rows import MODELS, Row

ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})


def embedded(value: Any) -> str:
    """JSON in which no character means anything to HTML. Raises ValueError for a number that is none."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(ESCAPED)


def name_of(row: Row) -> str:
    """What a number is linked by: the id of its first record, fit for an address."""
    return quote(next(iter(row.records.values()))["id"], safe="", errors="surrogatepass")


def behind(titled: Iterable[tuple[Row, str, str]], base: str) -> dict[str, Any]:
    """Rows with what they are called and where they stand: their details by name, and the class names they share."""
    classes: dict[tuple[str, ...], int] = {}
    details: dict[str, Any] = {}
    for row, title, where in titled:
        names = tuple(next(iter(row.records.values()))["spec"]["dataset"]["classes"])
        about = {"title": title, "where": where, "names": classes.setdefault(names, len(classes))}
        details[name_of(row)] = about | _detail(row, base)
    return {"classes": list(classes), "rows": details}


def _detail(row: Row, base: str) -> dict[str, Any]:
    """The command is kept once where the repetitions' commands differ in nothing but the seed."""
    records = row.records.values()
    patterns = {_pattern(record) for record in records}
    shared = patterns.pop() if len(patterns) == 1 else None
    own = [] if shared else [_command(record) for record in records]
    runs = [[seed, _finite(row.scores.get(seed)), record["id"]] for seed, record in row.records.items()]
    iou = [[_finite(point.mean), _finite(point.std)] for point in class_points(row)]
    return {"command": shared, "commands": own, "runs": runs, "iou": iou, "base": base} | {
        "explain": f"d3s2bench explain {shlex.quote(plain(f'{base}{runs[0][2]}.json'))}",
        "facts": _facts(row),
    }


def _facts(row: Row) -> list[list[str]]:
    """What the repetitions share, and what they cost."""
    first = next(iter(row.records.values()))
    s, made, data = row.setting, first["provenance"], first["spec"]["dataset"]
    facts = {
        "dataset": f"{data['name']} {data['split']}, {data['fingerprint'][:12]}",
        "protocol": s.protocol,
        "images": f"{row.images}" if row.images else "",
        "bytes": "" if row.bytes is None else cells.size(row.bytes),
        "seconds": "" if row.seconds is None else f"{row.seconds:.1f} to select, make and train",
        "seeds vary in": ", ".join(row.varies),
        **{model: made[model]["sha256"][:12] for model in MODELS if made[model]},
        "commit": ", ".join(sorted({str(r["provenance"]["commit"])[:12] for r in row.records.values()})),
        "torch": ", ".join(sorted({r["versions"]["torch"] for r in row.records.values()})),
    }
    return [[key, text] for key, text in facts.items() if text not in ("", "None")]


def _pattern(record: Json) -> str:
    """The command with N for the number of the repetition."""
    return f"{_command(record)} ".replace(f" --seed {record['spec']['seed']} ", " --seed N ").strip()


def _command(record: Json) -> str:
    """In one line, so that no part of it runs when it is pasted."""
    return plain(record["provenance"]["command"] or "")


def _finite(value: float | None) -> float | None:
    """Three decimals are enough to draw with and to read; the record has them all."""
    return None if value is None or not math.isfinite(value) else round(value, 3)
