"""Applying an op to tensors: computed at once and recorded for the gradient, or written to a tape while tracing."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.autodiff import tape as tapes
from chainrule.autodiff.sequences import sequences_of
from chainrule.autodiff.tape import Node, Origin, Tape
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.errors import DtypeError, LabelError, ShapeError, TraceError
from chainrule.native.memory import Array, Shape
from chainrule.ops.record import OPS, Op


def apply(op: Op, *inputs: Any, **attributes: Any) -> Tensor:
    """The result of `op` on tensors, arrays, numbers or None (for an optional input); see `apply_all`."""
    return apply_all(op, *inputs, **attributes)[0]


def apply_all(op: Op, *inputs: Any, **attributes: Any) -> tuple[Tensor, ...]:
    """The results of `op`: y, further outputs, and the values it saves for its gradients, through which none flows.

    Arrays and numbers become constants of the tensors' dtype; float32 with float64 gives float64, but inputs without a
    gradient, such as a loss's weights, follow the others. Operands of pointwise ops are broadcast by the op
    `broadcast`. Raises ShapeError as the op's shape rule says, TraceError for a symbol outside its trace; while
    tracing, DtypeError for mixed dtypes and LabelError for real numbers where whole ones are needed.
    """
    named = list(zip(op.inputs, inputs, strict=False))  # the last ones are optional
    dtype = _dtype(op, [value for name, value in named if not _follows(op, name)])
    operands = tuple(_operand(op, name, value, dtype) for name, value in named)
    if op.pointwise:
        operands = _broadcast(op, operands)
    sequences = sequences_of(op, operands, attributes)
    shapes = infer(op, operands, attributes)
    tape = tapes.active_tape()
    if tape is not None:
        operands = tuple(tape.assigned.get(id(t), t) for t in operands)
    if any(t is not None and t.is_symbolic for t in operands) or (
        tape is not None and any(t is not None and (t.requires_grad or t.varies) for t in operands)
    ):
        results = _record(tape, op, operands, attributes, shapes, dtype)
    else:
        results = _compute(op, operands, attributes, dtype)
    results[0].sequences = sequences
    return results


def infer(op: Op, operands: tuple[Tensor | None, ...], attributes: dict[str, Any]) -> list[Shape]:
    """The shapes of the op's results. Raises ShapeError."""
    shapes = [None if t is None else t.shape for t in operands]
    if op.shape_rule is None:
        return [broadcast_shape(op.name, [s for s in shapes if s is not None])]
    answer = op.shape_rule(*shapes, **attributes)
    return list(answer) if isinstance(answer, list) else [answer]


def broadcast_shape(name: str, shapes: list[Shape]) -> Shape:
    """The shape that all shapes broadcast to by NumPy's rule. Raises ShapeError naming op `name`."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise ShapeError(
            f"{name}: shapes {listed} do not fit: from the last axis on, sizes must be equal or 1"
        ) from None


def _follows(op: Op, name: str) -> bool:
    """Whether an input takes the dtype of others, as gradients flow to them and not to it."""
    return bool(op.gradients) and name not in op.gradients


def _dtype(op: Op, inputs: list[Any]) -> np.dtype[Any]:
    """The dtype an op computes in: the widest of its real tensors; without any, of its arrays; else float32, but int64
    if whole numbers are only moved.
    """
    if op.moves and all(isinstance(t, (Tensor, np.ndarray)) and t.dtype.kind in "iu" for t in inputs):
        return np.dtype(np.int64)
    tensors = [t.dtype for t in inputs if isinstance(t, Tensor) and t.dtype.kind == "f"]
    if tensors:
        return max(tensors, key=lambda d: d.itemsize)
    arrays = [
        t.dtype for t in inputs if isinstance(t, np.ndarray) and t.dtype.kind == "f" and t.dtype.itemsize in (4, 8)
    ]
    return max(arrays, key=lambda d: d.itemsize, default=np.dtype(np.float32))


def _operand(op: Op, name: str, value: Any, dtype: np.dtype[Any]) -> Tensor | None:
    if value is None:
        if name not in op.optional:
            raise DtypeError(f"{op.name}: {name} is None: pass a tensor")
        return None
    given = value
    if not isinstance(given, Tensor):
        array = as_array(given)
        given = Tensor(array if _stays_whole(op, name, array.dtype) else array.astype(dtype, copy=False))
    if name in op.integers and given.dtype.kind not in "iu" and tapes.active_tape() is not None:
        are = "are" if name.endswith("s") else "is"
        raise LabelError(f"{op.name}: {name} {are} {given.dtype}, expected whole numbers: convert it with .astype(int)")
    if given.dtype == dtype or _stays_whole(op, name, given.dtype):
        return given
    if _follows(op, name) and not (given.is_symbolic or given.varies):
        return Tensor(given.data.astype(dtype))
    if given.is_symbolic and given.dtype.kind in "iu":
        return _record(tapes.active_tape(), OPS["as_real"], (given,), {}, [given.shape], dtype)[0]
    if given.is_symbolic or tapes.active_tape() is not None:
        raise DtypeError(
            f"{op.name}: {name} is {given.dtype} among tensors of {dtype}, a traced model needs one dtype: "
            f"pass it as {dtype}, for example y.astype({dtype.name!r})"
        )
    return given


def _stays_whole(op: Op, name: str, dtype: np.dtype[Any]) -> bool:
    """Whether whole numbers stay as they are; for all other operands they become the op's dtype."""
    return dtype.kind != "f" and name in op.integers


