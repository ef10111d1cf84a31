"""NumPy archives of images, whatever their numbers are; hostile ones are refused within bounds."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.data import prepare_images, read_table
from chainrule.data.images import Reading, folder, holds_images, idx, read_images
from chainrule.data.images import archive as archive_module
from chainrule.data.tables import binary
from chainrule.errors import ChainruleError, DataError, FileError, LabelError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)
Y = np.array([3, 1, 2, 3, 1, 2])


def save(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "a.npz", **arrays)
    return str(folder / "a.npz")


def test_images(tmp_path: Path) -> None:
    path = save(tmp_path, x=X, y=Y)
    assert holds_images(path)
    images = read_images(path)
    np.testing.assert_array_equal(images.pixels, X)
    np.testing.assert_array_equal(images.targets, Y)


def test_a_test_part_and_names(tmp_path: Path) -> None:
    names = np.array(["cat", "dog", "cat", "dog", "cat", "dog"])
    images = read_images(save(tmp_path, x_train=X[..., 0], y_train=names, x_test=X[:2, ..., 0], y_test=names[:2]))
    assert (images.rows, images.test) == (8, 2)
    assert images.targets is not None
    assert images.targets.tolist() == [*names.tolist(), "cat", "dog"]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (X.astype(np.int64), X.astype(np.int16)),
        (X.astype(np.int64) << 16, X.astype(np.int32) << 16),
        (X.astype(np.int64) << 40, X.astype(np.int64) << 40),
        (X.astype(np.uint64) << 56, (X.astype(np.uint64) << 56).astype(float)),
        (X.astype(np.int8), X.astype(np.int8).astype(np.int16)),
        (X / 255, (X / 255).astype(np.float32)),
        (X / 255 + 1e6, X / 255 + 1e6),  # float32 has 16 steps there
        (X.astype(np.float16), X.astype(np.float32)),
        (X - 128.0, X.astype(np.float32) - 128),
        (X.astype(">u2") * 257, X.astype(np.uint16) * 257),
        (X > 127, (X > 127) * np.uint8(255)),
        (np.asfortranarray(X.astype(">i4")), X.astype(np.int16)),
    ],
)
def test_numbers_of_any_kind_keep_their_values(tmp_path: Path, x: np.ndarray, expected: np.ndarray) -> None:
    images = read_images(save(tmp_path, x=x, y=Y))
    np.testing.assert_array_equal(images.pixels, expected)
    assert images.pixels.dtype == expected.dtype
    assert images.pixels.dtype.isnative
    assert not images.notes


def test_a_validation_part_and_other_arrays(tmp_path: Path) -> None:
    more = {"x_val": X[:3], "y_val": Y[:3], "x_test": X[:2], "y_test": Y[:2], "codes": Y}
    images = read_images(save(tmp_path, x_train=X, y_train=Y, **more))
    assert (images.rows, images.validation, images.test) == (11, 3, 2)
    np.testing.assert_array_equal(images.pixels[6:9], X[:3])
    assert images.notes == (f"{tmp_path / 'a.npz'}: skipped codes",)


def test_parts_of_different_kinds(tmp_path: Path) -> None:
    def read(x_test: np.ndarray) -> np.ndarray:
        images = read_images(save(tmp_path, x_train=X, y_train=Y, x_test=x_test, y_test=Y))
        notes.extend(images.notes)
        return images.pixels

    notes: list[str] = []
    np.testing.assert_array_equal(read(X.astype(np.int64)), np.concatenate([X, X]))
    assert not notes
    np.testing.assert_array_equal(
        read(X.astype(np.uint16) + 1000), np.concatenate([X * np.uint16(257), X + np.uint16(1000)])
    )
    assert notes == [f"{tmp_path / 'a.npz'}: x_train: 8-bit pixels are multiplied by 257, as others have 16 bits"]
    for other in (X / 255, X.astype(np.int64) * 100, X.astype(np.int64) - 1):
        with pytest.raises(DataError, match=r"x_test holds \w+, .*x_train uint8: save both in the same way"):
            read(other)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no y": ({"x": X}, 'no array "y", it holds x'),
    "no x": ({"pixels": X, "y": Y}, 'no array "x"'),
    "flat": ({"x": X.reshape(6, -1), "y": Y}, r"shape \(6, 60\), expected \(n, height, width"),
    "five axes": ({"x": X[None], "y": Y}, "expected"),
    "channels first": ({"x": np.zeros((6, 3, 8, 8)), "y": Y}, r"save x.transpose\(0, 2, 3, 1\)"),
    "no image": ({"x": X[:0], "y": Y[:0]}, "holds no image"),
    "no pixel": ({"x": X[:, :0], "y": Y}, "without a pixel"),
    "no channel": ({"x": X[..., :0], "y": Y}, "without a pixel"),
    "NaN": ({"x": np.where(np.arange(6)[:, None, None, None] == 3, np.nan, X), "y": Y}, "x: row 4 holds the pixel nan"),
    "inf": (
        {"x": np.where(np.arange(6)[:, None, None, None] > 4, -np.inf, X), "y": Y},
        "x: row 6 holds the pixel -inf",
    ),
    "a mark": ({"x": np.where(X.max() == X, -3.4e38, X), "y": Y}, "the pixel -3.4e\\+38, a mark for what is missing"),
    "complex": ({"x": X * 1j, "y": Y}, "complex128, expected numbers"),
    "objects": ({"x": X.astype(object), "y": Y}, "Python objects"),
    "other length": ({"x": X, "y": Y[:5]}, r"shape \(5,\), expected one for each of 6 images"),
    "one-hot": ({"x": X, "y": np.eye(6)}, r"shape \(6, 6\)"),
    "label 1.5": ({"x": X, "y": Y / 2}, "row 1 is 1.5"),
    "label NaN": ({"x": X, "y": Y * np.nan}, "row 1 is nan"),
    "empty label": ({"x": X, "y": np.array(["a", "", "a", "b", "b", "b"])}, "row 2 has no label"),
    "two sizes": ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, "x_test of"),
    "half a test part": ({"x_train": X, "y_train": Y, "x_test": X}, "one of x_test and y_test"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays(tmp_path: Path, case: str) -> None:
    arrays, words = BAD[case]
    path = save(tmp_path, **arrays)
    with pytest.raises(DataError, match=words) as raised:
        read_images(path)
    assert path in str(raised.value)


def member(shape: tuple[int, ...], content: bytes) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def save_members(path: Path, x: bytes, y: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", x)
        archive.writestr("y.npy", y)


@pytest.mark.parametrize("shape", [(10**6, 100, 100), (2**62, 2**62, 4), (30_000, 100, 100), (-1, -10, 1), (2, 2, 2)])
def test_headers_that_lie(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Ten bytes are there, however many are announced."""
    save_members(tmp_path / "a.npz", member(shape, bytes(10)), member((4,), bytes(4)))
    for read in (lambda path: read_images(str(path)), read_table):
        with pytest.raises(DataError, match=r'array "x" announces shape \(.*its file has 10: save it again'):
            read(tmp_path / "a.npz")


