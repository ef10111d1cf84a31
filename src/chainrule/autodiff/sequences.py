"""Sequences of different lengths: which ops keep their rows apart, and pooling over the steps of each.

The rows of such a tensor are the steps of all sequences, one after the other; `Tensor.sequences` says where each
begins. An op that makes each row of y of the same row of x keeps them, and so does one that takes `offsets`. All others
would mix sequences, or count the rows that fill up a batch, and are refused.
"""

from __future__ import annotations

from typing import Any

from chainrule.autodiff.tensor import Layout, Tensor
from chainrule.errors import ShapeError
from chainrule.ops.record import Op

POOL = "keep to ops that take each row by itself, recurrent layers, and sequence_mean, sequence_max or sequence_last"


def sequences_of(op: Op, operands: tuple[Tensor | None, ...], attributes: dict[str, Any]) -> Layout | None:
    """The sequences whose steps the rows of y are, if any. Raises ShapeError where the op would mix them."""
    found: Layout | None = None
    for tensor in operands:
        if tensor is None or tensor.sequences is None:
            continue
        if found is None:
            found, first = tensor.sequences, tensor
        elif tensor.sequences is not found:
            raise ShapeError(f"{op.name}: its operands are steps of different sequences: pass those of one batch")
    if found is None:
        return None
    given = dict(zip(op.inputs, operands, strict=False))
    if "offsets" in op.inputs:
        if given.get("offsets") is not found.offsets:
            raise ShapeError(f"{op.name}: x has sequences of different lengths: pass x.sequences.offsets")
        return found if op.by_row else None
    if op.averages and given.get("weight") is not None:
        return None
    keeps = op.by_row if isinstance(op.by_row, bool) else op.by_row(first.shape, **attributes)
    if not keeps:
        fix = "pass it the weight of each row" if op.averages else POOL
        raise ShapeError(f"{op.name}: would mix sequences of different lengths, whose steps are rows of x: {fix}")
    return found


def refuse_position(op: str, x: Tensor, what: str) -> None:
    """Raise ShapeError for axes counted from the front, if x holds sequences of different lengths."""
    if x.sequences is not None:
        raise ShapeError(
            f"{op}: the steps of sequences of different lengths are rows of x, not an axis: {what}; {POOL}"
        )
