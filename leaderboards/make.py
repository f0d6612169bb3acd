"""Makes the tables, the page and the figures of each folder beside this file that has a folder ``records``:

python leaderboards/make.py [FOLDER ...]

``leaderboard.yaml`` beside ``records`` holds options of the formats: those of ``all``, and those of one by its name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from d3s2bench import ConfigError, D3S2Error, api

FILES = {
    "markdown": "leaderboard.md",
    "csv": "leaderboard.csv",
    "latex": "leaderboard.tex",
    "html": "leaderboard.html",
    "figures": "figures",
}
"""Format → what it makes; the figures are a folder."""


def make(folder: Path) -> None:
    """Depends on the records and the options alone: made again, each file has the same bytes."""
    options = _options(folder / "leaderboard.yaml")
    for format, name in FILES.items():
        given = options.get("all", {}) | options.get(format, {})
        _write(api.leaderboard(folder, format, **given), folder / name)


def _options(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is no YAML: {' '.join(str(error).split())}") from error
    known = {"all", *FILES}
    if not isinstance(found, dict) or found.keys() - known or not all(isinstance(o, dict) for o in found.values()):
        raise ConfigError(f"{file}: give options, as 'where: [arch=unet]', below one of {', '.join(sorted(known))}")
    return found


def _write(made: str | Mapping[str, bytes], place: Path) -> None:
    if isinstance(made, str):
        place.write_text(made, encoding="utf-8")
        return
    place.mkdir(exist_ok=True)
    for file in {*place.glob("*.pdf"), *place.glob("*.png")}:
        if file.name not in made:
            file.unlink()
    for name, content in made.items():
        (place / name).write_bytes(content)


def main(given: list[str]) -> None:
    here = Path(__file__).parent
    for folder in map(Path, given) if given else sorted(place.parent for place in here.glob("*/records")):
        print(folder)
        make(folder)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except D3S2Error as error:
        sys.exit(f"error: {error}")
