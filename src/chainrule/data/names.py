"""The name somebody meant: the hint in messages about unknown columns, options and choices."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, whatever its case, or None when nothing is near."""
    folded = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def suggestion(name: str, known: Iterable[str], limit: int = 12) -> str:
    """The end of a message about an unknown name: `did you mean "age"?`, or the first `limit` known names."""
    known = list(known)
    near = nearest(name, known)
    if near is not None:
        return f'did you mean "{near}"?'
    listed = ", ".join(known[:limit])
    return f"known are {listed}" + (f" and {len(known) - limit} more" if len(known) > limit else "")
