"""What depends on which number is larger, element by element: |x|, extremes, clipping, choosing, comparing.

Gradients at a kink or a tie are those of torch: 0 for |x| at 0, half to each side where `maximum` or `minimum` meet,
all at the borders of `clip`. Comparisons give truth values, which count as 1 and 0, and have no gradient.
"""

from __future__ import annotations

import numpy as np

from chainrule.errors import ShapeError
from chainrule.native.memory import Array
from chainrule.ops.record import Example, Sample, of_one_array, of_two_arrays, op


@op(formula="y = |x|", pointwise=True)
def absolute(x: Array) -> Array:
    """The distance of x from 0."""
    return np.abs(x)


@absolute.gradient("x", formula="dx = dy·sign(x)")
def _(dy: Array, x: Array) -> Array:
    return np.where(x > 0.0, dy, np.where(x < 0.0, -dy, 0.0))


@op(formula="y = max(a, b)", pointwise=True)
def maximum(a: Array, b: Array) -> Array:
    """The larger of a and b, of shapes that broadcast; NaN where either is."""
    return np.maximum(a, b)


@maximum.gradient("a", formula="da = dy·[a > b], half where a = b")
def _(dy: Array, a: Array, b: Array) -> Array:
    return np.where(a == b, 0.5 * dy, np.where(a < b, 0.0, dy))


@maximum.gradient("b", formula="db = dy·[b > a], half where a = b")
def _(dy: Array, a: Array, b: Array) -> Array:
    return np.where(a == b, 0.5 * dy, np.where(b < a, 0.0, dy))


@op(formula="y = min(a, b)", pointwise=True)
def minimum(a: Array, b: Array) -> Array:
    """The smaller of a and b, of shapes that broadcast; NaN where either is."""
    return np.minimum(a, b)


@minimum.gradient("a", formula="da = dy·[a < b], half where a = b")
def _(dy: Array, a: Array, b: Array) -> Array:
    return np.where(a == b, 0.5 * dy, np.where(a > b, 0.0, dy))


@minimum.gradient("b", formula="db = dy·[b < a], half where a = b")
def _(dy: Array, a: Array, b: Array) -> Array:
    return np.where(a == b, 0.5 * dy, np.where(b > a, 0.0, dy))


@op(formula="y = min(max(x, low), high)", pointwise=True, flops=2)
def clip(x: Array, *, low: float, high: float) -> Array:
    """x kept between low and high, which may be infinite; high where low > high."""
    return np.minimum(np.maximum(x, low), high)


@clip.gradient("x", formula="dx = dy·[low ≤ x ≤ high]")
def _(dy: Array, x: Array, *, low: float, high: float) -> Array:
    return np.where((x >= low) & (x <= high), dy, 0.0)


@op(formula="y = a where condition ≠ 0, else b", pointwise=True)
def where(condition: Array, a: Array, b: Array) -> Array:
    """a where the condition holds (is not 0), else b; shapes broadcast. The condition has no gradient."""
    return np.where(condition != 0.0, a, b)


@where.gradient("a", formula="da = dy where condition ≠ 0, else 0")
def _(dy: Array, condition: Array) -> Array:
    return np.where(condition != 0.0, dy, 0.0)


@where.gradient("b", formula="db = 0 where condition ≠ 0, else dy")
def _(dy: Array, condition: Array) -> Array:
    return np.where(condition != 0.0, 0.0, dy)


@op(formula="y = [a > b]", pointwise=True)
def greater(a: Array, b: Array) -> Array:
    """1 where a is larger than b, else 0; no gradient."""
    return a > b


@op(formula="y = [a ≥ b]", pointwise=True)
def greater_equal(a: Array, b: Array) -> Array:
    """1 where a is at least b, else 0; no gradient."""
    return a >= b


@op(formula="y = [a < b]", pointwise=True)
def less(a: Array, b: Array) -> Array:
    """1 where a is smaller than b, else 0; no gradient."""
    return a < b


@op(formula="y = [a ≤ b]", pointwise=True)
def less_equal(a: Array, b: Array) -> Array:
    """1 where a is at most b, else 0; no gradient."""
    return a <= b


@op(formula="y = [a = b]", pointwise=True)
def equal(a: Array, b: Array) -> Array:
    """1 where a equals b, else 0; no gradient."""
    y: Array = a == b
    return y


absolute.cases(samples=of_one_array(), examples=[Example(([1.5, -2.0, 0.0],), [1.5, 2.0, 0.0])])
maximum.cases(samples=of_two_arrays(), examples=[Example(([[1.0], [3.0]], [2.0, -4.0]), [[2.0, 1.0], [3.0, 3.0]])])
minimum.cases(samples=of_two_arrays(), examples=[Example(([[1.0], [3.0]], [2.0, -4.0]), [[1.0, -4.0], [2.0, -4.0]])])
clip.cases(
    samples=[
        *of_one_array(low=-0.5, high=0.75),
        Sample(((2, 3),), {"low": -float("inf"), "high": 0.25}),
        Sample(((2, 3),), {"low": 0.25, "high": float("inf")}),
    ],
    examples=[Example(([-3.0, -1.0, 0.5, 2.0, 7.0],), [-1.0, -1.0, 0.5, 2.0, 2.0], {"low": -1.0, "high": 2.0})],
)


CONDITION = np.array([[1.0, 0.0, -2.0], [0.0, 0.0, 1.0]])
where.cases(
    samples=[
        Sample((CONDITION, (2, 3), (2, 3))),
        Sample((CONDITION, (3,), (2, 1))),
        Sample((CONDITION[:1], (2, 3), ())),
        Sample((np.array(1.0), (), ())),
        Sample((np.zeros((0, 3)), (0, 3), (3,))),
        Sample((np.zeros(1), (1,), (1,))),
        Sample((CONDITION, (2, 3), (3, 2)), error=ShapeError),
    ],
    examples=[Example(([1.0, 0.0], [5.0, 6.0], [7.0, 8.0]), [5.0, 8.0])],
)


for _op, _expected in (
    (greater, [0.0, 0.0, 1.0]),
    (greater_equal, [0.0, 1.0, 1.0]),
    (less, [1.0, 0.0, 0.0]),
    (less_equal, [1.0, 1.0, 0.0]),
    (equal, [0.0, 1.0, 0.0]),
):
    _op.cases(samples=of_two_arrays(), examples=[Example(([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), _expected)])
