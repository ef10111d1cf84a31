"""Tables of odd cells: each is made ready, with every label as it is written, or ends in one error of ours."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data import prepare, read_table
from chainrule.data.record import read_preparation
from chainrule.errors import ChainruleError

WORDS = (
    *("1", "2", "007", "7", "1_1", "11", "+7", "-0", "0", "1e5", "1e20", "5.", "-.5", "1.5", "2.25", "0x10", "1,000"),
    *("9" * 25, "9" * 24 + "8", "9" * 400, "1189234567890123456", "1189234567890123457", "1e400", "1e-400", "１２"),
    *("", "NA", "n/a", "None", "nan", "-", ".", "?", "#N/A", r"\N", "-999", "inf", "infinity"),
    *("x", "y, z", 'q"uote', "a;b", "new\nline", "é", "  padded ", "true", "false"),
)
NAMES = ("a", "b", "City, State", "no", "id", "", "Unnamed: 0", "x;z", 'q"t', "1")


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[str], list[list[str]]]:
    """A separator, a header and rows: of each column a few different words, or numbers from 0."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    rows = draw(st.sampled_from([2, 5, 12, 40]))
    few = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4)
    columns = [draw(few) if draw(st.integers(0, 3)) else [str(i) for i in range(rows)] for _ in names]
    return draw(st.sampled_from(",;\t|")), names, [[c[i % len(c)] for c in columns] for i in range(rows)]


@settings(deadline=None)
@given(
    file=files(),
    na=st.sampled_from([None, [], ["NA"], ["-999", "x"]]),
    task=st.sampled_from([None, "classify", "regress"]),
    missing=st.sampled_from(["refuse", "mean", "drop"]),
    place=st.integers(0, 3),
)
def test_ready_or_refused(
    file: tuple[str, list[str], list[list[str]]], na: list[str] | None, task: str | None, missing: str, place: int
) -> None:
    separator, names, rows = file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        with path.open("w", encoding="utf-8", newline="") as text:
            csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([names, *rows])
        try:
            table = read_table(path, na=na)
            target = list(table.columns)[place % len(table.columns)]
            preparation, parts = prepare(table, target, task=task, missing=missing, validation=0.0)
        except ChainruleError:
            return
    again = read_preparation(json.loads(json.dumps(preparation.to_dict())))
    whole = again.whole_rows(table, with_target=True)
    assert np.isfinite(again.x(whole)).all()
    assert np.isfinite(parts.y).all()
    np.testing.assert_array_equal(again.y(whole), parts.y)
    if preparation.classes:
        written = [row[place % len(names)].strip() for row in rows]
        labels = [str(preparation.classes[y]) for y in parts.y]
        assert labels == [written[parts.data.number(row) - 1] for row in range(len(labels))]
