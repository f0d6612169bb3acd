"""The tree of errors and the message for a misspelt name."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d3s2bench import errors
from d3s2bench.errors import BudgetError, ConfigError, D3S2Error, UnknownNameError, unknown_name


def test_all_errors_share_one_base_and_say_when_they_are_raised() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]
    assert len(classes) > 5
    for cls in classes:
        assert issubclass(cls, D3S2Error)
        assert cls.__doc__


def test_a_budget_error_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        raise BudgetError("too little")


def test_a_near_name_is_suggested() -> None:
    error = unknown_name("selector", "balancd", ["random", "balanced"])
    assert isinstance(error, UnknownNameError)
    assert str(error) == "unknown selector 'balancd': did you mean 'balanced'?"


def test_all_names_are_listed_when_none_is_near() -> None:
    assert str(unknown_name("preset", "xyz", ["smoke", "paper"])) == "unknown preset 'xyz': known: paper, smoke"
    assert str(unknown_name("preset", "xyz", [])).endswith("known: none")


@given(st.text("abcdef-", min_size=4, max_size=12), st.data())
def test_a_name_with_one_wrong_letter_is_always_recognised(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 1))
    misspelt = f"{name[:at]}z{name[at + 1 :]}"
    assert f"did you mean '{name}'?" in str(unknown_name("thing", misspelt, [name, "0123456789"]))
