"""One clear error for each file that holds no table, or is not there."""

from __future__ import annotations

import gzip
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from tests.data.test_tables import write

from chainrule.data import read_table
from chainrule.data.sources import load_table
from chainrule.errors import ChainruleError, DataError, FileError


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


BROKEN = {
    "empty": ("t.csv", b"", "the file is empty"),
    "blank": ("t.csv", b"\n \n", "the file is empty"),
    "header only": ("t.csv", b"a,b\n", "a header but no rows"),
    "short row": ("t.csv", b"a,b\n1,2\n3\n", "row 2 (line 3) has 1 values, the header has 2"),
    "long row": ("t.csv", b"a,b\n1,2,3\n", "row 1 (line 2) has 3 values"),
    "no header": ("t.csv", b"1.5,2\n3,4\n", "numbers only"),
    "two of a name": ("t.csv", b"a,b,a\n1,2,3\n", 'two columns are called "a"'),
    "open quote in the header": ("t.csv", b'a,b,"kind\n1,2,p\n2,3,q\n', "the header: a quote is opened and"),
    "quoted header without end": ("t.csv", b'"kind\n1\n2\n', "the header: a quote is opened and"),
    "open quote in a row": ("t.csv", b'a,b\n1,p\n2,"q\n3,p\n', "row 2 (line 3): a quote is opened and"),
    "open quote in the first cell": ("t.csv", b'a,b\n1,p\n"2,q\n3,p\n', "row 2 (line 3): a quote is opened and"),
    "open quote in the last row": ("t.csv", b'a,b\n1,p\n2,"q', "row 2 (line 3): a quote is opened and"),
    "not text": ("t.csv", b"a,b\n\xff\xfe,2\n", "not UTF-8"),
    "not gzip": ("t.csv.gz", b"a,b\n1,2\n", "damaged"),
    "cut gzip": ("t.csv.gz", gzip.compress(b"a,b\n" + os.urandom(999).hex().encode())[:-300], "damaged"),
    "not parquet": ("t.parquet", b"a,b\n1,2\n", "not a Parquet table"),
    "not npz": ("t.npz", b"a,b\n1,2\n", "not a readable NumPy archive"),
    "cut npz": ("t.npz", npz(x=np.zeros(9))[:-30], "t.npz"),
    "npz of two lengths": ("t.npz", npz(x=np.zeros((3, 2)), y=np.zeros(2)), "differ in their number of rows"),
    "one array": ("t.npz", npy(np.zeros(3)), "one bare array"),
    "npz of a number": ("t.npz", npz(x=np.array(3.0)), "differ in their number of rows"),
    "npz without rows": ("t.npz", npz(x=np.zeros((0, 2))), "no rows"),
    "npz without arrays": ("t.npz", npz(), "no column"),
    "npz of objects": (
        "t.npz",
        npz(x=np.zeros(2), y=np.array(["07", None], dtype=object)),
        'array "y" holds Python objects: save y.astype(str), or y.astype(float) for numbers',
    ),
    "npz of complex numbers": ("t.npz", npz(x=np.zeros(2, complex)), "complex128"),
    "unknown suffix": ("t.xlsx", b"PK", "not a known table format"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(tmp_path: Path, case: str) -> None:
    name, content, words = BROKEN[case]
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        read_table(write(tmp_path, content, name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        read_table(tmp_path / "no.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileError, match="cannot be read"):
        read_table(tmp_path / "folder.csv")
    with pytest.raises(FileError, match="no such file"):
        read_table(tmp_path / "no.xlsx")


def test_a_file_that_is_not_there_may_be_meant_for_one_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path, "a,y\n1,2\n", "const.csv")
    write(tmp_path, "", "conf.py")
    for wrong in ("comst.csv", "const", "Const", "comst"):
        with pytest.raises(ChainruleError, match=re.escape(f'did you mean "{path}"?')):
            load_table(str(tmp_path / wrong))
    with pytest.raises(FileError, match="no such file: check the path"):
        load_table(str(tmp_path / "weather.csv"))
    with pytest.raises(DataError, match='did you mean "mnist"'):
        load_table(str(tmp_path / "mnst"))
    path.unlink()
    with pytest.raises(DataError, match="known are digits, "):
        load_table(str(tmp_path / "const"))
