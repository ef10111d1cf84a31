"""Initial weights: each function fills an array or a parameter in place, keeping its dtype, and returns it.

Weights are laid out (in, out), convolutions (kh, kw, in, out): fan_in = kh·kw·in counts the inputs of one output,
fan_out = kh·kw·out the outputs of one input. Functions that count them raise ShapeError below two axes; `zeros`,
`uniform` and `normal` take any shape. `seed` is a number, a NumPy generator, or None, the default, for the default
generator, which `chainrule.seed` restarts; anything else raises OptionError.

>>> layer = nn.Linear(64, 32)
>>> nn.init.he_normal(layer.weight, seed=0) is layer.weight
True
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from chainrule.autodiff.random import generator
from chainrule.autodiff.tensor import Tensor
from chainrule.errors import OptionError, ShapeError
from chainrule.native.memory import Array, Shape

T = TypeVar("T", Array, Tensor)
Seed = int | np.random.Generator | None

GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0)}


def zeros(target: T) -> T:
    """All elements 0, a common start for biases.

    >>> init.zeros(np.ones((2, 3)))
    array([[0., 0., 0.],
           [0., 0., 0.]])
    """
    return _fill(target, np.zeros(target.shape))


def uniform(target: T, low: float = -1.0, high: float = 1.0, seed: Seed = None) -> T:
    """Uniform in [low, high), by default in [-1, 1). Raises OptionError if low is above high.

    >>> round(float(init.uniform(np.empty((400, 400)), 0.0, 0.1).mean()), 2)
    0.05
    """
    if not low <= high:
        raise OptionError(f"init.uniform: low is {low}, high is {high}: pass the smaller first")
    return _fill(target, generator(seed).uniform(low, high, target.shape))


def normal(target: T, mean: float = 0.0, std: float = 1.0, seed: Seed = None) -> T:
    """Normal with mean `mean` and standard deviation `std`, by default 0 and 1. Raises OptionError for a negative std.

    >>> round(float(init.normal(np.empty((400, 400)), mean=3.0, std=0.1).std()), 2)
    0.1
    """
    if not std >= 0:
        raise OptionError(f"init.normal: std is {std}, expected 0 or more")
    return _fill(target, generator(seed).normal(mean, std, target.shape))


def xavier_uniform(target: T, gain: float = 1.0, seed: Seed = None) -> T:
    """Uniform in ±gain·sqrt(6/(fan_in + fan_out)), for tanh and sigmoid; Glorot and Bengio, AISTATS 2010.

    `gain` is a factor, by default 1; see the function `gain`. Raises ShapeError below two axes.

    >>> round(float(init.xavier_uniform(np.empty((50, 100))).max()), 1)      # sqrt(6/150) = 0.2
    0.2
    """
    bound = gain * math.sqrt(6.0 / max(1, sum(fans(target.shape))))
    return uniform(target, -bound, bound, seed)


def xavier_normal(target: T, gain: float = 1.0, seed: Seed = None) -> T:
    """Normal with standard deviation gain·sqrt(2/(fan_in + fan_out)), for tanh and sigmoid; Glorot and Bengio, AISTATS
    2010.

    `gain` is a factor, by default 1; see the function `gain`. Raises ShapeError below two axes.

    >>> round(float(init.xavier_normal(np.empty((400, 400))).std()), 2)      # sqrt(2/800) = 0.05
    0.05
    """
    return normal(target, 0.0, gain * math.sqrt(2.0 / max(1, sum(fans(target.shape)))), seed)


def he_uniform(target: T, nonlinearity: str = "relu", seed: Seed = None) -> T:
    """Uniform in ±gain·sqrt(3/fan_in), with sqrt(2) for the gain of relu, the default; He et al., ICCV 2015.

    Raises OptionError for a nonlinearity without a known gain, ShapeError below two axes.

    >>> round(float(init.he_uniform(np.empty((600, 10))).max()), 2)      # sqrt(2·3/600) = 0.1
    0.1
    """
    bound = gain(nonlinearity) * math.sqrt(3.0 / max(1, fans(target.shape)[0]))
    return uniform(target, -bound, bound, seed)


def he_normal(target: T, nonlinearity: str = "relu", seed: Seed = None) -> T:
    """Normal with standard deviation gain/sqrt(fan_in), with sqrt(2) for the gain of relu, the default; He et al.,
    ICCV 2015.

    Raises OptionError for a nonlinearity without a known gain, ShapeError below two axes.

    >>> round(float(init.he_normal(np.empty((200, 800))).std()), 2)      # sqrt(2/200) = 0.1
    0.1
    """
    return normal(target, 0.0, gain(nonlinearity) / math.sqrt(max(1, fans(target.shape)[0])), seed)


def orthogonal(target: T, gain: float = 1.0, seed: Seed = None) -> T:
    """Orthogonal rows or columns, whichever are fewer, of length `gain`; Saxe et al., ICLR 2014.

    The Q of a normal matrix's QR decomposition, with signs set by R's diagonal so that it is uniformly distributed over
    such matrices. `gain` is 1 by default; all axes but the last count as rows. Raises ShapeError below two axes.

    >>> q = init.orthogonal(np.empty((3, 8)), gain=2.0)
    >>> np.allclose(q @ q.T, 4.0 * np.eye(3))
    True
    """
    fans(target.shape)
    rows, columns = math.prod(target.shape[:-1]), target.shape[-1]
    drawn = generator(seed).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q = q * np.sign(np.diag(r))
    return _fill(target, gain * (q if rows >= columns else q.T).reshape(target.shape))


def gain(nonlinearity: str) -> float:
    """The factor that keeps the size of signals through an activation: sqrt(2) for relu, 5/3 for tanh, else 1.

    Raises OptionError for any other than relu, tanh, linear and sigmoid.

    >>> init.gain("linear")
    1.0
    """
    if nonlinearity not in GAINS:
        raise OptionError(f"init: no gain is known for {nonlinearity!r}: choose one of {', '.join(GAINS)}")
    return GAINS[nonlinearity]


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of weights (..., in, out). Raises ShapeError below two axes.

    >>> init.fans((3, 3, 16, 32))
    (144, 288)
    """
    if len(shape) < 2:
        raise ShapeError(f"init: shape {shape} has no inputs and outputs to count: use uniform, normal or zeros for it")
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _fill(target: T, values: Array) -> T:
    array = target.data if isinstance(target, Tensor) else target
    array[...] = values
    return target
