"""Training images per second: the evaluator torch beside bare PyTorch loops and mmsegmentation's Runner.

    python benchmarks/evaluator_speed.py [--rounds 5] [--iterations 80] [unet] [segformer] [segformer-b0]
    python benchmarks/evaluator_speed.py --device cuda --rounds 3 --iterations 32 published-segformer-b0 \\
        published-mask2former-swin-s

One thread each, 20 pairs, batches of 4; ``unet`` at 96×64, ``segformer-b0`` at 128×128, and one of half its width and
depth (``segformer``). Those that begin with ``published`` train as published, crops of 512×512 in batches of 16 and the
recipe's own precision, and want a GPU. In each round all ways train one after the other; a ratio is the median over
the rounds.

- ours: ``train`` on a set of PNGs, with its augmentation, as the first iterations of a training of 800.
- bare loop: forward, loss, backward, step, on tensors that lie ready in memory, without augmentation; with our network,
  loss, kind of optimiser and memory layout.
- textbook loop: the same with the loss, the optimiser and the layout that one gets without thinking.
- mmseg: the evaluator mmseg on SegFormer of the same sizes with mmsegmentation's own augmentation, where
  D3S2BENCH_MMSEG_PYTHON names an interpreter that has it. Start-up is not counted, its checkpoints (20 a training) are.

Seconds are those of the processor and of the clock: beside other work only the former mean something.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

os.environ.update({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"})

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW, Optimizer

from d3s2bench import IGNORE, Context, DistilledSet, Json
from d3s2bench.datasets.scenes import Scenes
from d3s2bench_evaluators.batches import as_images
from d3s2bench_evaluators.losses import cross_entropy
from d3s2bench_evaluators.mmseg_evaluator import Mmseg
from d3s2bench_evaluators.networks import Network
from d3s2bench_evaluators.precision import autocast
from d3s2bench_evaluators.segmenters import Segmenter
from d3s2bench_evaluators.torch_evaluator import Torch
from d3s2bench_evaluators.training import initial_network

PAIRS, WARM_UP = 20, 16
CLASSES = Scenes(Path()).classes
WIDTHS = [16, 32, 80, 128]
HALF = {"encoder": {"hidden_sizes": WIDTHS, "depths": [1, 1, 1, 1]}, "decoder": {"decoder_hidden_size": 64}}
B0 = "_base_ = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'\n"
HALF_B0 = f"""{B0}
model = dict(
    backbone=dict(embed_dims=16, num_layers=[1, 1, 1, 1], num_heads=[1, 2, 5, 8]),
    decode_head=dict(in_channels={WIDTHS}, channels=64))
