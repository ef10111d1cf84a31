"""Settings are checked when an object is created, so that an invalid one never reaches a training step.

Each function returns the value as a plain Python type, or raises OptionError with the place, the name and what was
expected.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from chainrule.errors import OptionError

MOST_THREADS = 1024
SHOWN = 80  # characters of a value in a message
LONGEST = 2000  # characters of a message


def shown(value: Any) -> str:
    """`value` on one line, cut short: an array or a model would fill the screen."""
    try:
        line = one_line(repr(value))
    except (ValueError, RecursionError):  # an integer of more digits than Python converts, or a list within itself
        line = f"a value of type {type(value).__name__} that is too long to show"
    return line if len(line) <= SHOWN else line[: SHOWN - 4] + " ..."


def quoted(text: str) -> str:
    """Text in quotes, cut short like any other value."""
    return f'"{text}"' if len(text) < SHOWN and text.isprintable() else shown(text)


def one_line(text: str) -> str:
    """`text` on one line: what a terminal would obey, such as an escape character, is written as in Python; a very long
    one loses its middle, as it begins with the place and ends with the fix.

    >>> one_line("a\\n b\\x1b[31m")
    'a b\\\\x1b[31m'
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """`text` with characters that do not show, except for ends of lines, written as in Python."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


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

    >>> number("Adam", "lr", 1e-3, least=0)
    0.001
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
    except (TypeError, ValueError, OverflowError):
        raise OptionError(f"{place}: {name} is {shown(value)}, expected {expected}") from None
    if not math.isfinite(result) or not all(holds(result, bound) for bound, holds, _ in stated):
        raise OptionError(f"{place}: {name} is {shown(value)}, expected {expected}")
    return result


def whole(place: str, name: str, value: Any, *, least: int | None = 1, most: int | None = None) -> int:
    """`value` as a whole number of at least `least`, or any whole number if `least` is None, and of at most `most`.

    Raises OptionError for anything else, 2.5, True and "3" included.

    >>> whole("Softmax", "axis", -1, least=None)
    -1
    """
    expected = "a whole number" + ("" if least is None else f", at least {least}")
    expected += "" if most is None else f", at most {most:,}"
    try:
        if isinstance(value, bool):
            raise TypeError
        result = operator.index(value)
    except TypeError:
        raise OptionError(f"{place}: {name} is {shown(value)}, expected {expected}") from None
    if (least is not None and result < least) or (most is not None and result > most):
        raise OptionError(f"{place}: {name} is {shown(value)}, expected {expected}")
    return result


def thread_count(place: str, value: Any) -> int:
    """`value` as a number of threads; no machine has as many processors as the most."""
    return whole(place, "threads", value, most=MOST_THREADS)


def pair(place: str, name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """(down, across) from one whole number or a pair, each at least `least`; raises OptionError for anything else.

    >>> pair("MaxPool2d", "kernel_size", 2)
    (2, 2)
    """
    try:
        down, across = value if isinstance(value, (tuple, list)) else (value, value)
        return whole(place, name, down, least=least), whole(place, name, across, least=least)
    except (ValueError, OptionError):
        raise OptionError(
            f"{place}: {name} is {shown(value)}, expected a whole number of at least {least}, or a pair of them"
        ) from None


UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def memory(place: str, name: str, value: Any) -> int:
    """`value` in bytes: a whole number of at least 1, or a string such as "200 MB" (10⁶ bytes) or "1.5GiB" (2³⁰).

    Raises OptionError for anything else.

    >>> memory("Trainer", "memory_limit", "200MB")
    200000000
    """
    if not isinstance(value, str):
        return whole(place, name, value)
    digits = value.strip().rstrip("BKMGIbkmgi ")
    unit = value.strip()[len(digits) :].strip().upper()
    try:
        result = int(float(digits) * UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        result = 0
    if result < 1:
        raise OptionError(f"{place}: {name} is {shown(value)}, expected bytes, or a size such as 200MB or 1.5GiB")
    return result


def choice(place: str, name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of `allowed`; raises OptionError that lists them.

    >>> choice("MSELoss", "reduction", "sum", ("mean", "sum"))
    'sum'
    """
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(f"{place}: {name} is {shown(value)}, expected one of {', '.join(allowed)}")
    return value


def flag(place: str, name: str, value: Any) -> bool:
    """`value` if it is True or False; raises OptionError for anything else, 0 and 1 included.

    >>> flag("SGD", "nesterov", True)
    True
    """
    if not isinstance(value, bool):
        raise OptionError(f"{place}: {name} is {shown(value)}, expected True or False")
    return value
