"""What the distilled sets of a run hold, beside the mIoU of the students that learnt from them: why methods stand where
they stand.

    python benchmarks/what_sets_hold.py OUT [--pixels 16] [--picture FILE.png]

For each row (mean over its repetitions): how many classes a set shows; the images that show a class of the head, of the
middle and of the tail, on average over these classes; the share of tail pixels; classes per image; and what --quality
measured; of the sets that the store still has. A class is shown by an image from so many pixels on. The thirds are
those of the records (``miou_head`` …): by share among the pixels of train. Below: Spearman's rank correlation of each
column with mIoU over the rows with real photographs and hard labels, that is over selectors. The picture has the first
images of the first repetition's set of each method, best method first.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scipy.stats import spearmanr

from d3s2bench import Json
from d3s2bench.files import load_npz, read_mask
from d3s2bench.results.records import read_records

LABEL = 170
"""Pixels for the name of a method."""
THIRDS = ("head", "mid", "tail")
QUALITY = {"judge": "judge_accuracy", "distance": "feature_distance", "diversity": "diversity"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pixels", type=int, default=16)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    records = [record for record in read_records(given.out) if record["status"] == "ok"]
    table = rows(given.out, records, given.pixels)
    print(table.to_markdown(floatfmt=".2f"))
    real = table[[method.endswith("+real") and not method.startswith("full") for method in table.index]]
    print(f"\nSpearman's rank correlation with mIoU over {len(real)} selectors:")
    for column in real.columns.drop(["n", "mIoU"]):
        if real[column].nunique() > 1:
            rank = spearmanr(real[column], real["mIoU"])
            print(f"  {column:12} {rank.statistic:+.2f} (p {rank.pvalue:.3f})")

    if given.picture:
        sheet = draw(given.out, records, [name for name in table.index if name.count("+") == 1])
        sheet.quantize(128).save(given.picture, optimize=True)


def draw(out: Path, records: list[Json], methods: list[str]) -> Image.Image:
    """Ten images of each method, its name beside them."""
    first = {method(r["spec"]): r["provenance"]["distilled"] for r in records if r["spec"]["seed"] == 0}
    sets = {name: out / "store/distilled" / first[name] / "images" for name in methods if name in first}
    files = {name: sorted(images.glob("*.png"))[:10] for name, images in sets.items() if images.is_dir()}
    width, height = Image.open(next(iter(files.values()))[0]).size
    sheet = Image.new("RGB", (LABEL + 10 * width, len(files) * height), "white")
    for row, (name, images) in enumerate(files.items()):
        ImageDraw.Draw(sheet).text((4, row * height + height // 2 - 6), name, "black")
        for k, file in enumerate(images):
            sheet.paste(Image.open(file), (LABEL + k * width, row * height))
    return sheet


def rows(out: Path, records: list[Json], pixels: int) -> pd.DataFrame:
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for record in records:
        spec, key = record["spec"], record["provenance"]["distilled"]
        if key is None:
            continue
        share = load_npz(out / "records" / record["confusion"]["path"])["train_share"]
        folder = out / "store/distilled" / key
        held = holds(folder, tuple(share.tolist()), pixels) if folder.is_dir() else {}
        quality = record["quality"] or {}
        found[method(spec)].append(
            {"mIoU": record["metrics"]["miou"], **held, **{name: quality.get(key) for name, key in QUALITY.items()}}
        )
    means = {name: {"n": len(each), **pd.DataFrame(each).astype(float).mean()} for name, each in found.items()}
    return pd.DataFrame(means).T.sort_values("mIoU", ascending=False)


def method(spec: Json) -> str:
    options = {part: {k: spec[part]["options"][k] for k in spec[part]["changed"]} for part in ("selector", "synth")}
    names = [spec[part]["name"] + (str(options[part]) if options[part] else "") for part in options]
    labels = spec["evaluator"]["options"].get("labels", "hard")
    return "+".join(names + ([] if labels == "hard" else [labels]))


@cache
def holds(folder: Path, train_share: tuple[float, ...], pixels: int) -> dict[str, float]:
    classes = len(train_share)
    masks = [read_mask(file, classes) for file in sorted((folder / "annotations").glob("*.png"))]
    counts = np.array([np.bincount(mask.ravel(), minlength=256)[:classes] for mask in masks])
    shows = counts >= pixels
    parts = np.array_split(np.argsort(-np.array(train_share), kind="stable"), 3)
    return {
        "classes": float(shows.any(axis=0).sum()),
        **{name: float(shows[:, part].sum(axis=0).mean()) for name, part in zip(THIRDS, parts, strict=True)},
        "tail pixels %": float(100 * counts[:, parts[2]].sum() / counts.sum()),
        "per image": float(shows.sum(axis=1).mean()),
    }


if __name__ == "__main__":
    main()
