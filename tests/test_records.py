"""A record is checked against its schema: errors name the field, what it is, and what was expected."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from chainrule import records
from chainrule.errors import DataError, FileError
from chainrule.records import MOST_PARTS, MOST_VALUES, Record, parse, read_record, to_json
from chainrule.settings import LONGEST, SHOWN, one_line, shown


class Part(Record):
    mean: list[float]


class Whole(Record):
    count: Annotated[int, Meta(ge=0)]
    part: Part | None = None
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.count == 7:
            raise ValueError("part.mean[1]: expected no seven")


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (None, "it is None, expected a mapping"),
    "a list": ([1, 2], r"it is \[1, 2\], expected a mapping"),
    "lacks a field": ({}, 'has no "count"'),
    "another kind": ({"count": "3"}, "count is '3', expected a whole number"),
    "true": ({"count": True}, "count is True, expected a whole number"),
    "too small": ({"count": -1}, "count is -1, expected a whole number >= 0"),
    "half": ({"count": 2.5}, "count is 2.5, expected a whole number"),
    "inside a list": ({"count": 1, "part": {"mean": [1, "x"]}}, r"part.mean\[1\] is 'x', expected a number"),
    "not a list": ({"count": 1, "part": {"mean": {"a": 1}}}, r"part.mean is \{'a': 1\}, expected a list"),
    "neither": ({"count": 1, "part": 3}, "part is 3, expected a mapping or null"),
    "a word": ({"count": 1, "kind": "c"}, "kind is 'c', which is unknown to this version"),
    "a field too many": ({"count": 1, "cuont": 2}, "'cuont' is unknown to this version"),
    "a check of its own": ({"count": 7, "part": {"mean": [3, 4]}}, r"part.mean\[1\] is 4, expected no seven"),
    "large": ({"count": 1, "part": {"mean": [10**4000]}}, r"part.mean\[0\] is 1000.* \.\.\., out of range"),
    "an escape": ({"count": "\x1b[31m\n" * 999}, r"count is '\\x1b\[31m\\n[^\n]* \.\.\., expected a whole number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit(tmp_path: Path, case: str) -> None:
    values, words = WRONG[case]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=rf"r\.json: {words}.*: restore the file, or train again$"):
        read_record(path, Whole)


DAMAGED = {
    "a key twice": ('{"count": 1, "count": 2}', "'count' is there more than once"),
    "cut": ('{"count": ', "not valid JSON at line 1"),
    "deep": ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    "many digits": ('{"count": ' + "9" * 5000 + "}", "a number of thousands of digits"),
    "many values": ("[" + "0," * MOST_VALUES + "0]", "more than 4,000,000 values"),
    "many lists": ("[" + "[]," * MOST_PARTS + "0]", "more than 500,000 lists, mappings and keys"),
    "not text": (b"\xff\xfe\x00", "not UTF-8 text"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_damaged(case: str) -> None:
    text, words = DAMAGED[case]
    if case == "many digits":
        assert sys.get_int_max_str_digits() < 5000
    with pytest.raises(DataError, match=rf"r\.json: damaged, .*{words}: restore"):
        parse("r.json", text)


@pytest.mark.parametrize("part", ["[],", "{},", '{"a":1},', "[[]],", "1.5,", '"ab",', '"\U0001f600",'])
def test_memory_is_bounded(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_VALUES", MOST_VALUES // 40)
    monkeypatch.setattr(records, "MOST_PARTS", MOST_PARTS // 40)
    parts = sum(map(part.count, "[{:"))
    most = MOST_PARTS // 40 // parts if parts else MOST_VALUES // 40
    text = "[" + part * 2 * most + "0]"
    tracemalloc.start()
    with pytest.raises(DataError, match="more than"):
        parse("r.json", text.encode())
    some = "[" + part * (most - 2) + "0]"
    parse("r.json", some.encode())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * len(text) + (250 * MOST_PARTS if parts else 90 * MOST_VALUES) // 40


def test_what_is_written_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.json"
    path.write_text(to_json(path, {"count": 3, "part": {"mean": [0.1234567890123] * 200_000}}))
    assert read_record(path, Whole).part == Part(mean=[0.1234567890123] * 200_000)
    with pytest.raises(FileError, match=r"cannot be written \(it holds more than 500,000 lists.*: use fewer columns"):
        to_json(path, [[]] * MOST_PARTS)
    monkeypatch.setattr(records, "MOST_BYTES", 1000)
    with pytest.raises(FileError, match="more than 1,000 bytes, the most that are read again"):
        to_json(path, ["é" * 500])


def test_a_value_in_a_message_is_short_and_on_one_line() -> None:
    within: list[Any] = []
    within.append(within)
    for value in ("a" * 10**6, 10**5000, within, ["\x1b"] * 1000, "\u202e\n\r\x85\x1b"):
        assert len(shown(value)) <= SHOWN
        assert shown(value).isprintable()
    text = one_line("place: " + "x\x07\n" * 10**6 + ": fix it")
    assert text.isprintable()
    assert len(text) < 5 * LONGEST
    assert text.startswith("place: x")
    assert text.endswith(": fix it")
