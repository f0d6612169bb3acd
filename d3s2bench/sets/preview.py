"""The preview picture of a distilled set: mask | real | synthetic | the teacher's reading, one sample a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from d3s2bench.files import palette_table, write_bytes
from d3s2bench.files import png as encode
from d3s2bench.interfaces import Dataset, Split, Teacher
from d3s2bench.values import Image, Mask

ROWS = 8
GAP = 2


def write_preview(
    file: Path, pairs: Split, sources: list[int], dataset: Dataset, teacher: Teacher | None, device: str = "cpu"
) -> None:
    """The first eight samples; the column of the teacher, which is on ``device``, is left out where there is none."""
    train = dataset.split("train")
    colours = palette_table(dataset.palette)
    rows = []
    for k, source in enumerate(sources[:ROWS]):
        image, mask = pairs.image(k), pairs.mask(k)
        cells = [colours[mask], _fitted(train.image(source), mask), image]
        if teacher is not None:
            cells.append(colours[_reading(teacher, image, device)])
        rows.append(cells)
    write_bytes(file, encode(_grid(rows)))


def _fitted(image: Image, mask: Mask) -> Image:
    return np.asarray(Pillow.fromarray(image).resize(mask.shape[::-1], Pillow.Resampling.BILINEAR))


def _reading(teacher: Teacher, image: Image, device: str) -> Mask:
    import torch

    with torch.no_grad():
        pixels = torch.from_numpy(image.copy()).to(device)
        logits, _ = teacher.features(pixels.permute(2, 0, 1)[None].float() / 255)
        large = torch.nn.functional.interpolate(logits, image.shape[:2], mode="bilinear")
    reading: Mask = large.argmax(1)[0].to(torch.uint8).cpu().numpy()
    return reading


def _grid(rows: list[list[Image]]) -> Image:
    """Cells beside and below each other on white; each column is as wide as its widest cell."""
    height = sum(max(c.shape[0] for c in row) + GAP for row in rows)
    widths = [max(row[i].shape[1] for row in rows) + GAP for i in range(len(rows[0]))]
    sheet = np.full((height, sum(widths), 3), 255, np.uint8)
    y = 0
    for row in rows:
        for cell, x in zip(row, np.cumsum([0, *widths[:-1]]), strict=True):
            sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
        y += max(c.shape[0] for c in row) + GAP
    return sheet
