"""Every op as a function of tensors: `functions.tanh(x)` is `x.tanh()`.

Python numbers among the arguments become attributes of ops such as `scale`, see `chainrule.ops.numbers`, so that
no array is filled with copies of them. For formulas, shapes and gradients see the ops, in `chainrule.ops`.
"""

from __future__ import annotations

import builtins
import inspect
import math
from typing import Any, TypeGuard

import numpy as np

from chainrule.autodiff.apply import apply, broadcast_shape
from chainrule.autodiff.as_function import as_function
from chainrule.autodiff.attention import attention as attention
from chainrule.autodiff.attention import rotary as rotary
from chainrule.autodiff.attention import scaled_dot_product_attention as scaled_dot_product_attention
from chainrule.autodiff.conv import conv1d as conv1d
from chainrule.autodiff.conv import conv2d as conv2d
from chainrule.autodiff.conv import conv_transpose2d as conv_transpose2d
from chainrule.autodiff.dropout import dropout as dropout
from chainrule.autodiff.dropout import dropout_channels as dropout_channels
from chainrule.autodiff.normalization import batch_norm as batch_norm
from chainrule.autodiff.normalization import group_norm as group_norm
from chainrule.autodiff.padding import zero_pad2d as zero_pad2d
from chainrule.autodiff.pooling import adaptive_avg_pool2d as adaptive_avg_pool2d
from chainrule.autodiff.pooling import avg_pool2d as avg_pool2d
from chainrule.autodiff.pooling import global_avg_pool2d as global_avg_pool2d
from chainrule.autodiff.pooling import max_pool2d as max_pool2d
from chainrule.autodiff.sequence_pooling import sequence_last as sequence_last
from chainrule.autodiff.sequence_pooling import sequence_max as sequence_max
from chainrule.autodiff.sequence_pooling import sequence_mean as sequence_mean
from chainrule.autodiff.sequence_pooling import sequence_sum as sequence_sum
from chainrule.autodiff.sequences import refuse_position
from chainrule.autodiff.tape import no_grad
from chainrule.autodiff.tensor import Axis, Tensor, as_array
from chainrule.autodiff.upsample import upsample_nearest as upsample_nearest
from chainrule.errors import OptionError, ShapeError
from chainrule.native.memory import Shape
from chainrule.ops import activations, arithmetic, comparisons, losses, numbers, reductions, shapes
from chainrule.ops import binary_cross_entropy as binary_cross_entropy_ops
from chainrule.ops import cross_entropy as cross_entropy_ops
from chainrule.ops import embedding as embedding_ops
from chainrule.ops import integers as integer_ops
from chainrule.ops import layer_norm as layer_norm_ops
from chainrule.ops import lerp as lerp_ops
from chainrule.ops import linear as linear_ops
from chainrule.ops import matmul as matmul_ops
from chainrule.ops import normalize as normalize_ops
from chainrule.ops import recurrent as recurrent_ops
from chainrule.ops import rms_norm as rms_norm_ops
from chainrule.ops import softmax as softmax_ops
from chainrule.ops.record import OPS, Op
from chainrule.settings import number, whole

# --- arithmetic


def add(a: Any, b: Any) -> Tensor:
    """a + b, of shapes that broadcast."""
    if _is_number(b):
        return apply(arithmetic.shift, a, offset=float(b))
    if _is_number(a):
        return apply(arithmetic.shift, b, offset=float(a))
    return apply(arithmetic.add, a, b)


def subtract(a: Any, b: Any) -> Tensor:
    """a - b, of shapes that broadcast."""
    if _is_number(b):
        return apply(arithmetic.shift, a, offset=-float(b))
    if _is_number(a):
        return apply(arithmetic.shift, negative(b), offset=float(a))
    return apply(arithmetic.subtract, a, b)


def multiply(a: Any, b: Any) -> Tensor:
    """a·b elementwise, of shapes that broadcast."""
    if _is_number(b):
        return apply(arithmetic.scale, a, factor=float(b))
    if _is_number(a):
        return apply(arithmetic.scale, b, factor=float(a))
    return apply(arithmetic.multiply, a, b)


