"""Every exception that chainrule raises on purpose.

    ChainruleError
    ├── ShapeError        arrays whose shapes do not fit an op, a layer or a loss
    ├── DtypeError        values of the wrong kind (text, complex numbers, float labels)
    ├── LabelError        class labels or indices out of range, missing or not whole numbers
    ├── DataError         a table, file or array that cannot be used as data
    ├── OptionError       an invalid setting (lr = NaN, an unknown activation)
    ├── TraceError        a model that needs values while only shapes are known
    ├── GraphError        backward on a freed graph, or on an array changed in place
    ├── GradcheckError    a gradient that disagrees with finite differences
    ├── NonFiniteError    a loss, gradient, output or metric that is NaN or infinite
    ├── FileError         a file that cannot be read or written
    └── NativeError       a kernel that cannot be compiled, cached or loaded

Each message names the place, what it got, what it expected, and how to fix it.
"""

from __future__ import annotations

import math


class ChainruleError(Exception):
    """The base class of every error raised on purpose by chainrule."""


class ShapeError(ChainruleError, ValueError):
    """Arrays whose shapes do not fit together."""


class DtypeError(ChainruleError, TypeError):
    """Values of a kind that cannot be computed with."""


class DataError(ChainruleError, ValueError):
    """Data that cannot be used: ragged, empty, non-numeric, missing."""


class LabelError(DataError):
    """Class labels or indices that are out of range, missing or not whole numbers."""


class OptionError(ChainruleError, ValueError):
    """An invalid setting."""


class TraceError(ChainruleError, RuntimeError):
    """A value was needed while only shapes are known."""


class GraphError(ChainruleError, RuntimeError):
    """A backward pass over a graph that is gone or was changed."""


class GradcheckError(ChainruleError, AssertionError):
    """A gradient by backpropagation that disagrees with finite differences."""


class NonFiniteError(ChainruleError, ArithmeticError):
    """A computed value is NaN or infinite: a loss, gradient, output or metric. (Non-finite data raises DataError.)

    `step` is the training step in which it was found; `row`, from 0, the first such row, and `value` the value there.
    """

    def __init__(
        self, message: str, step: int | None = None, row: int | None = None, value: float = math.nan
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.step, self.row, self.value = step, row, value


class FileError(ChainruleError, OSError):
    """A file that cannot be read or written."""


class NativeError(ChainruleError, RuntimeError):
    """A kernel that cannot be compiled, cached or loaded."""