def _broadcast(op: Op, operands: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    shapes = [t.shape for t in operands if t is not None]
    if len(set(shapes)) <= 1:
        return operands
    shape = broadcast_shape(op.name, shapes)
    return tuple(t if t is None or t.shape == shape else apply(OPS["broadcast"], t, shape=shape) for t in operands)


def _compute(
    op: Op, operands: tuple[Tensor | None, ...], attributes: dict[str, Any], dtype: np.dtype[Any]
) -> tuple[Tensor, ...]:
    arrays = [None if t is None else _cast(op, name, t, dtype) for name, t in zip(op.inputs, operands, strict=False)]
    with np.errstate(all="ignore"):  # NaN and infinity are valid results; training checks the loss for them
        answer = op(*arrays, **attributes)
    count = len(op.outputs)
    results = [np.asarray(array) for array in op.unpack(answer)]
    results[:count] = [array.astype(dtype, copy=False) for array in results[:count]]
    tensors = tuple(Tensor(array) for array in results)
    if _differentiable(op, operands):
        origin = _origin(op, operands, attributes, arrays, results)
        for position, output in enumerate(tensors[:count]):
            output.requires_grad, output.origin, output.position = True, origin, position
    return tensors


def _differentiable(op: Op, operands: tuple[Tensor | None, ...]) -> bool:
    """Whether gradients flow through the op: not for a comparison, and not within `no_grad()`."""
    return tapes.recording() and bool(op.gradients) and any(t is not None and t.requires_grad for t in operands)


def _cast(op: Op, name: str, value: Tensor, dtype: np.dtype[Any]) -> Array:
    if value.dtype == dtype or _stays_whole(op, name, value.dtype):
        return value.data
    return value.data.astype(dtype)


def _origin(
    op: Op,
    operands: tuple[Tensor | None, ...],
    attributes: dict[str, Any],
    arrays: list[Array | None],
    results: list[Array],
) -> Origin:
    """The record of one op: only what the required gradients need."""
    values: dict[str, Array | None] = dict(zip(op.inputs, arrays, strict=False))
    values.update(zip(op.results, results, strict=True))
    learned = (n for n, t in zip(op.inputs, operands, strict=False) if t is not None and t.requires_grad)
    wanted: dict[str, Array] = {}
    for name in op.gradients_for(n for n in learned if n in op.gradients):
        needs = op.gradients[name].operands
        wanted.update({n: array for n in needs if (array := values.get(n)) is not None})
    return Origin(op, operands, attributes, wanted)


def _record(
    tape: Tape | None,
    op: Op,
    operands: tuple[Tensor | None, ...],
    attributes: dict[str, Any],
    shapes: list[Shape],
    dtype: np.dtype[Any],
) -> tuple[Tensor, ...]:
    for t in operands:
        if t is not None and t.is_symbolic and (tape is None or t.trace not in (0, tape.number)):
            raise TraceError(
                f"{op.name}: {t!r} was used outside its trace: do not keep tensors from one forward pass for another"
            )
    assert tape is not None
    results = tuple(Tensor.symbolic(shape, dtype, trace=tape.number) for shape in shapes)
    outputs, saved = results[: len(op.outputs)], results[len(op.outputs) :]
    for output in outputs:
        output.requires_grad = _differentiable(op, operands)
    tape.nodes.append(Node(op, operands, attributes, outputs, saved))
    return results
