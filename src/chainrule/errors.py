"""Every exception a user of chainrule can meet.

    ChainruleError
    ├── ShapeError        arrays whose shapes do not fit an op, a layer or a loss
    ├── DtypeError        values of the wrong kind (text, complex numbers, float labels)
    ├── LabelError        class labels out of range, missing or not whole numbers
    ├── DataError         a table, file or array that cannot be used as data
    ├── OptionError       a setting that has no meaning (lr = NaN, an unknown activation)
    ├── TraceError        a model that needs values while only shapes are known
    ├── GraphError        backward on a freed graph, or on an array changed in place
    ├── GradcheckError    a gradient that disagrees with finite differences
    ├── NonFiniteError    a loss, gradient, output or metric that is NaN or infinite
    ├── FileError         a file that cannot be read or written
    └── NativeError       a kernel that cannot be compiled, cached or loaded

Each message names the place, what came, what was expected, and how to mend it.
"""

from __future__ import annotations

import math


class ChainruleError(Exception):
    """The root of every error raised on purpose by chainrule."""


class ShapeError(ChainruleError, ValueError):
    """Arrays whose shapes do not fit together."""


class DtypeError(ChainruleError, TypeError):
    """Values of a kind that cannot be computed with."""


class DataError(ChainruleError, ValueError):
    """Data that cannot be used: ragged, empty, non-numeric, missing."""


class LabelError(DataError):
    """Class labels that are out of range, missing or not whole numbers."""


class OptionError(ChainruleError, ValueError):
    """A setting outside its meaning."""


class TraceError(ChainruleError, RuntimeError):
    """A value was asked for while only shapes are known."""


class GraphError(ChainruleError, RuntimeError):
    """A backward pass over a graph that is gone or was changed."""


class GradcheckError(ChainruleError, AssertionError):
    """A gradient by backpropagation that disagrees with finite differences."""


class NonFiniteError(ChainruleError, ArithmeticError):
    """What was computed is NaN or infinite: a loss, a gradient, an output, a metric. What was given is a DataError.

    `step` is the training step it was found in; `row`, from 0, the first row it was found in, and `value` what it is.
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
