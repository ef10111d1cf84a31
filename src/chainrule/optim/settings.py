"""Settings are checked when an object is made, so that a wrong one never reaches a training step."""

from __future__ import annotations

import math
import operator
from typing import Any

from chainrule.errors import OptionError


def number(
    place: str,
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """`value` as a float inside its bounds (`least` <= value, `above` < value, `most` >= value, `below` > value).

    Raises OptionError for text, booleans, NaN, infinities and values outside the bounds.
    Example: number("Adam", "lr", 1e-3, least=0)
    """
    bounds = [
        (least, operator.ge, "at least"),
        (above, operator.gt, "more than"),
        (most, operator.le, "at most"),
        (below, operator.lt, "less than"),
    ]
    stated = [(bound, holds, words) for bound, holds, words in bounds if bound is not None]
    expected = "a finite number" + "".join(f", {words} {bound:g}" for bound, _, words in stated)
    try:
        result = float("nan") if isinstance(value, (bool, str, bytes)) else float(value)
    except (TypeError, ValueError):
        raise OptionError(f"{place}: {name} is {value!r}, expected {expected}") from None
    if not math.isfinite(result) or not all(holds(result, bound) for bound, holds, _ in stated):
        raise OptionError(f"{place}: {name} is {value!r}, expected {expected}")
    return result


def count(place: str, name: str, value: Any, *, least: int = 1) -> int:
    """`value` as a whole number of at least `least`; raises OptionError for anything else (2.5, True, "3")."""
    try:
        if isinstance(value, bool):
            raise TypeError
        result = operator.index(value)
    except TypeError:
        raise OptionError(f"{place}: {name} is {value!r}, expected a whole number, at least {least}") from None
    if result < least:
        raise OptionError(f"{place}: {name} is {value!r}, expected a whole number, at least {least}")
    return result


def choice(place: str, name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of `allowed`; raises OptionError that lists them."""
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(f"{place}: {name} is {value!r}, expected one of {', '.join(allowed)}")
    return value


def flag(place: str, name: str, value: Any) -> bool:
    """`value` if it is True or False; raises OptionError for anything else, 0 and 1 included."""
    if not isinstance(value, bool):
        raise OptionError(f"{place}: {name} is {value!r}, expected True or False")
    return value
