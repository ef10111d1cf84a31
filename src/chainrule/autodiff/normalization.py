"""Normalizations as functions of tensors that differ from their ops: `batch_norm` returns its statistics too, and
`group_norm` takes the number of groups second."""

from __future__ import annotations

from typing import Any, NamedTuple

from chainrule.autodiff.apply import apply, apply_all
from chainrule.autodiff.tensor import Tensor
from chainrule.ops import batch_norm as batch_norm_ops
from chainrule.ops import group_norm as group_norm_ops
from chainrule.settings import number, whole


class Normalized(NamedTuple):
    """What batch normalization returns: y, and the mean and (biased) variance of each channel, without a gradient."""

    y: Tensor
    mean: Tensor
    variance: Tensor


def batch_norm(x: Any, scale: Any, shift: Any, eps: float = 1e-5) -> Normalized:
    """x (..., c) with each channel normalized to mean 0 and variance 1 over the batch, then scaled and shifted (c,)."""
    return Normalized(*apply_all(batch_norm_ops.batch_norm, x, scale, shift, eps=number("batch_norm", "eps", eps))[:3])


def group_norm(x: Any, groups: int, scale: Any, shift: Any, eps: float = 1e-5) -> Tensor:
    """x (n, ..., c) with each group of channels of each sample normalized to mean 0 and variance 1, then as above."""
    whole_groups = whole("group_norm", "groups", groups)
    return apply(group_norm_ops.group_norm, x, scale, shift, groups=whole_groups, eps=number("group_norm", "eps", eps))
