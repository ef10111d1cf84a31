"""Ops of an array and a number: the ops of two arrays, with the number as an attribute instead of an array full of it.

Formula, gradients, ties and compiled form are those of the op of two arrays. Nothing is broadcast: `maximum(x, 0.0)`
reads x alone. `x / 3.0` is a division; its compiled form multiplies by 1/3 rounded, the same for every element, as
compilers do with a divisor that stays, so it may differ by one unit in the last place.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.native.memory import Array
from chainrule.ops import arithmetic, comparisons
from chainrule.ops.record import Example, Op, Sample, of_one_array, op


def _number_last(pair: Op) -> Op:
    """The op `pair_number`, whose rules are those of `pair`, which has its last input b as an attribute."""
    made = op(formula=pair.forward.formula, pointwise=True, flops=pair.flops)(_by_name(pair.forward.definition))
    for name, rule in pair.gradients.items():
        if name != "b":
            definition = _by_name(rule.definition) if "b" in rule.operands else rule.definition
            made.gradient(name, formula=rule.formula)(definition)
    return made


def _by_name(definition: Any) -> Any:
    """The definition with its last operand, b, as an attribute."""
    code = definition.__code__
    code = code.replace(co_argcount=code.co_argcount - 1, co_kwonlyargcount=1)
    copy = FunctionType(code, definition.__globals__, f"{definition.__name__}_number")
    copy.__doc__ = f"{definition.__doc__} Here b is a number."
    return copy


NUMBER_LAST = {  # the op of two arrays: that of an array and a number
    pair: _number_last(pair)
    for pair in (
        arithmetic.divide,
        comparisons.maximum,
        comparisons.minimum,
        comparisons.where,
        comparisons.greater,
        comparisons.greater_equal,
        comparisons.less,
        comparisons.less_equal,
        comparisons.equal,
    )
}


@op(formula="y = a / b", pointwise=True)
def number_divide(b: Array, *, a: float) -> Array:
    """The quotient a / b. Here a is a number."""
    return a / b


@number_divide.gradient("b", formula="db = -dy·y / b")
def _(dy: Array, b: Array, y: Array) -> Array:
    return -dy * y / b


@op(formula="y = a where condition ≠ 0, else b", pointwise=True)
def number_where(condition: Array, b: Array, *, a: float) -> Array:
    """a where the condition holds (is not 0), else b; shapes broadcast. Here a is a number."""
    return np.where(condition != 0.0, a, b)


@number_where.gradient("b", formula="db = 0 where condition ≠ 0, else dy")
def _(dy: Array, condition: Array) -> Array:
    return np.where(condition != 0.0, 0.0, dy)


NUMBER_FIRST = {arithmetic.divide: number_divide, comparisons.where: number_where}
MIRRORED = {  # with the operands exchanged
    comparisons.maximum: comparisons.maximum,
    comparisons.minimum: comparisons.minimum,
    comparisons.equal: comparisons.equal,
    comparisons.greater: comparisons.less,
    comparisons.less: comparisons.greater,
    comparisons.greater_equal: comparisons.less_equal,
    comparisons.less_equal: comparisons.greater_equal,
}

NUMBER_LAST[arithmetic.divide].cases(
    samples=[*of_one_array(b=-1.75), *of_one_array(b=3.0)],
    examples=[Example(([1.0, -3.0, 0.0],), [0.25, -0.75, 0.0], {"b": 4.0})],
)
number_divide.cases(
    samples=of_one_array(arithmetic.divide.samples[0].domain, a=-1.75),
    examples=[Example(([1.0, -4.0, 0.5],), [3.0, -0.75, 6.0], {"a": 3.0})],
)
for _pair, _input, _expected in (
    (comparisons.maximum, [1.0, 3.0, -5.0], [2.0, 3.0, 2.0]),
    (comparisons.minimum, [1.0, 3.0, -5.0], [1.0, 2.0, -5.0]),
    (comparisons.greater, [1.0, 2.0, 3.0], [0.0, 0.0, 1.0]),
    (comparisons.greater_equal, [1.0, 2.0, 3.0], [0.0, 1.0, 1.0]),
    (comparisons.less, [1.0, 2.0, 3.0], [1.0, 0.0, 0.0]),
    (comparisons.less_equal, [1.0, 2.0, 3.0], [1.0, 1.0, 0.0]),
    (comparisons.equal, [1.0, 2.0, 3.0], [0.0, 1.0, 0.0]),
):
    NUMBER_LAST[_pair].cases(samples=of_one_array(b=0.375), examples=[Example((_input,), _expected, {"b": 2.0})])


def _choosing(**attributes: float) -> list[Sample]:
    condition = comparisons.CONDITION
    pairs = (
        (condition, (2, 3)),
        (condition, (3,)),
        (np.array(1.0), ()),
        (np.zeros((0, 3)), (0, 3)),
        (np.zeros(1), (1,)),
    )
    good = [Sample(pair, attributes) for pair in pairs]
    return [*good, Sample(((2, 3), (3, 2)), attributes, error=ShapeError)]


NUMBER_LAST[comparisons.where].cases(
    samples=_choosing(b=0.75), examples=[Example(([1.0, 0.0], [5.0, 6.0]), [5.0, 8.0], {"b": 8.0})]
)
number_where.cases(samples=_choosing(a=0.75), examples=[Example(([1.0, 0.0], [7.0, 9.0]), [5.0, 9.0], {"a": 5.0})])
