"""Crops have the protocol's size, masks stay masks, and pictures are read when needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d3s2bench import IGNORE, DatasetError, StageError
from d3s2bench_evaluators.batches import resize_image, resize_part
from d3s2bench_evaluators.crop_batches import CropBatches, Decoded, ReadAhead
from d3s2bench_evaluators.crops import MEAN, distorted, fitted, random_crop

WHOLE = {"size": [48, 32], "fit": [4.0, 1.0], "scale": [1.0, 1.0], "scale_step": 0.0, "scale_long_side": True}
WHOLE |= {"one_class_at_most": 0.75, "flip": 0.0, "photometric": 0.0, "batch_size": 4}
RECIPE = WHOLE | {"scale": [0.5, 2.0], "flip": 0.5, "photometric": 1.0}


def checked(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Halves of class 0 and 3 in colours of their own, and an ignored corner."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 3
    image = np.repeat(mask[..., None] * 60, 3, axis=2)
    mask[:2, :2] = IGNORE
    return image, mask


def test_pictures_are_fitted_as_mmsegmentation_does() -> None:
    crop = {"size": [512, 512], "fit": [4.0, 1.0], "scale_long_side": True}
    assert fitted((683, 512), crop) == (683, 512) and fitted((1024, 768), crop) == (683, 512)
    assert fitted((400, 4000), crop) == (205, 2048)  # the long side's limit
    assert fitted((400, 4000), crop, 2.0) == (410, 4096)
    assert fitted((400, 4000), crop | {"scale_long_side": False}, 2.0) == (205, 2048)
    city = {"size": [1024, 512], "fit": [4.0, 2.0], "scale_long_side": True}
    assert fitted((2048, 1024), city) == (2048, 1024) and fitted((2048, 1024), city, 0.5) == (1024, 512)


@given(st.integers(0, 500), st.integers(5, 90), st.integers(5, 90))
def test_any_picture_gives_crops_of_one_size(seed: int, height: int, width: int) -> None:
    image, mask = checked(height, width)
    crop, labels = random_crop(image, mask, RECIPE, np.random.default_rng(seed))
    assert crop.shape == (32, 48, 3) and labels.shape == (32, 48) and crop.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {0, 3, IGNORE}
    again = random_crop(image, mask, RECIPE, np.random.default_rng(seed))
    assert (again[0] == crop).all() and (again[1] == labels).all()


def test_image_and_mask_move_together() -> None:
    for seed in range(20):
        crop, labels = random_crop(*checked(64, 96), WHOLE | {"flip": 0.5}, np.random.default_rng(seed))
        sure = labels != IGNORE
        assert (np.abs(crop[..., 0].astype(int) - 60 * labels.astype(int))[sure] < 90).all()


def test_small_pictures_are_padded_with_what_is_ignored() -> None:
    image, mask = checked(32, 32)
    crop, labels = random_crop(image, mask, WHOLE, np.random.default_rng(0))
    assert (labels[:, 32:] == IGNORE).all() and (crop[:, 32:] == MEAN).all()
    assert (crop[:, :32] == image).all() and (labels[:, :32] == mask).all()


def test_no_class_fills_a_crop_where_it_can_be_helped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One crop in 15 shows enough of both halves."""
    image, mask = checked(32, 400)
    wide = WHOLE | {"fit": [20.0, 1.0]}

    def share() -> float:
        crops = [random_crop(image, mask, wide, np.random.default_rng(seed))[1] for seed in range(60)]
        return float(np.mean([mixed(labels) for labels in crops]))

    with_tries = share()
    monkeypatch.setattr("d3s2bench_evaluators.crops.TRIES", 1)
    assert with_tries > 0.35 > 0.2 > share()


def mixed(labels: np.ndarray) -> bool:
    return max((labels == 0).mean(), (labels == 3).mean()) < 0.75


def test_photometric_distortion() -> None:
    draws = np.random.default_rng(0)
    image = draws.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert distorted(image, 0.0, draws) is image
    means = [distorted(image, 1.0, np.random.default_rng(seed)).mean() for seed in range(60)]
    assert np.std(means) > 5 and abs(np.mean(means) - image.mean()) < 10
    grey = np.full((4, 4, 3), 90, np.uint8)  # has no hue: only brightness and contrast change it
    for seed in range(30):
        changed = distorted(grey, 1.0, np.random.default_rng(seed))
        assert (changed == changed[0, 0, 0]).all() and 28 <= changed[0, 0, 0] <= 184


