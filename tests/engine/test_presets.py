"""The shipped configurations: what of them is published, that they can be planned, what they say is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dataset_trees import write_ade20k

from d3s2bench import ConfigError, ModelError
from d3s2bench.api import plan
from d3s2bench.config import PRESETS, make_config
from d3s2bench.errors import UnknownNameError
from d3s2bench_synthesizers.latent_sources import NETWORK, STABLE_DIFFUSION

ALL = sorted(file.relative_to(PRESETS).with_suffix("").as_posix() for file in PRESETS.rglob("*.yaml"))
HERE = {"device": "cpu", "rate": 0.5, "out": "runs"}
"""A machine without a GPU, and two images."""
RANDOM_WEIGHTS = ("protocol.backbone=null", "teacher_protocol.backbone=null")


@pytest.mark.parametrize("preset", ALL)
def test_every_preset_loads(preset: str) -> None:
    assert make_config({"preset": preset}).preset == preset


def test_the_help_names_them_all() -> None:
    from d3s2bench.cli.options import Preset

    (option,) = Preset.__metadata__  # type: ignore[attr-defined]
    assert set(option.help.removeprefix("Shipped: ").removesuffix(".").split(", ")) == set(ALL)


@pytest.mark.parametrize(("preset", "dataset"), [("ade20k", "ade20k"), ("coco-stuff", "coco-stuff-164k")])
def test_the_rows_of_the_paper_ask_for_what_is_published(preset: str, dataset: str) -> None:
    config = make_config({"preset": f"d3s2/{preset}-1pct"})
    asked = (config.dataset, config.rate, config.arch, config.selector, config.synth)
    assert asked == ([dataset], [0.01], ["mask2former-swin-s"], ["balanced"], ["guided"])


@pytest.mark.parametrize("preset", [name for name in ALL if name.startswith("d3s2/")])
def test_each_line_of_a_row_says_whether_it_is_published_or_ours(preset: str) -> None:
    """Nested ones, too; not the names of sections, nor what changes no number."""
    lines = (PRESETS / f"{preset}.yaml").read_text().splitlines()
    settings = [line for line in lines if ": " in line and not line.startswith("#")]
    unmarked = [line for line in settings if "# ours" not in line and "# published" not in line]
    assert len(settings) > 10 and unmarked == ["train_missing: true", "device: cuda"]


def test_without_data_it_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"--data-root ade20k=DIR; 'd3s2bench datasets' says where to get it"):
        plan(make_config({"preset": "d3s2/ade20k-1pct", **HERE}))


@pytest.fixture
def ade20k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_ade20k(tmp_path / "ade")
    return {"ade20k": str(tmp_path / "ade")}


def generator_in_folders() -> list[str]:
    """Of empty files: they are read when the generator is made."""
    for part, files in {"base": STABLE_DIFFUSION, "controlnet": NETWORK}.items():
        for file in files:
            (Path(part) / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(part) / file).touch()
    return [f"generator.controlnet.{part}={part}" for part in ("base", "controlnet")]


def test_without_weights_it_names_them_and_where_they_may_lie(ade20k: dict[str, str]) -> None:
    given = {"preset": "d3s2/ade20k-1pct", **HERE, "data_root": ade20k}
    with pytest.raises(ModelError, match=r"no backbone 'nvidia/mit-b4' .* give protocol.backbone a folder") as told:
        plan(make_config(given, assignments=generator_in_folders()))
    assert "\n" not in str(told.value)


def test_without_a_generators_weights_it_says_so_before_anything_is_trained(ade20k: dict[str, str]) -> None:
    given = {"preset": "d3s2/ade20k-1pct", **HERE, "data_root": ade20k}
    fetch = "`hf download stable-diffusion-v1-5/stable-diffusion-v1-5 --local-dir DIR`"
    with pytest.raises(ModelError, match=rf"{fetch}, then give generator\.controlnet\.base=DIR"):
        plan(make_config(given, assignments=RANDOM_WEIGHTS))
    base, _ = generator_in_folders()
    with pytest.raises(ModelError, match=r"then give generator\.controlnet\.controlnet=DIR"):
        plan(make_config(given, assignments=(*RANDOM_WEIGHTS, base)))
    plan(make_config(given | {"synth": "real", "controls": "none"}, assignments=RANDOM_WEIGHTS))


def test_it_is_planned_with_its_controls(ade20k: dict[str, str]) -> None:
    given = {"preset": "d3s2/ade20k-1pct", **HERE, "data_root": ade20k, "seed": 0}
    made, _ = plan(make_config(given, assignments=(*RANDOM_WEIGHTS, *generator_in_folders())))
    specs = [made.nodes[key].run["spec"] for key in made.records]
    methods = [(spec["selector"]["name"], spec["synth"]["name"]) for spec in specs]
    assert {("balanced", "guided"), ("balanced", "real"), ("random", "real")} < set(methods)
    assert {tuple(spec["protocol"]["size"]) for spec in specs} == {(512, 512)}
    (teacher,) = (node for node in made.nodes.values() if node.stage == "teacher")
    assert teacher.identity["arch"] == "segformer-b4"
    assert teacher.identity["protocol"]["learning_rate"] == 6e-5


def test_a_protocol_for_teachers_asks_for_another_than_is_shipped(tmp_path: Path) -> None:
    def teachers(**given: Any) -> list[str]:
        made, _ = plan(make_config({"out": str(tmp_path), "train_missing": True, "preset": "smoke", **given}))
        return [node.stage for node in made.nodes.values() if node.stage == "teacher"]

    assert teachers() == teachers(teacher_protocol={}) == []
    assert teachers(teacher_protocol={"converged_iterations": 9}) == ["teacher"]
    with pytest.raises(UnknownNameError, match="unknown protocol key 'nosuch'"):
        teachers(teacher_protocol={"nosuch": 9})
