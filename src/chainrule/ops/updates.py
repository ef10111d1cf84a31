"""Optimizer updates: how parameters p move along their gradient g, over one flat block at a time.

An update is a NumPy function (its definition) returning new arrays, and below it the kernel that does the same in
place, tile by tile. Both read the step's scalars from a row c of float64 numbers in the order of `columns`: what
changes from step to step (the learning rate, bias corrections) stays outside of compiled code. States start at zero
unless the optimizer says otherwise. The order of operations and the place of eps are torch's.

An update overwrites its operands, so one that would overflow must be known beforehand. No rule leaves float32 where p,
g and states are within LIMIT (states named v hold squares: their roots), 1 and lr over the product of all divisors are,
and other coefficients are from 0 to 1: squares are then below 2^115, all other products below 2^120. So kernels tell
when they leave a value beyond LIMIT, and from there on the engine makes updates by their definition, which it looks at
before it keeps them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chainrule.native.kernel import Float1, Int, Int1, Kernel, Real1, device, kernel, real
from chainrule.native.memory import Array
from chainrule.native.state import LARGE, LOOK, POSITION, STOP

TILE = 4096  # elements: p, g and two states of a tile take 64 KB in float32, and stay in the second-level cache
LIMIT = 2.0**56  # of p, g and states in the kernels
DIVISORS = ("eps", "bias1", "bias2")  # columns that divide

Row = NDArray[np.float64]


@dataclass(eq=False)
class Update:
    """One optimizer's rule; `definition(p, g, *states, c)` returns the new (p, *states).

    `kernel(tile, p, g, *states, c, divisors, state)` overwrites p and the states, and sets the word LARGE of the
    program's state where one of them is beyond LIMIT; it begins with the check `sure` unless `divisors` is negative.
    `flops` counts arithmetic operations per element.
    """

    name: str
    formula: str
    columns: tuple[str, ...]
    states: tuple[str, ...]
    definition: Callable[..., tuple[Array, ...]]
    flops: float
    kernel: Kernel = field(init=False)

    def compiled(self, function: Callable[..., None]) -> Callable[..., None]:
        """Decorator: the kernel of this update."""
        self.kernel = kernel(function)
        return function

    @property
    def divisors(self) -> int:
        """The columns that divide, as bits."""
        return sum(1 << i for i, name in enumerate(self.columns) if name in DIVISORS)

    def large(self, p: Array, *states: Array) -> bool:
        """Whether a value is beyond LIMIT, which the kernel must not start from."""
        roots = [np.sqrt(s) if name == "v" else s for name, s in zip(self.states, states, strict=True)]
        return not all((np.abs(a) <= LIMIT).all() for a in (p, *roots))

    def __repr__(self) -> str:
        return f"<update {self.name}: {self.formula}>"


UPDATES: dict[str, Update] = {}


def update(*, formula: str, columns: str, flops: float) -> Callable[[Callable[..., tuple[Array, ...]]], Update]:
    """Decorator that turns a NumPy function (p, g, *states, c) into an update and enters it in the table `UPDATES`."""

    def make(definition: Callable[..., tuple[Array, ...]]) -> Update:
        states = tuple(inspect.signature(definition).parameters)[2:-1]
        record = Update(definition.__name__, formula, tuple(columns.split()), states, definition, flops)
        record.__doc__ = definition.__doc__
        UPDATES[record.name] = record
        return record

    return make


@device
def sure(p: Real1, g: Real1, c: Float1, divisors: Int, state: Int1) -> bool:
    """Whether the update of these elements cannot overflow; if not, the program stops. Bit i of `divisors` is set where
    c[i] divides. Of p and states the kernels have told what they left, but p may have been set since."""
    total = real(0)
    for i in range(g.size):
        total += abs(g[i])
    if state[POSITION] == 0 and state[LOOK] != 0:
        for i in range(p.size):
            total += abs(p[i])
    divisor, usual = np.float64(1), True
    for i in range(1, c.size):
        if divisors >> i & 1:
            divisor *= 1.0 if c[i] > 1.0 else c[i]
        elif not 0.0 <= c[i] <= 1.0:
            usual = False
    most = divisor * LIMIT
    if usual and most >= 1.0 and abs(c[0]) <= most and total <= real(LIMIT) and state[LARGE] == 0:
        return True
    state[STOP] = 1
    return False


@update(formula="p ← p - lr·(g + λp)", columns="lr weight_decay", flops=4)
def sgd(p: Array, g: Array, c: Row) -> tuple[Array, ...]:
    """Gradient descent without memory; λ is the weight decay."""
    lr, weight_decay = c.tolist()
    return (p - lr * (g + weight_decay * p),)


@sgd.compiled
def sgd_step(tile: Int, p: Real1, g: Real1, c: Float1, divisors: Int, state: Int1) -> None:
    lr, weight_decay = real(c[0]), real(c[1])
    lo, hi = tile * TILE, min(tile * TILE + TILE, p.size)
    p, g = p[lo:hi], g[lo:hi]
    if divisors >= 0 and not sure(p, g, c, divisors, state):
        return
    total = real(0)
    for i in range(p.size):
        p[i] -= lr * (g[i] + weight_decay * p[i])
        total += abs(p[i])
    if not total <= real(LIMIT):
        state[LARGE] = 1


@update(formula="b ← μb + g + λp,  p ← p - lr·b", columns="lr weight_decay momentum", flops=6)
def sgd_momentum(p: Array, g: Array, b: Array, c: Row) -> tuple[Array, ...]:
    """Gradient descent with momentum μ: b sums past gradients, each with μ times the weight of the next.

    Source: Polyak (1964), in the form of Sutskever et al. (2013) without lr in b.
    """
    lr, weight_decay, momentum = c.tolist()
    b = momentum * b + (g + weight_decay * p)
    return p - lr * b, b


@sgd_momentum.compiled
def sgd_momentum_step(tile: Int, p: Real1, g: Real1, b: Real1, c: Float1, divisors: Int, state: Int1) -> None:
    lr, weight_decay, momentum = real(c[0]), real(c[1]), real(c[2])
    lo, hi = tile * TILE, min(tile * TILE + TILE, p.size)
    p, g, b = p[lo:hi], g[lo:hi], b[lo:hi]
    if divisors >= 0 and not sure(p, g, c, divisors, state):
        return
    total = real(0)
    for i in range(p.size):
        b[i] = momentum * b[i] + (g[i] + weight_decay * p[i])
        p[i] -= lr * b[i]
        total += abs(p[i]) + abs(b[i])
    if not total <= real(LIMIT):
        state[LARGE] = 1


@update(formula="d = g + λp,  b ← μb + d,  p ← p - lr·(d + μb)", columns="lr weight_decay momentum", flops=8)
def sgd_nesterov(p: Array, g: Array, b: Array, c: Row) -> tuple[Array, ...]:
    """Gradient descent with Nesterov's momentum: the step looks one momentum step ahead.

    Source: Nesterov (1983), in the form of Sutskever et al. (2013).
    """
    lr, weight_decay, momentum = c.tolist()
    d = g + weight_decay * p
    b = momentum * b + d
    return p - lr * (d + momentum * b), b


@sgd_nesterov.compiled
def sgd_nesterov_step(tile: Int, p: Real1, g: Real1, b: Real1, c: Float1, divisors: Int, state: Int1) -> None:
    lr, weight_decay, momentum = real(c[0]), real(c[1]), real(c[2])
    lo, hi = tile * TILE, min(tile * TILE + TILE, p.size)
    p, g, b = p[lo:hi], g[lo:hi], b[lo:hi]
    if divisors >= 0 and not sure(p, g, c, divisors, state):
        return
    total = real(0)
    for i in range(p.size):
        d = g[i] + weight_decay * p[i]
        b[i] = momentum * b[i] + d
        p[i] -= lr * (d + momentum * b[i])
        total += abs(p[i]) + abs(b[i])
    if not total <= real(LIMIT):
        state[LARGE] = 1


@update(
    formula="d = g + λp,  v ← αv + (1 - α)d²,  p ← p - lr·d / (√v + ε)", columns="lr alpha eps weight_decay", flops=12
)
def rmsprop(p: Array, g: Array, v: Array, c: Row) -> tuple[Array, ...]:
    """Each parameter's step is divided by the root of the running mean of its squared gradient.

    Source: Tieleman and Hinton (2012), lecture 6.5 of "Neural Networks for Machine Learning".
    """
    lr, alpha, eps, weight_decay = c.tolist()
    d = g + weight_decay * p
    v = alpha * v + (1.0 - alpha) * d * d
    return p - lr * d / (np.sqrt(v) + eps), v


@rmsprop.compiled
def rmsprop_step(tile: Int, p: Real1, g: Real1, v: Real1, c: Float1, divisors: Int, state: Int1) -> None:
    lr, alpha, rest, eps, weight_decay = real(c[0]), real(c[1]), real(1.0 - c[1]), real(c[2]), real(c[3])
    lo, hi = tile * TILE, min(tile * TILE + TILE, p.size)
    p, g, v = p[lo:hi], g[lo:hi], v[lo:hi]
    if divisors >= 0 and not sure(p, g, c, divisors, state):
        return
    total = real(0)
    for i in range(p.size):
        d = g[i] + weight_decay * p[i]
        v[i] = alpha * v[i] + rest * d * d
        p[i] -= lr * d / (np.sqrt(v[i]) + eps)
        total += abs(p[i]) + np.sqrt(v[i])
    if not total <= real(LIMIT):
        state[LARGE] = 1


@update(formula="d = g + λp,  v ← v + d²,  p ← p - lr·d / (√v + ε)", columns="lr eps weight_decay", flops=10)
def adagrad(p: Array, g: Array, v: Array, c: Row) -> tuple[Array, ...]:
    """Each parameter's step is divided by the root of the sum of its squared gradients; lr includes its decay.

    Source: Duchi, Hazan and Singer (2011).
    """
    lr, eps, weight_decay = c.tolist()
    d = g + weight_decay * p
    v = v + d * d
    return p - lr * d / (np.sqrt(v) + eps), v


@adagrad.compiled
def adagrad_step(tile: Int, p: Real1, g: Real1, v: Real1, c: Float1, divisors: Int, state: Int1) -> None:
    lr, eps, weight_decay = real(c[0]), real(c[1]), real(c[2])
    lo, hi = tile * TILE, min(tile * TILE + TILE, p.size)
    p, g, v = p[lo:hi], g[lo:hi], v[lo:hi]
    if divisors >= 0 and not sure(p, g, c, divisors, state):
        return
    total = real(0)
    for i in range(p.size):
        d = g[i] + weight_decay * p[i]
        v[i] += d * d
        p[i] -= lr * d / (np.sqrt(v[i]) + eps)
        total += abs(p[i]) + np.sqrt(v[i])
    if not total <= real(LIMIT):
        state[LARGE] = 1


ADAM_COLUMNS = (
    "lr beta1 beta2 eps weight_decay bias1 bias2"  # bias1 = 1 - beta1^t and bias2 = 1 - beta2^t at step t = 1, 2, ...
)


@update(
    formula="d = g + λp,  m ← m + (1 - β₁)(d - m),  v ← β₂v + (1 - β₂)d²,  p ← p - lr/bias₁·m / (√v/√bias₂ + ε)",
    columns=ADAM_COLUMNS,
    flops=16,
)
def adam(p: Array, g: Array, m: Array, v: Array, c: Row) -> tuple[Array, ...]:
    """Steps along the running mean m of the gradient, divided by the root of the running mean v of its square.

    bias = 1 - βᵗ corrects for both means starting at 0; weight decay joins the gradient.
    Source: Kingma and Ba (2015), algorithm 1; eps beside the corrected root.
    """
    lr, beta1, beta2, eps, weight_decay, bias1, bias2 = c.tolist()
    d = g + weight_decay * p
    m = m + (1.0 - beta1) * (d - m)
    v = beta2 * v + (1.0 - beta2) * d * d
    return p - lr / bias1 * m / (np.sqrt(v) / bias2**0.5 + eps), m, v


@adam.compiled
def adam_step(tile: Int, p: Real1, g: Real1, m: Real1, v: Real1, c: Float1, divisors: Int, state: Int1) -> None:
    step, root = real(c[0] / c[5]), real(1.0 / np.sqrt(c[6]))
    rest1, beta2, rest2, eps, weight_decay = real(1.0 - c[1]), real(c[2]), real(1.0 - c[2]), real(c[3]), real(c[4])
    lo, hi = tile * TILE, min(tile * TILE + TILE, p.size)
    p, g, m, v = p[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi]
    if divisors >= 0 and not sure(p, g, c, divisors, state):
        return
    total = real(0)
    for i in range(p.size):
        d = g[i] + weight_decay * p[i]
        m[i] += rest1 * (d - m[i])
        v[i] = beta2 * v[i] + rest2 * d * d
        p[i] -= step * m[i] / (root * np.sqrt(v[i]) + eps)
        total += abs(p[i]) + abs(m[i]) + np.sqrt(v[i])
    if not total <= real(LIMIT):
        state[LARGE] = 1


@update(
    formula="m ← m + (1 - β₁)(g - m),  v ← β₂v + (1 - β₂)g²,  p ← (1 - lr·λ)p - lr/bias₁·m / (√v/√bias₂ + ε)",
    columns=ADAM_COLUMNS,
    flops=16,
)
def adamw(p: Array, g: Array, m: Array, v: Array, c: Row) -> tuple[Array, ...]:
    """Adam whose weight decay shrinks the parameters directly and does not join the gradient.

    Source: Loshchilov and Hutter (2019).
    """
    lr, beta1, beta2, eps, weight_decay, bias1, bias2 = c.tolist()
    m = m + (1.0 - beta1) * (g - m)
    v = beta2 * v + (1.0 - beta2) * g * g
    return p * (1.0 - lr * weight_decay) - lr / bias1 * m / (np.sqrt(v) / bias2**0.5 + eps), m, v


@adamw.compiled
def adamw_step(tile: Int, p: Real1, g: Real1, m: Real1, v: Real1, c: Float1, divisors: Int, state: Int1) -> None:
    step, root, keep = real(c[0] / c[5]), real(1.0 / np.sqrt(c[6])), real(1.0 - c[0] * c[4])
    rest1, beta2, rest2, eps = real(1.0 - c[1]), real(c[2]), real(1.0 - c[2]), real(c[3])
    lo, hi = tile * TILE, min(tile * TILE + TILE, p.size)
    p, g, m, v = p[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi]
    if divisors >= 0 and not sure(p, g, c, divisors, state):
        return
    total = real(0)
    for i in range(p.size):
        m[i] += rest1 * (g[i] - m[i])
        v[i] = beta2 * v[i] + rest2 * g[i] * g[i]
        p[i] = keep * p[i] - step * m[i] / (root * np.sqrt(v[i]) + eps)
        total += abs(p[i]) + abs(m[i]) + np.sqrt(v[i])
    if not total <= real(LIMIT):
        state[LARGE] = 1
