"""An update by its definition: made as a whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chainrule.engine.checks import not_finite
from chainrule.native.memory import Array
from chainrule.ops.updates import Update


def move(update: Update, arrays: Mapping[str, tuple[Array, ...]], row: Array, step: int) -> None:
    """Overwrite each parameter and its states, given by name as (p, gradient, *states), with coefficients `row`.

    Raises NonFiniteError, and leaves all as it was, where a new value is NaN or infinite.
    """
    for old, new in moved(update, arrays, row, step):
        old[...] = new


def moved(
    update: Update, arrays: Mapping[str, tuple[Array, ...]], row: Array, step: int
) -> list[tuple[Array, Array]]:  # fmt: skip
    """What `move` overwrites, with the new values.

    A state counts too: one of infinity would keep its parameter where it is for good.
    """
    found: list[tuple[Array, Array]] = []
    for name, (p, gradient, *states) in arrays.items():
        with np.errstate(all="ignore"):  # what is not finite is found here, once, and has an error of its own
            new = update.definition(p, gradient, *states, row)
        for what, array in zip((f'"{name}"', *(f'{s} of "{name}"' for s in update.states)), new, strict=True):
            finite = np.isfinite(array)
            if not finite.all():
                why = " (0 / 0, as eps is 0)" if dict(zip(update.columns, row, strict=True)).get("eps") == 0 else ""
                raise not_finite(step, f"the updated {what} is {array[~finite][0]}{why}")
        found += zip((p, *states), new, strict=True)
    return found
