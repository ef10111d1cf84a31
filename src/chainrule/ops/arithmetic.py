"""Arithmetic, element by element, with NumPy's broadcasting: sums, products, powers, exp, log, square root."""

from __future__ import annotations

import math

import numpy as np

from chainrule.native.kernel import Real
from chainrule.native.memory import Array, View
from chainrule.ops.record import Example, Sample, of_one_array, of_two_arrays, op


@op(formula="y = a + b", pointwise=True)
def add(a: Array, b: Array) -> Array:
    """The sum of a and b, of shapes that broadcast."""
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


@subtract.gradient("a", formula="da = dy")
def _(dy: Array) -> Array:
    return dy


@subtract.lower("a")
def _(da: View, dy: View) -> View:
    return dy


@subtract.gradient("b", formula="db = -dy")
def _(dy: Array) -> Array:
    return -dy


@op(formula="y = a·b", pointwise=True)
def multiply(a: Array, b: Array) -> Array:
    """The product of a and b, of shapes that broadcast."""
    return a * b


@multiply.gradient("a", formula="da = dy·b")
def _(dy: Array, b: Array) -> Array:
    return dy * b


@multiply.gradient("b", formula="db = dy·a")
def _(dy: Array, a: Array) -> Array:
    return dy * a


@op(formula="y = a / b", pointwise=True)
def divide(a: Array, b: Array) -> Array:
    """The quotient a / b, of shapes that broadcast."""
    return a / b


@divide.gradient("a", formula="da = dy / b")
def _(dy: Array, b: Array) -> Array:
    return dy / b


@divide.gradient("b", formula="db = -dy·y / b")
def _(dy: Array, b: Array, y: Array) -> Array:
    return -dy * y / b


@op(formula="y = -x", pointwise=True)
def negative(x: Array) -> Array:
    """The negative of x."""
    return -x


@negative.gradient("x", formula="dx = -dy")
def _(dy: Array) -> Array:
    return -dy


@op(formula="y = factor·x", pointwise=True)
def scale(x: Array, *, factor: float) -> Array:
    """x times a number."""
    return x * factor


@scale.gradient("x", formula="dx = factor·dy")
def _(dy: Array, *, factor: float) -> Array:
    return dy * factor


@op(formula="y = x + offset", pointwise=True)
def shift(x: Array, *, offset: float) -> Array:
    """x plus a number."""
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


@exp.gradient("x", formula="dx = dy·y")
def _(dy: Array, y: Array) -> Array:
    return dy * y


@op(formula="y = log x", pointwise=True, flops=20)
def log(x: Array) -> Array:
    """The natural logarithm of x: -∞ at 0, NaN below."""
    return np.log(x)


@log.gradient("x", formula="dx = dy / x")
def _(dy: Array, x: Array) -> Array:
    return dy / x


@op(formula="y = √x", pointwise=True, flops=4)
def sqrt(x: Array) -> Array:
    """The square root of x: NaN below 0."""
    return np.sqrt(x)


@sqrt.gradient("x", formula="dx = dy / 2y")
def _(dy: Array, y: Array) -> Array:
    return dy / (2.0 * y)


def _away_from_zero(z: Array) -> Array:
    return np.where(z < 0, z - 0.5, z + 0.5)


def _positive(z: Array) -> Array:
    return np.abs(z) + 0.25


add.cases(samples=of_two_arrays(), examples=[Example(([[1.0], [2.0]], [10.0, 20.0]), [[11.0, 21.0], [12.0, 22.0]])])
subtract.cases(
    samples=of_two_arrays(), examples=[Example(([[1.0], [2.0]], [10.0, 20.0]), [[-9.0, -19.0], [-8.0, -18.0]])]
)
multiply.cases(
    samples=of_two_arrays(), examples=[Example(([[1.0], [2.0]], [10.0, -20.0]), [[10.0, -20.0], [20.0, -40.0]])]
)
divide.cases(
    samples=of_two_arrays(_away_from_zero), examples=[Example(([1.0, -3.0, 0.0], [4.0, 2.0, 5.0]), [0.25, -1.5, 0.0])]
)

negative.cases(samples=of_one_array(), examples=[Example(([1.0, -2.0],), [-1.0, 2.0])])
scale.cases(samples=of_one_array(factor=-1.75), examples=[Example(([1.0, -2.0],), [0.5, -1.0], {"factor": 0.5})])
shift.cases(samples=of_one_array(offset=0.375), examples=[Example(([1.0, -2.0],), [4.0, 1.0], {"offset": 3.0})])
power.cases(
    samples=[
        *of_one_array(exponent=2.0),
        *of_one_array(exponent=3.0),
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

exp.cases(samples=of_one_array(), examples=[Example(([0.0, 1.0, -2.5],), [1.0, math.e, math.exp(-2.5)])])
log.cases(
    samples=of_one_array(_positive),
    examples=[Example(([1.0, math.e, 10.0],), [0.0, 1.0, math.log(10.0)])],
)

sqrt.cases(
    samples=of_one_array(_positive),
    examples=[Example(([0.0, 2.25, 2.0],), [0.0, 1.5, math.sqrt(2.0)])],
)
