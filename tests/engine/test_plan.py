"""The plan: shared nodes are counted once, keys follow from what makes a result and from nothing else."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import fake_config, planner_of, use_fakes
from hypothesis import given, settings
from hypothesis import strategies as st

from d3s2bench import BudgetError, ConfigError, DatasetError, ModelError, PluginError
from d3s2bench.errors import UnknownNameError
from d3s2bench.planning.plan import Node, Plan


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fakes(monkeypatch)


@pytest.fixture
def plan_of(tiny: Path, tmp_path: Path) -> Any:
    return lambda **given: planner_of(fake_config(tiny, given.pop("out", tmp_path / "runs"), **given)).matrix()


def stages(plan: Plan) -> dict[str, int]:
    return dict(Counter(node.stage for node in plan.nodes.values()))


def record_keys(plan: Plan) -> set[str]:
    return set(plan.records)


# --- sharing ---------------------------------------------------------------------------------------------------------


def test_one_cell_is_a_chain(plan_of: Any) -> None:
    plan = plan_of()
    assert [node.stage for node in plan.nodes.values()] == ["index", "selection", "distilled", "record"]
    assert plan.records == [list(plan.nodes)[-1]]


def test_a_matrix_shares_its_nodes(plan_of: Any) -> None:
    """first is deterministic, random is not; real is deterministic, noisy is not."""
    plan = plan_of(selector=["first", "random"], synth=["real", "noisy"], seed=[0, 1, 2], controls="default")
    assert stages(plan) == {
        "index": 1,
        "selection": 1 + 3,
        "distilled": (1 + 3) + (3 + 3),  # first: real once, noisy by seed; random: both by seed
        "record": 4 * 3 + 3 + 1,  # cells and controls coincide; full by seed; full converged once
    }
    assert len(plan.records) == 16


def test_architectures_share_everything_but_the_training(plan_of: Any) -> None:
    one, two = plan_of(), plan_of(arch=["flat", "deep"])
    assert stages(two) == stages(one) | {"record": 2}


def test_rates_share_the_index_and_the_full_reference(plan_of: Any) -> None:
    plan = plan_of(rate=[0.1, 0.2], controls="default")
    assert stages(plan) == {"index": 1, "selection": 4, "distilled": 4, "record": 4 + 2}


def test_a_rate_that_gives_the_same_images_shares_the_selection(plan_of: Any) -> None:
    assert stages(plan_of(rate=[0.2, 0.201]))["selection"] == 1


def test_the_controls_come_by_themselves(plan_of: Any) -> None:
    plan = plan_of(synth="noisy", controls="default")
    cells = [plan.nodes[key].run["spec"] for key in plan.records]
    named = [(c["selector"]["name"], c["synth"]["name"], c["protocol"]["iterations"], c["rate"]) for c in cells]
    assert named == [
        ("first", "noisy", 5, 0.2),
        ("random", "real", 5, 0.2),
        ("first", "real", 5, 0.2),
        ("full", "real", 5, 1.0),
        ("full", "real", 9, 1.0),
    ]


def test_controls_of_equal_information_on_request(plan_of: Any) -> None:
    default, everything = plan_of(synth="noisy", controls="default"), plan_of(synth="noisy", controls="all")
    added = [everything.nodes[key].run["spec"] for key in everything.records if key not in default.records]
    named = [(c["selector"]["name"], c["synth"]["name"], c["evaluator"]["options"]["labels"]) for c in added]
    assert named == [("first", "layout", "hard"), ("first", "real", "soft")]


def test_budgets_multiply_the_iterations_of_all_but_the_converged_reference(plan_of: Any) -> None:
    plan = plan_of(controls="default", budget=[0.33, 1, 3])
    found = sorted(
        (spec["selector"]["name"], spec["protocol"]["iterations"])
        for spec in (plan.nodes[key].run["spec"] for key in plan.records)
    )
    assert found == sorted([("full", 9)] + [(name, n) for name in ("first", "random", "full") for n in (2, 5, 15)])
    assert len([node for node in plan.nodes.values() if node.stage == "distilled"]) == 2


@pytest.mark.parametrize("budget", [0, -1, float("inf"), float("nan")])
def test_a_budget_that_is_no_multiple_is_refused(plan_of: Any, budget: float) -> None:
    with pytest.raises(ConfigError, match="give multiples of the iterations above 0"):
        plan_of(budget=[budget])


def test_a_held_out_part_of_train_is_scored(plan_of: Any) -> None:
    plan = plan_of(holdout={"tiny": "00*"})
    spec = plan.nodes[plan.records[0]].run["spec"]
    assert (spec["dataset"]["split"], spec["dataset"]["options"]) == ("dev", {"holdout": "00*"})
    assert spec["dataset"]["fingerprint"] != plan_of().nodes[plan_of().records[0]].run["spec"]["dataset"]["fingerprint"]


def test_development_cannot_be_scored_on_test(plan_of: Any) -> None:
    with pytest.raises(DatasetError, match="has no split 'test': choose one of dev with --eval-split, or keep"):
        plan_of(holdout={"": "00*"}, eval_split="test")


def test_quality_adds_a_judge_of_another_architecture(plan_of: Any) -> None:
    asked = {"quality": True, "teacher_arch": "flat", "judge_arch": "deep", "train_missing": True}
    plan = plan_of(controls="default", **asked)
    judge = [node for node in plan.nodes.values() if node.stage == "teacher"]
    measured = [node for node in plan.nodes.values() if node.stage == "quality"]
    assert [node.identity["arch"] for node in judge] == ["deep"]
    assert len(measured) == 2  # the full train split is no distilled set
    assert set(plan.records) == set(plan_of(controls="default").records), "measuring must not change what is trained"


def test_a_judge_like_the_teacher_is_refused(plan_of: Any) -> None:
    with pytest.raises(ConfigError, match="the judge would be a flat like the teacher"):
        plan_of(quality=True, teacher_arch="flat", judge_arch="flat", train_missing=True)


def test_a_judge_that_is_given_is_another_than_the_teacher(plan_of: Any, tmp_path: Path) -> None:
    for arch in ("flat", "deep"):
        (tmp_path / arch).mkdir()
        (tmp_path / arch / "teacher.json").write_text(json.dumps({"arch": arch}))
    flat, deep = str(tmp_path / "flat"), str(tmp_path / "deep")
    assert plan_of(quality=True, teacher=flat, judge=deep, judge_arch="flat").records
    for models in ({"teacher": flat, "judge": flat}, {"teacher": deep, "judge_arch": "deep", "train_missing": True}):
        with pytest.raises(ConfigError, match=r"the judge would be a \w+ like the teacher: give another with --judge"):
            plan_of(quality=True, **models)


@pytest.mark.parametrize(("name", "known"), [("tiyn", False), ("tiny", True), ("", True), ("folder", True)])
def test_a_holdout_of_a_misspelt_dataset_is_refused(plan_of: Any, name: str, known: bool) -> None:
    """One that a file holds for other runs is not."""
    if known:
        assert plan_of(holdout={name: "00*"})
    else:
        with pytest.raises(UnknownNameError, match="unknown dataset of --holdout 'tiyn': did you mean 'tiny'"):
            plan_of(holdout={name: "00*"})


def test_a_missing_judge_names_the_command(plan_of: Any) -> None:
    with pytest.raises(ModelError, match="train teacher --dataset tiny --set teacher_arch=deep"):
        plan_of(quality=True, teacher_arch="flat", judge_arch="deep")


def test_no_controls_on_request(plan_of: Any) -> None:
    assert len(plan_of(synth="noisy", controls="none").records) == 1


@given(st.sets(st.sampled_from(["first", "random"]), min_size=1), st.sets(st.integers(0, 9), min_size=1, max_size=4))
@settings(max_examples=15)
def test_each_node_comes_after_what_it_needs(
    tmp_path_factory: pytest.TempPathFactory, selectors: set[str], seeds: set[int]
) -> None:
    from tiny_dataset import write_tiny_dataset

    place = tmp_path_factory.mktemp("order")
    given = {"selector": sorted(selectors), "synth": ["noisy", "real"], "seed": sorted(seeds), "controls": "default"}
    plan = planner_of(fake_config(write_tiny_dataset(place / "tiny"), place / "runs", **given)).matrix()
    seen: set[str] = set()
    for key, node in plan.nodes.items():
        assert key == node.key
        assert seen.issuperset(node.needs)
        seen.add(key)


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"selector": {"first": {"offset": 1}}}},
        {"options": {"synth": {"noisy": {"strength": 9}}}},
        {"seed": 1},
        {"rate": 0.3},
        {"arch": "deep"},
        {"selector": "random"},
        {"protocol": {"iterations": 6}},
        {"eval_split": "val"},
        {"size": [64, 64]},
        {"threads": 2},
        {"device": "cuda"},
    ],
    ids=str,
)
def test_a_record_has_another_key_when_anything_that_makes_it_changes(plan_of: Any, change: dict[str, Any]) -> None:
    assert record_keys(plan_of(synth="noisy")).isdisjoint(record_keys(plan_of(synth="noisy", **change)))


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 7},
        {"wandb": "offline"},
        {"train_missing": True},
        {"options": {"selector": {"first": {"offset": 0}}}},
        {"options": {"synth": {"real": {}}}},
        {"protocol": {"iterations": 5, "rate": 0.1}},
        {"teacher_arch": "other"},
    ],
    ids=str,
)
def test_a_record_keeps_its_key_when_nothing_that_makes_it_changes(plan_of: Any, change: dict[str, Any]) -> None:
    assert record_keys(plan_of(synth="noisy")) == record_keys(plan_of(synth="noisy", **change))


def test_the_key_does_not_depend_on_which_gpu_it_is(plan_of: Any) -> None:
    cells: dict[str, Any] = {"synth": "taught", "train_missing": True, "quality": True, "teacher_arch": "deep"}
    cells["judge_arch"] = "flat"
    assert plan_of(device="cuda", **cells).nodes.keys() == plan_of(device="cuda:1", **cells).nodes.keys()


def test_the_key_does_not_depend_on_the_places(plan_of: Any, tiny: Path, tmp_path: Path) -> None:
    first = plan_of()
    tiny.rename(tmp_path / "moved")
    second = plan_of(out=tmp_path / "elsewhere", data_root={"tiny": str(tmp_path / "moved")})
    assert first.nodes.keys() == second.nodes.keys()


def test_the_key_depends_on_the_version(plan_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan_of()
    use_fakes(monkeypatch, version="1.1")
    second = plan_of()
    assert [n.stage for n in second.nodes.values() if n.key in first.nodes] == ["index"]


def test_the_key_depends_on_the_data(plan_of: Any, tiny: Path) -> None:
    first = plan_of()
    (tiny / "images/train/000.png").write_bytes((tiny / "images/train/001.png").read_bytes())
    assert first.nodes.keys().isdisjoint(plan_of().nodes)


def test_a_synthesizer_that_takes_several_sources_gets_them(plan_of: Any) -> None:
    def images(plan: Plan) -> list[int]:
        return [node.run["images"] for node in plan.nodes.values() if node.stage == "selection"]

    assert images(plan_of(synth="blend")) == [8]
    assert images(plan_of(synth=["blend", "real"])) == [8, 4]
    with pytest.raises(BudgetError, match="4 images from 6 each take 24, but there are 20"):
        plan_of(synth="blend", options={"synth": {"blend": {"sources": 6}}})


def test_a_deterministic_chain_is_trained_per_seed_alone(plan_of: Any) -> None:
    plan = plan_of(seed=[0, 1, 2])
    assert stages(plan) == {"index": 1, "selection": 1, "distilled": 1, "record": 3}


def test_the_order_of_an_identity_changes_nothing() -> None:
    assert Node("s", {"a": 1, "b": 2}, {}).key == Node("s", {"b": 2, "a": 1}, {"run": "other"}).key
    assert Node("s", {"a": 1}, {}).key != Node("t", {"a": 1}, {}).key


# --- what is done ----------------------------------------------------------------------------------------------------


def test_a_plan_tells_what_is_done(plan_of: Any, tmp_path: Path) -> None:
    from d3s2bench.storage.store import Store

    plan, store = plan_of(), Store(tmp_path / "runs")
    assert plan.counts(store) == [("index", 1, 0), ("selection", 1, 0), ("distilled", 1, 0), ("record", 1, 0)]
    store.produce("index", next(iter(plan.nodes)), lambda folder: {})
    assert plan.counts(store)[0] == ("index", 1, 1)


@pytest.mark.parametrize(("status", "done"), [("ok", True), ("failed", False), ("skipped", False)])
def test_only_a_scored_record_is_done(plan_of: Any, tmp_path: Path, status: str, done: bool) -> None:
    from d3s2bench.files import write_json
    from d3s2bench.results.records import record_file
    from d3s2bench.storage.store import Store

    plan = plan_of()
    write_json(record_file(tmp_path / "runs", plan.records[0]), {"status": status})
    assert plan.nodes[plan.records[0]].done(Store(tmp_path / "runs")) is done


# --- models ----------------------------------------------------------------------------------------------------------


def test_a_missing_teacher_names_the_command(plan_of: Any) -> None:
    with pytest.raises(
        ModelError, match="no teacher for dataset 'tiny': make one with 'd3s2bench train teacher"
    ) as caught:
        plan_of(synth="taught", teacher_arch="flat")
    assert "--train-missing" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_teacher_is_a_node_on_request(plan_of: Any) -> None:
    plan = plan_of(synth="taught", train_missing=True, teacher_arch="flat", seed=[0, 1])
    assert stages(plan) == {"index": 1, "selection": 1, "teacher": 1, "distilled": 2, "record": 2}
    (teacher,) = [node for node in plan.nodes.values() if node.stage == "teacher"]
    assert teacher.identity["protocol"]["iterations"] == 9  # converged
    assert all(teacher.key in n.needs for n in plan.nodes.values() if n.stage == "distilled")


def test_a_given_teacher_is_identified_by_its_content(plan_of: Any, tmp_path: Path) -> None:
    keys = []
    for name, content in {"a": "{}", "b": "{}", "c": '{"about": 2}'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "teacher.json").write_text(content)
        keys.append(plan_of(synth="taught", teacher=str(tmp_path / name)).records)
    assert keys[0] == keys[1] != keys[2]


def test_a_teacher_that_is_not_there_is_named(plan_of: Any) -> None:
    with pytest.raises(ModelError, match="teacher folder /nowhere does not exist"):
        plan_of(synth="taught", teacher="/nowhere")


def test_a_folder_that_is_no_teacher_is_refused(plan_of: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no teacher: it has no teacher\.json; make one with 'd3s2bench train"):
        plan_of(synth="taught", teacher=str(tmp_path))


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (["sky", "ground"], "the teacher knows 2 classes, dataset 'tiny' has 4: make one"),
        (
            ["sky", "box", "ground", "dot"],
            "has 4, class 1 is 'box' there and 'ground' here: make one",
        ),
        (["sky", "ground", "box", "dot"], None),
    ],
    ids=["fewer", "others", "the same"],
)
def test_a_teacher_of_other_classes_is_refused(plan_of: Any, tmp_path: Path, classes: list[str], says: str) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given/teacher.json").write_text(json.dumps({"classes": classes}))
    with pytest.raises(ModelError, match=says) if says else nullcontext():
        plan_of(synth="taught", teacher=str(tmp_path / "given"))


def test_the_control_is_a_draw_of_chance_whatever_options_random_has(plan_of: Any) -> None:
    """A stratified draw stands beside it as a method of its own; all commands that are recorded plan their own cell."""
    stratified = {"selector": {"random": {"stratify": "presence"}}}
    plan = plan_of(selector="random", synth="real", options=stratified, controls="default")
    runs = [plan.nodes[key].run for key in plan.records if plan.nodes[key].run["pairs"]]
    assert [run["spec"]["selector"]["changed"] for run in runs] == [["stratify"], []]
    assert ["selector.random.stratify=presence" in run["command"] for run in runs] == [True, False]
    alone = plan_of(selector="random", synth="real", controls="none")
    assert alone.records == [plan.records[1]]


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"selector": "firt"}, UnknownNameError, "unknown selector 'firt': did you mean 'first'"),
        ({"synth": "nosy"}, UnknownNameError, "unknown synthesizer 'nosy': did you mean 'noisy'"),
        ({"evaluator": "majorty"}, UnknownNameError, "unknown evaluator 'majorty': did you mean 'majority'"),
        (
            {"arch": "flatt"},
            UnknownNameError,
            "unknown architecture of evaluator 'majority' 'flatt': did you mean 'flat'",
        ),
        ({"dataset": "tinny"}, UnknownNameError, "unknown dataset 'tinny'"),
        ({"eval_split": "tst"}, DatasetError, "dataset 'tiny' has no split 'tst': choose one of test, val with"),
        ({"rate": 0.001}, BudgetError, "gives 0 images"),
        ({"rate": 2}, BudgetError, "out of range"),
        (
            {"protocol": {"iteration": 3}},
            UnknownNameError,
            "unknown protocol key 'iteration': did you mean 'iterations'",
        ),
        (
            {"protocol": {"iterations": "many"}},
            ConfigError,
            "protocol.iterations is 'many': it must be of type int, as 5",
        ),
        ({"protocol": {"iterations": 1e3}}, ConfigError, "protocol.iterations is 1000.0: it must be of type int"),
        ({"protocol": {"size": 3}}, ConfigError, "protocol.size is 3: it must be of type list"),
        ({"protocol": {"iterations": 0}}, ConfigError, "protocol.iterations is 0: it must be at least 1"),
        ({"protocol": {"size": [0, 32]}}, ConfigError, "protocol.size is \\[0, 32\\]: it must be \\[width, height\\]"),
        ({"options": {"selector": {"first": {"ofset": 1}}}}, UnknownNameError, "did you mean 'offset'"),
        ({"options": {"selector": {"first": {"offset": "x"}}}}, ConfigError, "could not be converted to Integer"),
        (
            {"options": {"dataset": {"folder": {"nam": 1}}}},
            UnknownNameError,
            "unknown option of dataset 'folder' 'nam'",
        ),
        ({"options": {"dataset": {"folder": {"root": "x"}}}}, UnknownNameError, "unknown option of dataset 'folder'"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_anything_runs(
    plan_of: Any, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        plan_of(**change)
    assert "\n" not in str(caught.value)


def test_options_for_a_component_that_does_not_exist_are_refused(tiny: Path, tmp_path: Path) -> None:
    config = fake_config(tiny, tmp_path / "runs", options={"synth": {"nosy": {"strength": 1}}})
    with pytest.raises(UnknownNameError, match="did you mean 'noisy'"):
        planner_of(config).configured.check_options()


def test_options_of_a_component_that_is_not_used_are_checked_too(tiny: Path, tmp_path: Path) -> None:
    config = fake_config(tiny, tmp_path / "runs", options={"synth": {"noisy": {"strenght": 1}}})
    planner_of(config).matrix()  # uses real alone
    with pytest.raises(UnknownNameError, match="unknown option of synthesizer 'noisy' 'strenght': did you mean 'stren"):
        planner_of(config).configured.check_options()


def test_a_missing_train_split_is_named(plan_of: Any, tiny: Path) -> None:
    (tiny / "images/train").rename(tiny / "images/training")
    with pytest.raises(DatasetError, match="has no split 'train': its splits are test, training, val"):
        plan_of()


def test_a_dataset_that_reads_files_needs_its_place(tiny: Path, tmp_path: Path) -> None:
    config = fake_config(tiny, tmp_path / "runs", dataset="folder")
    with pytest.raises(ConfigError, match="dataset 'folder' needs its place: give --data-root DIR"):
        planner_of(config).matrix()


def test_a_misspelt_data_root_finds_its_name(tiny: Path, tmp_path: Path) -> None:
    config = fake_config(tiny, tmp_path / "runs", dataset="camvd", data_root={"camvid": str(tiny)})
    with pytest.raises(UnknownNameError, match="unknown dataset 'camvd': did you mean 'camvid'"):
        planner_of(config).matrix()


def test_a_split_that_cannot_be_scored_is_refused_before_anything_runs(plan_of: Any, tiny: Path) -> None:
    (tiny / "annotations/test/003.png").unlink()
    with pytest.raises(DatasetError, match=r"test/003\.png has no mask"):
        plan_of()


def test_a_record_says_the_name_and_the_rate_that_were_asked_for(plan_of: Any, tiny: Path) -> None:
    asked = plan_of()
    assert asked.records != plan_of(rate=0.201).records  # as many images
    assert asked.records != plan_of(dataset="other", data_root={"other": str(tiny)}).records


def test_a_whole_number_stands_for_a_fraction(plan_of: Any) -> None:
    plan = plan_of(protocol={"rate": 1})
    value = plan.nodes[plan.records[0]].run["spec"]["protocol"]["rate"]
    assert (value, type(value)) == (1.0, float)


def test_a_component_that_misses_a_library_is_refused(plan_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from d3s2bench import Component
    from d3s2bench.plugins import Registered, Registry

    needy = Component("selector", "first", "engine_fakes:First", "", ("no_such_lib",))
    folder = Component("dataset", "folder", "d3s2bench.datasets.folder:Folder", "")
    real = Component("synthesizer", "real", "d3s2bench_synthesizers.real:Real", "")
    usable = [Registered(component, "p", "1") for component in (folder, real)]
    found = Registry([Registered(needy, "p", "1", "missing: no_such_lib; install it"), *usable])
    monkeypatch.setattr("d3s2bench.workspace.registry", lambda files: found)
    with pytest.raises(PluginError, match="selector 'first' of p cannot be used: missing: no_such_lib; install it"):
        plan_of()


# --- sets made elsewhere ---------------------------------------------------------------------------------------------

FOREIGN = {part: {"name": "theirs", "options": {}, "version": ""} for part in ("selector", "synth")}


def test_a_set_made_elsewhere_is_scored_by_its_content(tiny: Path, tmp_path: Path) -> None:
    def key(folder: str, identity: str) -> list[str]:
        planner = planner_of(fake_config(tiny, tmp_path / "runs", seed=[0, 1]))
        return planner.external(Path(folder), identity, 4, FOREIGN).records

    assert key("/a", "1") == key("/b", "1")
    assert set(key("/a", "1")).isdisjoint(key("/a", "2"))
    assert len(key("/a", "1")) == 2


def test_a_set_made_elsewhere_stands_at_the_rate_that_gives_as_many_images(tiny: Path, tmp_path: Path) -> None:
    """3 of 19 images are 15.8 %, but whoever asks for 16 % gets 3, too: then they share a column."""
    for split in ("images", "annotations"):
        (tiny / split / "train/019.png").unlink()
    plan = planner_of(fake_config(tiny, tmp_path / "runs")).external(Path("/a"), "1", 3, FOREIGN)
    assert plan.nodes[plan.records[0]].run["spec"]["rate"] == 0.16


def test_a_set_larger_than_the_train_split_is_refused(tiny: Path, tmp_path: Path) -> None:
    planner = planner_of(fake_config(tiny, tmp_path / "runs"))
    with pytest.raises(BudgetError, match="/a holds 21 images, more than the 20 of tiny's train split"):
        planner.external(Path("/a"), "1", 21, FOREIGN)


# --- the command in a record -----------------------------------------------------------------------------------------


def parsed(command: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The configuration that the command line makes of it."""
    from typer.testing import CliRunner

    from d3s2bench import api
    from d3s2bench.cli import app as cli

    configs: list[Any] = []
    empty = api.Result([], "")
    monkeypatch.setattr(api, "run", lambda config, *_: configs.append(config) or empty)
    monkeypatch.setattr(api, "evaluate", lambda folder, config, *_: configs.append(config) or empty)
    done = CliRunner().invoke(cli.app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    return configs[0]


def test_the_command_in_each_record_repeats_it(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {
        "synth": ["real", "noisy"],
        "seed": [3, 4],
        "rate": 0.123456789,
        "controls": "all",
        "size": [48, 32],
        "threads": 2,
        "budget": [0.5, 1],
        "holdout": {"tiny": "*9"},
        "protocol": {"iterations": 7, "size": [48, 32], "rate": 0.5},
        "options": {"synth": {"noisy": {"strength": 2.5, "size": [8, 6]}}},
    }
    plan = planner_of(fake_config(tiny, tmp_path / "runs", **given)).matrix()
    assert len(plan.records) == 2 * 2 * (3 + 3) + 1
    for key in plan.records:
        config = parsed(plan.nodes[key].run["command"], monkeypatch)
        config.data_root = {"tiny": str(tiny)}
        assert key in planner_of(config).matrix().records


def test_the_command_for_a_set_made_elsewhere(tiny: Path, tmp_path: Path) -> None:
    plan = planner_of(fake_config(tiny, tmp_path / "runs")).external(Path("/a b"), "1", 4, FOREIGN)
    command = plan.nodes[plan.records[0]].run["command"]
    told = "d3s2bench evaluate '/a b' --dataset tiny --evaluator majority --arch flat --seed 0"
    assert command == told + " --set teacher_evaluator=majority"


def test_every_node_is_json(plan_of: Any) -> None:
    import json

    for node in plan_of(controls="default", seed=[0, 1]).nodes.values():
        assert json.loads(json.dumps([node.identity, node.run])) == [node.identity, node.run]
