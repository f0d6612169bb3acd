"""HTML: one page that needs no network: the grid to sort and filter, curves, pictures, and what each number is from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from d3s2bench import ConfigError, Json
from d3s2bench_leaderboards.figures import KINDS, check_kinds
from d3s2bench_leaderboards.view import View


@dataclass(frozen=True)
class Html(View):
    """All of it in one file, without a script or picture from elsewhere; its policy forbids the browser to load any."""

    title: str = "Leaderboard"
    """Of the page."""
    records: str = "records"
    """The address of the records' folder, as seen from the page."""
    kinds: tuple[str, ...] = KINDS
    """Which curves to draw."""
    most: int = 8
    """Methods in a picture of curves."""
    pictures: int = 12
    """Distilled sets in the gallery."""
    may_pass_on: tuple[str, ...] = ()
    """Datasets whose images may be passed on, beside those whose sets say so in their manifest."""
    claims: bool = True
    """Numbers that others published on the same datasets."""
    resamples: int = 0
    """Of the bootstrap over repetitions and test images, for the intervals beside the tests; 0 leaves these out."""
    block: int = 1
    """So many neighbouring test images are drawn together: frames of a video are no independent images."""
    folder: Path | None = None
    """Where counts and store lie; without it no gallery, and classes in the order of their ids."""

    def render(self, records: Iterable[Json]) -> str:
        """Raises ConfigError for options that cannot be, StoreError for records or pictures that cannot be shown."""
        from d3s2bench_leaderboards.page import page
        from d3s2bench_leaderboards.scope import Scope

        check_kinds("html", self.kinds)
        if self.most < 2 or self.pictures < 0:
            raise ConfigError(f"renderer html: most {self.most}, pictures {self.pictures}: give 2 and 0 or more")
        if self.resamples < 0 or self.block < 1:
            raise ConfigError(f"renderer html: resamples {self.resamples}, block {self.block}: give 0 and 1 or more")
        if ":" in self.records.partition("/")[0] and not self.records.startswith(("http://", "https://")):
            raise ConfigError(f"renderer html: records '{self.records}': give a relative path or an http address")
        return page(Scope.of(records, self), self)
