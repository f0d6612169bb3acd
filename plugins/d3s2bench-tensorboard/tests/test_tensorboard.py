"""It keeps what every observer promises; what it writes is read back, record by record of the event file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from d3s2bench import Folders
from d3s2bench.testing import ObserverContract, contract, tiny_records
from PIL import Image

from d3s2bench_tensorboard.observer import TensorBoard


class TestTensorBoard(ObserverContract):
    component = TensorBoard()


def test_it_is_registered() -> None:
    assert type(contract("observer", "tensorboard").component) is TensorBoard


def written(out: Path) -> Iterator[Any]:
    """The values of all events: length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    (file,) = out.rglob("events.out.*")
    content, at = file.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        event = Event.FromString(content[at + 12 : at + 12 + length])
        yield from ((event.step, value) for value in event.summary.value)
        at += length + 16


def test_scores_are_those_of_the_record(tmp_path: Path) -> None:
    record = tiny_records(tmp_path)[0]
    TensorBoard().on_record(record, Folders(tmp_path))
    found = {value.tag: (step, value.simple_value) for step, value in written(tmp_path / "tensorboard" / "random+real")}
    assert found["miou"] == (10, pytest.approx(record["metrics"]["miou"]))
    assert found["iou/car"][1] == pytest.approx(record["metrics"]["per_class_iou"][2])


def test_the_preview_is_shown_where_there_is_a_set(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "preview.png")
    record = tiny_records(tmp_path)[0]
    TensorBoard().on_record(record, Folders(tmp_path, distilled=tmp_path))
    images = {value.tag: value.image for _, value in written(tmp_path) if value.HasField("image")}
    assert (images["preview"].height, images["preview"].width) == (6, 9)


def test_told_twice_it_writes_one_run(tmp_path: Path) -> None:
    record = tiny_records(tmp_path)[0]
    for _ in range(2):
        TensorBoard(folder="board", preview=False).on_record(record, Folders(tmp_path))
    assert len(list((tmp_path / "board").rglob("events.out.*"))) == 1
