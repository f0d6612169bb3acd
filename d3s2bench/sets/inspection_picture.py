"""The picture of an inspection: the classes' long tail on the left, a contact sheet of all splits on the right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from d3s2bench.files import palette_table, png, write_bytes
from d3s2bench.interfaces import Dataset
from d3s2bench.sets.inspection import SHOWN, SplitReport
from d3s2bench.values import Image

ROW, NAMES, BARS = 13, 150, 360
"""Height of a class's row, width of the names, width of the longest bar."""
DECADES = 6
"""The bars are logarithmic and begin at 1 pixel in 10 ** DECADES."""
CELL, GAP = 150, 4
TITLE = 20


def draw_inspection(file: Path, dataset: Dataset, reports: list[SplitReport]) -> None:
    """Writes a PNG. Only Pillow draws."""
    parts = [_long_tail(dataset, reports[0]), _contact_sheet(dataset, reports)]
    width, height = sum(p.width for p in parts) + 3 * GAP, max(p.height for p in parts) + 2 * GAP
    sheet = Pillow.new("RGB", (width, height), "white")
    sheet.paste(parts[0], (GAP, GAP))
    sheet.paste(parts[1], (parts[0].width + 2 * GAP, GAP))
    write_bytes(file, png(np.asarray(sheet)))


def bar_length(share: float) -> int:
    """In pixels: a share of 1 fills the width, and each decade less is a step shorter."""
    return round(BARS * max(0.0, 1 + float(np.log10(share)) / DECADES)) if share > 0 else 0


def _long_tail(dataset: Dataset, report: SplitReport) -> Pillow.Image:
    """A bar for each class, from frequent to rare, in its colour."""
    share = report.index.class_share
    picture = Pillow.new("RGB", (NAMES + BARS + 60, TITLE + ROW * (len(share) + 1)), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((0, 2), f"{dataset.name} {report.name}: share of labelled pixels, {len(report.index):,} masks", "black")
    _decades(pen, TITLE, picture.height)
    for row, c in enumerate(report.order):
        y = TITLE + ROW * row
        pen.text((0, y), dataset.classes[c][:24], "black")
        end = NAMES + bar_length(share[c])
        pen.rectangle((NAMES, y + 1, end, y + ROW - 3), fill=dataset.palette[c], outline="grey")
        pen.text((end + 4, y), f"{100 * share[c]:.3g} %" if share[c] else "absent", "dimgrey")
    return picture


def _decades(pen: ImageDraw.ImageDraw, top: int, bottom: int) -> None:
    for decade in range(DECADES + 1):
        x = NAMES + BARS - round(BARS * decade / DECADES)
        pen.line((x, top, x, bottom - ROW), fill="lightgrey")
        pen.text((x - 8, bottom - ROW), f"{100 / 10**decade:g} %", "dimgrey")


def _contact_sheet(dataset: Dataset, reports: list[SplitReport]) -> Pillow.Image:
    """Two rows for each split: images, and their masks in the classes' colours; ignored pixels are white."""
    rows = [_cells(dataset, report) for report in reports]
    heights = [TITLE + 2 * (max(cell.height for cell in row) // 2 + GAP) for row in rows]
    sheet = Pillow.new("RGB", (SHOWN * (CELL + GAP), sum(heights)), "white")
    pen = ImageDraw.Draw(sheet)
    for report, row, y in zip(reports, rows, np.cumsum([0, *heights[:-1]]).tolist(), strict=True):
        pen.text((0, y + 2), f"{report.name}: {report.images:,} images", "black")
        for k, cell in enumerate(row):
            sheet.paste(cell, (k * (CELL + GAP), y + TITLE))
    return sheet


def _cells(dataset: Dataset, report: SplitReport) -> list[Pillow.Image]:
    colours = palette_table(dataset.palette)
    pairs = [(report.shown.image(i), colours[report.shown.mask(i)]) for i in range(len(report.shown))]
    return [_stacked(_small(image, Pillow.Resampling.BILINEAR), _small(mask)) for image, mask in pairs]


def _small(image: Image, how: Pillow.Resampling = Pillow.Resampling.NEAREST) -> Pillow.Image:
    height, width, _ = image.shape
    return Pillow.fromarray(image).resize((CELL, max(1, round(CELL * height / width))), how)


def _stacked(above: Pillow.Image, below: Pillow.Image) -> Pillow.Image:
    cell = Pillow.new("RGB", (CELL, above.height + GAP + below.height), "white")
    cell.paste(above, (0, 0))
    cell.paste(below, (0, above.height + GAP))
    return cell
