"""The most similar name: the hint in messages about unknown columns, options and choices."""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

MANY = 1000  # files to look through
LONG = 200  # characters of a name that is compared with others, or shown among them


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most similar to `name`, ignoring case, or None if none is similar.

    Of equally similar names it is the one with the longest common prefix, then the one with the nearest number.

    >>> nearest("resnet21", ["resnet20", "resnet32", "resnet56"])
    'resnet20'
    """
    if len(name) > LONG:  # comparing takes time that grows with the square of the length
        return None
    word, folded = name.casefold(), {k.casefold(): k for k in known}
    matcher = difflib.SequenceMatcher(b=word)

    def likeness(other: str) -> tuple[float, int, int]:
        matcher.set_seq1(other)
        prefix = os.path.commonprefix([word, other])  # noqa: RUF071 - of characters, not of folders
        return matcher.ratio(), len(prefix), -abs(_number(word) - _number(other))

    near = difflib.get_close_matches(word, folded, n=len(folded) or 1, cutoff=0.65)
    return folded[max(near, key=likeness)] if near else None


def _number(name: str) -> int:
    """The number at the end of a name; 0 if there is none."""
    found = re.search(r"[0-9]{1,9}$", name)
    return int(found[0]) if found else 0


def nearest_file(path: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The file beside `path` that ends in one of `suffixes` and otherwise has the most similar name."""
    try:
        beside = sorted(itertools.islice(path.parent.iterdir(), MANY))
    except OSError:
        return None
    files = {bare_name(file): file for file in beside if file.name.lower().endswith(suffixes)}
    near = nearest(bare_name(path), files)
    return None if near is None else files[near]


def bare_name(path: Path) -> str:
    """`"tables/iris.csv.gz"` -> `"iris"`."""
    return path.name.partition(".")[0]


def suggestion(name: str, known: Iterable[str], limit: int = 12) -> str:
    """The end of a message about an unknown name: `did you mean "age"?`, or the first `limit` known names."""
    known = list(known)
    near = nearest(name, known)
    if near is not None:
        return f'did you mean "{near}"?'
    return f"known are {listed(known, limit)}"


def listed(names: Sequence[str], limit: int = 12) -> str:
    """The first `limit` names, quoted where they hold a comma: `a, "b, c" and 3 more`."""
    return _first([f'"{name}"' if "," in name else name for name in names[:limit]], len(names))


def quoted(names: Sequence[str], limit: int = 12) -> str:
    """The first `limit` names, quoted: `"a", "b" and 3 more`."""
    return _first([f'"{name}"' for name in names[:limit]], len(names))


def _first(names: list[str], total: int) -> str:
    shown = ", ".join(name if len(name) <= LONG else name[:LONG] + "..." for name in names)
    return shown + (f" and {total - len(names):,} more" if total > len(names) else "")
