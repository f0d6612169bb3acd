"""The command line: exit codes, one line per error, a traceback only when asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import use_fakes
from typer.testing import CliRunner

from d3s2bench import ConfigError, DatasetError, api
from d3s2bench.cli import app as cli
from d3s2bench.cli.options import roots
from d3s2bench.config import RunConfig

Said = tuple[int, str, str]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Calls the command line in this process; returns exit code, stdout, stderr."""

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["d3s2bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Configurations that ``run`` would have run."""
    configs: list[RunConfig] = []
    monkeypatch.setattr(api, "run", lambda config, *_: configs.append(config) or api.Result([], "the table"))
    return configs


def raising(error: BaseException) -> Callable[..., Any]:
    def run(*_: object) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    "command",
    [
        *("run", "distill", "evaluate", "leaderboard", "plugins", "train"),
        *("datasets", "store", "status", "explain", "wandb"),
    ],
)
def test_every_command_has_help(said: Callable[..., Said], command: str) -> None:
    code, out, err = said(command, "--help")
    assert (code, err) == (0, "")
    assert "Usage" in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_of_the_list_has_its_help(name: str) -> None:
    done = CliRunner().invoke(cli.app, [name, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: root {name}")


def test_an_unknown_command_is_told_with_the_one_that_was_meant() -> None:
    done = CliRunner().invoke(cli.app, ["leaderbord"])
    assert done.exit_code == 2
    assert "Did you mean 'leaderboard'?" in done.output


def test_help_is_quick_and_loads_nothing() -> None:
    code = (
        "import sys\nfrom d3s2bench.cli.app import main\ntry: main()\nexcept SystemExit: pass\nprint(len(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-P", "-c", code, "--help"], capture_output=True, text=True).stdout
    assert "dataset distillation" in out
    for module in ("numpy", "omegaconf", "pluggy", "PIL"):
        check = code.replace("len(sys.modules)", f"{module!r} in sys.modules")
        made = subprocess.run([sys.executable, "-P", "-c", check, "--help"], capture_output=True, text=True)
        assert made.stdout.splitlines()[-1] == "False"


def test_wrong_usage_is_exit_code_2(said: Callable[..., Said]) -> None:
    for arguments in (["run", "--no-such-option"], ["run", "--rate", "much"], ["nothing"], ["evaluate"]):
        code, _, err = said(*arguments)
        assert code == 2
        assert "Traceback" not in err


def test_success_is_exit_code_0_and_the_table_alone_on_stdout(said: Callable[..., Said], made: list[RunConfig]) -> None:
    assert said("run")[:2] == (0, "the table\n")


def test_a_failed_stage_is_exit_code_1(said: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "run", lambda config, *_: api.Result([], "the table", {"key": "reason"}))
    assert said("run")[:2] == (1, "the table\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DatasetError("x.png is corrupt"), "error: x.png is corrupt\n"),
        (ConfigError("two\nlines"), "error: two lines\n"),
        (ZeroDivisionError("bug"), "error: ZeroDivisionError: bug (--debug shows the traceback)\n"),
        (OSError(28, "No space left on device", "/x"), "error: /x: No space left on device: free space or perm"),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(
    said: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    monkeypatch.setattr(api, "run", raising(error))
    code, out, err = said("run")
    assert (code, out) == (1, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "run", raising(DatasetError("x.png is corrupt")))
    monkeypatch.setattr(sys, "argv", ["d3s2bench", "run", "--debug"])
    with pytest.raises(DatasetError, match=r"x\.png is corrupt"):
        cli.main()


def test_a_real_error_in_a_real_process(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", "from d3s2bench.cli.app import main; main()"]
    command += ["run", "--selector", "balancd", "--out", str(tmp_path)]
    plain = subprocess.run(command, capture_output=True, text=True)
    assert (plain.returncode, plain.stdout) == (1, "")
    assert plain.stderr == "error: unknown selector 'balancd': did you mean 'balanced'?\n"
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True)
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr
    assert debug.stderr.strip().endswith("unknown selector 'balancd': did you mean 'balanced'?")


def test_ctrl_c_is_exit_code_130_and_says_how_to_go_on(
    said: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "run", raising(KeyboardInterrupt()))
    code, out, err = said("run")
    assert (code, out) == (130, "")
    assert err.strip() == "stopped; run the same command again to go on where it was"


# --- options ---------------------------------------------------------------------------------------------------------


def test_options_become_a_configuration(said: Callable[..., Said], made: list[RunConfig], tmp_path: Path) -> None:
    arguments = [
        "--dataset",
        "tiny",
        "--data-root",
        str(tmp_path),
        "--selector",
        "a",
        "--selector",
        "b",
        "--seeds",
        "3",
    ]
    arguments += ["--rate", "0.1", "--set", "synth.guided.scale=2", "--train-missing", "--workers", "2"]
    assert said("run", *arguments)[0] == 0
    (config,) = made
    assert config.selector == ["a", "b"]
    assert config.data_root == {"tiny": str(tmp_path)}
    assert (config.seed, config.rate, config.workers, config.train_missing) == ([0, 1, 2], [0.1], 2, True)
    assert config.options == {"synth": {"guided": {"scale": 2}}}
    assert config.synth == ["guided"]  # the default


def test_what_is_not_given_leaves_the_file_alone(
    said: Callable[..., Said], made: list[RunConfig], tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text("seed: [5]\ntrain_missing: true\nout: elsewhere\ndataset: tiny")
    assert said("run", "--config", str(tmp_path / "c.yaml"))[0] == 0
    assert (made[0].seed, made[0].train_missing, made[0].out, made[0].dataset) == ([5], True, "elsewhere", ["tiny"])


@pytest.mark.parametrize("number", ["0", "-2"])
def test_no_repetitions_are_refused(said: Callable[..., Said], made: list[RunConfig], number: str) -> None:
    code, _, err = said("run", "--seeds", number)
    assert (code, made) == (1, [])
    assert err == f"error: --seeds is {number}: give at least 1\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--seeds", "2", "--seed", "5"), "--seeds N is repetitions 0 to N-1, --seed K repetition K: give one"),
        (("--dry-run", "--json"), "--dry-run prints a plan, --json the events of a run: give one"),
    ],
)
def test_options_that_exclude_each_other(
    said: Callable[..., Said], made: list[RunConfig], words: tuple[str, ...], why: str
) -> None:
    code, out, err = said("run", *words)
    assert (code, out, made) == (1, "", []) and err.startswith(f"error: {why}")


