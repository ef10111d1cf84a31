"""Settings of layers and losses, checked when they are made: OptionError names the layer and what it expects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import OptionError


def whole(owner: str, name: str, value: Any, least: int | None = None) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or (least is not None and value < least):
        range_ = "" if least is None else f" of at least {least}"
        raise OptionError(f"{owner}: {name} is {value!r}, expected a whole number{range_}")
    return int(value)


def real(owner: str, name: str, value: Any, low: float, high: float = math.inf, expected: str = "") -> float:
    """A finite number from `low` to `high`."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (number and low <= value <= high and math.isfinite(value)):
        expected = expected or (
            f"a number of at least {low:g}" if high == math.inf else f"a number from {low:g} to {high:g}"
        )
        raise OptionError(f"{owner}: {name} is {value!r}, expected {expected}")
    return float(value)


def switch(owner: str, name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise OptionError(f"{owner}: {name} is {value!r}, expected True or False")
    return bool(value)
