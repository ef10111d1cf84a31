"""Which columns a network sees: none that numbers the rows, none that was to be left out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import Table, prepare, read_table
from chainrule.data.tables.features import split_names
from chainrule.errors import DataError

N = 30
RNG = np.random.default_rng(0)
SHUFFLED = RNG.permutation(N).astype(float)


def table(**columns: np.ndarray) -> Table:
    return Table("t.csv", {**columns, "a": RNG.normal(size=N), "y": np.arange(N) % 3.0})


def note_of(name: str) -> str:
    nameless = name.lower().startswith("unnamed") or name in ("...1", "")
    why = "has no name, as row numbers have none," if nameless else "numbers the rows"
    return f't.csv: "{name}" {why} and is left out: keep_index=True keeps it'


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("unnamed 1", SHUFFLED),
        ("Unnamed: 0", SHUFFLED + 1),
        ("Unnamed: 0.1", SHUFFLED),
        ("unnamed 1", 3.0 * SHUFFLED + 100),  # the index of a part of some larger table
        ("__index_level_0__", SHUFFLED),
        ("unnamed 1", SHUFFLED // 2),  # of two tables in one
        ("Unnamed: 0", SHUFFLED + 0.5),
        ("Unnamed: 0", np.where(SHUFFLED == 3, np.nan, SHUFFLED)),
        ("unnamed 3", np.full(N, np.nan)),  # after a separator at the end of each line
        ("unnamed 1", np.array([f"Mazda {i}" for i in range(N)], dtype=object)),  # row names of R
        ("", SHUFFLED),
        ("index", np.arange(N) + 0.0),
        ("id", SHUFFLED),
        ("Id", SHUFFLED + 1),
        ("row_number", SHUFFLED),
        ("PassengerId", 7 * SHUFFLED),
        ("patient_id", 2 * SHUFFLED),
        ("X", SHUFFLED + 1),  # as R calls a column without a name
        ("...1", SHUFFLED + 1),
        ("Sl. No.", SHUFFLED + 1),
        ("sample", SHUFFLED),
        ("#", SHUFFLED),
    ],
)
def test_row_numbers_are_left_out_and_said(name: str, values: np.ndarray) -> None:
    preparation, parts = prepare(table(**{name: values}), "y")
    assert preparation.inputs.features == ("a",)
    assert parts.notes == (note_of(name),)
    assert prepare(table(**{name: values}), "y", drop=(name,))[1].notes == ()
    if values.dtype == object or np.isnan(values).any():  # no feature as it is
        return
    preparation, parts = prepare(table(**{name: values}), "y", keep_index=True)
    assert preparation.inputs.features == (name, "a")
    assert parts.notes == ()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", SHUFFLED // 2),
        ("number", 2 * SHUFFLED),  # no counting, perhaps an amount
        ("X", 2 * SHUFFLED),
        ("x", SHUFFLED),
        ("n", SHUFFLED),
        ("acid", SHUFFLED),
        ("width", SHUFFLED),
        ("index", np.where(SHUFFLED == 3, np.nan, SHUFFLED)),
        ("age", SHUFFLED),
    ],
)
def test_other_columns_stay(name: str, values: np.ndarray) -> None:
    preparation, parts = prepare(table(**{name: values}), "y", missing="mean")
    assert preparation.inputs.features == (name, "a")
    assert not any("numbers the rows" in note for note in parts.notes)


def test_an_index_may_be_the_target_but_not_the_only_feature() -> None:
    assert prepare(table(id=SHUFFLED), "id")[0].inputs.features == ("a", "y")
    with pytest.raises(
        DataError, match=r'no column is left .* and the row numbers in "id", which keep_index=True keeps'
    ):
        prepare(Table("t.csv", {"id": SHUFFLED, "y": np.arange(N) % 2.0}), "y")


def test_an_index_without_a_name_in_a_file(tmp_path: Path) -> None:
    rows = "".join(f"{int(i)},{RNG.normal():.3f},{'pq'[int(i) % 2]}\n" for i in SHUFFLED)
    (tmp_path / "t.csv").write_text(",a,y\n" + rows)
    _, parts = prepare(read_table(tmp_path / "t.csv"), "y")
    assert parts.notes == (f"{tmp_path / 't.csv'}: {note_of('unnamed 1').removeprefix('t.csv: ')}",)


def test_several_columns_are_spoken_of_as_several() -> None:
    found = table(**{"Unnamed: 0": SHUFFLED, "Unnamed: 0.1": SHUFFLED, "id": SHUFFLED, "index": SHUFFLED})
    assert prepare(found, "y")[1].notes == (
        't.csv: "Unnamed: 0", "Unnamed: 0.1" have no names, as row numbers have none, and are left out: '
        "keep_index=True keeps them",
        't.csv: "id", "index" number the rows and are left out: keep_index=True keeps them',
    )
    long = {name: 2**53 + np.arange(N) for name in ("p", "q")}
    assert prepare(table(**long), "y")[1].notes[0].startswith('t.csv: "p", "q" hold whole numbers beyond 2^53')


def test_names_with_commas() -> None:
    data = table(**{"City, State": SHUFFLED, "b": SHUFFLED, "no": SHUFFLED})
    assert split_names(["City, State"], data) == ("City, State",)
    assert split_names(["a,b", "no"], data) == ("a", "b", "no")
    assert split_names(["a, b,City"], data) == ("a", "b", "City")  # which is then not found


def test_names_with_commas_are_told_apart_in_lists() -> None:
    with pytest.raises(DataError, match=r't.csv: there is no column "zzz": known are "b, c", d, a, y'):
        table(**{"b, c": SHUFFLED, "d": SHUFFLED}).column("zzz")


def test_advice_on_text_names_the_columns_to_drop() -> None:
    text = np.array(["x"] * N, dtype=object)
    with pytest.raises(DataError) as caught:
        prepare(table(**{"City, State": text, "it's": text, "-b": text}), "y")
    assert str(caught.value).endswith("""with drop=['City, State', "it's", '-b']""")


def test_a_word_for_missing_values_among_numbers_is_recognized_by_na(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'nil' if i == 3 else i},{'missing' if i == 5 else i},{'pq'[i % 2]}\n" for i in range(N))
    (tmp_path / "t.csv").write_text("n,a,b,y\n" + rows)
    for target, na in (("y", ["nil", "missing"]), ("a", ["nil"])):
        table = read_table(tmp_path / "t.csv")
        advice = re.escape(f'"nil" is text, expected a number: if it means a missing value, read it with na={na}')
        drop = ["b", "y"] if target == "a" else []
        with pytest.raises(DataError, match=advice):
            prepare(table, target, task="regress" if target == "a" else None, drop=drop)
        table = read_table(tmp_path / "t.csv", na=na)
        prepare(table, target, missing="drop", task="regress" if target == "a" else None, drop=drop)
    with pytest.raises(DataError, match=re.escape("na=['nil', 'missing']")):  # with the words given before
        prepare(read_table(tmp_path / "t.csv", na=["nil"]), "y")
    with pytest.raises(DataError, match=r"leave the column out with drop=\['y'\]"):
        prepare(read_table(tmp_path / "t.csv", na=["nil", "missing"]), "a")