@pytest.mark.parametrize("announced", [4, 300_000_000 // 64])
def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: int) -> None:
    """An archive that unpacks to more than it announces, or than is read, is not unpacked."""
    path = tmp_path / "a.npz"
    save_members(path, member((announced, 8, 8), bytes(300_000_000 // 64 * 64)), member((announced,), bytes(announced)))
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(archive_module, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(binary, "room", lambda: 1 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"announces shape|at most 1\.0 MiB are read"):
            read_images(str(path))
        with pytest.raises(DataError, match=r"announces shape|at most 1\.0 MiB are read, a quarter of the free memory"):
            read_table(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cut", [10, 100, 300, 500])
def test_damage(tmp_path: Path, cut: int) -> None:
    path = Path(save(tmp_path, x=X, y=Y))
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"a\.npz"):
        read_images(str(path))
    path.write_bytes(whole[:cut] + bytes([whole[cut] ^ 255]) + whole[cut + 1 :])
    try:
        read_images(str(path))
    except ChainruleError as error:
        assert "a.npz" in str(error)  # noqa: PT017 - a flipped byte may also be harmless


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damage_where_it_is_unpacked(tmp_path: Path, method: int) -> None:
    """Whoever asks whether there are images in it is told no; whoever reads it, what is wrong."""
    path, array = tmp_path / "a.npz", io.BytesIO()
    np.save(array, np.arange(512, dtype=np.uint8).reshape(8, 8, 8))
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", array.getvalue())
    data = bytearray(path.read_bytes())
    start = 30 + len("x.npy") + (9 if method == zipfile.ZIP_LZMA else 0)  # behind the headers
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    assert not holds_images(str(path))
    with pytest.raises((DataError, FileError), match=r"a\.npz: "):
        read_images(str(path), Reading(labelled=False))


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Python objects"):
        read_images(save(tmp_path, x=X, y=Y.astype(object)))


def test_what_is_a_table(tmp_path: Path) -> None:
    assert not holds_images(save(tmp_path, x=X[:, 0, 0], y=Y))
    assert not holds_images(save(tmp_path, a=X))
    (tmp_path / "a.npz").write_bytes(b"nothing of the kind")
    assert not holds_images(str(tmp_path / "a.npz"))
    assert not holds_images(str(tmp_path / "b.npz"))


def test_without_labels(tmp_path: Path) -> None:
    path = save(tmp_path, x=X)
    assert read_images(path, Reading(labelled=False)).targets is None


def test_another_form(tmp_path: Path) -> None:
    path = save(tmp_path, x=X, y=Y)
    with pytest.raises(DataError, match=r"images of 5 x 4 pixels, expected 8 x 8 .*: resize with"):
        read_images(path, Reading(8, 8, 3))
    assert read_images(path, Reading(8, 8, 1, resize=True)).pixels.shape == (6, 8, 8, 1)
    grey = read_images(path, Reading(5, 4, 1)).pixels[..., 0]
    np.testing.assert_allclose(grey, X @ [0.299, 0.587, 0.114], atol=1)
    for kind in (np.uint16, np.float32, np.int64):
        other = read_images(save(tmp_path, x=X.astype(kind), y=Y), Reading(3, 4, 1, resize=True)).pixels
        both = read_images(save(tmp_path, x=X, y=Y), Reading(3, 4, 1, resize=True)).pixels
        np.testing.assert_allclose(other, both, atol=1.5)
        flat = read_images(save(tmp_path, x=X[..., 0].astype(kind) + 1000, y=Y), Reading(5, 4, 3)).pixels
        np.testing.assert_array_equal(flat[..., 2], X[..., 0] + kind(1000))
    deep = save(tmp_path, x=np.zeros((6, 5, 4, 7)), y=Y)
    assert read_images(deep).pixels.shape == (6, 5, 4, 7)
    with pytest.raises(DataError, match="images of 7 channels, expected 3"):
        read_images(deep, Reading(5, 4, 3))


def test_labels_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="the labels are complex128"):
        read_images(save(tmp_path, x=X, y=Y * 1j))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([2**63 + 1, 2**63 + 2], np.uint64), (2**63 + 1, 2**63 + 2)),
        (np.array([2**60, 2**60 + 1]), (2**60, 2**60 + 1)),
        (np.array([1.0, 3.0], np.float32), (1, 3)),
        (np.array([True, False]), ("False", "True")),
        (np.array(["007", "7"]), ("007", "7")),
        (np.array(["NA", "None"]), ("NA", "None")),
    ],
)
def test_labels_are_told_apart_as_they_are(tmp_path: Path, labels: np.ndarray, classes: tuple[object, ...]) -> None:
    y = np.resize(labels, 40)
    np.savez(tmp_path / "t.npz", x=np.zeros((40, 2, 2), np.uint8), y=y)
    preparation, parts = prepare_images(read_images(str(tmp_path / "t.npz")))
    assert preparation.classes == classes
    named = classes == ("NA", "None")
    assert any('NA", "None" is read as the name of a class' in note for note in parts.notes) == named
    assert [str(preparation.classes[place]) for place in parts.y] == [
        f"{label:.0f}" if isinstance(label, float) else str(label) for label in y.tolist()
    ]


def test_the_limit_follows_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (archive_module, idx, folder):
        monkeypatch.setattr(module, "room", lambda: 1000)
    path = tmp_path / "t-images-idx3-ubyte"
    path.write_bytes(b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (20, 8, 8)) + bytes(20 * 64))
    image = pytest.importorskip("PIL.Image")
    for i in range(20):
        (tmp_path / "f" / "pq"[i % 2]).mkdir(parents=True, exist_ok=True)
        image.new("L", (8, 8)).save(tmp_path / "f" / "pq"[i % 2] / f"{i}.png")
    for source in (str(path), str(tmp_path / "f"), save(tmp_path, x=np.zeros((20, 8, 8), np.uint8), y=np.zeros(20))):
        with pytest.raises(DataError, match="at most 1000 bytes are read"):
            read_images(source)
