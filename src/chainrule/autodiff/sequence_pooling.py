"""One row for each sequence, from its steps: their mean, the largest, the last; also if lengths differ."""

from __future__ import annotations

from chainrule.autodiff.apply import apply
from chainrule.autodiff.tensor import Tensor
from chainrule.errors import ShapeError
from chainrule.ops import sequences as ops
from chainrule.ops.record import Op


def sequence_sum(x: Tensor) -> Tensor:
    """The sum over each sequence's steps: of x (n, steps, ...), or of sequences of different lengths; (n, ...)."""
    return x.sum(axis=_steps(ops.sequence_sum, x)) if x.sequences is None else _pooled(ops.sequence_sum, x)


def sequence_mean(x: Tensor) -> Tensor:
    """The mean over each sequence's steps, in the same way."""
    return x.mean(axis=_steps(ops.sequence_mean, x)) if x.sequences is None else _pooled(ops.sequence_mean, x)


def sequence_max(x: Tensor) -> Tensor:
    """The largest over each sequence's steps, in the same way."""
    return x.max(axis=_steps(ops.sequence_max, x)) if x.sequences is None else _pooled(ops.sequence_max, x)


def sequence_last(x: Tensor) -> Tensor:
    """Each sequence's last step, in the same way."""
    if x.sequences is None:
        _steps(ops.sequence_last, x)
        return x[:, -1]
    return _pooled(ops.sequence_last, x)


def _pooled(op: Op, x: Tensor) -> Tensor:
    assert x.sequences is not None
    return apply(op, x, x.sequences.offsets)


def _steps(op: Op, x: Tensor) -> int:
    """The axis of steps of a dense tensor."""
    if x.ndim < 2:
        raise ShapeError(f"{op.name}: x has shape {x.shape}, expected (n, steps, ...)")
    return 1
