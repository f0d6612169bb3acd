"""Configuration: the order of the layers, and every wrong key or value in one line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from d3s2bench import ConfigError
from d3s2bench.config import AXES, RunConfig, make_config


def from_yaml(folder: Path, text: str, *assignments: str, **given: Any) -> RunConfig:
    file = folder / "config.yaml"
    file.write_text(text)
    return make_config(given, file, assignments)


def test_the_defaults_are_the_main_job() -> None:
    assert make_config() == RunConfig()
    assert (RunConfig().dataset, RunConfig().selector, RunConfig().synth) == (["scenes"], ["balanced"], ["guided"])


def test_each_layer_overrides_the_one_below(tmp_path: Path) -> None:
    assert make_config({"preset": "smoke"}).rate == [0.005]
    assert from_yaml(tmp_path, "rate: 0.2\npreset: smoke").rate == [0.2]
    assert from_yaml(tmp_path, "rate: 0.2\npreset: smoke", rate=[0.3]).rate == [0.3]
    assert from_yaml(tmp_path, "rate: 0.2\npreset: smoke", "rate=0.4", rate=[0.3]).rate == [0.4]


def test_layers_merge_key_by_key(tmp_path: Path) -> None:
    config = from_yaml(tmp_path, "preset: smoke\noptions: {synth: {guided: {scale: 3}}}", "protocol.batch_size=2")
    assert config.options["synth"]["guided"] == {"steps": 8, "scale": 3}
    assert config.protocol == {"iterations": 60, "batch_size": 2}


def test_the_command_line_chooses_the_preset(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown preset 'smok': did you mean 'smoke'"):
        from_yaml(tmp_path, "preset: smoke", preset="smok")


def test_none_means_not_given(tmp_path: Path) -> None:
    assert from_yaml(tmp_path, "seed: 4", seed=None).seed == [4]


@pytest.mark.parametrize("axis", AXES)
def test_a_single_value_is_an_axis_of_one(axis: str) -> None:
    value = getattr(RunConfig(), axis)[0]
    assert getattr(make_config({axis: value}), axis) == [value]
    with pytest.raises(ConfigError, match=f"'{axis}' is an empty list: give at least one value"):
        make_config({axis: []})


def test_options_are_placed_by_kind() -> None:
    config = make_config(None, None, ["synth.guided.scale=2", "evaluator.torch.labels=soft", "selector=[a,b]"])
    assert config.options == {"synth": {"guided": {"scale": 2}}, "evaluator": {"torch": {"labels": "soft"}}}
    assert config.selector == ["a", "b"]


def test_a_file_may_place_options_with_dots_as_the_command_line_does(tmp_path: Path) -> None:
    content = "synth.guided.scale: 2\nprotocol.iterations: 9\noptions: {synth: {guided: {steps: 3}}}"
    config = from_yaml(tmp_path, content)
    assert config.options == {"synth": {"guided": {"scale": 2, "steps": 3}}}
    assert config.protocol == {"iterations": 9}


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("a=1", 1),
        ("a=1e-3", 0.001),
        ("a=true", True),
        ("a=null", None),
        ("a=x=y", "x=y"),
        ("a=[1,2]", [1, 2]),
        ("a=", None),
    ],
)
def test_values_have_the_type_that_yaml_gives_them(assignment: str, value: Any) -> None:
    assert make_config(None, None, [f"protocol.{assignment}"]).protocol == {"a": value}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("sed=1", "unknown configuration key 'sed': did you mean 'seed'"),
        ("synt.guided.scale=2", "unknown configuration key 'synt': did you mean 'synth'"),
        ("options.synht.guided.scale=2", "unknown kind of options 'synht': did you mean 'synth'"),
        ("seed", "'seed' assigns nothing: write KEY=VALUE"),
        ("=5", "unknown configuration key ''"),
        ("seed=[1", "cannot read seed=\\[1: while parsing"),
        ("seed=one", "Value 'one' of type 'str' could not be converted to Integer"),
        ("seed=1.5", "could not be converted to Integer"),
        ("seed=-1", "seed is -1: give at least 0"),
        ("holdout=[a]", "holdout is a list: write a mapping, NAME: VALUE"),
        ("teacher_protocol.iterations=5", "set teacher_protocol.converged_iterations, not iterations"),
        ("seed.x=3", "'seed' must list plain values"),
        ("synth.guided=2", "'synth' must list plain values: an option is set as synth.guided.scale=2"),
        ("rate=[[0.1]]", "'rate' must list plain values|Float"),
        ("rate=much", "Float.*key 'rate"),
        ("threads=0", "is 0: give at least 1"),
        ("workers=0", "is 0: give at least 1"),
        ("size=[8,8]", "size must be \\[width, height\\], each at least 16"),
        ("size=[64]", "size must be"),
        ("size=64", "size must be \\[width, height\\]"),
        ("controls=al", "unknown controls 'al': did you mean 'all'"),
        ("wandb=onlin", "unknown wandb 'onlin': did you mean 'online'"),
        ("train_missing=perhaps", "not a valid bool"),
        ("options.synth=3", "configuration: .*options.synth"),
        ("options=null", "configuration: .*options"),
        ("preset=[smoke]", "unknown preset"),
        ("device=gpu", "unknown device 'gpu': give cpu, cuda or cuda:N"),
        ("out=${nowhere}", "configuration: Interpolation key 'nowhere' not found"),
    ],
)
def test_wrong_assignments_are_one_line(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_config(None, None, [assignment])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rate: [a", "is no valid YAML"),
        (b"rate: 1\nrate: 2", "is no valid YAML.*duplicate key"),
        (b"\xff\xfe\xff", "is no valid YAML"),
        (b"- a\n- b", "must hold a mapping"),
        (b"5", "cannot read configuration"),
        (b"raet: 0.1", "unknown configuration key 'raet': did you mean 'rate'"),
        (b"options:", "configuration: "),
    ],
)
def test_wrong_files_are_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        make_config(None, file)
    assert "\n" not in str(caught.value)
    assert "None" not in str(caught.value).replace("NoneType", "").replace("'None'", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read configuration .*nowhere\.yaml: No such file"):
        make_config(None, tmp_path / "nowhere.yaml")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert from_yaml(tmp_path, "") == RunConfig()


def test_every_key_can_be_given_back(tmp_path: Path) -> None:
    plain = RunConfig()
    given = {f.name: getattr(plain, f.name) for f in fields(plain)}
    assert make_config(given) == plain
