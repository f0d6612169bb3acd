"""Records: valid when written and when read, beside the counts that they follow from."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fakes import provenance, spec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from d3s2bench import Counts, StoreError
from d3s2bench.results.records import (
    SCHEMA,
    _processor,
    find_references,
    import_reference,
    new_record,
    read_record,
    read_records,
    recomputed_miou,
    record_file,
    record_id,
    versions,
    write_counts,
    write_record,
)

KEY = "0123456789abcdef" * 4
CONFUSION = np.array([[[4, 0, 0], [1, 3, 0], [0, 0, 0]], [[2, 2, 0], [0, 4, 0], [0, 0, 0]]], np.int64)
"""Two images; class 0: 6 of 8 right, 9 in the union; class 1: 7 of 8 right, 10 in the union; class 2 never there."""
MIOU = 100 * (6 / 9 + 7 / 10) / 2


def stored(out: Path, key: str = KEY, counts: np.ndarray = CONFUSION, **changes: Any) -> Path:  # type: ignore[type-arg]
    """A whole record with its counts; returns its file."""
    record = new_record(key, spec(**changes), None, provenance())
    record |= {"status": "ok", "reason": None}
    write_counts(out, record, Counts(counts), np.array([0.5, 0.3, 0.2]))
    return write_record(out, record)


def edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


def test_a_record_comes_back_with_its_scores(tmp_path: Path) -> None:
    file = stored(tmp_path)
    assert file == record_file(tmp_path, KEY) == tmp_path / "records" / f"{record_id(KEY)}.json"
    record = read_record(file)
    assert record["metrics"]["miou"] == pytest.approx(MIOU, abs=1e-12)
    assert record["metrics"]["per_class_iou"][2] is None
    assert recomputed_miou(file) == record["metrics"]["miou"]
    assert list(read_records(tmp_path)) == list(read_records(tmp_path / "records")) == [record]


def test_counts_are_stored_in_total_and_per_image(tmp_path: Path) -> None:
    with np.load(stored(tmp_path).with_suffix(".npz")) as counts:
        assert counts["per_image"].tolist() == CONFUSION.tolist()
        assert counts["total"].tolist() == CONFUSION.sum(axis=0).tolist()
        assert counts["total"].dtype == np.int64


@given(arrays(np.int64, (2, 3, 3), elements=st.integers(0, 10**9)).filter(lambda counts: counts.sum() > 0))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_every_score_can_be_computed_again(tmp_path: Path, counts: np.ndarray) -> None:  # type: ignore[type-arg]
    file = stored(tmp_path, counts=counts)
    assert recomputed_miou(file) == read_record(file)["metrics"]["miou"]


def test_a_new_record_says_nothing_yet(tmp_path: Path) -> None:
    record = new_record(KEY, spec(), "smoke", provenance())
    assert (record["status"], record["metrics"], record["preset"]) == ("skipped", None, "smoke")
    assert read_record(write_record(tmp_path, record)) == record


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda r: r.pop("metrics"), "metrics"),
        (lambda r: r.update(extra=1), "extra"),
        (lambda r: r.update(status="fine"), "status"),
        (lambda r: r.update(schema=2), "schema"),
        (lambda r: r.update(created="yesterday"), "created"),
        (lambda r: r.update(reason="but"), "reason"),
        (lambda r: r.update(status="failed"), "metrics|reason|confusion"),
        (lambda r: r["metrics"].update(miou=101), "metrics"),
        (lambda r: r["spec"].update(seed=-1), "spec/seed"),
        (lambda r: r["spec"].update(rate=1.5), "spec/rate"),
        (lambda r: r["spec"]["protocol"].pop("iterations"), "spec/protocol"),
        (lambda r: r["spec"]["dataset"].update(fingerprint="short"), "spec/dataset/fingerprint"),
        (lambda r: r["provenance"].pop("seeds"), "provenance"),
        (lambda r: r["confusion"].update(sha256="0"), "confusion"),
    ],
)
def test_the_schema_holds_for_reading_and_writing(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], key: str
) -> None:
    file = stored(tmp_path)
    edit(file, change)
    with pytest.raises(StoreError, match=f"{file} is no valid record: .*({key})") as caught:
        read_record(file)
    assert "\n" not in str(caught.value)
    before = file.read_text()
    with pytest.raises(StoreError, match="is no valid record"):
        write_record(tmp_path, json.loads(before))
    assert file.read_text() == before


def test_tampered_counts_are_refused(tmp_path: Path) -> None:
    file = stored(tmp_path)
    np.savez(file.with_suffix(".npz"), total=np.eye(3, dtype=np.int64), per_image=CONFUSION)
    for read in (read_record, recomputed_miou):
        with pytest.raises(StoreError, match=r"not what its record was scored from: delete .*\.json, run again"):
            read(file)


def test_missing_counts_are_refused(tmp_path: Path) -> None:
    file = stored(tmp_path)
    file.with_suffix(".npz").unlink()
    with pytest.raises(StoreError, match=r"\.npz is missing or not what its record was scored from"):
        list(read_records(tmp_path))


@pytest.mark.parametrize("path", ["../outside.npz", "/etc/hostname", "sub/counts.npz", "..", ".", "../records/x.npz"])
def test_counts_outside_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    """Even when the hash is right."""
    file = stored(tmp_path)
    content = file.with_suffix(".npz").read_bytes()
    for place in (tmp_path / "outside.npz", tmp_path / "records/sub/counts.npz", tmp_path / "records/x.npz"):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
    edit(file, lambda record: record["confusion"].update(path=path))
    with pytest.raises(StoreError, match="is missing or not what its record was scored from"):
        read_record(file)


def test_a_folder_without_records_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no records: give the --out folder of a run"):
        list(read_records(tmp_path))


@pytest.mark.parametrize("content", ["{", "[]", "3", "null"])
def test_what_is_no_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(StoreError, match=r"x\.json is no valid"):
        list(read_records(tmp_path))


def test_every_key_of_the_schema_is_described() -> None:
    def check(node: Any, where: str) -> None:
        if isinstance(node, dict):
            for name, part in node.get("properties", {}).items():
                assert "description" in part or "$ref" in part, f"{where}/{name} says nothing about itself"
            for name, part in ((k, v) for k, v in node.items() if k != "if"):
                check(part, f"{where}/{name}")

    check(json.loads(SCHEMA.read_text()), "")


# --- shipped references ----------------------------------------------------------------------------------------------


def full(seed: int, **changes: Any) -> dict[str, Any]:
    return spec(selector={"name": "full", "options": {}, "version": ""}, rate=1.0, seed=seed, **changes)


def reference(assets: Path, seed: int, **changes: Any) -> Path:
    return stored(assets, str(seed) * 64, **full(seed, **changes))


def test_references_are_found_for_the_same_column_and_seed(tmp_path: Path) -> None:
    first, second = reference(tmp_path, 0), reference(tmp_path, 1)
    assert find_references(tmp_path, full(1), any_seed=False) == [second]
    assert find_references(tmp_path, full(7), any_seed=False) == []
    assert find_references(tmp_path, full(7), any_seed=True) == [first, second]
    assert find_references(None, full(1), any_seed=False) == []


@pytest.mark.parametrize("key", ["arch", "protocol_hash", "evaluator", "dataset"])
def test_another_column_has_other_references(tmp_path: Path, key: str) -> None:
    reference(tmp_path, 0)
    other = full(0)
    changed = {"arch": "deep", "protocol_hash": "2" * 64, "evaluator": other["synth"]}
    changed["dataset"] = other["dataset"] | {"fingerprint": "2" * 64}
    assert find_references(tmp_path, other | {key: changed[key]}, any_seed=True) == []


def test_a_reference_is_copied_with_its_counts(tmp_path: Path) -> None:
    file = reference(tmp_path / "assets", 0)
    (tmp_path / "out" / "records").mkdir(parents=True)
    assert import_reference(file, tmp_path / "out") == read_record(file)
    assert list(read_records(tmp_path / "out")) == [read_record(file)]


def test_a_copy_that_is_stopped_leaves_no_half_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, out = reference(tmp_path / "assets", 0), tmp_path / "out"
    (out / "records").mkdir(parents=True)

    def full_disk(place: Path, content: bytes) -> int:
        with place.open("wb") as opened:
            opened.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        import_reference(file, out)
    assert not list((out / "records").iterdir())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 207\nmodel name\t: Intel\n", "GenuineIntel 6-207"),
        ("BogoMIPS\t: 50.00\nFeatures\t: fp asimd\n", ""),
        (None, ""),
    ],
)
def test_a_record_names_the_processor(tmp_path: Path, text: str | None, told: str) -> None:
    if text:
        (tmp_path / "cpuinfo").write_text(text)
    assert _processor(tmp_path / "cpuinfo") == told
    assert versions()["processor"] == _processor(Path("/proc/cpuinfo"))


@pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere the instructions are not told")
def test_a_record_names_the_instructions_torch_computes_with() -> None:
    torch = pytest.importorskip("torch")
    told = versions()["cpu"].partition(" ")[2]
    assert told == {"AVX2": "AVX2", "AVX512": "AVX512"}.get(torch.backends.cpu.get_cpu_capability(), "")
