"""The one way in which options of this room are found wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from d3s2bench import ConfigError

Valid = Mapping[str, tuple[bool, str]]
"""Option → whether it is good, and what to give."""


def check_options(section: str, values: Mapping[str, Any], valid: Valid) -> None:
    """Raises ConfigError for the first option of ``section`` that is not good."""
    for option, (good, give) in valid.items():
        if not good:
            raise ConfigError(f"{section}.{option} is {values[option]}: give {give}")
