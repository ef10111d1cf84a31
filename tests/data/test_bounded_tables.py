"""Tables that are wide, or far larger than their files: read in steps that grow with their size, within a limit."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from tests.data.test_tables import write

from chainrule.data import Table, prepare, read_table
from chainrule.data.split import split_rows
from chainrule.data.tables import lines, table, text
from chainrule.data.tables.features import find_row_numbers
from chainrule.data.tables.table import column_names
from chainrule.errors import DataError


def test_200_000_names_are_compared_in_one_pass() -> None:
    names = [f"x{i}" for i in range(200_000)]  # comparing each with each would take minutes
    assert column_names("t.csv", names) == names
    with pytest.raises(DataError, match='two columns are called "x0"'):
        column_names("t.csv", [*names, "x0"])


def test_100_000_classes_are_split_in_one_pass() -> None:
    classes = np.arange(200_000) // 2
    parts = split_rows(len(classes), validation=0.1, test=0.2, seed=0, classes=classes)
    assert len(np.unique(classes[parts.train])) == 100_000


def test_a_wide_table_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "CHARACTERS", 10_000)  # a few rows at a time
    width, values = 2_000, np.random.default_rng(0).integers(0, 100, (12, 2_000))
    rows = [f"{','.join(map(str, row))},{'pq'[i % 2]}" for i, row in enumerate(values)]
    path = write(tmp_path, "\n".join([",".join([*(f"x{i}" for i in range(width)), "kind"]), *rows]))
    preparation, parts = prepare(read_table(path), "kind", drop=["x0"], validation=0.0)
    assert preparation.input_shape == (width - 1,)
    np.testing.assert_array_equal(parts.data.columns["x7"], values[:, 7])


def test_more_columns_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_COLUMNS", 3)
    with pytest.raises(DataError, match="has 4 columns, at most 3 are read"):
        read_table(write(tmp_path, "a,b,c,d\n1,2,3,4\n"))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_the_size_of_text_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    content = b"a,b\n" + b"1.125,2\n" * 1000
    path = write(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name)
    monkeypatch.setattr(text, "room", lambda: len(content) - 1)
    with pytest.raises(DataError, match=r"7\.8 KiB are read, a quarter of the free memory"):
        read_table(path)
    monkeypatch.setattr(text, "room", lambda: 16_000)
    assert read_table(path).rows == 1000


def test_the_size_of_columns_is_limited_as_soon_as_it_is_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a\n" + "1\n" * 400_000)  # 8 bytes for every 2
    monkeypatch.setattr(text, "room", lambda: 840_000)
    with pytest.raises(DataError, match=r"its columns would take about [23]\.\d MiB, at most 820.3 KiB are read"):
        read_table(path)
    monkeypatch.setattr(text, "room", lambda: 2_000_000)
    with pytest.raises(DataError, match=r"its columns take more than 1\.9 MiB, at most"):
        read_table(path)


def test_lines_and_rows_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 100)
    monkeypatch.setattr(lines, "BLANKS", 20)
    line = "a row goes on for 100 characters and more, to line"
    for content, words in (
        (f"a,b\n1,2\n3,{'4' * 200}\n", f"{line} 3: close"),
        ("a" * 200, f"{line} 1: close"),
        ('a,b\n1,"p\n' + "2,q\n" * 100, f"{line} 26: close"),
        ("a,b\n1,2" + "\n" * 50 + "3,4\n", "more than 20 blank lines follow one another: remove them"),
    ):
        with pytest.raises(DataError, match=words):
            read_table(write(tmp_path, content))
        with pytest.raises(DataError, match=words):
            read_table(write(tmp_path, gzip.compress(content.encode()), "t.csv.gz"))


def test_text_that_is_not_utf8_is_found_wherever_it_is(tmp_path: Path) -> None:
    start = b"a,b\n" + b"1,2\n" * 50_000
    for content, words in (
        (start + b"3,\xe9t\xe9\n", r"line 50,002 is not UTF-8 text \(its byte 3 is 0xe9\): save the table as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1 is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-32"), "line 1 is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "line 1 holds the character NUL: save the table as UTF-8"),
        (start + b"3,\0\n", "line 50,002 holds the character NUL"),
    ):
        with pytest.raises(DataError, match=words):
            read_table(write(tmp_path, content))
        with pytest.raises(DataError, match=words):
            read_table(write(tmp_path, gzip.compress(content), "t.csv.gz"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('a,b\n1,"p"q\n2,q\n', r"row 1 \(line 2\): text follows a closing quote in line 2"),
        ('a,b\n1,"say "hi" now"\n', r"row 1 \(line 2\): text follows a closing quote in line 2"),
        ('a,b\n1,"p\n2,q\n3,"r"\n', r"row 1 \(line 2\): text follows a closing quote in line 4"),
        ('"a"x,b\n1,2\n', "the header: text follows a closing quote in line 1"),
    ],
)
def test_text_beside_quotes(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_table(write(tmp_path, content))


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\r\n\n", "\n\r\n"])
def test_ends_of_lines(tmp_path: Path, ends: str) -> None:
    columns = read_table(write(tmp_path, ends.join(["a,b", "1,p", '2,"q""r"', ""]))).columns
    assert {name: column.tolist() for name, column in columns.items()} == {"a": [1.0, 2.0], "b": ["p", 'q"r']}


def test_gzip_in_several_members_is_read_whole(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n")
    assert read_table(write(tmp_path, packed, "t.csv.gz")).columns["a"].tolist() == [1.0, 3.0]
    wrong = bytearray(packed)
    wrong[-6] ^= 1  # in the checksum
    for damaged in (packed[:-3], bytes(wrong), packed + b"garbage"):
        with pytest.raises(DataError, match="damaged or cut short"):
            read_table(write(tmp_path, damaged, "t.csv.gz"))


@pytest.mark.parametrize(
    "cell", ["0" * 300_000 + "x", "1." + "0" * 300_000 + "x", "1e" + "0" * 300_000 + "x", "1" * 300_000]
)
def test_a_long_cell_is_looked_at_once(tmp_path: Path, cell: str) -> None:
    """Whether it is a number takes hours if it is looked at again from each of its digits."""
    assert read_table(write(tmp_path, f"a,b\n{cell.format('0' * 300_000)},1\n")).rows == 1


def test_a_name_of_many_digits_is_looked_at_once() -> None:
    for name in ("unnamed" + "1" * 300 + "x", "unnamed: " + "1_" * 300 + "x", "a " * 300 + "x"):
        assert not find_row_numbers(Table("t", {name: [1.5, 2.0]}), [name])[0]
