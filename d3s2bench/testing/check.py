"""Runs the contract of one component and says in words what it keeps and what not: ``d3s2bench plugins check``."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Generator, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from d3s2bench.errors import PluginError
from d3s2bench.frames import home_of, last_frame
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
    traceback: str = ""


def check(
    kind: str, name: str, plugins: Iterable[str] = (), root: str | None = None, options: dict[str, Any] | None = None
) -> list[Verdict]:
    """Tries a component on tiny data, in this process.

    Raises:
        UnknownNameError, PluginError, ConfigError: nothing of that name, or not with these options.
    """
    tried = contract(kind, name, plugins := tuple(plugins), root, **(options or {}))
    content = TEST.format(kind=kind, name=name, plugins=plugins, root=root, options=options or {})
    report, said = _Report(home_of(type(tried.component))), io.StringIO()
    with TemporaryDirectory(prefix="d3s2bench_check_") as place, redirect_stdout(said), redirect_stderr(said):
        test = Path(place) / f"{Path(place).name}.py"  # a module of this name is there once in a process
        settings = Path(place) / "pytest.ini"
        test.write_text(content)
        settings.write_text("[pytest]\n")  # those of a project around do not matter here
        set_hypothesis_home_dir(place)
        os.environ.update(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS="")
        given = ["-q", "--tb=short", "-p", "no:cacheprovider", "-c", str(settings), str(test)]
        code = pytest.main(given, plugins=[report])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise PluginError(f"the contract of {kind} '{name}' could not be tried: {_reason(said.getvalue())}")
    return report.verdicts


@dataclass
class _Report:
    """A pytest plugin that keeps the verdicts; an error is traced to the component's code, in ``home``."""

    home: Path | None
    verdicts: list[Verdict] = field(default_factory=list)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call" or report.outcome != "passed":
            promise = item.name.removeprefix("test_").replace("_", " ").replace("[", " [")
            where = last_frame(call.excinfo.value, self.home) if call.excinfo else None
            trace = report.longreprtext if report.failed else ""
            self.verdicts.append(Verdict(promise, report.outcome, _why(report, where), trace))
        return report


def _why(report: pytest.TestReport, where: str | None) -> str:
    """The first line of what went wrong, the line of the component and the example that showed it."""
    if report.outcome == "passed":
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    text = report.longreprtext
    first = next((line[1:].strip() for line in text.splitlines() if line.startswith("E ")), "no message")
    example = re.search(r"(?:Failing test case|Falsifying example): \w+\((.*?)\nE\s+\)", text, re.DOTALL)
    shown = re.findall(r"\nE +(?!self=)(\w+=.*),", example[1]) if example else []
    told = re.sub(r"^(AssertionError|d3s2bench\.errors\.\w+): ", "", first) + (f", at {where}" if where else "")
    return told + (f" (with {', '.join(shown)})" if shown else "")


def _reason(said: str) -> str:
    """What pytest says of a module that it cannot collect, without the lines that it draws around."""
    lines = said.splitlines()
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    return errors[-1] if errors else " ".join(line.strip() for line in lines if line.strip() and line[0] not in "=_!")
