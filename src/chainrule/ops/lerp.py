"""Linear interpolation: how running averages follow what they average."""

from __future__ import annotations

from chainrule.native.memory import Array
from chainrule.ops.record import Example, Sample, of_two_arrays, op


@op(formula="y = a + weight·(b - a)", pointwise=True, flops=3)
def lerp(a: Array, b: Array, *, weight: float) -> Array:
    """The point between a and b, of shapes that broadcast, that lies `weight` of the way from a."""
    return a + weight * (b - a)


@lerp.gradient("a", formula="da = (1 - weight)·dy")
def _(dy: Array, *, weight: float) -> Array:
    return dy * (1.0 - weight)


@lerp.gradient("b", formula="db = weight·dy")
def _(dy: Array, *, weight: float) -> Array:
    return dy * weight


lerp.cases(
    samples=[*of_two_arrays(weight=0.1), Sample(((5,), (5,)), {"weight": 1.0})],
    examples=[Example(([1.0, 2.0], [5.0, -2.0]), [2.0, 1.0], {"weight": 0.25})],
)
