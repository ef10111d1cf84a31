"""Normalizations as functions of tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

from chainrule.autodiff.apply import apply, apply_saving
from chainrule.autodiff.tensor import Tensor
from chainrule.ops import batch_norm as by_batch
from chainrule.ops import group_norm as by_group
from chainrule.ops import layer_norm as by_layer
from chainrule.ops import normalize as by_given


class Normalized(NamedTuple):
    """What batch normalization returns: y, and the mean and (biased) variance of each channel, without a gradient."""

    y: Tensor
    mean: Tensor
    variance: Tensor


def batch_norm(x: Any, scale: Any, shift: Any, eps: float = 1e-5) -> Normalized:
    """(x - mean)/√(variance + eps)·scale + shift with the mean and variance of each channel, the last axis."""
    return Normalized(*apply_saving(by_batch.batch_norm, x, scale, shift, eps=float(eps))[:3])


def normalize(x: Any, scale: Any, shift: Any, mean: Any, variance: Any, eps: float = 1e-5) -> Tensor:
    """The same with a mean and variance per channel that are given."""
    return apply(by_given.normalize, x, scale, shift, mean, variance, eps=float(eps))


def layer_norm(x: Any, scale: Any, shift: Any, eps: float = 1e-5) -> Tensor:
    """Each row of the last axes, those of scale and shift, brought to mean 0 and variance 1; then scaled, shifted."""
    return apply(by_layer.layer_norm, x, scale, shift, eps=float(eps))


def group_norm(x: Any, groups: int, scale: Any, shift: Any, eps: float = 1e-5) -> Tensor:
    """The same for each group of channels of each sample of x (n, ..., c); scale and shift are by channel."""
    return apply(by_group.group_norm, x, scale, shift, groups=int(groups), eps=float(eps))