"""


@dataclass(frozen=True)
class Case:
    """A network at an input size of (width, height)."""

    arch: str
    size: tuple[int, int]
    changes: dict[str, Any] = field(default_factory=dict)
    mmseg: str = ""
    """The config of the same network for mmsegmentation."""
    batch: int = 4


CASES = {
    "unet": Case("unet", (96, 64)),
    "segformer": Case("segformer-b0", (128, 128), HALF, HALF_B0),
    "segformer-b0": Case("segformer-b0", (128, 128), {}, B0),
}
PUBLISHED = {f"published-{arch}": Case(arch, (512, 512), batch=16) for arch in ("segformer-b0", "mask2former-swin-s")}
Seconds: TypeAlias = tuple[float, float]
"""Of the processor, of the clock."""


class EnoughError(Exception):
    """The iterations that are measured are over."""


@dataclass
class Meter:
    """Takes progress: keeps the time of the first report after the warm-up, and stops at one so much later."""

    iterations: int
    batch: int
    processor: Callable[[], float] = time.process_time
    marks: list[tuple[int, float, float]] = field(default_factory=list)

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if done < WARM_UP or not note.startswith("loss"):
            return
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.marks.append((done, self.processor(), time.perf_counter()))
        if done - self.marks[0][0] >= self.iterations:
            raise EnoughError

    @property
    def seconds(self) -> Seconds:
        """Per image."""
        (first, *before), (last, *after) = self.marks[0], self.marks[-1]
        images = (last - first) * self.batch
        return (after[0] - before[0]) / images, (after[1] - before[1]) / images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = {**CASES, **PUBLISHED}
    parser.add_argument("cases", nargs="*", choices=[[], *known], default=[], metavar="CASE", help=", ".join(known))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=80)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for case in options.cases or CASES:
        with tempfile.TemporaryDirectory() as folder:
            context = Context(Scenes(Path()), device=options.device)
            measure(case, known[case], context, Path(folder), options.rounds, options.iterations)


def measure(name: str, case: Case, context: Context, folder: Path, rounds: int, iterations: int) -> None:
    protocol = Torch().protocol(case.arch, case.size) | case.changes | {"iterations": 800, "batch_size": case.batch}
    pairs, initial = write_pairs(folder / "pairs", case.size), partial(fresh, case.arch, protocol, context)
    ways: dict[str, Callable[[Context], Seconds]] = {
        "ours": lambda context: ours(pairs, case.arch, protocol, context, iterations),
        "bare loop": lambda context: bare(pairs, initial(), protocol, context.device, iterations),
    }
    if context.device == "cpu":
        ways["textbook loop"] = lambda _: textbook(pairs, initial(), protocol, iterations)
    if case.mmseg and os.environ.get(Mmseg.PYTHON):
        ways["mmseg"] = lambda context: mmseg(pairs, case, context, iterations)
    found: dict[str, list[Seconds]] = {way: [] for way in ways}
    for k, (way, train) in product(range(rounds), ways.items()):
        (work := folder / f"{way} {k}").mkdir()
        found[way].append(train(replace(context, workdir=work)))
    report(f"{name} at {case.size[0]}×{case.size[1]}, {rounds} rounds of {iterations} iterations", found)


def fresh(arch: str, protocol: Json, context: Context) -> Network:
    return initial_network(arch, len(CLASSES), protocol, context).train()


def report(title: str, found: dict[str, list[Seconds]]) -> None:
    print(f"{title}\n{'':16}{'images / processor s':>22}{'ours':>8}{'images / s':>14}{'ours':>8}", flush=True)
    for name, seconds in found.items():
        print(f"{name:16}", end="")
        for kind, width in ((0, 22), (1, 14)):
            own = [each[kind] for each in seconds]
            ratio = statistics.median(a / b[kind] for a, b in zip(own, found["ours"], strict=True))
            print(f"{1 / statistics.median(own):{width}.1f}{ratio:6.2f} ×", end="")
        print(flush=True)


def write_pairs(folder: Path, size: tuple[int, int]) -> DistilledSet:
    """Regions of a colour for each class, with noise."""
    draw = np.random.default_rng(0)
    colours = draw.integers(0, 256, (len(CLASSES), 3))
    for part in ("images", "annotations"):
        (folder / part).mkdir(parents=True)
    for i in range(PAIRS):
        points, labels = draw.random((12, 2)) * (size[1], size[0]), draw.integers(0, len(CLASSES), 12)
        row, column = np.indices((size[1], size[0]))
        near = (row[..., None] - points[:, 0]) ** 2 + (column[..., None] - points[:, 1]) ** 2
        mask = labels[near.argmin(axis=2)].astype(np.uint8)
        image = np.clip(colours[mask] + draw.normal(0, 20, (*mask.shape, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{i:02d}.png")
        Image.fromarray(mask).save(folder / "annotations" / f"{i:02d}.png")
    return DistilledSet.open(folder, len(CLASSES))


# --- the ways --------------------------------------------------------------------------------------------------------


def ours(pairs: DistilledSet, arch: str, protocol: Json, context: Context, iterations: int) -> Seconds:
    def train(meter: Meter) -> None:
        Torch().train(pairs, arch, protocol, replace(context, progress=meter))

    return metered(Meter(iterations, protocol["batch_size"]), train)


def bare(pairs: DistilledSet, network: Network, protocol: Json, device: str, iterations: int) -> Seconds:
    rate, decay = protocol["learning_rate"], protocol["weight_decay"]
    optimizer = AdamW(network.parameters(), rate, weight_decay=decay, fused=True)

    def loss(images: Tensor, masks: Tensor) -> Tensor:
        with autocast(protocol, device):
            if isinstance(network, Segmenter):
                return network.loss(images, masks)
            return cross_entropy(network(images), masks)

    return loop(loss, optimizer, ready(pairs, protocol["batch_size"], device), iterations)


def textbook(pairs: DistilledSet, network: Network, protocol: Json, iterations: int) -> Seconds:
    optimizer = AdamW(network.parameters(), protocol["learning_rate"], weight_decay=protocol["weight_decay"])
    batches = [(images.contiguous(), masks) for images, masks in ready(pairs, protocol["batch_size"], "cpu")]
    return loop(
        lambda images, masks: F.cross_entropy(network(images), masks, ignore_index=IGNORE),
        optimizer,
        batches,
        iterations,
    )


def ready(pairs: DistilledSet, batch: int, device: str) -> list[tuple[Tensor, Tensor]]:
    """The batches of an epoch as tensors; the last one is made full with the first pairs."""
    whole = [[i % PAIRS for i in range(first, first + batch)] for first in range(0, PAIRS, batch)]
    masks = [torch.from_numpy(np.stack([pairs.mask(i) for i in items])).to(device).long() for items in whole]
    return [
        (as_images([pairs.image(i) for i in items], device), each) for items, each in zip(whole, masks, strict=True)
    ]


def loop(
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    batches: list[tuple[Tensor, Tensor]],
    iterations: int,
) -> Seconds:
    def train(meter: Meter) -> None:
        for k in range(WARM_UP + iterations + 1):
            images, masks = batches[k % len(batches)]
            if k % 8 == 0:  # as often as ours
                meter(k, 800, "loss")
            value = loss(images, masks)
            optimizer.zero_grad()
            torch.autograd.backward(value)
            optimizer.step()

    return metered(Meter(iterations, len(batches[0][1])), train)


def mmseg(pairs: DistilledSet, case: Case, context: Context, iterations: int) -> Seconds:
    file = context.workdir / "config.py"
    file.write_text(case.mmseg)
    evaluator = Mmseg(config=str(file))
    protocol = evaluator.protocol("config", case.size) | {"iterations": 800, "batch_size": case.batch}

    def train(meter: Meter) -> None:
        evaluator.train(pairs, "config", protocol, replace(context, progress=meter))

    return metered(Meter(iterations, case.batch, processor_of_child), train)


def processor_of_child() -> float:
    """Processor seconds of the one process that this one has started (Linux)."""
    (child,) = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    spent = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")


def metered(meter: Meter, train: Callable[[Meter], Any]) -> Seconds:
    try:
        train(meter)
    except EnoughError:
        return meter.seconds
    raise RuntimeError("the training ended before the measurement")


if __name__ == "__main__":
    main()
