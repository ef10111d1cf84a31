"""IDX files of every kind are read, and headers that lie are refused before memory is taken."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from chainrule.data.images import read_idx, read_images
from chainrule.errors import DataError, FileError, LabelError

KINDS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def idx(array: np.ndarray, kind: int = 0x08) -> bytes:
    """An array as an IDX file."""
    header = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(KINDS[kind]).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_kind(tmp_path: Path, kind: int, packed: bool) -> None:
    array = np.arange(24).reshape(2, 3, 4) - (0 if kind == 0x08 else 12)
    content = idx(array, kind)
    (tmp_path / "a").write_bytes(gzip.compress(content) if packed else content)
    read = read_idx(tmp_path / "a")
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(KINDS[kind]).newbyteorder("=")
    assert read.dtype.isnative


def test_no_values(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(idx(np.zeros((0, 28, 28))))
    assert read_idx(tmp_path / "a").shape == (0, 28, 28)


GOOD = idx(np.arange(12).reshape(3, 2, 2))
HUGE = bytes([0, 0, 8, 4]) + struct.pack(">4I", *[2**32 - 1] * 4)
LONG = bytes([0, 0, 8, 3]) + struct.pack(">3I", 30_000, 200, 200)
BAD = {
    "empty": (b"", "begins with nothing"),
    "text": (b"a,b,c\n1,2,3\n", "not an IDX file, it begins with 61 2c 62 2c"),
    "unknown kind": (b"\0\0\x0a\1\0\0\0\1\0", "not an IDX file"),
    "no axes": (b"\0\0\x08\0", "not an IDX file"),
    "too many axes": (b"\0\0\x08\xff" + b"\0\0\0\1" * 255, "announces 255 axes"),
    "cut header": (GOOD[:9], "ends inside its header"),
    "cut values": (GOOD[:-1], "more than the file can hold"),
    "more values": (GOOD + b"\0", "the file holds more"),
    "huge": (HUGE, "at most 2.0 GiB are read"),
    "long": (LONG, "more than the file can hold"),
    "cut values, packed": (gzip.compress(GOOD[:-1]), "the file ends after 11 bytes"),
    "more values, packed": (gzip.compress(GOOD + bytes(1 << 24)), "the file holds more"),
    "huge, packed": (gzip.compress(HUGE), "at most 2.0 GiB are read"),
    "long, packed": (gzip.compress(LONG), "more than the file can hold"),
    "cut, packed": (gzip.compress(GOOD)[:-12], "damaged or cut short"),
    "not packed after all": (b"\x1f\x8b" + GOOD, "damaged or cut short"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path: Path, case: str) -> None:
    content, words = BAD[case]
    (tmp_path / "a").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=words) as raised:
            read_idx(tmp_path / "a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(tmp_path / "a") in str(raised.value)
    assert peak < 4_000_000


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        read_idx(tmp_path / "a")
    with pytest.raises(FileError, match="cannot be read"):
        read_idx(tmp_path)


def write_pair(folder: Path, part: str, images: np.ndarray, labels: np.ndarray, end: str = "") -> Path:
    path = folder / f"{part}images-idx3-ubyte{end}"
    pack = gzip.compress if end else bytes
    path.write_bytes(pack(idx(images)))
    (folder / f"{part}labels-idx1-ubyte{end}").write_bytes(pack(idx(labels)))
    return path


RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (6, 5, 4)), np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_pair(tmp_path: Path, end: str) -> None:
    images = read_images(str(write_pair(tmp_path, "train-", IMAGES, LABELS, end)))
    np.testing.assert_array_equal(images.pixels[..., 0], IMAGES)
    np.testing.assert_array_equal(images.targets, LABELS)
    assert images.pixels.dtype == np.uint8
    assert images.test == 0


def test_a_folder_of_two_pairs(tmp_path: Path) -> None:
    write_pair(tmp_path, "t10k-", IMAGES[:2], LABELS[:2])
    write_pair(tmp_path, "train-", IMAGES, LABELS, ".gz")
    images = read_images(str(tmp_path))
    assert (images.rows, images.test) == (8, 2)
    np.testing.assert_array_equal(images.targets, [*LABELS, *LABELS[:2]])
    np.testing.assert_array_equal(images.pixels[6:, ..., 0], IMAGES[:2])


def test_a_folder_of_one_pair_of_any_name(tmp_path: Path) -> None:
    write_pair(tmp_path, "letters-", IMAGES, LABELS)
    assert read_images(str(tmp_path)).rows == 6
    write_pair(tmp_path, "digits-", IMAGES, LABELS)
    with pytest.raises(DataError, match="several files of images, digits, letters"):
        read_images(str(tmp_path))


def test_the_other_spelling(tmp_path: Path) -> None:
    (tmp_path / "train-images.idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx(LABELS))
    assert read_images(str(tmp_path)).rows == 6


def test_pairs_that_do_not_fit(tmp_path: Path) -> None:
    path = write_pair(tmp_path, "train-", IMAGES, LABELS[:5])
    with pytest.raises(DataError, match=r"shape \(5,\), expected one for each of 6 images"):
        read_images(str(path))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS + 0.5, 0x0D))
    with pytest.raises(LabelError, match=r"row 1 is 0\.5"):
        read_images(str(path))
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileError, match="no file of labels next to it"):
        read_images(str(path))
    write_pair(tmp_path, "train-", IMAGES, LABELS)
    write_pair(tmp_path, "t10k-", IMAGES[:, :3], LABELS)
    with pytest.raises(DataError, match=r"images of \(5, 4, 1\), t10k-images-idx3-ubyte of \(3, 4, 1\)"):
        read_images(str(tmp_path))


def test_labels_are_no_images(tmp_path: Path) -> None:
    write_pair(tmp_path, "train-", IMAGES, LABELS)
    with pytest.raises(DataError, match=r"shape \(6,\), expected \(n, height, width"):
        read_images(str(tmp_path / "train-labels-idx1-ubyte"))
