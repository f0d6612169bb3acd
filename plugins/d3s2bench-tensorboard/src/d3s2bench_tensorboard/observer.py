"""Each record as a run of TensorBoard, beside the records of the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from d3s2bench import Folders, Json


@dataclass(frozen=True)
class TensorBoard:
    """Writes ``tensorboard/METHOD/ID`` into the run's folder; the step is the number of training iterations, so that
    several budgets give a curve.

    Attributes:
        folder: where; relative to the run's folder.
        preview: whether the picture of the distilled set is shown, too.
    """

    folder: str = "tensorboard"
    preview: bool = True

    def on_record(self, record: Json, folders: Folders) -> None:
        from tensorboardX import SummaryWriter

        spec = record["spec"]
        place = folders.out / self.folder / f"{spec['selector']['name']}+{spec['synth']['name']}" / record["id"]
        shutil.rmtree(place, ignore_errors=True)  # told again: the same run anew
        step = spec["protocol"]["iterations"]
        with SummaryWriter(str(place)) as writer:
            for name, value in scalars(record):
                writer.add_scalar(name, value, step)
            writer.add_text("spec", f"```\n{json.dumps(spec, indent=1)}\n```", step)
            if self.preview and folders.distilled:
                writer.add_image("preview", _pixels(folders.distilled / "preview.png"), step, dataformats="HWC")

    def finish(self) -> None:
        """Every record closes its own file."""


def scalars(record: Json) -> Iterator[tuple[str, float]]:
    """Scores in percent, by class too, and seconds; what was not measured is left out."""
    metrics = record["metrics"]
    yield from ((name, value) for name, value in metrics.items() if isinstance(value, int | float))
    of_class = zip(record["spec"]["dataset"]["classes"], metrics["per_class_iou"], strict=True)
    yield from ((f"iou/{name}", value) for name, value in of_class if value is not None)
    yield from ((f"seconds/{name}", value) for name, value in record["timings"].items() if value is not None)


def _pixels(file: Path) -> object:
    import numpy as np
    from PIL import Image

    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))
