"""Labels are told apart and given back as they are written, whatever file they come from."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import Table, prepare, read_table
from chainrule.errors import DataError, LabelError

RNG = np.random.default_rng(0)
LARGE = 2**60  # its neighbours are the same number as float64


def write_csv(folder: Path, labels: list[str], rows: int = 40) -> Path:
    path = folder / "t.csv"
    lines = [f"{a:.3f},{labels[i % len(labels)]}" for i, a in enumerate(RNG.normal(size=rows))]
    path.write_text("\n".join(["a,y", *lines]) + "\n", encoding="utf-8")
    return path


def classes_of(table: Table, rows: int = 40) -> tuple[object, ...]:
    """The classes of column y, after a check that each row has its own."""
    preparation, parts = prepare(table, "y", task="classify")
    names = [str(preparation.classes[place]) for place in parts.y]
    assert names == table.labels("y").words.tolist()
    assert len(names) == rows
    return preparation.classes


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["2", "10", "1"], (1, 2, 10)),
        (["-1", "1"], (-1, 1)),
        (["007", "7"], ("007", "7")),
        (["1_1", "11"], ("11", "1_1")),
        (["１２", "12"], ("12", "１２")),
        (["+7", "7", "7.0", "7."], ("+7", "7", "7.", "7.0")),
        (["1e5", "100000"], ("100000", "1e5")),
        (["1e1", "0010"], ("0010", "1e1")),  # as long together as 10 and 10 written plainly
        (["-0", "0"], ("-0", "0")),
        (["0x10", "16"], ("0x10", "16")),
        (["1.0", "2.0"], ("1.0", "2.0")),
        (["infinity", "x"], ("infinity", "x")),
        ([str(LARGE), str(LARGE + 1), str(2**64 - 1)], (LARGE, LARGE + 1, 2**64 - 1)),
        ([str(10**30), str(10**30 + 1)], (10**30, 10**30 + 1)),
        (["True", "False"], ("False", "True")),
        (['"a, b"', "a"], ("a", "a, b")),
    ],
)
def test_labels_in_text_files(tmp_path: Path, labels: list[str], classes: tuple[object, ...]) -> None:
    assert classes_of(read_table(write_csv(tmp_path, labels))) == classes


def test_codes_in_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "1,7\n2,8\n" * 6000 + "3,007\n" * 9000)  # the codes begin in the second stretch of rows
    assert classes_of(read_table(path), 21000) == ("007", "7", "8")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([LARGE, LARGE + 1]), (LARGE, LARGE + 1)),
        (np.array([2**63 + 1, 2**63 + 2], np.uint64), (2**63 + 1, 2**63 + 2)),
        (np.array([-(2**63), 2**63 - 1]), (-(2**63), 2**63 - 1)),
        (np.array([1.0, 2.0]), (1, 2)),
        (np.array([2.0**60, 2.0**61]), (2**60, 2**61)),
        (np.array([True, False]), ("False", "True")),
        (np.array(["NA", " 7", "7", "?"]), (" 7", "7", "?", "NA")),
    ],
)
def test_labels_in_archives_and_parquet(tmp_path: Path, labels: np.ndarray, classes: tuple[object, ...]) -> None:
    polars = pytest.importorskip("polars")
    a, y = RNG.normal(size=40), np.resize(labels, 40)
    np.savez(tmp_path / "t.npz", a=a, y=y)
    polars.DataFrame({"a": a, "y": y}).write_parquet(tmp_path / "t.parquet")
    for name in ("t.npz", "t.parquet"):
        assert classes_of(read_table(tmp_path / name, na=())) == classes


def test_decimals_and_categories_in_parquet(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    numbers = polars.Series("y", [str(10**25), str(10**25 + 1)] * 20).cast(polars.Decimal(38, 0))
    polars.DataFrame({"a": RNG.normal(size=40), "y": numbers}).write_parquet(tmp_path / "t.parquet")
    assert classes_of(read_table(tmp_path / "t.parquet")) == (10**25, 10**25 + 1)
    words = polars.Series("y", ["07", "7"] * 20).cast(polars.Categorical)
    polars.DataFrame({"a": RNG.normal(size=40), "y": words}).write_parquet(tmp_path / "t.parquet")
    assert classes_of(read_table(tmp_path / "t.parquet")) == ("07", "7")


def test_a_label_written_otherwise_is_another_one(tmp_path: Path) -> None:
    preparation, _ = prepare(read_table(write_csv(tmp_path, ["7", "8"])), "y")
    with pytest.raises(LabelError, match='row 1: "07" is not one of the classes'):
        preparation.y(read_table(write_csv(tmp_path, ["07", "8"])))
    preparation, _ = prepare(read_table(write_csv(tmp_path, [str(LARGE), str(LARGE + 1)])), "y")
    with pytest.raises(LabelError, match="is not one of the classes"):
        preparation.y(read_table(write_csv(tmp_path, [str(LARGE + 2)])))


def test_spellings_of_one_number_are_told(tmp_path: Path) -> None:
    path = write_csv(tmp_path, ["1", "1.0", "2"])
    _, parts = prepare(read_table(path), "y")
    assert parts.notes == (f'{path}: column "y": 1, 1.0 are different classes, as they are written differently',)
    assert prepare(read_table(write_csv(tmp_path, ["1.0", "2.0"])), "y")[1].notes == ()


def test_codes_are_classes_however_many() -> None:
    codes = [f"{i:05}" for i in range(30)] * 4
    table = Table(
        "t", {"a": RNG.normal(size=120), "y": np.array(list(map(float, codes)))}, written={"y": np.array(codes)}
    )
    assert prepare(table, "y")[0].task == "classify"


@pytest.mark.parametrize("word", ["NA", "N/A", "None", "null", "nan", "-", "."])
def test_a_word_that_may_be_a_name_is_asked_for(tmp_path: Path, word: str) -> None:
    path = write_csv(tmp_path, ["EU", word])
    with pytest.raises(
        DataError,
        match=f'column "y" holds "{word}" in 20 of 40 rows, .*na=\\[\\] .*na=\\[\'{re.escape(word)}\'\\] says',
    ):
        prepare(read_table(path), "y", missing="drop")
    assert set(classes_of(read_table(path, na=()))) == {"EU", word}
    with pytest.raises(DataError, match=r'column "y" is missing 20 of 40 values, the first in row 2'):
        prepare(read_table(path, na=[word]), "y")


def test_a_class_beside_numbers_may_be_called_na(tmp_path: Path) -> None:
    path = write_csv(tmp_path, ["1", "2", "NA"])
    with pytest.raises(DataError, match=r'column "y" holds "NA" in 13 of 40 rows, .*na=\[\] .*na=\[\'NA\'\] says'):
        prepare(read_table(path), "y")
    with pytest.raises(DataError, match=r'the first in row 3 \(written "NA"\): missing="drop"'):
        prepare(read_table(path, na=["NA"]), "y")
    assert classes_of(read_table(path, na=())) == ("1", "2", "NA")
    preparation, parts = prepare(read_table(path), "y", missing="drop")
    assert preparation.classes == (1, 2)
    assert parts.notes == (f'{path}: 13 of 40 rows are missing some value and are left out ("NA" in y)',)


def test_later_tables_know_the_classes(tmp_path: Path) -> None:
    """Where NA is no class, it is a missing label; where it is one, it is that class."""
    named, _ = prepare(read_table(write_csv(tmp_path, ["EU", "NA"]), na=()), "y")
    plain, _ = prepare(read_table(write_csv(tmp_path, ["EU", "AS"])), "y", missing="drop")
    later = read_table(write_csv(tmp_path, ["EU", "NA"]))
    assert named.whole_rows(later, with_target=True).rows == 40
    assert set(named.y(later).tolist()) == {0, 1}
    assert plain.whole_rows(later, with_target=True).rows == 20


def test_features_that_lose_digits_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "".join(f"{LARGE + 2 * i},{2**53 + 2 * i},{i % 2}\n" for i in range(40)))
    _, parts = prepare(read_table(path), "y")
    assert parts.notes == (f'{path}: "a" holds whole numbers beyond 2^53, whose last digits are lost',)
    path.write_text("a,y\n" + "".join(f"{i}e20,{i % 2}\n" for i in range(40)))
    assert prepare(read_table(path), "y")[1].notes == ()
    path.write_text("a,b\n" + "".join(f"{LARGE + 300 * i}.0,{i}.5\n" for i in range(40)))
    _, parts = prepare(read_table(path), "a", task="regress")
    assert parts.notes == (f'{path}: "a" holds whole numbers beyond 2^53, whose last digits are lost',)


@pytest.mark.parametrize("rows", [40, 10000])  # in one part of the file, and in several
@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (['" 7"', '"7 "', '"7"', "8"], '" 7", "7", "7 "'),
        (['" cat"', "cat", "dog"], '" cat", "cat"'),
        (['" cat"', '"cat "', "dog"], '" cat", "cat "'),
        ([" cat", " dog"], None),
        (["  7", " 10"], None),
    ],
)
def test_labels_joined_by_stripping_blanks_are_told(
    tmp_path: Path, labels: list[str], told: str | None, rows: int
) -> None:
    path = write_csv(tmp_path, labels, rows)
    _, parts = prepare(read_table(path), "y", task="classify")
    line = f'{path}: column "y": labels that differ only in blanks around them, such as {told}, are one class'
    assert parts.notes == ((line,) if told else ())


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("Cat", "cat", "dog"), "Cat, cat are different classes"),
        (("caf\u00e9", "cafe\u0301", "dog"), r"'cafe\u0301', 'caf\xe9' are different classes"),
        (("cat", "cat\u200b", "dog"), r"'cat', 'cat\u200b' are different classes"),
        (("a b", "a\u00a0b", "dog"), r"'a b', 'a\xa0b' are different classes"),
        (("cat", "dog", "cow"), None),
    ],
)
def test_names_that_readers_cannot_tell_apart(tmp_path: Path, names: tuple[str, ...], told: str | None) -> None:
    rows = [f"{i},{names[i % 3]}" for i in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["a,kind", *rows]), encoding="utf-8")
    table = read_table(tmp_path / "t.csv")
    notes = prepare(table, "kind", validation=0.0)[1].notes
    assert [told in note for note in notes] == [True] if told else not notes


def test_a_label_of_thousands_of_digits() -> None:
    labels = ["9" * 5000, "8" * 5000, "x"] * 4
    preparation, _ = prepare(Table("t", {"a": [*range(12)], "kind": labels}), "kind", validation=0.0)
    assert preparation.classes == ("8" * 5000, "9" * 5000, "x")
    preparation, _ = prepare(Table("t", {"a": [*range(8)], "kind": ["9" * 5000, "8" * 5000] * 4}), "kind")
    assert preparation.classes == ("8" * 5000, "9" * 5000)
