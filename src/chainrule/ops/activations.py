"""Activations, element by element.

Where the gradient follows from the output y alone it asks for y and not for x: x may then be overwritten by y, and the
gradient be taken in place in the product of matrices that made dy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import OptionError
from chainrule.native import vecmath
from chainrule.native.memory import Array, Shape
from chainrule.native.vecmath import compiled_as
from chainrule.ops.record import Example, Sample, of_one_array, op


@op(formula="y = max(x, 0)", pointwise=True, monotone=True)
def relu(x: Array) -> Array:
    """x where it is positive, else 0 (rectified linear unit; Nair and Hinton, ICML 2010). Its slope at 0 is 0."""
    return np.maximum(x, 0.0)


@relu.gradient("x", formula="dx = dy·[y > 0]")
def _(dy: Array, y: Array) -> Array:
    return np.where(y > 0.0, dy, 0.0)


@op(formula="y = x where x > 0, else slope·x", pointwise=True, flops=2)
def leaky_relu(x: Array, *, slope: float = 0.01) -> Array:
    """x where it is positive, else a little of it (Maas et al., ICML 2013). Raises OptionError for a negative slope."""
    return np.where(x > 0.0, x, x * slope)


@leaky_relu.shape
def _(x: Shape, *, slope: float) -> Shape:
    if not slope >= 0:
        raise OptionError(
            f"leaky_relu: slope is {slope}, expected at least 0: below, the sign of y does not tell that of x"
        )
    return x


@leaky_relu.gradient("x", formula="dx = dy where y > 0, else slope·dy")
def _(dy: Array, y: Array, *, slope: float) -> Array:
    return np.where(y > 0.0, dy, dy * slope)


@op(formula="y = x where x > 0, else alpha·(eˣ - 1)", pointwise=True, flops=20)
def elu(x: Array, *, alpha: float = 1.0) -> Array:
    """x where it is positive, else a curve that falls to -alpha (exponential linear unit; Clevert et al., ICLR 2016).

    Raises OptionError for a negative alpha.
    """
    return np.where(x > 0.0, x, alpha * np.expm1(x))


@elu.shape
def _(x: Shape, *, alpha: float) -> Shape:
    if not alpha >= 0:
        raise OptionError(f"elu: alpha is {alpha}, expected at least 0: below, the sign of y does not tell that of x")
    return x


@elu.gradient("x", formula="dx = dy where y > 0, else dy·(y + alpha)")
def _(dy: Array, y: Array, *, alpha: float) -> Array:
    return np.where(y > 0.0, dy, dy * (y + alpha))


@compiled_as(vecmath.erf)
def erf(x: Array) -> Array:
    """The error function, which NumPy lacks."""
    y: Array = np.vectorize(math.erf, otypes=[x.dtype])(x)
    return y


@op(formula="y = x·Φ(x), Φ(x) = (1 + erf(x/√2)) / 2", pointwise=True, flops=40)
def gelu(x: Array) -> Array:
    """x times the probability that a standard normal number is below x (Gaussian error linear unit; Hendrycks and
    Gimpel, 2016), in its exact form, not the one with tanh.
    """
    return x * (0.5 * (1.0 + erf(x * 0.7071067811865476)))  # 1/√2


@gelu.gradient("x", formula="dx = dy·(Φ(x) + x·φ(x)), φ(x) = exp(-x²/2) / √(2π)")
def _(dy: Array, x: Array) -> Array:
    return dy * (0.5 * (1.0 + erf(x * 0.7071067811865476)) + x * (0.3989422804014327 * np.exp(-0.5 * x * x)))


@compiled_as(vecmath.sigmoid)
def logistic(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), in a form that does not overflow."""
    small = np.exp(-np.abs(x))
    y: Array = np.where(x < 0.0, small, 1.0) / (1.0 + small)
    return y


@op(formula="y = x·σ(x), σ(x) = 1 / (1 + e⁻ˣ)", pointwise=True, flops=30)
def silu(x: Array) -> Array:
    """x times its sigmoid (sigmoid linear unit, also called swish; Elfwing et al., Neural Networks 107, 2018)."""
    return x * logistic(x)


@silu.gradient("x", formula="dx = dy·σ(x)·(1.0 + x·(1.0 - σ(x)))")
def _(dy: Array, x: Array) -> Array:
    s = logistic(x)
    return dy * (s * (1.0 + x * (1.0 - s)))


@op(formula="y = 1 / (1 + e⁻ˣ)", pointwise=True, flops=25)
def sigmoid(x: Array) -> Array:
    """The logistic function: the probability, from 0 to 1, whose log-odds are x."""
    return logistic(x)


