"""NumPy archives with odd members and headers: each is read right, or ends in one error that says what is wrong."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import read_table
from chainrule.errors import DataError


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def with_header(header: str, content: bytes = bytes(8)) -> bytes:
    """An array file with any text for a header, version 2."""
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header.encode("latin1") + content


def save(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "t.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


HEADERS = {
    "nested": "(" * 9000,
    "nested lists": "{'descr': " + "[" * 4000 + "]" * 4000 + ", 'fortran_order': False, 'shape': (1,)}",
    "many signs": "-" * 9000 + "1",
    "long": "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}" + " " * 10**6,
    "a call": "__import__('os').getcwd()",
    "a list": "['<f8', False, (1,)]",
    "no shape": "{'descr': '<f8', 'fortran_order': False}",
    "another key": "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'more': 1}",
    "shape of text": "{'descr': '<f8', 'fortran_order': False, 'shape': ('1',)}",
    "an unknown dtype": "{'descr': 'what', 'fortran_order': False, 'shape': (1,)}",
    "a dtype of NUL": "{'descr': '\\0', 'fortran_order': False, 'shape': (1,)}",
    "an order of text": "{'descr': '<f8', 'fortran_order': 'no', 'shape': (1,)}",
    "10^12 values": "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
    "an overflow": "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
    "negative": "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
    "twice negative": "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}",
    "a giant number": "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
    "many axes": "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 100 + ")}",
    "wide and empty": "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1000000000)}",
    "too long and empty": "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999999)}",
    "a giant cell": "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (1,)}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "fields": "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (1,)}",
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers(tmp_path: Path, case: str) -> None:
    content = b"" if "empty" in case else bytes(8)
    path = save(tmp_path, {"x.npy": with_header(HEADERS[case], content)})
    with pytest.raises(DataError, match=r"t\.npz") as caught:
        read_table(path)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_versions_and_orders(tmp_path: Path, version: tuple[int, int], order: str) -> None:
    x = np.asarray(np.arange(6.0).reshape(3, 2), order=order)
    columns = read_table(save(tmp_path, {"x.npy": npy(x, version)})).columns
    assert {name: column.tolist() for name, column in columns.items()} == {"x0": [0, 2, 4], "x1": [1, 3, 5]}


def test_what_is_no_array_is_named(tmp_path: Path) -> None:
    members = {"x.npy": npy(np.arange(3.0)), "about.txt": b"x is ...", "__MACOSX/._x.npy": b"attributes"}
    table = read_table(save(tmp_path, members))
    assert [*table.columns] == ["x"]
    assert table.notes == (f"{table.source}: skipped about.txt, __MACOSX/._x.npy",)


def test_columns_of_one_name(tmp_path: Path) -> None:
    members = {"x0.npy": npy(np.zeros(3)), "x.npy": npy(np.ones((3, 2)))}
    with pytest.raises(DataError, match='two columns are called "x0"'):
        read_table(save(tmp_path, members))


def test_two_arrays_of_one_name(tmp_path: Path) -> None:
    path = save(tmp_path, {"x.npy": npy(np.zeros(3))})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("x.npy", npy(np.ones(3)))
    with pytest.raises(DataError, match='holds 2 arrays called "x"'):
        read_table(path)


def test_an_encrypted_array(tmp_path: Path) -> None:
    path = save(tmp_path, {"x.npy": npy(np.zeros(3))})
    content = bytearray(path.read_bytes())
    for start, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(start) + place] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match='array "x" is encrypted: save it without a password'):
        read_table(path)


def test_a_size_that_is_too_small_is_found(tmp_path: Path) -> None:
    """The central directory may announce less than a member unpacks to."""
    path = save(tmp_path, {"x.npy": npy(np.zeros(1000))})
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 128 + 800)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"8,000 bytes, its file has 800|Bad CRC-32"):
        read_table(path)


@pytest.mark.parametrize("code", [0x110000, 0xFFFFFFFF, 0xD800])
@pytest.mark.parametrize("order", "<>")
def test_text_that_is_not_unicode(tmp_path: Path, code: int, order: str) -> None:
    text = np.array(["p", "é😀"], dtype=f"{order}U2")
    path = save(tmp_path, {"x.npy": npy(np.arange(2.0)), "y.npy": npy(text)})
    assert read_table(path).columns["y"].tolist() == ["p", "é😀"]
    codes = np.array([ord("p"), 0, code, 0], dtype=f"{order}u4").view(text.dtype)
    with pytest.raises(DataError, match='array "y" holds text that is not Unicode'):
        read_table(save(tmp_path, {"x.npy": npy(np.arange(2.0)), "y.npy": npy(codes)}))


def test_what_python_2_saved(tmp_path: Path) -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1L,), }\n"
    assert read_table(save(tmp_path, {"x.npy": with_header(header)})).columns["x"].tolist() == [0.0]
