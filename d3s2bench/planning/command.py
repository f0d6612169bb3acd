"""The command that repeats a cell, and the commit it ran from: what a record says about how to get its number again."""

from __future__ import annotations

import json
import shlex
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

from d3s2bench.config import CELL_OPTIONS, CELL_SETTINGS, RunConfig, given_for, make_config
from d3s2bench.planning.plan import Cell


def command_of(cell: Cell, config: RunConfig, folder: str | None = None) -> str:
    """The command line that repeats one cell, ``folder`` if that was made elsewhere; --data-root and --out are the
    reader's own. The references on the full train split come with every run."""
    words = ["d3s2bench", "evaluate", folder] if folder else ["d3s2bench", "run"]
    words += ["--dataset", cell.dataset, "--evaluator", cell.evaluator, "--arch", cell.arch, "--seed", str(cell.seed)]
    if not folder:
        selector, synth = ("random", "real") if cell.full else (cell.selector, cell.synth)
        words += ["--selector", selector, "--synth", synth, "--rate", str(cell.rate)]
    words += ["--budgets", repr(cell.budget)] if cell.budget != 1 or config.preset else []
    words += ["--holdout", f"{cell.dataset}={held}"] if (held := given_for(cell.dataset, config.holdout)) else []
    words += ["--preset", config.preset] if config.preset else []
    words += [word for file in config.plugin for word in ("--plugin", file)]
    for key, value in _settings(config, cell).items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def _settings(config: RunConfig, cell: Cell) -> dict[str, Any]:
    """What ``--set`` must say: all that is not as the defaults or the preset have it and no axis."""
    before = _before(config.preset)
    plain = {name: getattr(config, name) for name in CELL_SETTINGS if getattr(config, name) != getattr(before, name)}
    for section, components in config.options.items():
        if section in CELL_OPTIONS:
            plain |= {f"{section}.{name}.{key}": v for name, found in components.items() for key, v in found.items()}
    if cell.as_shipped:
        plain = {key: value for key, value in plain.items() if not key.startswith(f"selector.{cell.selector}.")}
    plain |= {f"protocol.{key}": value for key, value in config.protocol.items()}
    return plain | ({f"evaluator.{cell.evaluator}.labels": cell.labels} if cell.labels else {})


@lru_cache
def _before(preset: str | None) -> RunConfig:
    return make_config({"preset": preset})


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The commit of the code when it runs from a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:  # an environment may lie in someone else's checkout
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        return subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