@sigmoid.gradient("x", formula="dx = dy·y·(1.0 - y)")
def _(dy: Array, y: Array) -> Array:
    return dy * (y * (1.0 - y))


@op(formula="y = tanh x = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)", pointwise=True, flops=25)
def tanh(x: Array) -> Array:
    """The hyperbolic tangent of x, from -1 to 1."""
    return np.tanh(x)


@tanh.gradient("x", formula="dx = dy·(1.0 - y²)")
def _(dy: Array, y: Array) -> Array:
    return dy * (1.0 - y * y)


@compiled_as(vecmath.log1p_exp)
def log1p_exp(x: Array) -> Array:
    """log(1 + eˣ), in a form that neither overflows nor loses small values."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


@op(formula="y = log(1 + eˣ)", pointwise=True, flops=30)
def softplus(x: Array) -> Array:
    """A smooth ReLU, for every x; torch returns x itself above 20, where the two agree to 2e-9."""
    return log1p_exp(x)


@softplus.gradient("x", formula="dx = dy·(1.0 - e⁻ʸ) = dy·σ(x)")
def _(dy: Array, y: Array) -> Array:
    return -dy * np.expm1(-y)


@op(formula="y = x / (1 + |x|)", pointwise=True, flops=3)
def softsign(x: Array) -> Array:
    """A smooth sign of x, from -1 to 1, that flattens slower than tanh (Turian et al., NAACL-HLT 2009)."""
    return x / (1.0 + np.abs(x))


@softsign.gradient("x", formula="dx = dy / (1 + |x|)²")
def _(dy: Array, x: Array) -> Array:
    reciprocal = 1.0 / (1.0 + np.abs(x))
    return dy * reciprocal * reciprocal


FAR = np.array([-1e4, -90.0, -20.0, 20.0, 90.0, 1e4])


def _samples(**attributes: Any) -> list[Sample]:
    return [*of_one_array(**attributes), Sample((FAR,), attributes)]


relu.cases(samples=_samples(), examples=[Example(([-2.0, 0.0, 3.0, 1e4],), [0.0, 0.0, 3.0, 1e4])])
leaky_relu.cases(
    samples=[
        *_samples(slope=0.125),
        Sample(((3,),), {"slope": 0.0}),
        Sample(((3,),), {"slope": -1.0}, error=OptionError),
    ],
    examples=[Example(([-2.0, 0.0, 3.0, -1e4],), [-0.5, 0.0, 3.0, -2500.0], {"slope": 0.25})],
)

elu.cases(
    samples=[
        *_samples(alpha=1.5),
        Sample(((3,),), {"alpha": 1.0}),
        Sample(((3,),), {"alpha": -1.0}, error=OptionError),
    ],
    examples=[
        Example(([-1.0, 0.0, 3.0],), [math.expm1(-1.0), 0.0, 3.0], {"alpha": 1.0}),
        Example(([-1e4, -1e-6, 1e4],), [-2.0, 2.0 * math.expm1(-1e-6), 1e4], {"alpha": 2.0}),
    ],
)

gelu.cases(
    samples=_samples(),
    examples=[
        Example(
            ([0.0, 1.0, 1e4, -1e4],), [0.0, 0.8413447460685429, 1e4, 0.0]
        ),  # Φ(1): Abramowitz and Stegun, table 26.1
        Example(([-2.0],), [-math.erfc(math.sqrt(2.0))]),
    ],
)

silu.cases(
    samples=_samples(),
    examples=[Example(([0.0, 1.0, -2.0, 1e4, -1e4],), [0.0, 1 / (1 + math.exp(-1)), -2 / (1 + math.exp(2)), 1e4, 0.0])],
)

sigmoid.cases(
    samples=_samples(),
    examples=[
        Example(([0.0, math.log(3.0), 1e4, -1e4, -20.0],), [0.5, 0.75, 1.0, 0.0, math.exp(-20) / (1 + math.exp(-20))])
    ],
)

tanh.cases(samples=_samples(), examples=[Example(([0.0, math.log(2.0), 1e4, -1e4],), [0.0, 0.6, 1.0, -1.0])])
softplus.cases(
    samples=_samples(),
    examples=[
        Example(([0.0, 1.0, 1e4, -1e4],), [math.log(2.0), math.log1p(math.e), 1e4, 0.0]),
        Example(([-20.0],), [math.log1p(math.exp(-20.0))]),
    ],
)
softsign.cases(samples=_samples(), examples=[Example(([0.0, 1.0, -3.0, 1e4],), [0.0, 0.5, -0.75, 1e4 / 10001])])
