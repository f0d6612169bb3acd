"""Which class reads a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from d3s2bench import DatasetError
from d3s2bench.config import make_config
from d3s2bench.datasets.folder import Folder
from d3s2bench.workspace import Workspace


def test_our_own_layout_is_read_under_the_name_of_a_known_dataset(tiny: Path, tmp_path: Path) -> None:
    config = make_config({"data_root": {"camvid": str(tiny)}, "out": str(tmp_path / "runs")})
    dataset = Workspace.of(config).dataset("camvid")
    assert isinstance(dataset, Folder)
    assert (dataset.name, dataset.classes) == ("camvid", ("sky", "ground", "box", "dot"))


def test_another_tree_must_be_the_official_one(tmp_path: Path) -> None:
    config = make_config({"data_root": {"camvid": str(tmp_path)}, "out": str(tmp_path / "runs")})
    with pytest.raises(DatasetError, match="camvid"):
        Workspace.of(config).dataset("camvid").split("test")
