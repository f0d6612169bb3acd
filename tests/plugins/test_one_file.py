"""A plugin that is one file: named on the command line, known to the workers, identified by its content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from overlays import d3s2bench_in

from d3s2bench import PluginError
from d3s2bench.code_identity import code_hash
from d3s2bench.plugins import registry
from d3s2bench.results.records import read_records

MINE = '''\
import numpy as np
from d3s2bench import Component, Selection, hookimpl
class Mine:
    """The masks with the most classes."""
    deterministic, needs = True, ()
    def select(self, index, budget, context):
        return Selection(np.argsort(-(index.counts > 0).sum(axis=1), kind="stable")[: budget.images])
@hookimpl
def register_selectors():
    return [Component("selector", "mine", "{module}:Mine", "Masks with the most classes")]
'''
"""A new selector in ten lines."""
EVALUATOR = """\
from dataclasses import dataclass
import numpy as np
from d3s2bench import Component, Counts, hookimpl
@dataclass(frozen=True)
class Majority:
    labels: str = "hard"
    needs = ()
    def architectures(self):
        return ("flat",)
    def protocol(self, arch, size):
        return {"iterations": 1, "converged_iterations": 1, "size": list(size), "precision": "fp32", "batch_size": 1}
    def train(self, pairs, arch, protocol, context):
        return int(np.argmax(sum(np.bincount(pairs.mask(i).ravel(), minlength=256)[:255] for i in range(len(pairs)))))
    def evaluate(self, model, split, protocol, context):
        classes = len(context.dataset.classes)
        confusion = np.zeros((len(split), classes, classes), np.int64)
        for i in range(len(split)):
            confusion[i, :, model] = np.bincount(split.mask(i).ravel(), minlength=256)[:classes]
        return Counts(confusion)
    def save_teacher(self, *_): ...
    def load_teacher(self, *_): ...
@hookimpl
def register_evaluators():
    return [Component("evaluator", "majority", "quick_evaluator:Majority", "The most frequent class")]
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Files of other tests may have the same name."""
    registry.cache_clear()
    code_hash.cache_clear()
    yield
    registry.cache_clear()


def plugin(folder: Path, module: str, source: str = MINE) -> str:
    folder.mkdir(exist_ok=True)
    file = folder / f"{module}.py"
    file.write_text(source.replace("{module}", module))
    return str(file)


def test_it_runs_through_the_workers_and_is_part_of_the_record(tmp_path: Path, tiny: Path) -> None:
    plugin(tmp_path / "code", "ten_lines")
    plugin(tmp_path / "code", "quick_evaluator", EVALUATOR)
    files = ["--plugin", "code/ten_lines.py", "--plugin", "code/quick_evaluator.py"]
    method = [
        "--selector",
        "mine",
        "--synth",
        "real",
        "--evaluator",
        "majority",
        "--arch",
        "flat",
        "--controls",
        "none",
    ]
    data = ["--dataset", "tiny", "--data-root", f"tiny={tiny}", "--rate", "0.2"]
    made = d3s2bench_in(tmp_path, "run", *files, *method, *data, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (record,) = read_records(tmp_path / "runs")
    (tmp_path / "code" / "ten_lines.py").open("a").write("# another\n")
    again = d3s2bench_in(tmp_path, "run", "--dry-run", *files, *method, *data, cwd=tmp_path)
    assert record["spec"]["selector"]["version"].startswith("file+")
    assert "--plugin code/ten_lines.py --plugin code/quick_evaluator.py" in record["provenance"]["command"]
    counts = {line.split()[0]: line.split()[1:] for line in again.stdout.splitlines() if line}
    assert counts["index"] == ["1", "1", "0"]
    assert counts["selection"] == ["1", "0", "1"]  # the file has changed: so has the selector


def test_its_content_is_its_identity(tmp_path: Path) -> None:
    identities = []
    for module, more in (("first_file", ""), ("second_file", "# more\n")):
        file = plugin(tmp_path, module, MINE + more)
        identities.append(registry((file,)).find("selector", "mine").identity)
        code_hash.cache_clear()
    assert identities[0] != identities[1]
    assert all(identity.startswith("file+") and len(identity) == 17 for identity in identities)


def test_only_files_that_are_named_are_run(tmp_path: Path) -> None:
    plugin(tmp_path, "not_asked_for", "raise SystemExit('it was run')\n")
    file = plugin(tmp_path, "asked_for")
    assert "mine" in registry((file,)).names("selector")
    assert "mine" not in registry().names("selector")


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("absent", None, "absent.py: give a Python file that exists"),
        ("no-module", MINE, "named like a module"),
        ("json", MINE, "the name 'json' belongs to another module, .*; rename the file$"),
        ("raising", "1 / 0\n", "raising is broken: ZeroDivisionError: division by zero; correct the file"),
        ("in_a_hook", MINE.replace("    return [C", "    [][0]\n    return [C"), r"the file, at in_a_hook\.py:10$"),
        ("empty_file", "", "empty_file.py registers nothing"),
        ("twin", MINE.replace('"mine"', '"random"'), "random is broken: the name is taken by d3s2bench; rename it"),
        ("other_twin", MINE.replace('"mine"', '"random"'), r"by d3s2bench; rename it in its Component\(…\)$"),
        ("misspelt", MINE.replace("_selectors", "_selector"), "; did you mean 'register_selectors'\\?$"),
        ("imports", f"import no_such_lib\n{MINE}", "; install no_such_lib, or import it inside the class and name it"),
        ("alone", MINE.replace("[C", "C").replace(")]", ")"), "the component 'mine' by itself; return a list of comp"),
        ("ill_named", MINE.replace('"mine"', '"My.Method v2"'), "'My.Method v2' is no name .*: use small letters, dig"),
        ("other_api", "d3s2bench_api = 2\n" + MINE, "it is made for plugin API 2, this d3s2bench has 1"),
    ],
)
def test_a_file_that_does_not_do_is_one_clear_line(
    tmp_path: Path, module: str, source: str | None, message: str
) -> None:
    file = str(tmp_path / f"{module}.py") if source is None else plugin(tmp_path, module, source)
    with pytest.raises(PluginError, match=message) as caught:
        registry((file,))
    assert "\n" not in str(caught.value)


def test_a_module_beside_it_is_not_imported_by_accident(tmp_path: Path) -> None:
    plugin(tmp_path, "beside", "")
    file = plugin(tmp_path, "importer", "import beside\n" + MINE)
    with pytest.raises(PluginError, match="No module named 'beside'; a file imports what is installed, not what lies"):
        registry((file,))


def test_the_file_in_contributing_keeps_the_contract(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    source = text.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in source.splitlines() if line.strip()]) == 10
    (tmp_path / "my_selector.py").write_text(source)
    made = d3s2bench_in(tmp_path, "plugins", "check", "mine", "--plugin", "my_selector.py", cwd=tmp_path)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "7 kept, 0 broken" in made.stdout
