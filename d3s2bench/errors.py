"""Every error that d3s2bench raises on purpose. Each message says what, where and what to do."""

from __future__ import annotations

from collections.abc import Iterable


class D3S2Error(Exception):
    """Base of all errors a user can act on; the command line prints it in one line."""


class ConfigError(D3S2Error):
    """A wrong option, an unknown configuration key, a value out of range."""


class UnknownNameError(ConfigError):
    """A name that nothing is registered under."""


class PluginError(D3S2Error):
    """A plugin that cannot be loaded or used."""


class DatasetError(D3S2Error):
    """A dataset that is missing, incomplete or corrupt."""


class BudgetError(ConfigError):
    """A compression rate that gives no image, or more than there are."""


class ModelError(D3S2Error):
    """A teacher or a generator that is missing or does not fit the dataset."""


class StoreError(D3S2Error):
    """An artefact that cannot be written or read back."""


class StageError(D3S2Error):
    """A stage of the plan that failed."""


class WorkerDied(StageError):
    """The process or the machine that worked on a stage is lost: the stage itself may be all right."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a misspelt name, with the nearest known one."""
    from difflib import get_close_matches

    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}"
    return UnknownNameError(f"unknown {what} '{name}': {hint}")


def plain(text: str) -> str:
    """One line without what steers a terminal, turns the direction of the text or cannot be written to a file: for
    names that a stranger has given."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def first_line(error: Exception) -> str:
    """What an exception of a foreign library says, in one line."""
    return next((line.strip(" .") for line in str(error).splitlines() if line.strip()), type(error).__name__)
