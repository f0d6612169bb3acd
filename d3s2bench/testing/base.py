"""What all contracts share."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings

from d3s2bench.declarations import wrong_needs
from d3s2bench.plugins import configure, options_of

tried = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    derandomize=True,  # a contract gives the same verdict each time
    suppress_health_check=[HealthCheck.differing_executors],  # subclasses share the tests
)


class Contract:
    """What every component keeps to. A subclass names the one that is tried."""

    component: ClassVar[Any]
    """The instance, with the options that it is tried with."""
    interface: ClassVar[Any]
    """How its kind looks from the engine."""

    def test_it_has_all_that_its_kind_must_have(self) -> None:
        names = (name for name in _members(self.interface) if not hasattr(self.component, name))
        assert not (missing := sorted(names)), f"it lacks {', '.join(missing)}: see d3s2bench/interfaces.py"

    def test_it_can_be_made_again_from_its_options(self) -> None:
        """The engine writes options as JSON and makes the component from them in another process."""
        options = options_of(self.component)
        read = json.loads(json.dumps(options))
        assert options_of(configure(type(self.component), "it", read)) == options, "its options change on the way"

    def test_it_says_what_it_needs(self) -> None:
        wrong = wrong_needs(getattr(self.component, "needs", ()))
        assert wrong is None, wrong


def _members(protocol: Any) -> set[str]:
    methods = {name for name in vars(protocol) if not name.startswith("_")}
    return methods | set(protocol.__annotations__)


DEVICES = pytest.mark.parametrize("device", ["cpu", "cuda"])


def prepare(device: str, component: Any, patch: pytest.MonkeyPatch, torch: bool = False) -> None:
    """Skips what this machine cannot show. On the CPU, a GPU is said to be there: whoever looks for one itself,
    instead of asking the context, fails. ``torch`` is True for kinds that compute with it in any case."""
    if not torch and not getattr(component, "needs", ()):
        pytest.skip("it computes without torch")
    from torch import cuda

    if device == "cpu":
        patch.setattr(cuda, "is_available", lambda: True)
    elif not cuda.is_available():
        pytest.skip("there is no GPU here")
