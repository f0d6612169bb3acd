"""Carving a development split: every image of train is in one part, nothing else is to be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from d3s2bench import DatasetError
from d3s2bench.config import make_config
from d3s2bench.datasets.folder import Folder
from d3s2bench.datasets.held_out import HeldOut
from d3s2bench.workspace import Workspace


@pytest.fixture
def carved(tiny: Path) -> HeldOut:
    return HeldOut(Folder(tiny), "00[0-4]")


def test_the_parts_are_those_of_train(tiny: Path, carved: HeldOut) -> None:
    whole, train, dev = Folder(tiny).split("train"), carved.split("train"), carved.split("dev")
    assert [dev.item_name(i) for i in range(len(dev))] == ["000", "001", "002", "003", "004"]
    assert [train.item_name(i) for i in range(len(train))] == [f"{i:03d}" for i in range(5, 20)]
    np.testing.assert_array_equal(train.image(0), whole.image(5))
    np.testing.assert_array_equal(dev.mask(4), whole.mask(4))


@pytest.mark.parametrize("split", ["test", "val"])
def test_no_other_split_can_be_seen(carved: HeldOut, split: str) -> None:
    assert split not in carved.splits
    with pytest.raises(
        DatasetError, match=f"dataset 'tiny' has only train and dev while --holdout carves it: no '{split}'"
    ):
        carved.split(split)


@pytest.mark.parametrize(("pattern", "which"), [("9*", "none"), ("*", "all")])
def test_an_empty_part_is_refused(tiny: Path, pattern: str, which: str) -> None:
    with pytest.raises(DatasetError, match=rf"matches {which} of the 20 train images .* \(000 … 019\)"):
        HeldOut(Folder(tiny), pattern).split("train")


def test_it_is_another_dataset(tiny: Path, carved: HeldOut) -> None:
    """Models and indices of the whole must not be taken for those of the part."""
    prints = {Folder(tiny).fingerprint, carved.fingerprint, HeldOut(Folder(tiny), "000").fingerprint}
    assert len(prints) == 3
    assert carved.assets is None


@pytest.mark.parametrize("given", [{"": "00*"}, {"tiny": "00*"}])
def test_planner_and_workers_carve_alike(tiny: Path, tmp_path: Path, given: dict[str, str]) -> None:
    config = make_config({"dataset": "tiny", "data_root": {"tiny": str(tiny)}, "holdout": given, "out": str(tmp_path)})
    ours = Workspace.of(config)
    theirs = Workspace.from_json(ours.to_json())
    assert ours.dataset("tiny").fingerprint == theirs.dataset("tiny").fingerprint
    assert len(theirs.dataset("tiny").split("dev")) == 10


def test_a_pattern_for_another_dataset_carves_nothing(tiny: Path, tmp_path: Path) -> None:
    config = make_config({"data_root": {"tiny": str(tiny)}, "holdout": {"scenes": "00*"}, "out": str(tmp_path)})
    assert Workspace.of(config).dataset("tiny").splits == ("test", "train", "val")
