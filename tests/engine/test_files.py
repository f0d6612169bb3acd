"""Files: whole or absent, one clear error for a bad one, indices and not colours from a palette."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow

from d3s2bench import DatasetError, StoreError
from d3s2bench.files import (
    digest,
    file_sha256,
    folder_sha256,
    folder_under_name,
    image_size,
    load_npz,
    mask_png,
    palette_table,
    png,
    read_image,
    read_json,
    read_mask,
    save_npz,
    write_bytes,
    write_json,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def saved(array: np.ndarray, file: Path, **options: int) -> Path:  # type: ignore[type-arg]
    Pillow.fromarray(array).save(file, **options)
    return file


# --- digests ---------------------------------------------------------------------------------------------------------


def test_digest_known_answer() -> None:
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # sha256 of '{}'


@given(st.dictionaries(st.text(), JSON))
def test_digest_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


def test_digest_tells_values_apart_and_refuses_nan() -> None:
    assert len({digest(v) for v in ([1, 2], [2, 1], "[1,2]", {"1": 2}, [12], None, 0, False, "")}) == 9
    with pytest.raises(ValueError, match="JSON"):
        digest(float("nan"))


def test_a_folder_is_known_by_its_files_names_and_contents(tmp_path: Path) -> None:
    for place in ("a", "b"):
        write_bytes(tmp_path / place / "sub" / "x", b"1")
    assert folder_sha256(tmp_path / "a") == folder_sha256(tmp_path / "b")
    (tmp_path / "b" / "sub" / "x").rename(tmp_path / "b" / "x")
    assert folder_sha256(tmp_path / "a") != folder_sha256(tmp_path / "b")


# --- writing ---------------------------------------------------------------------------------------------------------


@given(JSON)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_json_comes_back(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json") == value


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "v.json"
    write_json(file, [1])
    with pytest.raises(ValueError, match="JSON"):
        write_json(file, [float("nan")])
    with pytest.raises(TypeError):
        write_json(file, [object()])
    assert read_json(file) == [1]
    assert [f.name for f in tmp_path.iterdir()] == ["v.json"]


def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, content: bytes) -> int:
        file.touch()
        raise OSError(28, "No space left on device")  # as the system raises it: without a name

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_bytes(tmp_path / "v", b"1")
    assert caught.value.filename == str(tmp_path / "v")
    assert not list(tmp_path.iterdir())


def test_two_machines_with_processes_of_one_number_do_not_share_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    monkeypatch.setattr(Path, "write_bytes", lambda file, content: names.append(file.name) or file.touch())
    for _ in range(2):
        write_bytes(tmp_path / "v", b"1")
        with folder_under_name(tmp_path / f"folder{len(names)}") as folder:
            names.append(folder.name)
    assert len(set(names)) == 4
    assert all(name.endswith(".partial") for name in names)


def test_what_is_to_be_new_leaves_what_is_there(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write_bytes(tmp_path / "v", content, new=True)
    assert (tmp_path / "v").read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["v"]


def test_nobody_ever_sees_half_a_file(tmp_path: Path) -> None:
    """A hundred writes by one process while another reads."""
    file = tmp_path / "v"
    write_bytes(file, b"0" * 10**6)
    if (child := os.fork()) == 0:
        for i in range(100):
            write_bytes(file, str(i % 10).encode() * 10**6)
        os._exit(0)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        content = file.read_bytes()
        assert len(content) == 10**6
        assert len(set(content)) == 1


@pytest.mark.parametrize("content", [b"{", b"", b"\xff", b'{"a": 1'])
def test_torn_json_is_one_line_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"v\.json is no valid JSON .*: delete it and run again") as caught:
        read_json(tmp_path / "v.json")
    assert "\n" not in str(caught.value)


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*v\.json: No such file"):
        read_json(tmp_path / "v.json")


def test_npz_comes_back_and_never_pickles(tmp_path: Path) -> None:
    save_npz(tmp_path / "a.npz", x=np.arange(3), y=np.eye(2))
    stored = load_npz(tmp_path / "a.npz")
    assert stored["x"].tolist() == [0, 1, 2]
    assert sorted(stored) == ["x", "y"]
    np.savez(tmp_path / "evil.npz", x=np.array([{}], dtype=object))
    with pytest.raises(StoreError, match=r"evil\.npz is corrupt"):
        load_npz(tmp_path / "evil.npz")


@pytest.mark.parametrize("keep", [0, 10, 100])
def test_a_torn_npz_is_named(tmp_path: Path, keep: int) -> None:
    save_npz(tmp_path / "a.npz", x=np.arange(1000))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:keep])
    with pytest.raises(StoreError, match=r"a\.npz is corrupt .*: delete it and run again"):
        load_npz(tmp_path / "a.npz")


# --- images ----------------------------------------------------------------------------------------------------------


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_png_is_lossless(tmp_path: Path, image: np.ndarray) -> None:  # type: ignore[type-arg]
    write_bytes(tmp_path / "i.png", png(image))
    assert np.array_equal(read_image(tmp_path / "i.png"), image)
    assert image_size(tmp_path / "i.png") == image.shape[1::-1]


@given(arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1, 2, 255])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_mask_png_keeps_ids_and_shows_colours(tmp_path: Path, mask: np.ndarray) -> None:  # type: ignore[type-arg]
    palette = ((10, 20, 30), (40, 50, 60), (70, 80, 90))
    write_bytes(tmp_path / "m.png", mask_png(mask, palette))
    assert np.array_equal(read_mask(tmp_path / "m.png", 3), mask)
    assert np.array_equal(read_image(tmp_path / "m.png"), palette_table(palette)[mask])


def test_every_kind_of_photograph_is_rgb(tmp_path: Path) -> None:
    grey = np.full((4, 4), 7, np.uint8)
    for name, array in {"grey": grey, "rgba": np.dstack([grey] * 4), "rgb": np.dstack([grey] * 3)}.items():
        image = read_image(saved(array, tmp_path / f"{name}.png"))
        assert image.shape == (4, 4, 3)
        assert (image == 7).all()


def test_a_16_bit_photograph_keeps_its_high_byte(tmp_path: Path) -> None:
    image = read_image(saved(np.array([[0, 255, 256, 65535]], np.uint16), tmp_path / "deep.png"))
    assert image[0, :, 0].tolist() == [0, 0, 1, 255]


# --- masks -----------------------------------------------------------------------------------------------------------


def test_a_palette_mask_gives_indices_not_colours(tmp_path: Path) -> None:
    picture = Pillow.fromarray(np.array([[0, 1], [2, 255]], np.uint8))
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200] + [9] * 759)
    picture.save(tmp_path / "p.png")
    assert Pillow.open(tmp_path / "p.png").mode == "P"
    assert read_mask(tmp_path / "p.png", 3).tolist() == [[0, 1], [2, 255]]


def test_a_16_bit_mask_is_legal(tmp_path: Path) -> None:
    file = saved(np.array([[0, 1], [2, 65535]], np.uint16), tmp_path / "deep.png")
    mask = read_mask(file, 3, ignore=65535)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 1], [2, 255]]
    with pytest.raises(DatasetError, match="holds label 65535"):
        read_mask(file, 3)


def test_a_black_and_white_mask_is_legal(tmp_path: Path) -> None:
    assert read_mask(saved(np.array([[True, False]]), tmp_path / "b.png"), 2).tolist() == [[1, 0]]


def test_the_ignore_value_becomes_255(tmp_path: Path) -> None:
    file = saved(np.array([[0, 11, 3, 255]], np.uint8), tmp_path / "m.png")
    assert read_mask(file, 11, ignore=11).tolist() == [[0, 255, 3, 255]]
    assert read_mask(file, 12, ignore=0).tolist() == [[255, 11, 3, 255]]


def test_a_label_out_of_range_is_named(tmp_path: Path) -> None:
    file = saved(np.array([[0, 3]], np.uint8), tmp_path / "m.png")
    message = (
        r"m\.png holds label 3, but there are 3 classes \(0 to 2\) and ignore 255: mend the mask or the class list"
    )
    with pytest.raises(DatasetError, match=message):
        read_mask(file, 3)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_mask_is_refused(tmp_path: Path, channels: int) -> None:
    file = saved(np.zeros((4, 4, channels), np.uint8), tmp_path / "m.png")
    with pytest.raises(DatasetError, match=r"m\.png is a colour picture: a mask must hold one class id per pixel"):
        read_mask(file, 3)


# --- bad files -------------------------------------------------------------------------------------------------------


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(PICTURE).save(buffer, kind)
    return buffer.getvalue()


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    for read in (read_image, image_size, lambda file: read_mask(file, 3)):
        with pytest.raises(DatasetError, match=r"no\.png does not exist"):
            read(tmp_path / "no.png")


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", encoded("PNG")[:60]])
def test_no_picture_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"x\.png is corrupt or no image .*: replace or remove it") as caught:
        read_image(tmp_path / "x.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    whole = encoded(kind)
    file = tmp_path / f"x.{kind.lower()}"
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DatasetError, match="is corrupt or no image"):
        read_image(file)


@given(st.sampled_from(["PNG", "JPEG"]), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_no_damage_gives_anything_but_a_picture_or_our_error(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "damaged"
    file.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    for read in (read_image, image_size):
        try:
            read(file)
        except DatasetError as error:
            assert str(file) in str(error)


def test_a_file_has_one_hash(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
