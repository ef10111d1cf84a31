"""Activations and dropout as functions of tensors."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff.apply import apply
from chainrule.autodiff.random import next_draw
from chainrule.autodiff.tensor import Tensor
from chainrule.ops import activations
from chainrule.ops import dropout as dropping


def relu(x: Any) -> Tensor:
    """max(x, 0)."""
    return apply(activations.relu, x)


def leaky_relu(x: Any, slope: float = 0.01) -> Tensor:
    """x where it is positive, else slope·x."""
    return apply(activations.leaky_relu, x, slope=float(slope))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where it is positive, else alpha·(eˣ - 1)."""
    return apply(activations.elu, x, alpha=float(alpha))


def gelu(x: Any) -> Tensor:
    """x·Φ(x), with the error function."""
    return apply(activations.gelu, x)


def silu(x: Any) -> Tensor:
    """x·σ(x)."""
    return apply(activations.silu, x)


def sigmoid(x: Any) -> Tensor:
    """σ(x) = 1 / (1 + e⁻ˣ)."""
    return apply(activations.sigmoid, x)


def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent."""
    return apply(activations.tanh, x)


def softplus(x: Any) -> Tensor:
    """log(1 + eˣ)."""
    return apply(activations.softplus, x)


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """In training x/(1 - p) with probability 1 - p, else 0; the mask is keyed as `chainrule.autodiff.random` says."""
    if not training:
        return x if isinstance(x, Tensor) else Tensor(x)
    draw = next_draw()
    return apply(dropping.dropout, x, p=float(p), number=draw.number, seed=draw.seed, step=draw.step)


def dropout_channels(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """The same with one draw for each channel, the last axis, of each sample."""
    if not training:
        return x if isinstance(x, Tensor) else Tensor(x)
    draw = next_draw()
    return apply(dropping.dropout_channels, x, p=float(p), number=draw.number, seed=draw.seed, step=draw.step)
