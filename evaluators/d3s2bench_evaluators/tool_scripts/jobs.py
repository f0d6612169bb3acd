"""What the jobs of all tools share: how they are read and answered, and what is found and written the same way.

A script reads one job, a line of JSON, on stdin; answers on stdout in lines of JSON: ``progress``, at last ``result``
or, for what a user can mend, ``error``. Whatever a library prints goes to stderr. It ends when stdin is closed, which
is when its parent ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Answer = Callable[..., None]
Job = dict[str, Any]


class JobError(Exception):
    """What a user can mend, in one line."""


def run(jobs: dict[str, Callable[[Job, Answer], Job]]) -> None:
    """Runs the job of stdin."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        answer(result=jobs[job["job"]](job, answer))
    except JobError as error:
        answer(error=str(error))


def end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def missing(*modules: str) -> list[str]:
    return [module for module in modules if find_spec(module) is None]


def package_folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec and spec.origin
    return Path(spec.origin).parent


def version(*distributions: str) -> str | None:
    """Of the first that is installed, without what tells builds of one version apart."""
    for name in distributions:
        try:
            return metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return None


def config_file(tool: str, name: str, shipped: Path, ending: str, project: str) -> Path:
    """A file, or by its name one of the project's own, which lie in the folders of ``shipped``."""
    for file in (Path(name), shipped / name):
        if file.is_file():
            return file
    known = [str(file.relative_to(shipped)) for file in shipped.glob(f"*/*{ending}")]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"its own are those below {shipped}"
    raise JobError(f"no {tool} config '{name}': neither a file nor one of {project}'s own; {hint}")


def set_torch(job: Job) -> None:
    """Threads and device."""
    import torch

    torch.set_num_threads(job["threads"])
    if job["device"].startswith("cuda:"):
        torch.cuda.set_device(job["device"])


class LossTeller:
    """Tells how far a training is, five times a second at most: to read a loss is to wait for the GPU."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self._told = answer, 0.0

    def tell(self, done: int, total: int, loss: Callable[[], float]) -> None:
        if time.monotonic() - self._told > 0.2 or done == total:
            self._told = time.monotonic()
            self._answer(progress=[done, total, f"loss {loss():.3f}"])


def newest_whole(checkpoints: Sequence[Path]) -> Path | None:
    """A kill may have torn the last; what is whole is a zip file, whose directory is at its end."""
    return next((file for file in reversed(checkpoints) if zipfile.is_zipfile(file)), None)


def first_weights(tool: str, file: Path) -> dict[str, Any]:
    """Tensors by name, maybe in dicts of a ``.pth``. Whatever a user's file says, reading it runs none of it.

    Raises:
        JobError: the file is torn, or holds anything else.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        return dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # each format has its own, and torch's own words are to read the file all the same
        told = f"evaluator {tool}: pretrained is {file}: it is torn or holds more than tensors ({type(error).__name__})"
        raise JobError(f"{told}; give a whole .safetensors file, or a .pth of nothing but tensors") from error


def save_weights(model: Any, file: Path) -> None:
    """As safetensors."""
    from safetensors.torch import save_file

    partial = file.with_suffix(".partial")
    save_file({name: value.contiguous().clone().cpu() for name, value in model.state_dict().items()}, str(partial))
    partial.replace(file)


def write_label_maps(job: Job, answer: Answer, predict: Callable[[str, int, int], Any]) -> Job:
    """``predictions/NAME.png`` for each of ``items`` (name, height, width): what ``predict`` says of
    ``images/NAME.png``, a tensor ``(height, width)`` of train ids."""
    import numpy as np
    import torch
    from PIL import Image

    for done, (name, height, width) in enumerate(job["items"], 1):
        with torch.no_grad():
            labels = predict(str(Path(job["images"]) / f"{name}.png"), height, width)
        Image.fromarray(labels.cpu().numpy().astype(np.uint8)).save(Path(job["predictions"]) / f"{name}.png")
        answer(progress=[done, len(job["items"]), ""])
    return {}