class Counted:
    """Pairs that count how often they are read."""

    def __init__(self, pairs: Any) -> None:
        self.pairs, self.reads = pairs, 0

    def __len__(self) -> int:
        return len(self.pairs)

    def image(self, i: int) -> Any:
        self.reads += 1
        return self.pairs.image(i)

    def mask(self, i: int) -> Any:
        return self.pairs.mask(i)


def test_only_so_many_pictures_are_kept(rectangles: Any) -> None:
    pairs = Counted(rectangles(6))
    kept = Decoded(pairs, limit=3 * 32 * 48 * 4)  # type: ignore[arg-type]
    for _ in range(2):
        for i in range(6):
            image, mask = kept.pair(i)
            assert (image == pairs.pairs.image(i)).all() and (mask == pairs.pairs.mask(i)).all()
    assert pairs.reads == 6 + 3 and len(kept.kept) == 3


def test_batches_depend_on_seed_and_iteration_alone(rectangles: Any) -> None:
    def batches(**entries: Any) -> CropBatches:
        return CropBatches(rectangles(6, 40, 60), RECIPE | {"iterations": 9}, 7, **entries)

    plain = [batches().batch(k) for k in range(4)]
    for k, expected in enumerate(plain):
        shares = [batches(rank=rank, ranks=2).batch(k) for rank in range(2)]
        assert [*shares[0].items, *shares[1].items] == list(expected.items)
        assert torch.equal(torch.cat([share.images for share in shares]), expected.images)
    assert not torch.equal(plain[0].images, plain[1].images)
    ahead = ReadAhead(batches())
    for k in (1, 2, 3, 0, 1):  # from a checkpoint on, and from anywhere else
        found = ahead.batch(k)
        assert found.items == plain[k].items
        assert torch.equal(found.images, plain[k].images) and torch.equal(found.masks, plain[k].masks)


def test_the_last_iteration_has_a_batch(rectangles: Any) -> None:
    before = {*active_children()}
    batches = ReadAhead(CropBatches(rectangles(6), RECIPE | {"iterations": 3}, 7))
    assert [len(batches.batch(k).items) for k in range(3)] == [4, 4, 4]
    assert not before ^ {*active_children()}


WITHIN_A_WORKER = """
import os, queue, threading, time
from d3s2bench.execution.worker import _listen
threading.Thread(target=_listen, args=(queue.SimpleQueue(),), daemon=True).start()
time.sleep(0.5)  # it waits for its parent
from test_random_crops import RECIPE, CropBatches, Plain, ReadAhead
batches = ReadAhead(CropBatches(Plain(), RECIPE | {"iterations": 4}, 7))
print([len(batches.batch(k).items) for k in range(4)], flush=True)
os._exit(0)
"""


class Plain:
    """Six pictures of one class each."""

    def __len__(self) -> int:
        return 6

    def image(self, i: int) -> Any:
        return np.full((40, 60, 3), 10 * i, np.uint8)

    def mask(self, i: int) -> Any:
        return np.full((40, 60), i, np.uint8)


def test_batches_are_prepared_within_a_worker_that_listens_to_its_parent() -> None:
    """A process that is forked while another thread holds the lock of standard input would wait for ever."""
    command = [sys.executable, "-c", WITHIN_A_WORKER]
    given: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=Path(__file__).parent, **given) as worker:
        try:
            assert worker.stdout and worker.wait(timeout=120) == 0
            assert worker.stdout.read() == "[4, 4, 4, 4]\n"
        finally:
            worker.kill()


def test_a_process_that_is_killed_is_told(rectangles: Any) -> None:
    batches = ReadAhead(CropBatches(rectangles(6), RECIPE | {"iterations": 10_000}, 7))
    batches.batch(0)
    for child in active_children():
        os.kill(child.pid or 0, signal.SIGKILL)
    time.sleep(0.5)  # and nothing is raised outside of the next batch
    with pytest.raises(StageError, match="a process that prepares crops is lost: is there too little memory"):
        for k in range(1, 1000):
            batches.batch(k)


def test_pictures_are_read_before_processes_share_them(rectangles: Any) -> None:
    pairs = Counted(rectangles(6))
    batches = ReadAhead(CropBatches(pairs, RECIPE | {"iterations": 3}, 7))  # type: ignore[arg-type]
    for k in range(3):
        batches.batch(k)
    assert pairs.reads == 6
    kept = Decoded(Counted(rectangles(6)), limit=3 * 32 * 48 * 4)  # type: ignore[arg-type]
    kept.fill()
    assert len(kept.kept) == 3


