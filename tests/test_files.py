"""Files are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chainrule.errors import FileError
from chainrule.files import write_whole


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half(beside: Path) -> None:
        beside.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match=r"a.txt: cannot be written \(No space left on device\): free some space"):
        write_whole(path, half)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_an_interrupt_leaves_the_old_file(tmp_path: Path) -> None:
    def interrupted(beside: Path) -> None:
        beside.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.txt", interrupted)
    assert not list(tmp_path.iterdir())


def test_the_file_is_on_the_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, events = tmp_path / "a.txt", []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append(("fsync", os.fstat(file).st_size)), sync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(("replace", Path(a).suffix)), replace(a, b)))
    write_whole(path, lambda beside: beside.write_text("new"))
    assert events == [("fsync", 3), ("replace", ".txt")]
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("place", ["none/a.txt", "file/a.txt", "", "folder"])
def test_places_where_no_file_can_be(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match="cannot be written"):
        write_whole(Path(place), lambda beside: beside.write_text("new"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
