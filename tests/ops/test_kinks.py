"""Gradients at ties, kinks and borders, NaN, and extreme arguments, where samples drawn at random never fall."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chainrule.errors import OptionError
from chainrule.ops import activations, arithmetic, comparisons
from chainrule.ops.numbers import NUMBER_LAST
from chainrule.ops.record import Op, Rule, op

INF, NAN = math.inf, math.nan
MAXIMUM, MINIMUM, DIVIDE = (  # of an array and a number
    NUMBER_LAST[pair] for pair in (comparisons.maximum, comparisons.minimum, arithmetic.divide)
)


def gradient(op: Op, name: str, *operands: Any, **attributes: Any) -> Any:
    """The gradient for dy = 1 by the definition, after checking that the rule for one element gives the same."""
    rule = op.gradients[name]
    return both(rule, [np.ones(len(operands[0])), *(np.array(v, float) for v in operands)], attributes)


def forward(op: Op, *operands: Any, **attributes: Any) -> Any:
    return both(op.forward, [np.array(v, float) for v in operands], attributes)


def both(rule: Rule, operands: list[Any], attributes: dict[str, Any]) -> Any:
    assert rule.scalar is not None
    with np.errstate(all="ignore"):
        result = rule.definition(*operands, **attributes)
        single = [rule.scalar(*values, *attributes.values()) for values in zip(*operands, strict=True)]
    np.testing.assert_allclose(single, result, rtol=1e-14)
    return result.tolist()


@pytest.mark.parametrize(
    ("op", "da", "db"),
    [(comparisons.maximum, [0, 0.5, 1], [1, 0.5, 0]), (comparisons.minimum, [1, 0.5, 0], [0, 0.5, 1])],
)
def test_ties_share_the_gradient(op: Op, da: list[float], db: list[float]) -> None:
    assert gradient(op, "a", [1, 2, 3], [2, 2, 2]) == da
    assert gradient(op, "b", [1, 2, 3], [2, 2, 2]) == db


@pytest.mark.parametrize(("op", "da"), [(MAXIMUM, [0, 0.5, 1]), (MINIMUM, [1, 0.5, 0])])
def test_ties_with_a_number_leave_half_of_the_gradient(op: Op, da: list[float]) -> None:
    assert gradient(op, "a", [1, 2, 3], b=2.0) == da


def test_absolute_is_flat_at_zero() -> None:
    assert gradient(comparisons.absolute, "x", [-2, 0, 2]) == [-1, 0, 1]


def test_clip_passes_the_gradient_at_its_borders() -> None:
    assert gradient(comparisons.clip, "x", [-2, -1, 0, 3, 4], low=-1.0, high=3.0) == [0, 1, 1, 1, 0]
    assert forward(comparisons.clip, [-2, 0, 5], low=1.0, high=-1.0) == [-1, -1, -1]


def test_constant_and_linear_powers_have_no_pole_at_zero() -> None:
    assert gradient(arithmetic.power, "x", [0, 2], exponent=0.0) == [0, 0]
    assert gradient(arithmetic.power, "x", [0, 2], exponent=1.0) == [1, 1]
    assert gradient(arithmetic.power, "x", [0, -2], exponent=2.0) == [0, -4]
    assert gradient(arithmetic.power, "x", [0], exponent=0.5) == [INF]


def test_rectifiers_are_flat_at_zero() -> None:
    assert gradient(activations.relu, "x", [0, 1]) == [0, 1]
    assert gradient(activations.leaky_relu, "x", [0, 1], slope=0.25) == [0.25, 1]
    assert gradient(activations.elu, "x", [0, 1], alpha=1.0) == [1, 1]


@pytest.mark.parametrize(
    ("op", "operands", "attributes"),
    [
        (comparisons.maximum, ([NAN, 1], [1, NAN]), {}),
        (comparisons.minimum, ([NAN, 1], [1, NAN]), {}),
        *((op, ([NAN],), {"b": 1.0}) for op in (MAXIMUM, MINIMUM, DIVIDE)),
        *((op, ([1],), {"b": NAN}) for op in (MAXIMUM, MINIMUM, DIVIDE)),
        (comparisons.absolute, ([NAN],), {}),
        (comparisons.clip, ([NAN],), {"low": -1.0, "high": 1.0}),
        (arithmetic.log, ([-1, NAN],), {}),
        (arithmetic.sqrt, ([-1, NAN],), {}),
        (arithmetic.power, ([-1, NAN],), {"exponent": 0.5}),
        (activations.relu, ([NAN],), {}),
        (activations.leaky_relu, ([NAN],), {"slope": 0.1}),
        (activations.elu, ([NAN],), {"alpha": 1.0}),
        *((op, ([NAN],), {}) for op in (activations.gelu, activations.silu, activations.sigmoid)),
        *((op, ([NAN],), {}) for op in (activations.tanh, activations.softplus, arithmetic.exp)),
    ],
    ids=lambda v: v.name if isinstance(v, Op) else "",
)
def test_nan_stays_nan(op: Op, operands: Any, attributes: dict[str, float]) -> None:
    assert np.isnan(forward(op, *operands, **attributes)).all()


FAR = {
    activations.relu: ({}, [0, 1e4], [0, 1]),
    activations.leaky_relu: ({"slope": 0.5}, [-5e3, 1e4], [0.5, 1]),
    activations.elu: ({"alpha": 2.0}, [-2, 1e4], [0, 1]),
    activations.gelu: ({}, [0, 1e4], [0, 1]),
    activations.silu: ({}, [0, 1e4], [0, 1]),
    activations.sigmoid: ({}, [0, 1], [0, 0]),
    activations.tanh: ({}, [-1, 1], [0, 0]),
    activations.softplus: ({}, [0, 1e4], [0, 1]),
}


@pytest.mark.parametrize("op", FAR, ids=lambda op: op.name)
def test_activations_at_ten_thousand(op: Op) -> None:
    attributes, y, dx = FAR[op]
    x = [-1e4, 1e4]
    assert forward(op, x, **attributes) == y
    operand = y if op.gradients["x"].operands == ("dy", "y") else x
    assert gradient(op, "x", operand, **attributes) == dx


def test_softplus_keeps_small_gradients() -> None:
    y = math.log1p(math.exp(-40))
    assert gradient(activations.softplus, "x", [y]) == [pytest.approx(math.exp(-40), rel=1e-14)]


@pytest.mark.parametrize(("op", "attribute"), [(activations.leaky_relu, "slope"), (activations.elu, "alpha")])
@pytest.mark.parametrize("value", [-0.5, NAN])
def test_activations_refuse_what_their_gradient_cannot_serve(op: Op, attribute: str, value: float) -> None:
    assert op.shape_rule is not None
    with pytest.raises(OptionError, match=f"{op.name}: {attribute} is"):
        op.shape_rule((3,), **{attribute: value})


def test_a_span_run_as_python_does_not_warn_of_what_it_leaves_out() -> None:
    x, y = np.array([-1e4, 1e4]), np.empty(2)
    activations.elu.forward.span(in_place=False)(y, x, None, None, 1.0, 0.0)  # e^10000 overflows, and is not taken
    assert y.tolist() == [-1, 1e4]


def test_a_pointwise_op_inside_a_function_is_refused() -> None:
    factor = 2.0
    with pytest.raises(TypeError, match="op inner: its definition uses factor of a function around it"):

        @op(formula="y = f·x", pointwise=True)
        def inner(x: Any) -> Any:
            return factor * x
