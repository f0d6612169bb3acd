"""What stands for the code of a component that is installed from a folder: a hash of the module that holds it and of
all modules of its package that this one imports, directly or not. Editing one method leaves the others alone.

Imports are read from the source, at any depth of nesting, so nothing heavy is loaded. A module that is imported under a
name made at run time is not seen, nor is what a package's ``__init__`` does besides.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def code_hash(target: str) -> str:
    """12 hex digits for ``package.module:Class``."""
    start = target.partition(":")[0]
    found: dict[str, bytes] = {}
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module not in found and (file := _file(module)):
            found[module] = file.read_bytes()
            waiting += _imported(found[module], module, is_package=file.name == "__init__.py")
    return _digest(found)


def file_hash(file: Path) -> str:
    """What :func:`code_hash` gives for the components of a module that stands alone, without importing it."""
    return _digest({file.stem: file.read_bytes()})


def _digest(found: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for module, content in sorted(found.items()):
        digest.update(module.encode() + content)
    return digest.hexdigest()[:12]


def _file(module: str) -> Path | None:
    """The source of a module; None when the name is no module."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if not rest and spec.origin:
        return Path(spec.origin)
    for folder in spec.submodule_search_locations or ():
        place = Path(folder).joinpath(*rest)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


def _imported(source: bytes, module: str, is_package: bool) -> Iterator[str]:
    """Names within the module's top-level package that its import statements may mean."""
    top = module.partition(".")[0]
    here = module.split(".") if is_package else module.split(".")[:-1]
    for statement in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            above = here[: len(here) - statement.level + 1] if statement.level else []
            base = ".".join([*above, *filter(None, [statement.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in statement.names)]
        yield from (name for name in names if name.partition(".")[0] == top)
