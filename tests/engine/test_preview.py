"""The preview picture: its size, its columns, what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow

from d3s2bench.datasets.folder import Folder
from d3s2bench.sets.preview import GAP, ROWS, write_preview

WIDTH, HEIGHT = 32 + GAP, 24 + GAP


def preview(tiny: Path, file: Path, count: int, teacher: object = None) -> np.ndarray:  # type: ignore[type-arg]
    """The preview of a set that consists of the first train images."""
    dataset = Folder(tiny)
    write_preview(file, dataset.split("train"), list(range(count)), dataset, teacher)  # type: ignore[arg-type]
    with Pillow.open(file) as picture:
        assert picture.mode == "RGB"
        return np.asarray(picture)


def test_three_columns_without_a_teacher(tiny: Path, tmp_path: Path) -> None:
    sheet = preview(tiny, tmp_path / "preview.png", 3)
    assert sheet.shape == (3 * HEIGHT, 3 * WIDTH, 3)
    train, colours = Folder(tiny).split("train"), np.array([*Folder(tiny).palette, (255, 255, 255)], np.uint8)
    for row in range(3):
        mask = colours[np.minimum(train.mask(row), 4)]
        for column, expected in enumerate((mask, train.image(row), train.image(row))):
            y, x = row * HEIGHT, column * WIDTH
            assert np.array_equal(sheet[y : y + 24, x : x + 32], expected)
    assert (sheet[:, 32:WIDTH] == 255).all()


def test_no_more_than_eight_rows(tiny: Path, tmp_path: Path) -> None:
    assert preview(tiny, tmp_path / "preview.png", 12).shape == (ROWS * HEIGHT, 3 * WIDTH, 3)


class Teacher:
    """Reads every pixel as class 2, at a quarter of the size."""

    def features(self, images: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        assert images.shape == (1, 3, 24, 32)
        assert 0 <= float(images.min()) <= float(images.max()) <= 1
        logits = torch.zeros(1, 4, 6, 8)
        logits[:, 2] = 1
        return logits, {}


def test_the_teachers_reading_is_the_fourth_column(tiny: Path, tmp_path: Path) -> None:
    sheet = preview(tiny, tmp_path / "preview.png", 2, Teacher())
    assert sheet.shape == (2 * HEIGHT, 4 * WIDTH, 3)
    assert (sheet[:24, 3 * WIDTH : 3 * WIDTH + 32] == Folder(tiny).palette[2]).all()


def test_images_of_different_sizes_stand_side_by_side(tiny: Path, tmp_path: Path) -> None:
    """The real photograph is brought to the size of the synthetic mask beside it."""
    small = tmp_path / "small"
    for part in ("images", "annotations"):
        (small / part / "train").mkdir(parents=True)
        with Pillow.open(tiny / part / "train" / "000.png") as picture:
            picture.resize((16, 12), Pillow.Resampling.NEAREST).save(small / part / "train" / "000.png")
    (small / "classes.json").write_text('["a", "b", "c", "d"]')
    write_preview(tmp_path / "p.png", Folder(small).split("train"), [0], Folder(tiny), None)
    with Pillow.open(tmp_path / "p.png") as sheet:
        assert sheet.size == (3 * (16 + GAP), 12 + GAP)
