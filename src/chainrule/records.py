"""Records: JSON that is checked against a schema before anything is made of it.

A schema is a subclass of `Record`: its fields with their types and bounds, and in `__post_init__` what holds between
them, as `raise ValueError("deviation[3]: expected a finite number above 0")`. Reading takes bounded memory: the number
of bytes and of values are limited before anything is parsed, and `to_json` writes no more than is read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from chainrule.errors import DataError, FileError
from chainrule.files import read_whole
from chainrule.settings import one_line, shown

MOST_BYTES = 128 << 20  # a table of a million columns takes 100 MB and three million values
MOST_VALUES = 4_000_000  # of up to 90 bytes each in memory
MOST_PARTS = 500_000  # lists, mappings and their keys, of up to 250 bytes each
HALF = re.compile(r"\\u[dD][89a-fA-F]")  # of a character of two: without the other it is none
RESTORE = "restore the file, or train again"
T = TypeVar("T")


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """A mapping with these fields and no others."""


class _DamageError(ValueError):
    """What is wrong with a text."""


def read_record(path: Path, schema: type[T], fix: str = RESTORE) -> T:
    """The record in a file; raises FileError if it cannot be read, DataError if it does not fit the schema."""
    return convert(str(path), parse(str(path), read_whole(path, MOST_BYTES), fix), schema, fix)


def parse(place: str, data: bytes | str, fix: str = RESTORE) -> Any:
    """The values in JSON; raises DataError if it is not valid, repeats a key, or holds too many values."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        _check_number(text)
        values = json.loads(text, object_pairs_hook=_once)
        if HALF.search(text):
            json.dumps(values, ensure_ascii=False).encode("utf-8")
        return values
    except UnicodeError:
        raise DataError(f"{place}: damaged, not UTF-8 text: {fix}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{place}: damaged, not valid JSON at line {error.lineno}: {fix}") from None
    except RecursionError:
        raise DataError(f"{place}: damaged, it is nested too deeply: {fix}") from None
    except _DamageError as error:
        raise DataError(f"{place}: damaged, {error}: {fix}") from None
    except ValueError:  # the interpreter's limit
        raise DataError(f"{place}: damaged, it holds a number of thousands of digits: {fix}") from None


def to_json(path: Path, value: Any) -> str:
    """A value as JSON for a file; raises FileError if it is more than would be read again."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    try:
        _check_number(text)
        if len(text.encode("utf-8")) > MOST_BYTES:
            raise _DamageError(f"it holds more than {MOST_BYTES:,} bytes")
    except _DamageError as error:
        why = f"{error}, the most that are read again"
        raise FileError(f"{path}: cannot be written ({why}): use fewer columns or classes, or shorter names") from None
    return text


def _check_number(text: str) -> None:
    """Raise _DamageError if there are too many values; their number is that of the marks between them, or a little
    more where texts have such marks."""
    parts = sum(map(text.count, "[{:"))
    if parts > MOST_PARTS:
        raise _DamageError(f"it holds more than {MOST_PARTS:,} lists, mappings and keys")
    if parts + text.count(",") > MOST_VALUES:
        raise _DamageError(f"it holds more than {MOST_VALUES:,} values")


def convert(place: str, values: Any, schema: type[T], fix: str = RESTORE) -> T:
    """Values from JSON as a record; raises DataError with the field, what it is, and what was expected."""
    try:
        return msgspec.convert(values, schema)
    except msgspec.ValidationError as error:
        raise DataError(f"{place}: {_described(str(error), values)}: {fix}") from None
    except RecursionError:
        raise DataError(f"{place}: it is nested too deeply: {fix}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise _DamageError(f"{shown(name)} is there more than once")
    return values


# The library's words for types, and ours.
WORDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}


def _described(message: str, values: Any) -> str:
    """The library's message, such as "Expected `float`, got `str` - at `$.scaling.mean[3]`", in our words."""
    reason, _, path = message.rpartition(" - at `")
    reason, path = (reason, path.strip("`").removeprefix("key` in `")) if reason else (message, "$")
    name = re.match(r"([\w.]+(?:\[\d+\])?): (expected .*)", reason, re.DOTALL)  # ours
    if name:
        path, reason = f"{path}.{name[1]}", name[2]
    field, found = path.removeprefix("$").removeprefix("."), _at(values, path)
    lacking = re.match("Object missing required field `(.*)`", reason, re.DOTALL)
    unknown = re.match("Object contains unknown field `(.*)`", reason, re.DOTALL)
    if lacking:
        return f'{field + " " if field else ""}has no "{lacking[1]}"'
    if unknown:
        return f"{field + ': ' if field else ''}{shown(unknown[1])} is unknown to this version"
    expected = re.match(r"[Ee]xpected (.*?)(?:, got .*)?$", reason, re.DOTALL)
    if expected is None:
        what = "out of range" if "range" in reason else "which is unknown to this version"  # one of several words
        return f"{field} is {shown(found)}, {what}"
    wanted = re.sub("`([^`]*)`", lambda kinds: _in_words(kinds[1]), expected[1])
    return f"{field or 'it'} is {shown(found)}, expected {one_line(wanted)}"


def _in_words(kinds: str) -> str:
    return " or ".join(WORDS.get(kind, kind) for kind in kinds.split(" | "))


def _at(values: Any, path: str) -> Any:
    """The value at a path such as "$.scaling.mean[3]", as far as it can be followed."""
    for name, place in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        if isinstance(values, dict) and name in values:
            values = values[name]
        elif isinstance(values, list) and place and int(place) < len(values):
            values = values[int(place)]
    return values
