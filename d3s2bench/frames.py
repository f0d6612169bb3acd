"""Where in a component's own code an exception came from; what the engine and libraries do below it helps nobody."""

from __future__ import annotations

import sys
from pathlib import Path


def home_of(cls: type) -> Path | None:
    """The file of a class whose module stands alone, the folder of one in a package; None for one made elsewhere."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return None
    return Path(file).parent if module.__package__ else Path(file)


def last_frame(error: BaseException, home: Path | None) -> str | None:
    """``mine.py:48``, the last line of the traceback in a file or below a folder; None where it passes through none."""
    found, step = None, error.__traceback__
    while step:
        file = Path(step.tb_frame.f_code.co_filename)
        if home and (file == home or home in file.parents):
            found = f"{file.name}:{step.tb_lineno}"
        step = step.tb_next
    return found
