"""Files -> columns."""

from __future__ import annotations

import csv
import gzip
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data import Images, Table, prepare, prepare_images, read_table
from chainrule.data.tables.text import CHUNK
from chainrule.errors import ChainruleError, DataError, FileError


def write(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_numbers_and_text(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, 'a,b,name\n1,2.5,x\n-3,1e-2,"y, z"\n'))
    assert list(table.columns) == ["a", "b", "name"]
    np.testing.assert_array_equal(table.columns["a"], [1.0, -3.0])
    np.testing.assert_array_equal(table.columns["b"], [2.5, 0.01])
    assert table.columns["name"].tolist() == ["x", "y, z"]
    assert table.rows == 2


MISSING = ["", " ", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "<NA>", r"\N", ".", "-"]


@pytest.mark.parametrize("word", MISSING)
def test_missing_values_among_numbers(tmp_path: Path, word: str) -> None:
    table = read_table(write(tmp_path, f"a,t\n1,x\n{word},{word}\n"))
    np.testing.assert_array_equal(table.columns["a"], [1.0, np.nan])
    certain = word.strip() in ("", "?", "#N/A", "<NA>", r"\N")
    assert table.columns["t"].tolist() == ["x", "" if certain else word]  # others may be names


def test_missing_values_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, "a,t\n1,x\n-999,NA\nNA,unknown\n")
    table = read_table(path, na=["-999", "unknown"])
    np.testing.assert_array_equal(table.columns["a"], [1.0, np.nan, np.nan])
    assert table.columns["t"].tolist() == ["x", "NA", ""]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "sep=;\na;b\n1;2\n"),
        ("t.csv", "sep=|\r\na|b\r\n1|2"),
        ("t.csv", "a,b\n1,2\n"),
        ("t.csv", "a;b\n1;2\n"),
        ("t.tsv", "a\tb\n1\t2\n"),
        ("t.csv", "a\tb\n1\t2"),
    ],
)
def test_delimiters(tmp_path: Path, name: str, text: str) -> None:
    table = read_table(write(tmp_path, text, name))
    assert {n: c.tolist() for n, c in table.columns.items()} == {"a": [1.0], "b": [2.0]}


def test_gzip_bom_blank_lines_and_windows_ends(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress("\ufeff\r\na,b\r\n\r\n1,2\r\n\r\n".encode()), "t.csv.gz")
    assert {n: c.tolist() for n, c in read_table(path).columns.items()} == {"a": [1.0], "b": [2.0]}


