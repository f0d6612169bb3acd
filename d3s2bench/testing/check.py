"""Runs the contract of one component and says in words what it keeps and what not: ``d3s2bench plugins check``."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from d3s2bench.errors import PluginError
from d3s2bench.testing import contract

TEST = """from d3s2bench.testing import contract
TestIt = contract({kind!r}, {name!r}, {plugins!r}, {root!r}, **{options!r})
"""


@dataclass(frozen=True)
class Verdict:
    """One promise: ``passed``, ``failed`` or ``skipped``, and why."""

    promise: str
    outcome: str
    why: str = ""


def check(
    kind: str, name: str, plugins: Iterable[str] = (), root: str | None = None, options: dict[str, Any] | None = None
) -> list[Verdict]:
    """Tries a component on tiny data, in this process.

    Raises:
        UnknownNameError, PluginError, ConfigError: nothing of that name, or not with these options.
    """
    contract(kind, name, plugins := tuple(plugins), root, **(options or {}))
    content = TEST.format(kind=kind, name=name, plugins=plugins, root=root, options=options or {})
    report, said = _Report(), io.StringIO()
    with TemporaryDirectory(prefix="d3s2bench-check-") as place, redirect_stdout(said), redirect_stderr(said):
        test, settings = Path(place) / "test_contract.py", Path(place) / "pytest.ini"
        test.write_text(content)
        settings.write_text("[pytest]\n")  # those of a project around do not matter here
        set_hypothesis_home_dir(place)
        os.environ.update(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS="")
        code = pytest.main(["-q", "-p", "no:cacheprovider", "-c", str(settings), str(test)], plugins=[report])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise PluginError(f"the contract of {kind} '{name}' could not be tried: {_last_line(said.getvalue())}")
    return report.verdicts


@dataclass
class _Report:
    """A pytest plugin that keeps the verdicts."""

    verdicts: list[Verdict] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            promise = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ").replace("[", " [")
            self.verdicts.append(Verdict(promise, report.outcome, _why(report)))


def _why(report: pytest.TestReport) -> str:
    """The first line of what went wrong, with the example that showed it."""
    if report.outcome == "passed":
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    text = report.longreprtext
    first = next((line[1:].strip() for line in text.splitlines() if line.startswith("E ")), "no message")
    example = re.search(r"(?:Failing test case|Falsifying example): \w+\((.*?)\nE\s+\)", text, re.DOTALL)
    shown = re.findall(r"\nE +(?!self=)(\w+=.*),", example[1]) if example else []
    return first.removeprefix("AssertionError: ") + (f" (with {', '.join(shown)})" if shown else "")


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("E ")]
    return lines[-1][1:].strip() if lines else said.strip()[-200:]
