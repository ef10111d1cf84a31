"""Kernels: the compiled loops behind instructions, written as plain Python functions.

`@kernel` declares a function (tile, ...), which does the work of one tile. It is used in three ways: compiled for a
dtype (`chainrule.native.jit`), run as Python by the tests, and called with a number of tiles, which runs nothing but
returns a `Call`, of which programs are built. Annotations say how each argument is stored in an instruction:

    Real1 .. Real4   contiguous array of the program's dtype with that many dimensions (address, then sizes)
    Int1, Int2       the same for int64
    Float1           contiguous float64 array
    Int              an int64
    Real             a scalar of the program's dtype (stored as float64)
    Pointer          the bare address of a view's first element, 0 for none
    Span             the address of a compiled pointwise span (see `chainrule.native.jit.compile_span`), 0 for none
    Epilogue         pointwise functions to run on results while they are in cache (`run_epilogue`), () for none
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.native.memory import View

Real1: TypeAlias = NDArray[Any]
Real2: TypeAlias = NDArray[Any]
Real3: TypeAlias = NDArray[Any]
Real4: TypeAlias = NDArray[Any]
Int1: TypeAlias = NDArray[np.int64]
Int2: TypeAlias = NDArray[np.int64]
Float1: TypeAlias = NDArray[np.float64]
Int: TypeAlias = int
Real: TypeAlias = float
Pointer: TypeAlias = int
Span: TypeAlias = int

RANK = {"Real1": 1, "Real2": 2, "Real3": 3, "Real4": 4, "Int1": 1, "Int2": 2, "Float1": 1}
SCALARS = frozenset({"Int", "Real", "Pointer", "Span"})
STEPS = 2  # the most of an epilogue
STEP_WORDS = 4  # of an instruction: span, other, p0, p1


def words_of(kind: str) -> int:
    """How many words of an instruction an argument of this kind occupies."""
    return STEPS * STEP_WORDS if kind == "Epilogue" else 1 + RANK.get(kind, 0)


KERNELS: list[Kernel] = []  # every kernel declared, for compiling ahead


@dataclass(frozen=True, eq=False)
class Kernel:
    """A compiled loop: its function, and the name and kind of each argument after the tile number."""

    function: Callable[..., None]
    parameters: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return self.function.__name__

    def __call__(self, tiles: int, *arguments: Argument, flops: float = 0.0, stops: bool = False) -> Call:
        """The instruction that runs this kernel on tiles 0 .. tiles - 1; `flops` is the cost of all tiles, `stops`
        whether it may set the state's STOP word.

        `arguments` are those after `tile`: a View for an array or a pointer (None for 0), a number for a scalar, a
        `Pointwise` for a span, a tuple of `Step`s for an epilogue.
        """
        if len(arguments) != len(self.parameters):
            names = ", ".join(name for name, _ in self.parameters)
            raise TypeError(f"kernel {self.name} takes ({names}), got {len(arguments)} arguments")
        return Call(self, tiles, arguments, flops, stops)


@dataclass(frozen=True)
class Call:
    """An instruction whose memory is not placed yet: a kernel, how many tiles it has, its arguments, its cost in flops.

    Lowerings return calls; once the program's memory is planned, each becomes words (`chainrule.engine.encoding`).
    """

    kernel: Kernel
    tiles: int
    arguments: tuple[Argument, ...] = field(repr=False)
    flops: float = 0.0
    stops: bool = False  # may set the STOP word of the state

    def views(self) -> Iterator[View]:
        """Every array it touches, including those of its epilogue."""
        for argument in self.arguments:
            if isinstance(argument, View):
                yield argument
            elif isinstance(argument, tuple):
                yield from (step.other for step in argument if step.other is not None)


@dataclass(frozen=True)
class Pointwise:
    """A scalar function to run over spans of elements: y[i] = scalar(a[i], b[i], c[i], p0, p1).

    It takes `arrays` of a, b and c and `numbers` of p0 and p1. With `in_place`, y itself is the first operand.
    """

    name: str
    scalar: Callable[..., Any]
    arrays: int
    numbers: int
    in_place: bool = False

    def __call__(self, y: Any, a: Any, b: Any, c: Any, p0: float, p1: float) -> None:
        """The same in plain Python, on NumPy arrays."""
        operands = [y if self.in_place else a, b, c][: self.arrays]
        numbers = (p0, p1)[: self.numbers]
        with np.errstate(all="ignore"):  # NaN and infinity are results, as in compiled code
            for i in range(y.size):
                y[i] = self.scalar(*(x[i] for x in operands), *numbers)


@dataclass(frozen=True)
class Step:
    """One function of an epilogue: y = f(y, other, p0, p1) in place, where `other` has the shape of y."""

    span: Pointwise
    other: View | None = None
    numbers: tuple[float, ...] = ()


Epilogue: TypeAlias = tuple[Step, ...]  # run in order on a kernel's results; at most STEPS
Argument: TypeAlias = View | Pointwise | Epilogue | float | None


def kernel(function: Callable[..., None]) -> Kernel:
    """Decorator that makes `function(tile, ...)` a kernel; the module's docstring lists the annotations it may use."""
    names = list(inspect.signature(function).parameters.values())
    if not names or names[0].name != "tile":
        raise TypeError(f"kernel {function.__name__}: the first parameter must be `tile`")
    parameters = tuple((p.name, str(p.annotation)) for p in names[1:])
    for name, kind in parameters:
        if kind not in RANK and kind not in SCALARS and kind != "Epilogue":
            raise TypeError(f"kernel {function.__name__}: {name} has no argument kind, found {kind!r}")
    KERNELS.append(found := Kernel(function, parameters))
    return found


