"""Distributions as if installed, without pip and without an index: their sources and their metadata in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

MAIN = "from d3s2bench.cli.app import main; main()"


def overlay(distribution: Path, site: Path) -> None:
    """What ``pip install --no-deps --target site distribution`` leaves there."""
    project = tomllib.loads((distribution / "pyproject.toml").read_text())["project"]
    for package in (distribution / "src").iterdir():
        shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {target}\n" for name, target in project["entry-points"]["d3s2bench"].items())
    (info / "entry_points.txt").write_text(f"[d3s2bench]\n{points}")


def python(site: Path, *arguments: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """A process that finds what lies in ``site``."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    env = os.environ | {"PYTHONPATH": path, "PYTEST_ADDOPTS": "-p no:cacheprovider", **more}
    return subprocess.run([sys.executable, "-P", *arguments], cwd=cwd, env=env, capture_output=True, text=True)


def d3s2bench_in(site: Path, *arguments: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """The command line with what lies in ``site``."""
    return python(site, "-c", MAIN, *arguments, cwd=cwd, **more)


def fresh_environment(folder: Path) -> Callable[..., str]:
    """A new virtual environment that has, beside its own, the libraries of this one; runs its Python."""
    venv.create(folder, with_pip=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    around = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"  # with what that refers to in turn
    (folder / "lib" / version / "site-packages" / "around.pth").write_text(around)

    def run(*words: str) -> str:
        made = subprocess.run([folder / "bin" / "python", *words], cwd=folder, capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
        return made.stdout

    return run
