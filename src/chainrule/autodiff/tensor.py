"""Tensors: arrays that remember the op that made them.

A tensor is eager (it has an array, `data`) or symbolic (only a shape and a dtype, while a model is traced). Every
operation here calls `chainrule.autodiff.functions`, so `x.tanh()` and `functions.tanh(x)` are the same.
"""

# long because: one class, whose many methods are one line each.

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from chainrule.arrays import to_array
from chainrule.autodiff.tape import Origin, active_tape, recording
from chainrule.errors import DataError, DtypeError, GraphError, ShapeError, TraceError
from chainrule.native.memory import Array, Shape

MOST = np.iinfo(np.int64).max
OPERATORS = frozenset(
    "add subtract multiply divide power matmul equal not_equal less less_equal greater greater_equal".split()
)  # as NumPy calls them, and `functions`
Axis: TypeAlias = int | tuple[int, ...] | None


class Layout(NamedTuple):
    """Where sequences of different lengths lie in the rows of a tensor, one after the other.

    offsets (n + 1,) are the rows where they begin, and where the last one ends; order (n,) their numbers by falling
    length.
    """

    offsets: Tensor
    order: Tensor


class Tensor:
    """An array that remembers the op that made it; `chainrule.tensor` makes one from numbers.

    `x += v` and `x[i] = v` change the array in place if no gradient is involved. Otherwise `x += v` means `x = x + v`,
    and `x[i] = v` raises GraphError, as does changing a leaf that requires gradients outside `no_grad()`.

    >>> x = tensor([[1.0, 2.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([[2., 4.]], dtype=float32)
    """

    __slots__ = (
        "__weakref__",
        "_array",
        "_dtype",
        "_shape",
        "grad",
        "name",
        "origin",
        "position",
        "requires_grad",
        "retains",
        "sequences",
        "trace",
    )

    def __init__(self, data: Any, requires_grad: bool = False, name: str = "") -> None:
        self._array: Array | None = as_array(data)
        self._shape: Shape = ()
        self._dtype = self._array.dtype
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self.retains = False
        self.name = name
        self.origin: Origin | None = None
        self.position = 0  # among the outputs of the op that made it
        self.sequences: Layout | None = None  # whose steps its rows are
        self.trace = 0  # the number of the tape a symbolic result was written to
        if requires_grad and self._dtype.kind != "f":
            raise DtypeError(
                f"a tensor of {self._dtype} cannot require gradients: make it of floats, as in tensor([1.0, 2.0])"
            )

    @classmethod
    def symbolic(cls, shape: Shape, dtype: np.dtype[Any], name: str = "", *, trace: int = 0) -> Tensor:
        """A tensor without values, for tracing; see `symbol`."""
        result = cls(np.zeros(0, dtype), name=name)
        result._array, result._shape, result.trace = None, shape, trace
        return result

    # --- what it holds

    @property
    def data(self) -> Array:
        """The array itself. Raises TraceError for a symbolic tensor."""
        if self._array is None:
            raise self._no_value("its values were read")
        return self._array

    @data.setter
    def data(self, array: Array) -> None:
        if self._array is None:
            raise self._no_value("its values were set")
        array = array if type(array) is np.ndarray else to_array(self.label, array)
        if array.shape != self._array.shape:
            raise ShapeError(f"{self.label}: data of shape {array.shape} cannot replace data of shape {self.shape}")
        self._array = array if array.dtype == self._dtype else array.astype(self._dtype)

    @property
    def is_symbolic(self) -> bool:
        return self._array is None

    @property
    def varies(self) -> bool:
        """Whether a model keeps it and changes its values, so that a program reads them in every run."""
        return False

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, not by a recorded op."""
        return self.origin is None

    @property
    def shape(self) -> Shape:
        return self._shape if self._array is None else self._array.shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def T(self) -> Tensor:
        """All axes in reverse order."""
        return self.transpose()

    def numpy(self) -> Array:
        """The array itself, shared, outside any graph."""
        return self.data

    def item(self) -> Any:
        """The only element, as a Python number."""
        self._concrete("its value was read")
        if self.size != 1:
            raise ShapeError(
                f"{self.label}: item() needs one element, the shape is {self.shape}: index or reduce it first"
            )
        return self.data.item()

    def detach(self) -> Tensor:
        """The same values, through which no gradient flows."""
        if self._array is None or (self.varies and active_tape() is not None):
            return functions.detach(self)
        return wrap(self._array)

    def __repr__(self) -> str:
        if self._array is None:
            return f"symbol({self.name or 'unnamed'}, shape={self.shape}, dtype={self.dtype})"
        kind = type(self).__name__.lower()
        text = np.array2string(self._array, separator=", ", prefix=f"{kind}(")
        dtype = "" if self._dtype == np.float32 else f", dtype={self._dtype}"
        return f"{kind}({text}{dtype}{', requires_grad=True' if self.requires_grad and kind == 'tensor' else ''})"

    # --- as a Python value

    def __bool__(self) -> bool:
        self._concrete("it was used as a condition")
        if self.size != 1:
            raise ShapeError(f"{self.label}: a tensor of shape {self.shape} is neither true nor false: reduce it first")
        return bool(self.data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._dtype.kind != "i":
            raise DtypeError(f"{self.label}: {self._dtype} cannot be an index, expected whole numbers")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError(f"{self.label}: a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        self._concrete("NumPy asked for its values")
        if self.requires_grad and recording():
            raise GraphError(
                f"{self.label}: NumPy would lose the gradient of this tensor: use its own methods, or give NumPy x.data"
            )
        return np.array(self.data, dtype, copy=True) if copy else np.asarray(self.data, dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Tensor:
        """`array * x` is a tensor's product, as `x * array`; raises DtypeError for NumPy's other functions."""
        name = ufunc.__name__
        if name in OPERATORS and method == "__call__" and not settings:
            result: Tensor = getattr(functions, name)(*inputs)
            return result
        instead = f"x.{name}()" if hasattr(Tensor, name) else "its own methods"
        raise DtypeError(
            f"np.{name}: takes no tensors: use {instead}, or give NumPy x.data, through which no gradient flows"
        )

    def __hash__(self) -> int:
        return id(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.origin is not None:
            raise GraphError(f"{self.label}: only a leaf can be copied with its graph: copy x.detach()")
        copied = type(self)(self.data.copy(), self.requires_grad, self.name)
        copied.grad = None if self.grad is None else self.grad.copy()
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        if self.origin is not None:
            raise GraphError(f"{self.label}: only a leaf can be pickled: pickle x.detach()")
        return type(self), (self.data, self.requires_grad, self.name)

    # --- backpropagation

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf it was made from; see `chainrule.autodiff.backward`.

        `gradient` is that of the final result for this tensor, 1 by default for a single number. The graph is freed,
        unless `retain_graph`. Raises GraphError without a graph, after it was freed, or when an array it needs was
        changed in place.
        """
        self._concrete("backward() was called")
        backpropagate(self, gradient, retain_graph)

    def cast(self, dtype: np.dtype[Any]) -> None:
        """Change a leaf's dtype in place, and drop its gradient."""
        self.replace(self.data.astype(dtype, copy=False))

    def replace(self, array: Array) -> None:
        """Give a leaf other memory of the same shape, and drop its gradient."""
        self._array, self._dtype, self.grad = array, array.dtype, None

    def retain_grad(self) -> None:
        """Keep `.grad` of this tensor too, although it is not a leaf."""
        self.retains = True

    # --- arithmetic

    def __add__(self, other: Any) -> Tensor:
        return functions.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return functions.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return functions.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return functions.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return functions.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return functions.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return functions.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return functions.divide(other, self)

    def __pow__(self, exponent: Any) -> Tensor:
        return functions.power(self, exponent)

    def __rpow__(self, base: Any) -> Tensor:
        return functions.power(base, self)

    def __matmul__(self, other: Any) -> Tensor:
        return functions.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return functions.matmul(other, self)

    def __neg__(self) -> Tensor:
        return functions.negative(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return functions.absolute(self)

    def __iadd__(self, other: Any) -> Tensor:
        return inplace.update(self, np.add, functions.add, other)

    def __isub__(self, other: Any) -> Tensor:
        return inplace.update(self, np.subtract, functions.subtract, other)

    def __imul__(self, other: Any) -> Tensor:
        return inplace.update(self, np.multiply, functions.multiply, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return inplace.update(self, np.divide, functions.divide, other)

    def __eq__(self, other: object) -> Any:  # 1 and 0, elementwise, like all comparisons
        if other is None:
            return False
        return functions.equal(self, other)

    def __ne__(self, other: object) -> Any:
        if other is None:
            return True
        return functions.not_equal(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return functions.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return functions.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return functions.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return functions.greater_equal(self, other)

    # --- shape

    def __getitem__(self, index: Any) -> Tensor:
        return functions.slice_(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._concrete("its elements were set")
        inplace.assign(self, index, value)

    def reshape(self, *shape: int | tuple[int, ...]) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        return functions.reshape(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]

    def transpose(self, *axes: int) -> Tensor:
        """The axes in the given order, or reversed."""
        return functions.transpose(self, axes or None)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The axes from `start_dim` to `end_dim` inclusive, merged."""
        return functions.flatten(self, start_dim, end_dim)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.mean(self, axis, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.max(self, axis, keepdims)

    def argmax(self, axis: int | None = None) -> Tensor:
        """The index of the largest element, as int64; no gradient."""
        self._concrete("its values were compared")
        return wrap(np.asarray(self.data.argmax(axis), np.int64))

    # --- elementwise

    def exp(self) -> Tensor:
        return functions.exp(self)

    def log(self) -> Tensor:
        return functions.log(self)

    def sqrt(self) -> Tensor:
        return functions.sqrt(self)

    def abs(self) -> Tensor:
        """|x|; see `chainrule.autodiff.functions.absolute`."""
        return functions.absolute(self)

    def clip(self, low: float | None = None, high: float | None = None) -> Tensor:
        return functions.clip(self, low, high)

    def tanh(self) -> Tensor:
        return functions.tanh(self)

    def sigmoid(self) -> Tensor:
        return functions.sigmoid(self)

    def relu(self) -> Tensor:
        return functions.relu(self)

    def softmax(self, axis: int = -1) -> Tensor:
        return functions.softmax(self, axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        return functions.log_softmax(self, axis)

    # --- inside

    @property
    def label(self) -> str:
        """Its name in error messages."""
        return f'tensor "{self.name}"' if self.name else "tensor"

    def _no_value(self, event: str) -> TraceError:
        return TraceError(
            f"{self.label}: {event}, but only its shape {self.shape} is known while a model is traced: "
            'keep to operations on tensors, or use engine="reference" for control flow on values'
        )

    def _concrete(self, event: str) -> None:
        """Raise TraceError if a value would be fixed in a trace: for symbols, and while tracing for parameters."""
        if self._array is None or ((self.requires_grad or self.varies) and active_tape() is not None):
            raise self._no_value(event)


class Parameter(Tensor):
    """A tensor that a model learns: it requires gradients, and the Module that has it lists it.

    Python floats become float32, an array keeps its dtype; `Module.astype` gives all parameters of a model one.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, name: str = "") -> None:
        super().__init__(_by_default(data), requires_grad, name)

    @property
    def varies(self) -> bool:
        return True


class Buffer(Tensor):
    """A tensor that a model keeps but does not learn, such as a running mean: the Module that has it lists, saves and
    loads it. `chainrule.autodiff.state.assign` gives it a new value; ops read it without a gradient.

    Python numbers become float32, an array of floats keeps its dtype; `Module.astype` casts it with the parameters.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = False, name: str = "") -> None:
        array = _by_default(data)
        if requires_grad or array.dtype.kind != "f":
            raise DtypeError(
                f"{type(self).__name__}: expected floats without a gradient, got {array.dtype}"
                f"{', requires_grad=True' if requires_grad else ''}: use a Parameter for what is learned"
            )
        super().__init__(array, name=name)

    @property
    def varies(self) -> bool:
        return True


def tensor(data: Any, requires_grad: bool = False, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor with a copy of `data`: numbers, nested lists, or an array.

    Floats become float32 unless `dtype` or an array says float64; whole numbers int64. Raises DtypeError for text or
    complex numbers, DataError for ragged lists.

    >>> tensor([[1.0, 2.0]], requires_grad=True).shape
    (1, 2)
    """
    array = _by_default(data) if dtype is None else as_array(data).astype(np.dtype(dtype))
    return Tensor(np.array(array), requires_grad)


def symbol(shape: Shape, dtype: DTypeLike = np.float32, name: str = "") -> Tensor:
    """A tensor of known shape whose values are not known, to trace a computation with."""
    return Tensor.symbolic(tuple(shape), np.dtype(dtype), name)


def _by_default(data: Any) -> Array:
    """`data` as an array whose dtype is that of the array given, or float32 for Python floats."""
    array, given = as_array(data), isinstance(data, (np.ndarray, np.generic, Tensor))
    return array if given or array.dtype.kind != "f" else array.astype(np.float32)


def wrap(array: Array) -> Tensor:
    """A leaf around an array that is already in order, without copying it."""
    return Tensor(array)


def as_array(data: Any) -> Array:
    """`data` as float32, float64, int64 or bool; a copy only where the dtype demands it."""
    if isinstance(data, Tensor):
        return data.data
    array = to_array("tensor", data)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "f":
        return (
            array if size in (4, 8) and array.dtype.isnative else array.astype(np.float32 if size < 4 else np.float64)
        )
    if kind == "b" or array.dtype == np.int64:
        return array
    if kind in "iu":
        if array.dtype == np.uint64 and (array > MOST).any():
            raise DataError(f"tensor: {array.max()} is beyond int64, the largest whole number is {MOST}: pass floats")
        return array.astype(np.int64)
    raise DtypeError(f"tensor: values of {array.dtype} cannot be computed with: pass real numbers")


# Methods call functions that make tensors: see docs/decisions/0011-methods-are-functions.md.
from chainrule.autodiff import functions, inplace  # noqa: E402
from chainrule.autodiff.backward import backpropagate  # noqa: E402

for _name, _method in vars(Tensor).items():
    if callable(_method) and not _method.__doc__ and (_function := getattr(functions, _name, None)):
        _method.__doc__ = _function.__doc__