def test_data_roots(tmp_path: Path) -> None:
    place = str(tmp_path)
    assert roots([], ["tiny"]) is None
    assert roots([place], ["tiny"]) == {"tiny": place}
    assert roots([place], ["folder"]) == {"": place}
    assert roots([f"a={place}", f"b={place}"], ["a", "b"]) == {"a": place, "b": place}
    for texts, datasets, message in (
        ([place], ["a", "b"], "says not which dataset lies there: write NAME="),
        ([place], [], "says not which dataset lies there"),
        (["a=/nowhere"], ["a"], "--data-root a=/nowhere: there is no folder /nowhere"),
        (["/nowhere"], ["a"], "there is no folder /nowhere"),
        ([f"a={place}", f"a={place}/."], ["a"], "'a' is given twice"),
    ):
        with pytest.raises(ConfigError, match=message):
            roots(texts, datasets)


def test_relative_roots_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert roots(["a=data"], []) == {"a": str(tmp_path / "data")}


# --- commands --------------------------------------------------------------------------------------------------------


def fake_arguments(tiny: Path, tmp_path: Path) -> list[str]:
    return [
        *("--dataset", "tiny", "--data-root", str(tiny), "--out", str(tmp_path / "runs"), "--rate", "0.2"),
        *("--selector", "first", "--synth", "noisy", "--evaluator", "majority", "--arch", "flat"),
    ]