def device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for a plain function that kernels call: it is compiled along with them."""
    function.__chainrule_device__ = True  # type: ignore[attr-defined]
    return function


def in_order(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a device function whose sums and products are computed in the order in which they are written."""
    function.__in_order__ = True  # type: ignore[attr-defined]
    return device(function)


def generated(text: str, scope: dict[str, Any]) -> Callable[..., Any]:
    """The function that `text` defines, where the names of `scope` are known."""
    found: dict[str, Any] = {}
    exec(compile(text, "<generated>", "exec"), scope, found)
    function: Callable[..., Any]
    (function,) = found.values()
    return function


def blocks(n: int, size: int) -> int:
    """How many tiles of `size` cover `n`. Tiles depend on the data's shape, never on the number of workers."""
    return -(-n // size)


@dataclass(frozen=True)
class External:
    """A compiled function that kernels call by its symbol; `python` does the same on `Address`es."""

    symbol: str  # "{dtype}" in it becomes the program's dtype
    signature: str  # of int64 "i", real "r" and float64 "d" arguments
    python: Callable[..., None]

    def __call__(self, *arguments: Any) -> None:
        self.python(*arguments)


@dataclass(frozen=True)
class Address:
    """A Pointer in plain Python: an element of a flat array, so that leaving the array raises an error."""

    array: NDArray[Any]
    offset: int

    def strided(self, shape: tuple[int, ...], strides: tuple[int, ...]) -> NDArray[Any]:
        """The elements at offset + Σ index·stride, as a view; raises where that leaves the array."""
        if 0 in shape:
            return self.array[:0].reshape(shape)
        last = self.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if self.offset < 0 or last >= self.array.size:
            raise IndexError(f"elements {self.offset} to {last} of an array of {self.array.size}")
        item = self.array.itemsize
        return np.lib.stride_tricks.as_strided(self.array[self.offset :], shape, [s * item for s in strides])


# In compiled code these functions have other forms (`chainrule.native.jit`); these are for plain Python.


def real(number: Any) -> Any:
    """A number in the program's dtype."""
    return float(number)


def advance(pointer: Any, elements: int) -> Any:
    """The address `elements` further on; 0 stays 0, no address."""
    return Address(pointer.array, pointer.offset + elements) if isinstance(pointer, Address) else pointer


def call_span(span: Any, y: Any, a: Any, b: Any, c: Any, n: int, p0: float, p1: float) -> None:
    """Run the pointwise span at an address: y = f(a, b, c, p0, p1) over n elements."""
    span(*(x.strided((n,), (1,)) if isinstance(x, Address) else None for x in (y, a, b, c)), p0, p1)


def run_epilogue(epilogue: Any, y: Any, at: int, n: int) -> None:
    """Run the functions of an epilogue, if there is one, over elements at .. at + n - 1 of y."""
    for step in epilogue or ():
        here, other = advance(y, at), None
        if step.other is not None:
            other = Address(step.other.storage.array, step.other.offset + at)
        p0, p1 = (*step.numbers, 0.0, 0.0)[:2]
        call_span(step.span, here, here, other, 0, n, p0, p1)
