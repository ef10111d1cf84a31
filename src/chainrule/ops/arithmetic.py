"""Arithmetic, element by element, with NumPy's broadcasting: sums, products, powers, exp, log, square root."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.native.kernel import Real
from chainrule.native.memory import Array, View
from chainrule.native.vecmath import exp as vexp
from chainrule.native.vecmath import log as vlog
from chainrule.ops.record import Example, Sample, op


def _away_from_zero(z: Array) -> Array:
    return np.where(z < 0, z - 0.5, z + 0.5)


def _positive(z: Array) -> Array:
    return np.abs(z) + 0.25


def _unary(**attributes: Any) -> list[Sample]:
    return [Sample((shape,), attributes) for shape in ((2, 3), (0, 3), (1,), (), (3, 1, 37))]


def _pairs(domain: Any = None) -> list[Sample]:
    shapes = (
        ((2, 3), (2, 3)),
        ((3, 1), (1, 4)),
        ((2, 3), (3,)),
        ((2, 3), ()),
        ((), ()),
        ((1,), (1,)),
        ((0, 3), (0, 3)),
    )
    errors = (((2, 3), (3, 2)), ((4,), (5,)))
    return [Sample(s, domain=domain) for s in (*shapes, ((0, 3), (1, 3)), ((129,), (129,)))] + [
        Sample(s, error=ShapeError) for s in errors
    ]


@op(formula="y = a + b", pointwise=True)
def add(a: Array, b: Array) -> Array:
    """The sum of a and b, of shapes that broadcast."""
    return a + b


@add.scalar
def _(a: Real, b: Real) -> Real:
    return a + b


@add.gradient("a", formula="da = dy")
def _(dy: Array) -> Array:
    return dy


@add.lower("a")
def _(da: View, dy: View) -> View:
    return dy


@add.gradient("b", formula="db = dy")
def _(dy: Array) -> Array:
    return dy


@add.lower("b")
def _(db: View, dy: View) -> View:
    return dy


@op(formula="y = a - b", pointwise=True)
def subtract(a: Array, b: Array) -> Array:
    """The difference a - b, of shapes that broadcast."""
    return a - b


@subtract.scalar
def _(a: Real, b: Real) -> Real:
    return a - b


@subtract.gradient("a", formula="da = dy")
def _(dy: Array) -> Array:
    return dy


@subtract.lower("a")
def _(da: View, dy: View) -> View:
    return dy


@subtract.gradient("b", formula="db = -dy")
def _(dy: Array) -> Array:
    return -dy


@subtract.scalar("b")
def _(dy: Real) -> Real:
    return -dy


@op(formula="y = a·b", pointwise=True)
def multiply(a: Array, b: Array) -> Array:
    """The product of a and b, of shapes that broadcast."""
    return a * b


@multiply.scalar
def _(a: Real, b: Real) -> Real:
    return a * b


@multiply.gradient("a", formula="da = dy·b")
def _(dy: Array, b: Array) -> Array:
    return dy * b


@multiply.scalar("a")
def _(dy: Real, b: Real) -> Real:
    return dy * b


@multiply.gradient("b", formula="db = dy·a")
def _(dy: Array, a: Array) -> Array:
    return dy * a


@multiply.scalar("b")
def _(dy: Real, a: Real) -> Real:
    return dy * a


@op(formula="y = a / b", pointwise=True)
def divide(a: Array, b: Array) -> Array:
    """The quotient a / b, of shapes that broadcast."""
    return a / b


@divide.scalar
def _(a: Real, b: Real) -> Real:
    return a / b


@divide.gradient("a", formula="da = dy / b")
def _(dy: Array, b: Array) -> Array:
    return dy / b


@divide.scalar("a")
def _(dy: Real, b: Real) -> Real:
    return dy / b


@divide.gradient("b", formula="db = -dy·y / b")
def _(dy: Array, b: Array, y: Array) -> Array:
    return -dy * y / b


@divide.scalar("b")
def _(dy: Real, b: Real, y: Real) -> Real:
    return -dy * y / b


@op(formula="y = -x", pointwise=True)
def negative(x: Array) -> Array:
    """The negative of x."""
    return -x


@negative.scalar
def _(x: Real) -> Real:
    return -x


@negative.gradient("x", formula="dx = -dy")
def _(dy: Array) -> Array:
    return -dy


@negative.scalar("x")
def _(dy: Real) -> Real:
    return -dy


@op(formula="y = factor·x", pointwise=True)
def scale(x: Array, *, factor: float) -> Array:
    """x times a number."""
    return x * factor


@scale.scalar
def _(x: Real, factor: Real) -> Real:
    return x * factor


@scale.gradient("x", formula="dx = factor·dy")
def _(dy: Array, *, factor: float) -> Array:
    return dy * factor


@scale.scalar("x")
def _(dy: Real, factor: Real) -> Real:
    return dy * factor


@op(formula="y = x + offset", pointwise=True)
def shift(x: Array, *, offset: float) -> Array:
    """x plus a number."""
    return x + offset


@shift.scalar
def _(x: Real, offset: Real) -> Real:
    return x + offset


@shift.gradient("x", formula="dx = dy")
def _(dy: Array) -> Array:
    return dy


@shift.lower("x")
def _(dx: View, dy: View) -> View:
    return dy


@op(formula="y = x^exponent", pointwise=True, flops=20)
def power(x: Array, *, exponent: float) -> Array:
    """x raised to a number; NaN where x is negative and the exponent is not whole."""
    return np.power(x, exponent)


@power.scalar
def _(x: Real, exponent: Real) -> Real:
    return x * x if exponent == 2.0 else x**exponent  # squares are the common case; other powers call libm


@power.gradient("x", formula="dx = dy·exponent·x^(exponent - 1)")
def _(dy: Array, x: Array, *, exponent: float) -> Array:
    # x^0 is constant, also at x = 0, where the formula has 0·∞
    return dy * 0.0 if exponent == 0 else dy * (exponent * np.power(x, exponent - 1))


@power.scalar("x")
def _(dy: Real, x: Real, exponent: Real) -> Real:
    if exponent == 2.0:
        return dy * (2.0 * x)
    return dy * 0.0 if exponent == 0.0 else dy * (exponent * x ** (exponent - 1.0))


@op(formula="y = eˣ", pointwise=True, flops=20)
def exp(x: Array) -> Array:
    """The exponential of x."""
    return np.exp(x)


@exp.scalar
def _(x: Real) -> Any:
    return vexp(x)


@exp.gradient("x", formula="dx = dy·y")
def _(dy: Array, y: Array) -> Array:
    return dy * y


@exp.scalar("x")
def _(dy: Real, y: Real) -> Real:
    return dy * y


@op(formula="y = log x", pointwise=True, flops=20)
def log(x: Array) -> Array:
    """The natural logarithm of x: -∞ at 0, NaN below."""
    return np.log(x)


@log.scalar
def _(x: Real) -> Any:
    return vlog(x)


@log.gradient("x", formula="dx = dy / x")
def _(dy: Array, x: Array) -> Array:
    return dy / x


@log.scalar("x")
def _(dy: Real, x: Real) -> Real:
    return dy / x


@op(formula="y = √x", pointwise=True, flops=4)
def sqrt(x: Array) -> Array:
    """The square root of x: NaN below 0."""
    return np.sqrt(x)


@sqrt.scalar
def _(x: Real) -> Any:
    return np.sqrt(x)


@sqrt.gradient("x", formula="dx = dy / 2y")
def _(dy: Array, y: Array) -> Array:
    return dy / (2.0 * y)


@sqrt.scalar("x")
def _(dy: Real, y: Real) -> Real:
    return dy / (2.0 * y)


add.cases(samples=_pairs(), examples=[Example(([[1.0], [2.0]], [10.0, 20.0]), [[11.0, 21.0], [12.0, 22.0]])])
subtract.cases(samples=_pairs(), examples=[Example(([[1.0], [2.0]], [10.0, 20.0]), [[-9.0, -19.0], [-8.0, -18.0]])])
multiply.cases(samples=_pairs(), examples=[Example(([[1.0], [2.0]], [10.0, -20.0]), [[10.0, -20.0], [20.0, -40.0]])])
divide.cases(
    samples=_pairs(_away_from_zero), examples=[Example(([1.0, -3.0, 0.0], [4.0, 2.0, 5.0]), [0.25, -1.5, 0.0])]
)

negative.cases(samples=_unary(), examples=[Example(([1.0, -2.0],), [-1.0, 2.0])])
scale.cases(samples=_unary(factor=-1.75), examples=[Example(([1.0, -2.0],), [0.5, -1.0], {"factor": 0.5})])
shift.cases(samples=_unary(offset=0.375), examples=[Example(([1.0, -2.0],), [4.0, 1.0], {"offset": 3.0})])
power.cases(
    samples=[
        *_unary(exponent=2.0),
        *_unary(exponent=3.0),
        Sample(((2, 3),), {"exponent": 1.0}),
        Sample(((2, 3),), {"exponent": 0.0}),
        Sample((np.array([0.0, -1.5, 2.0]),), {"exponent": 2.0}),
        Sample(((3, 5),), {"exponent": 0.5}, domain=_positive),
        Sample(((3, 5),), {"exponent": -1.5}, domain=_positive),
        Sample(((3, 5),), {"exponent": -1.0}, domain=_away_from_zero),
    ],
    examples=[
        Example(([1.0, -2.0, 0.0],), [1.0, 4.0, 0.0], {"exponent": 2.0}),
        Example(([4.0, 0.25],), [0.5, 2.0], {"exponent": -0.5}),
        Example(([-2.0, 3.0],), [-8.0, 27.0], {"exponent": 3.0}),
        Example(([0.0, 3.0],), [1.0, 1.0], {"exponent": 0.0}),
    ],
)

exp.cases(samples=_unary(), examples=[Example(([0.0, 1.0, -2.5],), [1.0, math.e, math.exp(-2.5)])])
log.cases(
    samples=[Sample(s.shapes, domain=_positive) for s in _unary()],
    examples=[Example(([1.0, math.e, 10.0],), [0.0, 1.0, math.log(10.0)])],
)

sqrt.cases(
    samples=[Sample(s.shapes, domain=_positive) for s in _unary()],
    examples=[Example(([0.0, 2.25, 2.0],), [0.0, 1.5, math.sqrt(2.0)])],
)
