"""Parquet files that hold much more than their size, or are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainrule.data import read_table
from chainrule.data.tables import binary
from chainrule.errors import ChainruleError, DataError

polars = pytest.importorskip("polars")


@pytest.mark.parametrize(
    "columns",
    [{"a": [0.0] * 100_000}, {"a": [None] * 100_000}, {"a": ["word" * 500] * 1_000}, {"a": [[1, 2]] * 20_000}],
)
def test_a_small_file_of_many_cells_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: dict[str, list[object]]
) -> None:
    path = tmp_path / "t.parquet"
    polars.DataFrame(columns).write_parquet(path)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(binary, "room", lambda: 700_000)
    with pytest.raises(DataError, match=r"its columns would take \d+\.\d .iB, at most 683\.6 KiB are read, a quarter"):
        read_table(path)
    monkeypatch.setattr(binary, "room", lambda: 100)
    with pytest.raises(DataError, match=r"holds .* at most 100 bytes are read"):
        read_table(path)


def test_a_table_cut_short_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    polars.DataFrame({"a": [1.5, 2.0] * 9, "kind": ["p", "q"] * 9}).write_parquet(path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        with pytest.raises(ChainruleError, match=r"t\.parquet: not a Parquet table \(.*\): write it again"):
            read_table(path)
