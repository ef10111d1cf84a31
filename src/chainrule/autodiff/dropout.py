"""Dropout as functions of tensors: one draw for each call, keyed as `chainrule.autodiff.random` says."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff.apply import apply
from chainrule.autodiff.random import next_draw
from chainrule.autodiff.tensor import Tensor
from chainrule.ops import dropout as ops
from chainrule.ops.record import Op
from chainrule.settings import number


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """In training x/(1 - p) with probability 1 - p, else 0; x itself in evaluation."""
    return _drop(ops.dropout, x, p, training)


def dropout_channels(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """The same with one draw for each channel, the last axis, of each sample."""
    return _drop(ops.dropout_channels, x, p, training)


def _drop(op: Op, x: Any, p: float, training: bool) -> Tensor:
    if not training:
        return x if isinstance(x, Tensor) else Tensor(x)
    draw = next_draw()
    return apply(op, x, p=number(op.name, "p", p), number=draw.number, seed=draw.seed, step=draw.step)