def divide(a: Any, b: Any) -> Tensor:
    """a / b, of shapes that broadcast."""
    return _pair(arithmetic.divide, a, b)


def power(a: Any, b: Any) -> Tensor:
    """a to the power b, one of them a number; for two tensors exp(b·log a), so a must be positive."""
    if _is_number(b):
        return apply(arithmetic.power, a, exponent=float(b))
    if _is_number(a):
        if a <= 0:
            raise OptionError(
                f"power: the base is {a}, expected a positive number: a power of another is not real everywhere"
            )
        return exp(multiply(b, math.log(a)))
    return exp(multiply(b, log(a)))


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b."""
    return _pair(comparisons.maximum, a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b."""
    return _pair(comparisons.minimum, a, b)


def clip(x: Any, low: float | None = None, high: float | None = None) -> Tensor:
    """x kept between low and high; None is no limit."""
    limits = {"low": (-math.inf, low), "high": (math.inf, high)}
    attributes = {n: none if v in (None, none) else number("clip", n, v) for n, (none, v) in limits.items()}
    return apply(comparisons.clip, x, **attributes)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition is true (not 0), else b; no gradient flows through the condition."""
    if isinstance(condition, Tensor) and condition.requires_grad:
        condition = detach(condition)
    return _pair(comparisons.where, a, b, condition)


def greater(a: Any, b: Any) -> Tensor:
    """1 where a > b, else 0; like all comparisons in the dtype of the operands, without a gradient."""
    return _compare(comparisons.greater, a, b)


def greater_equal(a: Any, b: Any) -> Tensor:
    """1 where a ≥ b, else 0."""
    return _compare(comparisons.greater_equal, a, b)


def less(a: Any, b: Any) -> Tensor:
    """1 where a < b, else 0."""
    return _compare(comparisons.less, a, b)


def less_equal(a: Any, b: Any) -> Tensor:
    """1 where a ≤ b, else 0."""
    return _compare(comparisons.less_equal, a, b)


def equal(a: Any, b: Any) -> Tensor:
    """1 where a equals b, else 0."""
    return _compare(comparisons.equal, a, b)


def not_equal(a: Any, b: Any) -> Tensor:
    """1 where a differs from b, else 0."""
    return subtract(1.0, equal(a, b))


negative = as_function(arithmetic.negative)
exp = as_function(arithmetic.exp)
log = as_function(arithmetic.log)
sqrt = as_function(arithmetic.sqrt)
lerp = as_function(lerp_ops.lerp)
absolute = as_function(comparisons.absolute)

# --- activations

relu = as_function(activations.relu)
leaky_relu = as_function(activations.leaky_relu)
elu = as_function(activations.elu)
gelu = as_function(activations.gelu)
silu = as_function(activations.silu)
sigmoid = as_function(activations.sigmoid)
tanh = as_function(activations.tanh)
softplus = as_function(activations.softplus)
softsign = as_function(activations.softsign)

# --- products


def matmul(a: Any, b: Any) -> Tensor:
    """The matrix product; a vector counts as a row on the left, a column on the right, and leading axes broadcast."""
    a, b = _as_tensor(a, like=b), _as_tensor(b, like=a)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape}, both need an axis or more: use * for a single number"
        )
    if a.ndim == 1:
        y = matmul(reshape(a, (1, *a.shape)), b)
        return reshape(y, (*y.shape[:-2], *y.shape[-1:]) if b.ndim > 1 else y.shape[1:])
    if b.ndim == 1:
        y = matmul(a, reshape(b, (*b.shape, 1)))
        return reshape(y, y.shape[:-1])
    if b.ndim > 2 and a.shape[:-2] != b.shape[:-2]:
        try:
            leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            return apply(matmul_ops.matmul, a, b)  # whose shape rule says what is wrong
        a, b = broadcast(a, (*leading, *a.shape[-2:])), broadcast(b, (*leading, *b.shape[-2:]))
    return apply(matmul_ops.matmul, a, b)


linear = as_function(linear_ops.linear)
embedding = as_function(embedding_ops.embedding)
as_real = as_function(integer_ops.as_real)

# --- reductions


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over some axes, or all."""
    return apply(reductions.sum, x, axis=_axes("sum", axis), keepdims=keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over some axes, or all."""
    return apply(reductions.mean, x, axis=_axes("mean", axis), keepdims=keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over some axes, or all; equal ones share the gradient."""
    return apply(reductions.max, x, axis=_axes("max", axis), keepdims=keepdims)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp x, divided by its sum along the axis."""
    return _along_last(softmax_ops.softmax, x, axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """The logarithm of softmax, exact where softmax itself would round to 0."""
    return _along_last(softmax_ops.log_softmax, x, axis)


# --- normalization, besides `batch_norm` and `group_norm`

normalize = as_function(normalize_ops.normalize)
layer_norm = as_function(layer_norm_ops.layer_norm)
rms_norm = as_function(rms_norm_ops.rms_norm)

# --- sequences: y of every step, and the last states

lstm: Any = as_function(recurrent_ops.lstm)
gru: Any = as_function(recurrent_ops.gru)
rnn: Any = as_function(recurrent_ops.rnn)

# --- losses: one number each, from outputs, targets and an optional weight per sample

mean_squared = as_function(losses.mean_squared)
mean_absolute = as_function(losses.mean_absolute)
huber = as_function(losses.huber)
cross_entropy = as_function(cross_entropy_ops.cross_entropy)
binary_cross_entropy = as_function(binary_cross_entropy_ops.binary_cross_entropy)

# --- shapes


def reshape(x: Any, shape: int | Shape) -> Tensor:
    """The same elements in another shape, in which one size may be -1."""
    x = _as_tensor(x)
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    wanted = tuple(whole("reshape", "shape", n, least=None) for n in sizes)
    known = math.prod(n for n in wanted if n != -1)
    if wanted.count(-1) == 1 and known > 0 and x.size % known == 0:
        wanted = tuple(x.size // known if n == -1 else n for n in wanted)
    return apply(shapes.reshape, x, shape=wanted)


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from `start_dim` to `end_dim` inclusive, merged; raises ShapeError if x has no such axes."""
    x = _as_tensor(x)
    axes = x.ndim or 1
    named = {"start_dim": start_dim, "end_dim": end_dim}
    start, end = (n + axes if whole("flatten", name, n, least=None) < 0 else n for name, n in named.items())
    if not 0 <= start <= end < axes:
        raise ShapeError(f"flatten: x has shape {x.shape}, no axes {start_dim} to {end_dim}: pass a batch of arrays")
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def transpose(x: Any, axes: tuple[int, ...] | None = None) -> Tensor:
    """The axes in the given order; reversed for None."""
    x = _as_tensor(x)
    order = range(x.ndim)[::-1] if axes is None else [whole("transpose", "axes", a, least=None) for a in axes]
    return apply(shapes.transpose, x, axes=tuple(a + x.ndim if -x.ndim <= a < 0 else a for a in order))


def broadcast(x: Any, shape: Shape) -> Tensor:
    """x broadcast to a shape by NumPy's rule."""
    x = _as_tensor(x)
    return x if x.shape == tuple(shape) else apply(shapes.broadcast, x, shape=tuple(shape))


def concatenate(parts: Any, axis: int = 0) -> Tensor:
    """Several tensors joined along an axis."""
    parts, axis = list(parts), whole("concatenate", "axis", axis, least=None)
    if not parts:
        raise ShapeError("concatenate: no tensors were given: pass a list of at least one")
    if len(parts) == 1:
        return _as_tensor(parts[0])
    half = len(parts) // 2  # joined as a tree: each element is copied log₂ n times, not n
    return apply(shapes.concatenate, concatenate(parts[:half], axis), concatenate(parts[half:], axis), axis=axis)


def slice_(x: Any, index: Any) -> Tensor:
    """x[index], of slices, positions, `...` and `None` (a new axis of size 1)."""
    x = _as_tensor(x)
    parts = list(index) if isinstance(index, tuple) else [index]
    if not parts or parts[0] is not Ellipsis:
        refuse_position("slice_", x, "count axes from the end, as in x[..., 0]")
    if builtins.sum(part is Ellipsis for part in parts) > 1:
        raise ShapeError("slice_: `...` occurs twice in the index: remove one")
    if any(part is Ellipsis for part in parts):
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        missing = x.ndim - builtins.sum(part is not None for part in parts) + 1
        parts[at : at + 1] = [slice(None)] * missing
    y = apply(shapes.slice_, x, index=tuple(_position(part) for part in parts if part is not None))
    if not any(part is None for part in parts):
        return y
    kept = iter(y.shape)
    shape = tuple(1 if part is None else next(kept) for part in parts if part is None or isinstance(part, slice))
    return reshape(y, (*shape, *kept))


def detach(x: Any) -> Tensor:
    """The same values, through which no gradient flows."""
    x = _as_tensor(x)
    with no_grad():
        return reshape(x, x.shape)


# --- inside


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float, np.integer, np.floating))


