"""The package that makes the reference is found in docs/, the fakes of the engine's tests beside them."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "tests" / "engine")]