def test_dry_run_counts_nodes_and_runs_none(
    said: Callable[..., Said], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fakes(monkeypatch)
    code, out, err = said("run", *fake_arguments(tiny, tmp_path), "--seeds", "2", "--dry-run")
    assert (code, err) == (0, "")
    table, outlook = out.split("\n\n")
    assert outlook == "time and disk: no stage like these was measured in this store yet\n"
    assert [line.split() for line in table.splitlines()] == [
        ["stage", "nodes", "reused", "to", "run"],
        ["index", "1", "0", "1"],
        ["selection", "3", "0", "3"],
        ["distilled", "5", "0", "5"],
        ["record", "9", "0", "9"],
    ]
    assert not list((tmp_path / "runs/records").iterdir())
    assert not list((tmp_path / "runs/store").iterdir())


def test_the_folder_dataset_by_its_own_name(
    said: Callable[..., Said], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fakes(monkeypatch)
    arguments = ["folder" if word == "tiny" else word for word in fake_arguments(tiny, tmp_path)]
    code, out, err = said("run", *arguments, "--dry-run")
    assert (code, err) == (0, "")
    assert "record" in out


def test_leaderboard_of_nothing_and_of_an_unknown_format(said: Callable[..., Said], tmp_path: Path) -> None:
    code, _, err = said("leaderboard", str(tmp_path))
    assert code == 1
    assert "holds no records: give the --out folder of a run" in err
    code, _, err = said("leaderboard", str(tmp_path), "--format", "markdwn")
    assert code == 1
    assert "unknown renderer 'markdwn': did you mean 'markdown'?" in err


def test_leaderboard_writes_a_file(said: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(folder: Path, format: str, plugins: object, **given: str) -> str:
        return f"{folder.name} as {format}{given or ''}\n"

    monkeypatch.setattr(api, "leaderboard", made)
    assert said("leaderboard", "runs")[1] == "runs as markdown\n"
    assert said("leaderboard", "runs", "--set", "caption=Ours", "--set", "n=2")[1] == (
        "runs as markdown{'caption': 'Ours', 'n': 2}\n"
    )
    code, out, _ = said("leaderboard", "runs", "--format", "csv", "--out", str(tmp_path / "new/table.csv"))
    assert (code, out) == (0, "")
    assert (tmp_path / "new/table.csv").read_text() == "runs as csv\n"


def test_leaderboard_takes_axes_metric_order_and_filters(said: Callable[..., Said]) -> None:
    records = str(Path(__file__).parents[2] / "leaderboards/scenes")
    asked = ("--rows", "selector,synth,labels", "--columns", "arch", "--metric", "miou_tail", "--sort", "-score")
    code, out, _ = said(
        "leaderboard",
        records,
        *asked,
        "--where",
        "selector=balanced,random",
        "--where",
        "rate=0.01",
        "--where",
        "arch!=deeplab",
    )
    head, _, first, *others = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in out.split("\n\n")[0].split("\n")
    ]
    assert code == 0 and head[:3] == ["selector", "synth", "labels"] and len(head) == 4 and "unet" in head[3]
    assert first[:3] == ["balanced", "real", "soft"] and first[3].startswith("21.64")
    assert len(others) == 6 and "mIoU, tail in percent" in out.split("\n\n")[1]
    assert said("leaderboard", records, "--sort", "scor")[0] == 1


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("generator", "leave it out to train one; which family to train is generator_family"),
        ("teacher", "leave it out to train one"),
    ],
)
def test_who_trains_a_model_gives_none(said: Callable[..., Said], tmp_path: Path, kind: str, why: str) -> None:
    code, _, err = said("train", kind, "--set", f"{kind}=mine", "--out", tmp_path / "runs")
    assert (code, err) == (1, f"error: {kind} is 'mine', that of one that is there: {why}\n")


@pytest.mark.parametrize("kind", ["teacher", "generator"])
def test_train_passes_on_where_to_save(said: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(api, "train", lambda *a, save: calls.append((*a, save)) or [Path("/made")])
    assert said("train", kind, "--dataset", "tiny", "--save", "there")[:2] == (0, "/made\n")
    ((asked, config, save),) = calls
    assert (asked, config.dataset, save) == (kind, ["tiny"], Path("there"))


def test_evaluating_what_is_no_set_is_one_line(
    said: Callable[..., Said], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fakes(monkeypatch)
    arguments = ["--dataset", "tiny", "--data-root", str(tiny), "--out", str(tmp_path / "runs")]
    code, _, err = said("evaluate", str(tmp_path), *arguments)
    assert code == 1
    assert "is no distilled set" in err
    assert err.count("\n") == 1


def test_an_output_that_cannot_be_written_is_one_line(said: Callable[..., Said], tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = said("run", "--out", str(tmp_path / "file" / "runs"))
    assert code == 1
    assert "give another" in err
    assert err.count("\n") == 1