def _as_tensor(value: Any, like: Any = None) -> Tensor:
    if isinstance(value, Tensor):
        return value
    array = as_array(value)
    real = isinstance(like, Tensor) and like.dtype.kind == array.dtype.kind == "f"
    return Tensor(array.astype(like.dtype, copy=False) if real else array)


def _axes(name: str, axis: Axis) -> tuple[int, ...] | None:
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return None if axis is None else tuple(whole(name, "axis", a, least=None) for a in axes)


def _position(part: Any) -> Any:
    if isinstance(part, (list, np.ndarray, Tensor)) and np.ndim(part) > 0:
        raise ShapeError(
            "slice_: an array or list cannot be an index here: use slices and positions, or where with a mask"
        )
    return part


def _along_last(op: Op, x: Any, axis: int) -> Tensor:
    x = _as_tensor(x)
    if x.ndim == 0:
        return apply(op, x)  # whose shape rule says what is wrong
    if not -x.ndim <= whole(op.name, "axis", axis, least=None) < x.ndim:
        raise ShapeError(f"{op.name}: axis {axis} of shape {x.shape}: expected one from {-x.ndim} to {x.ndim - 1}")
    if axis >= 0:
        refuse_position(op.name, x, "count axes from the end, as in axis=-1")
    if axis % x.ndim == x.ndim - 1:
        return apply(op, x)
    axes = list(range(x.ndim))
    axes[axis], axes[-1] = axes[-1], axes[axis]  # its own inverse
    return transpose(apply(op, transpose(x, tuple(axes))), tuple(axes))