class Torn:
    """A split whose pictures cannot be read."""

    def __len__(self) -> int:
        return 4

    def image(self, i: int) -> Any:
        raise DatasetError("a.png is no picture: replace it")

    mask = image

    def item_name(self, i: int) -> str:
        return "a"


@pytest.mark.parametrize("how", [lambda batches: batches, ReadAhead])
def test_a_picture_that_cannot_be_read_is_told_alike(how: Callable[[CropBatches], CropBatches | ReadAhead]) -> None:
    batches = how(CropBatches(Torn(), RECIPE | {"iterations": 3}, 7))
    with pytest.raises(DatasetError, match=r"^a\.png is no picture: replace it$"):
        batches.batch(0)


class TornElsewhere(Plain):
    """A split whose pictures cannot be read in another process than this one."""

    def __init__(self, error: Exception) -> None:
        self.error, self.here = error, os.getpid()

    def image(self, i: int) -> Any:
        if os.getpid() != self.here:
            raise self.error
        return super().image(i)


class SlowElsewhere(TornElsewhere):
    """A split whose pictures take long in another process than this one."""

    def image(self, i: int) -> Any:
        try:
            return super().image(i)
        except DatasetError:
            time.sleep(self.seconds)
            return Plain.image(self, i)

    seconds = 2.0


@pytest.mark.parametrize(("patience", "told"), [(600.0, False), (0.6, True)])
def test_slow_crops_are_waited_for_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, patience: float, told: bool
) -> None:
    monkeypatch.setattr("d3s2bench_evaluators.crop_batches.LOOK", 0.3)
    monkeypatch.setattr("d3s2bench_evaluators.crop_batches.PATIENCE", patience)
    batches = CropBatches(SlowElsewhere(DatasetError()), WHOLE | {"iterations": 1, "batch_size": 1}, 7)  # type: ignore[arg-type]
    batches.pairs.limit = 0  # none is read before
    if told:
        with pytest.raises(StageError, match="no crops within 1 s: does the disk with the images answer"):
            ReadAhead(batches).batch(0)
    else:
        assert len(ReadAhead(batches).batch(0).items) == 1


@pytest.mark.parametrize(
    "error", [DatasetError("a.png is no picture"), OSError(5, "no answer", "a.png"), RuntimeError("a.png has a bug")]
)
def test_what_a_split_raises_in_a_process_is_no_lost_process(error: Exception) -> None:
    batches = CropBatches(TornElsewhere(error), RECIPE | {"iterations": 3}, 7)  # type: ignore[arg-type]
    batches.pairs.limit = 0  # none is read before
    with pytest.raises(type(error), match=r"a\.png") as told:
        ReadAhead(batches).batch(0)
    assert isinstance(error, RuntimeError) or str(told.value) == str(error)


def test_a_network_sees_numbers(rectangles: Any) -> None:
    batch = CropBatches(rectangles(6), RECIPE, 7).batch(0)
    images, masks = batch.on("cpu")
    assert images.dtype == torch.float32 and images.shape == (4, 3, 32, 48) and masks.dtype == torch.int64
    assert torch.equal((images * 255).round().byte().permute(0, 2, 3, 1), batch.images)
    assert torch.equal(masks.byte(), batch.masks)


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_scales_are_any_or_multiples(step: float) -> None:
    sizes = set()
    image, mask = checked(320, 480)
    protocol = WHOLE | {"scale": [0.5, 1.0], "scale_step": step}
    for seed in range(40):
        labels = random_crop(image, mask, protocol, np.random.default_rng(seed))[1]
        sizes.add(int((labels != IGNORE).any(0).sum()))
    assert (sizes == {24, 48}) if step else len(sizes) > 5


@given(st.data())
def test_a_part_of_a_resized_picture_is_made_alone(data: st.DataObject) -> None:
    side = st.integers(1, 60)
    seed, height, width, target = data.draw(st.integers(0, 99)), data.draw(side), data.draw(side), data.draw(side)
    size = (target, data.draw(side))
    left, top = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    part = (left, top, data.draw(st.integers(left + 1, size[0])), data.draw(st.integers(top + 1, size[1])))
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    whole = resize_image(image, size)[top : part[3], left : part[2]]
    assert np.abs(whole.astype(int) - resize_part(image, size, part)).max() <= 1
