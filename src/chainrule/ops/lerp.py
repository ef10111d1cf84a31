"""Linear interpolation: how running averages follow what they average."""

from __future__ import annotations

from chainrule.errors import ShapeError
from chainrule.native.kernel import Real
from chainrule.native.memory import Array
from chainrule.ops.record import Example, Sample, op

_PAIRS = [((2, 3), (2, 3)), ((3, 1), (1, 4)), ((1,), (1,)), ((), ()), ((0, 3), (0, 3)), ((129,), (129,))]


@op(formula="y = a + weight·(b - a)", pointwise=True, flops=3)
def lerp(a: Array, b: Array, *, weight: float) -> Array:
    """The point between a and b, of shapes that broadcast, that lies `weight` of the way from a."""
    y: Array = a + a.dtype.type(weight) * (b - a)
    return y


@lerp.scalar
def _(a: Real, b: Real, weight: Real) -> Real:
    return a + weight * (b - a)


@lerp.gradient("a", formula="da = (1 - weight)·dy")
def _(dy: Array, *, weight: float) -> Array:
    da: Array = dy * dy.dtype.type(1.0 - weight)
    return da


@lerp.scalar("a")
def _(dy: Real, weight: Real) -> Real:
    return dy * (1.0 - weight)


@lerp.gradient("b", formula="db = weight·dy")
def _(dy: Array, *, weight: float) -> Array:
    db: Array = dy * dy.dtype.type(weight)
    return db


@lerp.scalar("b")
def _(dy: Real, weight: Real) -> Real:
    return dy * weight


lerp.cases(
    samples=[
        *(Sample(shapes, {"weight": 0.1}) for shapes in _PAIRS),
        Sample(((5,), (5,)), {"weight": 1.0}),
        Sample(((2, 3), (3, 2)), {"weight": 0.5}, error=ShapeError),
    ],
    examples=[Example(([1.0, 2.0], [5.0, -2.0]), [2.0, 1.0], {"weight": 0.25})],
)
