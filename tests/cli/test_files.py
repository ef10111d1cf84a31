"""The log of a run grows by whole lines; a run is found by name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chainrule.cli.run import Log, Run
from chainrule.errors import FileError


def test_log_lines_are_whole_and_valid_json(tmp_path: Path) -> None:
    log = Log(tmp_path / "m.jsonl")
    log.write({"epoch": 1, "loss": 0.5, "val_auc": float("nan")})
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"epoch": 1, "loss": 0.5, "val_auc": None}
    log.close()


def test_a_log_line_that_does_not_fit_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "m.jsonl")
    log.write({"epoch": 1})
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:4]))  # a disk with room for four bytes
    with pytest.raises(FileError, match="No space left on device"):
        log.write({"epoch": 2})
    monkeypatch.undo()
    assert (tmp_path / "m.jsonl").read_text() == '{"epoch": 1}\n'
    log.close()


def test_a_run_that_is_not_there_may_be_meant_for_another(tmp_path: Path) -> None:
    for day in range(10, 30):
        folder = tmp_path / f"202601{day}-120000-iris"
        folder.mkdir()
        (folder / "config.yaml").touch()
    with pytest.raises(FileError, match=r'no such run: did you mean "latest"\?'):
        Run.find("latset", str(tmp_path))
    with pytest.raises(FileError, match=r"known are latest, 20260129-\d+-iris, .*27-120000-iris and 17 more"):
        Run.find("x", str(tmp_path))