def test_a_column_that_turns_to_text_late_is_text_throughout(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n" + "01,1\n" * CHUNK + "x,2\n")
    column = read_table(path).columns["a"]
    assert (column[0], column[-1], len(column)) == ("01", "x", CHUNK + 1)


def test_a_header_of_column_numbers_is_a_header(tmp_path: Path) -> None:
    assert list(read_table(write(tmp_path, "0,1,2\n5,6,7\n")).columns) == ["0", "1", "2"]


def test_parquet(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, None, 3], "b": [True, False, None], "c": ["x", None, "y"], "d": [0.5, 1.5, 2.5]})
    frame = frame.with_columns(e=None)
    frame.write_parquet(tmp_path / "t.parquet")
    columns = read_table(tmp_path / "t.parquet").columns
    np.testing.assert_array_equal(columns["a"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(columns["b"], [1.0, 0.0, np.nan])
    assert columns["c"].tolist() == ["x", "", "y"]
    assert np.isnan(columns["e"]).all()
    assert columns["d"].dtype == np.float64


def test_npz(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    np.savez(tmp_path / "t.npz", x=x, y=np.array(["b", "a", "b"]))
    table = read_table(tmp_path / "t.npz")
    assert list(table.columns) == [f"x{i}" for i in range(8)] + ["y"]
    np.testing.assert_array_equal(table.columns["x5"], x[:, 1, 1])
    assert table.columns["y"].tolist() == ["b", "a", "b"]


def test_dates_and_other_kinds_are_text(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    import datetime

    columns = {"day": [datetime.date(2024, 1, 31), None], "list": [[1, 2], [3]], "code": ["x", "y"]}
    polars.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.columns["day"].tolist() == ["2024-01-31", ""]
    assert table.columns["list"].tolist() == ["[1, 2]", "[3]"]
    np.savez(tmp_path / "t.npz", day=np.array(["2024-01-31"], "M8[D]"), code=np.array(["é".encode()]))
    table = read_table(tmp_path / "t.npz")
    assert (table.columns["day"].tolist(), table.columns["code"].tolist()) == (["2024-01-31"], ["é"])


def test_parquet_without_polars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(FileError, match="reading Parquet needs polars: pip install polars"):
        read_table(write(tmp_path, b"", "t.parquet"))


def test_unknown_column_names_the_nearest() -> None:
    table = Table("t.csv", {"petal_width": np.zeros(2), "petal_length": np.zeros(2)})
    with pytest.raises(DataError, match=r't.csv: there is no column "Petal Width": did you mean "petal_width"\?'):
        table.column("Petal Width")


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
def test_masked_columns_are_refused(kind: type) -> None:
    masked = np.ma.masked_array(np.arange(3, dtype=kind), mask=[False, True, False])
    with pytest.raises(DataError, match=r't.csv: column "a": is a masked array that hides 1 of 3 values'):
        Table("t.csv", {"a": masked})


def test_fingerprint_knows_names_and_values() -> None:
    one = Table("a", {"x": np.arange(3.0), "t": np.array(["p", "q", "r"], dtype=object)})
    same = Table("b", {"x": np.arange(3.0), "t": np.array(["p", "q", "r"], dtype=object)})
    other = Table("a", {"z": np.arange(3.0), "t": np.array(["p", "q", "r"], dtype=object)})
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_table_or_in_our_error(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name in ("t.csv", "t.csv.gz", "t.npz"):
            try:
                read_table(write(Path(folder), content, name))
            except ChainruleError as error:
                message = str(error)
            else:
                message = ""
            assert "\n" not in message


def test_numbers_survive_to_the_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(1000)
    path = write(tmp_path, "a,b\n" + "".join(f"{v!r},1\n" for v in values.tolist()))
    np.testing.assert_array_equal(read_table(path).columns["a"], values)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"Mass, g";"Length, mm";kind\n1.5;2.5;p\n2;3;q\n', ["Mass, g", "Length, mm", "kind"]),
        ("Mass, g;Length, mm;kind\n1,5;2,5;p\n2,0;3,0;q\n", ["Mass, g", "Length, mm", "kind"]),
        ("Mass, g;kind\n1,5;p\n", ["Mass, g", "kind"]),
        ('"a;b;c","d;e"\n1,2\n3,4\n', ["a;b;c", "d;e"]),
        ("a;b,c\n1,x\n2,y\n", ["a;b", "c"]),
        ("a|b, c|d\n1|2|3\n", ["a", "b, c", "d"]),
        ("a, b\tc, d\n1\t2\n", ["a, b", "c, d"]),
        ('"a\nb",c\n1,2\n', ["a b", "c"]),
        ('"a,\r\nb";"c,d"\r\n1;2\r\n', ["a, b", "c,d"]),
        ("only\n1\n2\n", ["only"]),
        ('a,note\n1,"x; y; z"\n2,"u; v; w"\n', ["a", "note"]),
        ('a;b\n1;"he said ""no"", twice"\n', ["a", "b"]),
    ],
)
def test_separators_are_found_by_rows_of_one_width(tmp_path: Path, text: str, names: list[str]) -> None:
    assert list(read_table(write(tmp_path, text)).columns) == names


def test_the_separator_of_a_file_longer_than_the_sample(tmp_path: Path) -> None:
    rows = "".join(f'"{"x, y " * 300}";{i}\n' for i in range(90))
    assert list(read_table(write(tmp_path, '"a, b";c\n' + rows)).columns) == ["a, b", "c"]


def test_cells_of_any_length(tmp_path: Path) -> None:
    long = "x" * 200_000
    table = read_table(write(tmp_path, f"a,text\n1,{long}\n2,y\n"))
    assert table.columns["text"].tolist() == [long, "y"]
    assert csv.field_size_limit() == 131_072  # of others' files


def test_names_can_be_typed_as_they_are_shown(tmp_path: Path) -> None:
    assert list(read_table(write(tmp_path, 'a  b,"c\n\n d"\n1,2\n')).columns) == ["a b", "c d"]
    with pytest.raises(DataError, match='two columns are called "a b"'):
        read_table(write(tmp_path, "a  b,a b\n1,2\n"))


@pytest.mark.parametrize("word", ["1_000", "１２", "0x10", "1,000", "1e", "--1", "nano", "1 2"])
def test_what_is_no_number(tmp_path: Path, word: str) -> None:
    table = read_table(write(tmp_path, f'a,b\n1,1\n"{word}",2\n'))
    assert table.columns["a"].tolist() == ["1", word]


@pytest.mark.parametrize(
    ("word", "value"), [("+7", 7), ("007", 7), (" 1e5 ", 1e5), ("-.5", -0.5), ("5.", 5), ("Inf", np.inf)]
)
def test_ways_to_write_a_number(tmp_path: Path, word: str, value: float) -> None:
    assert read_table(write(tmp_path, f"a,b\n1,1\n{word},2\n")).columns["a"].tolist() == [1, value]


def test_numbers_that_mean_a_missing_value_in_archives_and_parquet(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    columns = {"a": np.array([1.0, -999, 3]), "b": np.array([1, 2, -999]), "c": np.array(["x", "-999", "unknown"])}
    np.savez(tmp_path / "t.npz", **columns)
    polars.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    for name in ("t.npz", "t.parquet"):
        table = read_table(tmp_path / name, na=["-999", "unknown"])
        np.testing.assert_array_equal(table.columns["a"], [1, np.nan, 3])
        np.testing.assert_array_equal(table.columns["b"], [1, 2, np.nan])
        assert table.columns["c"].tolist() == ["x", "", ""]


class NAType:
    """What pandas has for a missing value: not to be compared."""

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = object.__hash__


NA = NAType()


def test_a_table_of_lists_and_arrays_of_any_kind() -> None:
    table = Table(
        "t",
        {
            "whole": [1, None, 3],
            "large": np.array([2**60, 2**60 + 1, 2], np.int64),
            "text": np.array(["a", "b", ""]),
            "some": np.array(["a", None, float("nan")], dtype=object),
            "na": np.array([np.int64(2**60 + 1), NA, Decimal(7)], dtype=object),
            "truths": [True, False, True],
            "short": np.array([1, 2, 3], np.uint8),
        },
    )
    np.testing.assert_array_equal(table.columns["whole"], [1, np.nan, 3])
    assert table.labels("large").words.tolist() == [str(2**60), str(2**60 + 1), "2"]
    assert table.labels("na").words.tolist() == [str(2**60 + 1), "", "7"]
    assert table.columns["text"].tolist() == ["a", "b", ""]
    assert table.columns["some"].tolist() == ["a", "", ""]
    assert table.labels("truths").words.tolist() == ["True", "False", "True"]
    assert all(column.dtype in (np.float64, object) for column in table.columns.values())
    assert table.take(np.array([1])).labels("large").words.tolist() == [str(2**60 + 1)]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": np.zeros((2, 2))}, 'column "a" has shape (2, 2), expected one value for each row'),
        ({"a": [1, 2], "b": [1]}, 'the columns differ in their number of rows: "a" has 2, "b" has 1'),
        ({"a": [1, "x"], "b": np.array([1, object()], dtype=object)}, 'column "b", row 2: <object'),
        ({"a": None}, 'column "a": is None'),
        ({"a": {1: 2}}, 'column "a": is a dict'),
        ({"a": np.ma.masked_equal([1, 2], 2)}, "masked array that hides 1 of 2 values"),
        ({"a": [1j, 2]}, "complex128"),
        ([[1, 2]], "columns are list, expected names and values: pass a dict"),
    ],
)
def test_what_is_no_column(columns: Any, words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        Table("t", columns)


def test_a_table_of_a_frame() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1.5, None], "n": [2**60, None], "t": ["x", None], "b": [True, False]})
    with pytest.raises(DataError, match=r"columns are DataFrame, expected .* \{name: frame\[name\] for name in frame"):
        Table("t", frame)
    table = Table("t", {name: frame[name] for name in frame.columns})
    np.testing.assert_array_equal(table.columns["a"], [1.5, np.nan])
    assert table.labels("n").words.tolist() == [str(2**60), ""]
    assert table.columns["t"].tolist() == ["x", ""]
    assert table.labels("b").words.tolist() == ["True", "False"]
    assert list(Table("t", {0: [1.0], 1: [2.0]}).columns) == ["0", "1"]