def _pair(op: Op, a: Any, b: Any, *condition: Any) -> Tensor:
    """`op` of two arrays, or of an array and a number."""
    if _is_number(a) and op in numbers.MIRRORED:
        op, a, b = numbers.MIRRORED[op], b, a
    if _is_number(b):
        return apply(numbers.NUMBER_LAST[op], *condition, a, b=float(b))
    if _is_number(a):
        return apply(numbers.NUMBER_FIRST[op], *condition, b, a=float(a))
    return apply(op, *condition, a, b)


def _compare(op: Op, a: Any, b: Any) -> Tensor:
    arrays = [v for v in (a, b) if not _is_number(v)]
    if arrays and all(isinstance(v, Tensor) and v.dtype.kind != "f" and not v.is_symbolic for v in arrays):
        broadcast_shape(op.name, [v.shape for v in arrays])
        a, b = (v.data if isinstance(v, Tensor) else v for v in (a, b))
        return Tensor(op(a, b).astype(np.float32))  # whole numbers are compared directly, not as float32
    return _pair(op, a, b)


for _op in OPS.values():  # adds the formulas to functions that do more than apply their op
    _function = globals().get(_op.name)
    if _function is not None and _function.__doc__ != _op.description:
        _function.__doc__ = f"{inspect.getdoc(_function)}\n\n{_op.formulas}"
