"""Ops of an array and a number: the ops of two arrays, with the number as an attribute instead of an array full of it.

Formula, gradients, ties and compiled form are those of the op of two arrays. Nothing is broadcast: `maximum(x, 0.0)`
reads x alone. `x / 3.0` is a division; its compiled form multiplies by 1/3 rounded, the same for every element, as
compilers do with a divisor that stays, so it may differ by one unit in the last place.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.native.kernel import Real
from chainrule.ops import arithmetic, comparisons
from chainrule.ops.record import Example, Op, Rule, Sample, op

SHAPES = ((2, 3), (0, 3), (1,), (), (3, 1, 37))
WITH_NUMBER: dict[tuple[Op, str], Op] = {}  # the op of two arrays, and which of its inputs is a number: the op of both
MIRRORED = {  # with the operands exchanged
    comparisons.maximum: comparisons.maximum,
    comparisons.minimum: comparisons.minimum,
    comparisons.equal: comparisons.equal,
    comparisons.greater: comparisons.less,
    comparisons.less: comparisons.greater,
    comparisons.greater_equal: comparisons.less_equal,
    comparisons.less_equal: comparisons.greater_equal,
}


def with_number(pair: Op, number: str, samples: Sequence[Sample], examples: Sequence[Example]) -> Op:
    """The pointwise op like `pair` whose input `number` is an attribute; entered in `OPS` and `WITH_NUMBER`.

    Compiled forms take arrays before numbers: that of `pair` serves where `number` is its last input; else the new op
    needs one of its own.
    """
    is_last = number == pair.inputs[-1]
    definition = _with_attribute(pair.forward, number)
    definition.__name__ = f"{pair.name}_number" if is_last else f"number_{pair.name}"
    definition.__doc__ = f"{pair.__doc__} Here {number} is a number."
    formula = pair.forward.formula
    made = op(formula=formula, pointwise=True, flops=pair.flops)(definition)
    made.cases(samples=samples, examples=examples)
    if is_last and pair.forward.scalar is not None:
        made.scalar(pair.forward.scalar)
    for name, rule in pair.gradients.items():
        if name != number:
            assert number not in rule.operands[:-1], f"{rule.name}: {number} must come last"
            made.gradient(name, formula=rule.formula)(_with_attribute(rule, number))
            made.scalar(name)(rule.scalar)
    WITH_NUMBER[pair, number] = made
    return made


def _with_attribute(rule: Rule, name: str) -> Any:
    """The rule's definition, its operand `name` made keyword-only where it has it."""

    def compute(*arrays: Any, **attributes: Any) -> Any:
        return rule.definition(**dict(zip(operands, arrays, strict=True)), **attributes)

    operands = [operand for operand in rule.operands if operand != name]
    parameters = [inspect.Parameter(operand, inspect.Parameter.POSITIONAL_OR_KEYWORD) for operand in operands]
    if name in rule.operands:
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY))
    definition: Any = compute
    definition.__signature__ = inspect.Signature(parameters)  # by which the record knows operands and attributes
    return definition


def _unary(domain: Any = None, **attributes: float) -> list[Sample]:
    return [Sample((shape,), attributes, domain) for shape in SHAPES]


divide_number = with_number(
    arithmetic.divide,
    "b",
    samples=[*_unary(b=-1.75), *_unary(b=3.0)],
    examples=[Example(([1.0, -3.0, 0.0],), [0.25, -0.75, 0.0], {"b": 4.0})],
)

number_divide = with_number(
    arithmetic.divide,
    "a",
    samples=_unary(arithmetic.divide.samples[0].domain, a=-1.75),
    examples=[Example(([1.0, -4.0, 0.5],), [3.0, -0.75, 6.0], {"a": 3.0})],
)


@number_divide.scalar
def _(b: Real, a: Real) -> Real:
    return a / b


maximum_number = with_number(
    comparisons.maximum,
    "b",
    samples=_unary(b=0.375),
    examples=[Example(([1.0, 3.0, -5.0],), [2.0, 3.0, 2.0], {"b": 2.0})],
)

minimum_number = with_number(
    comparisons.minimum,
    "b",
    samples=_unary(b=0.375),
    examples=[Example(([1.0, 3.0, -5.0],), [1.0, 2.0, -5.0], {"b": 2.0})],
)


def _compare_number(pair: Op, expected: list[float]) -> Op:
    return with_number(pair, "b", _unary(b=0.375), [Example(([1.0, 2.0, 3.0],), expected, {"b": 2.0})])


greater_number = _compare_number(comparisons.greater, [0.0, 0.0, 1.0])
greater_equal_number = _compare_number(comparisons.greater_equal, [0.0, 1.0, 1.0])
less_number = _compare_number(comparisons.less, [1.0, 0.0, 0.0])
less_equal_number = _compare_number(comparisons.less_equal, [1.0, 1.0, 0.0])
equal_number = _compare_number(comparisons.equal, [0.0, 1.0, 0.0])


CONDITIONS = (
    (comparisons.CONDITION, (2, 3)),
    (comparisons.CONDITION, (3,)),
    (np.array(1.0), ()),
    (np.zeros((0, 3)), (0, 3)),
    (np.zeros(1), (1,)),
)


def _choosing(**attributes: float) -> list[Sample]:
    pairs = [Sample((condition, shape), attributes) for condition, shape in CONDITIONS]
    return [*pairs, Sample(((2, 3), (3, 2)), attributes, error=ShapeError)]


where_number = with_number(
    comparisons.where,
    "b",
    samples=_choosing(b=0.75),
    examples=[Example(([1.0, 0.0], [5.0, 6.0]), [5.0, 8.0], {"b": 8.0})],
)

number_where = with_number(
    comparisons.where,
    "a",
    samples=_choosing(a=0.75),
    examples=[Example(([1.0, 0.0], [7.0, 9.0]), [5.0, 9.0], {"a": 5.0})],
)


@number_where.scalar
def _(condition: Real, b: Real, a: Real) -> Real:
    return a if condition != 0.0 else b
