"""MkDocs' hook: adds the pages that ``d3s2bench_docs`` makes from the code, and lists them in the navigation."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File, Files

from d3s2bench_docs.site import pages

MADE = pages()


def on_config(config: Any) -> Any:
    """They follow the written pages of the section Reference."""
    reference = next(section["Reference"] for section in config.nav if "Reference" in section)
    reference += [{title: address} for address, (title, _) in MADE.items()]
    return config


def on_files(files: Files, config: Any) -> Files:
    for address, (_, text) in MADE.items():
        files.append(File.generated(config, address, content=text))
    return files