def test_what_is_no_table() -> None:
    for other in ({"a": [1]}, None, np.zeros((3, 2)), "t.csv"):
        with pytest.raises(DataError, match="expected a table: read one with read_table"):
            prepare(other, "y")  # type: ignore[arg-type]
        with pytest.raises(DataError, match="expected images: read them with read_images"):
            prepare_images(other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("2.0,108.0,yes", True),
        ("2,108,yes", True),
        ("a,108,yes", False),
        ("0,1,2", False),
        ("0,1,kind", False),
        ("kind,0,1", False),
    ],
)
def test_a_missing_header_is_suspected(tmp_path, header, hint):
    path = tmp_path / "t.csv"
    path.write_text(header + "\n" + "1,2,no\n" * 3)
    with pytest.raises(DataError, match='there is no column "diabetes"') as raised:
        prepare(read_table(path), "diabetes")
    assert str(raised.value).endswith("; is the header line missing?") == hint
    path.write_text("5.0,5.0,yes\n1,2,no\n")
    with pytest.raises(DataError, match=r'two columns are called "5\.0".*is the header line missing\?$'):
        read_table(path)


def test_data_is_printed_on_one_line():
    numbers = {f"x{i}": np.arange(1000.0) for i in range(99)}
    _, parts = prepare(Table("t.csv", {**numbers, "y": np.arange(1000) % 2.0}), "y")
    assert re.fullmatch(r"<Table t.csv: 1,000 rows of 'x0', 'x1', .*>", repr(parts.data))
    assert repr(parts) == f"<Parts of {parts.data!r}: train 700, validation 100, test 200>"
    assert len(repr(parts)) < 400
    images = Images("photos", np.zeros((6, 8, 9, 3), np.uint8), np.arange(6) % 2)
    assert repr(images) == "<Images photos: 6 of 8 x 9 x 3>"
