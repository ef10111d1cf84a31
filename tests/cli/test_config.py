"""Config files are words, and lists of words, one setting each: nothing else of YAML is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chainrule.cli.config import MOST_BYTES, read_config
from chainrule.errors import FileError, OptionError

BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))

REFUSED = {
    "billion laughs": (BOMB, "line 1: refers to other values with & or \\*"),
    "alias": ("data: &d digits\nname: *d\n", "line 1: refers to other values"),
    "merge": ("<<: digits\n", 'line 1: "<<" is not a setting'),
    "tag": ("data: digits\nepochs: !!int 3\n", "line 2: names a kind of value with !"),
    "date": ("data: digits\nlr: 2020-01-01\n", 'line 2: lr is "2020-01-01", expected a number'),
    "python": ("data: !!python/object/apply:os.system [ls]\n", "line 1: names a kind of value"),
    "mapping inside": ("data: digits\ndrop: {a: b}\n", "line 2: holds values inside values"),
    "list inside": ("data: digits\ndrop: [[a]]\n", "line 2: holds values inside values"),
    "deep": ("data: digits\ndrop: " + "[" * 10_000, "not valid YAML|holds values inside values"),
    "key that is a list": ("[a, b]: 1\n", "line 1: holds values inside values"),
    "twice": ("data: digits\nepochs: 3\nepochs: 4\n", "line 3: epochs is there more than once"),
    "twice, spelled otherwise": ("batch_size: 3\nbatch-size: 4\n", "line 2: batch_size is there more than once"),
    "documents": ("data: digits\n---\nepochs: 3\n", "line 2: holds several documents"),
    "a word": ("digits\n", "line 1: holds a word, expected one `key: value` per line"),
    "control character": ("data: a\x01b\n", "not valid YAML"),
    "tab": ("data: digits\n\tepochs: 3\n", "not valid YAML at line 2"),
    "digits": ("epochs: " + "9" * 5000, r"line 1: epochs is '9+ \.\.\., expected a whole number"),
    "many digits in a size": ("image_size: " + "9" * 5000, r"image_size is '9+ \.\.\., expected pixels"),
    "large": ("epochs: 1" + "0" * 300, r"epochs is 10+ \.\.\., expected a whole number, at least 1, at most"),
    "infinite": ("lr: 1e999", "lr is inf, expected a finite number"),
    "character 0": ('data: "a\\0b"\n', "data is 'a\\\\x00b', which no file can be called"),
    "half a character": ('out: "\\ud800"\n', "not valid YAML|which no file can be called"),
    "long key": ("k" * 1000 + ": 3\n", r"line 1: 'k+ \.\.\. is not a setting"),
    "no value": ("epochs: null\n", "line 1: epochs is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(tmp_path: Path, case: str) -> None:
    text, words = REFUSED[case]
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=words) as error:
        read_config(path)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value)) < 1000 + len(str(path))


def test_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for text in ("", "---\n", "# nothing\n", "~\n"):
        path.write_text(text)
        assert read_config(path) == {}
    path.write_text("---\n\"data\": 'no'\ntarget: 007\ndrop: [1e3, '~']\npatience:\nna:\n- x\n- y\n...\n")
    expected = {"data": "no", "target": "007", "drop": ("1e3", "~"), "patience": None, "na": ("x", "y")}
    assert read_config(path) == expected


def test_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("drop: [" + "a, " * MOST_BYTES + "]\n")
    with pytest.raises(FileError, match="larger than"):
        read_config(path)
    path.write_bytes(b"data: \xff\n")
    with pytest.raises(OptionError, match="not UTF-8 text"):
        read_config(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileError, match="not a regular file"):
        read_config(path)
