"""Some hundreds of damaged files of every format; `python -m benchmarks.damage_data` tries many more."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.damage_data import KINDS, judge, place, try_mutant

PICTURES = ("png", "jpeg", "tiff", "gif")
KINDS_HERE = [name for name in KINDS if name != "parquet"]  # polars writes its panics to standard error


@pytest.mark.parametrize("name", KINDS_HERE)
def test_what_is_not_damaged_is_read(tmp_path: Path, name: str) -> None:
    if name in PICTURES:
        pytest.importorskip("PIL.Image")
    assert judge(place(tmp_path, KINDS[name], KINDS[name].make())).outcome == "fine"


@pytest.mark.parametrize("name", KINDS_HERE)
def test_what_is_damaged_is_read_or_ends_in_one_line(tmp_path: Path, name: str) -> None:
    if name in PICTURES:
        pytest.importorskip("PIL.Image")
    for number in range(60):
        result = try_mutant(tmp_path, number, 0, 10, [name])
        assert result["outcome"] in ("fine", "one line", "slow"), result  # a busy machine is slow
