"""Files are there whole or not at all."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

import chainrule
from chainrule.errors import FileError, OptionError
from chainrule.files import as_path, read_whole, write_whole


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


@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device", "folder", "socket"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)  # without a writer, so that opening it would wait
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as own:
            own.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(FileError, match=r"a: cannot be read \("):
        read_whole(path, 10)


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    assert read_whole(path, 10) == b"0123456789"
    with pytest.raises(FileError, match="larger than 9 bytes, the most that are read"):
        read_whole(path, 9)
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # it takes no room on the disk
    with pytest.raises(FileError, match="larger than 10 bytes"):
        read_whole(path, 10)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800", "a/" + 128 * "é"])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(OptionError, match="which no file can be called"):
        as_path("load", name)


def test_every_file_is_opened_through_one_door() -> None:
    """What a user names is opened by `files.py`. `native` reads the system's files and its own; digits.npz is ours."""
    package = Path(chainrule.__file__).parent
    own = {package / "files.py", package / "data/digits.py"}
    openers = re.compile(r"\.open\(\"r|[^._\w]open\(|\.read_text\(|\.read_bytes\(|np\.load\(|gzip\.open\(|safe_open\(")
    found = [
        f"{path.relative_to(package)}:{number}"
        for path in sorted(package.rglob("*.py"))
        if path not in own and package / "native" not in path.parents
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if openers.search(line) and not re.search(">>>|os.devnull", line)
    ]
    assert not found
