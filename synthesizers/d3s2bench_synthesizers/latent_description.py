"""The folder of a pretrained generator: ``generator.json`` describes it and names the models that it is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from d3s2bench import ConfigError, Dataset, ModelError, first_line
from d3s2bench_synthesizers.latent_palettes import RGB

RECORD = "generator.json"
MAKE = "make one with `d3s2bench train generator --set generator_family={family} --dataset NAME`"


@dataclass(frozen=True)
class Description:
    """What ``generator.json`` says.

    Attributes:
        family: which family reads it.
        dataset: name and fingerprint of the dataset whose masks it paints.
        trained_on: what its weights have seen, in words.
        classes: the dataset's, in the order of their ids.
        words: what each class is called in prompts; empty = not named.
        colours: of each class in the image that a control network sees; none where there is no such network.
        options: of the family; folders in them are relative to this one.
        weights: fingerprint of the models' files.
    """

    family: str
    dataset: Mapping[str, str]
    trained_on: str
    classes: tuple[str, ...]
    words: tuple[str, ...]
    colours: tuple[RGB, ...]
    options: Mapping[str, Any]
    weights: str

    @property
    def identity(self) -> str:
        """A short name for records."""
        return f"{self.family} {self.dataset['name']} {self.weights[:12]}"

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, family: str) -> Description:
        """Raises ModelError for a folder that holds none, or one of another family."""
        try:
            found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if found["family"] != family:
                raise ValueError(f"it is of family '{found['family']}'")
            description = cls(**{name: _tuples(value) for name, value in found.items()})
            if not len(description.classes) == len(description.words) == len(description.colours or description.words):
                raise ValueError("classes, words and colours differ in number")
        except (OSError, ValueError, KeyError, TypeError) as error:
            make = MAKE.format(family=family)
            raise ModelError(
                f"no {family} generator can be read from {folder} ({first_line(error)}): {make}"
            ) from error
        return description


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, at any depth."""
    if isinstance(value, Mapping):
        return {name: _tuples(inner) for name, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value


def renamed(dataset: Dataset, rename: Sequence[str], option: str) -> list[str]:
    """The dataset's class names after ``CLASS=NAME`` pairs.

    Raises:
        ConfigError: what is no such pair, or names no class of the dataset.
    """
    pairs = {name: other for name, _, other in (pair.partition("=") for pair in rename)}
    for name, other in pairs.items():
        if not other or name not in dataset.classes:
            known = ", ".join(dataset.classes)
            raise ConfigError(f"{option} has '{name}={other}': give CLASS=NAME with one of the classes {known}")
    return [pairs.get(name, name) for name in dataset.classes]
