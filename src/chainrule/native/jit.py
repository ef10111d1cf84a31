"""From a kernel's Python function to the machine code of one dtype, as an object file.

The jit options live here and nowhere else. Numba types and optimizes; the object file is made from its LLVM module, so
that a later process loads it with llvmlite alone, without Numba and without pickle (`chainrule.native.objects`).

Kernels are written once for all dtypes. Specializing copies a function with its float literals in the program's dtype
(a float64 literal would drag float32 arithmetic up to float64 and halve the speed) and with the names it calls replaced
by their compiled forms.
"""

from __future__ import annotations

import types as python_types
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from chainrule.native import kernel as kernels
from chainrule.native.kernel import RANK, STEP_WORDS, STEPS, External, Kernel, words_of
from chainrule.native.vecmath import NUMPY

# Not "nnan" and "ninf": NaN and infinity must behave, they are what a user hunts for.
# error_model "numpy": the default checks each division and stops vectorization.
OPTIONS: dict[str, Any] = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "error_model": "numpy",
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,  # no reference counts: kernels never allocate, and one that tries does not compile
}
POINTER = ir.PointerType()
SPAN_TYPES = [types.int64] * 5 + [types.float64] * 2


def _reader(python_type: Any) -> Any:
    """An intrinsic that reads word `index` of the int64 words at `base` as `python_type`."""

    @intrinsic
    def read(typing_context, base, index):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            kind = context.get_value_type(signature.return_type)
            address = builder.inttoptr(args[0], POINTER)
            return builder.load(builder.gep(address, [args[1]], source_etype=ir.IntType(64)), typ=kind)

        return python_type(types.int64, types.int64), generate

    return read


read_word, read_float = _reader(types.int64), _reader(types.float64)


def _writer() -> Any:
    """An intrinsic that writes word `index` of the int64 words at `base`."""

    @intrinsic
    def write(typing_context, base, index, value):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            address = builder.inttoptr(args[0], POINTER)
            builder.store(args[2], builder.gep(address, [args[1]], source_etype=ir.IntType(64)))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), generate

    return write


write_word = _writer()


def _array_at(element: Any, rank: int) -> Any:
    """An intrinsic that makes a contiguous array of the elements at an address."""
    kind = types.Array(element, rank, "C")

    @intrinsic
    def array_at(typing_context, address, shape):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            array = context.make_array(kind)(context, builder)
            item = context.get_abi_sizeof(context.get_data_type(element))
            shape = cgutils.unpack_tuple(builder, args[1], rank)
            strides = [context.get_constant(types.intp, item)]
            for size in reversed(shape[1:]):
                strides.insert(0, builder.mul(strides[0], size))
            data = builder.inttoptr(args[0], POINTER)
            item = context.get_constant(types.intp, item)
            arrayobj.populate_array(array, data, shape, strides, item, meminfo=None)
            return array._getvalue()

        return kind(types.int64, types.UniTuple(types.int64, rank)), generate

    return array_at


def caller(argument_types: list[Any]) -> Any:
    """An intrinsic that calls compiled code by address, with Numba's calling convention: first a place for the result,
    one for errors."""

    @intrinsic
    def call(typing_context, address, arguments):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            kinds = [context.get_value_type(t) for t in argument_types]
            function = ir.FunctionType(ir.IntType(32), [POINTER, POINTER, *kinds])
            nothing = cgutils.alloca_once(builder, POINTER)  # where the callee stores its None
            values = [builder.extract_value(args[1], i) for i in range(len(kinds))]
            builder.call(builder.inttoptr(args[0], function.as_pointer()), [nothing, nothing, *values])
            return context.get_dummy_value()

        return types.void(types.int64, types.Tuple(argument_types)), generate

    return call


def specialize(function: Callable[..., Any], dtype: np.dtype[Any], known: dict[Any, Any] | None = None) -> Any:
    """A copy of `function` for one dtype: literals converted, called names compiled, vector math in place of NumPy's;
    recursive through device functions."""
    known = {} if known is None else known
    constants = tuple(dtype.type(c) if isinstance(c, float) else c for c in function.__code__.co_consts)
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if name in scope:
            scope[name] = _compiled_form(scope[name], dtype, known)
    if scope.get("np") is np and (replaced := NUMPY.keys() & set(function.__code__.co_names)):
        scope["np"] = python_types.ModuleType("numpy")
        forms = {name: _compiled_form(NUMPY[name], dtype, known) for name in replaced}
        vars(scope["np"]).update(vars(np) | forms)
    copy = python_types.FunctionType(function.__code__.replace(co_consts=constants), scope, function.__name__)
    copy.__defaults__ = function.__defaults__
    return copy


def _compiled_form(value: Any, dtype: np.dtype[Any], known: dict[Any, Any]) -> Any:
    """What a name used inside a kernel stands for once compiled; values that need no change come back as they are."""
    element: Any = numba.from_dtype(dtype)
    if value is kernels.real:
        return dtype.type
    if value is kernels.advance:
        return _advance(dtype.itemsize)
    if value is kernels.call_span:
        return _call_span()
    if value is kernels.run_epilogue:
        return _run_epilogue(dtype.itemsize)
    if isinstance(value, External):
        kinds = [{"i": types.int64, "r": element, "d": types.float64}[c] for c in value.signature]
        return types.ExternalFunction(value.symbol.format(dtype=dtype.name), types.void(*kinds))
    if type(value) is float:
        return dtype.type(value)
    if isinstance(value, tuple) and value and all(type(x) is float for x in value):
        return tuple(map(dtype.type, value))
    variant = getattr(value, dtype.name, None) if not isinstance(value, python_types.ModuleType) else None
    function = variant or value
    if getattr(function, "__chainrule_device__", False):
        if function not in known:
            options = OPTIONS | {"fastmath": {"contract"}} if hasattr(function, "__in_order__") else OPTIONS
            known[function] = njit(**options, forceinline=True)(specialize(function, dtype, known))
        return known[function]
    return value


def _advance(item: int) -> Any:
    def advance(pointer, elements):  # type: ignore[no-untyped-def]
        return pointer + item * elements if pointer else pointer

    return njit(**OPTIONS, forceinline=True)(advance)


def _call_span() -> Any:
    call = caller(SPAN_TYPES)

    def call_span(span, y, a, b, c, n, p0, p1):  # type: ignore[no-untyped-def]
        call(span, (y, a, b, c, n, np.float64(p0), np.float64(p1)))

    return njit(**OPTIONS, forceinline=True)(call_span)


def _run_epilogue(item: int) -> Any:
    call = caller(SPAN_TYPES)

    def run_epilogue(epilogue, y, at, n):  # type: ignore[no-untyped-def]
        if epilogue:
            here = y + item * at
            for step in range(STEPS):
                word = step * STEP_WORDS
                span, other = read_word(epilogue, word), read_word(epilogue, word + 1)
                if span:
                    p0, p1 = read_float(epilogue, word + 2), read_float(epilogue, word + 3)
                    call(span, (here, here, other + item * at if other else other, 0, n, p0, p1))

    return njit(**OPTIONS, forceinline=True)(run_epilogue)


def compile_kernel(kernel: Kernel, dtype: np.dtype[Any], symbol: str) -> bytes:
    """Object code of `int symbol(_, _, base, first, last)`: run tiles first .. last - 1 of the instruction at
    `base`."""
    lines = ["def instruction(_base, _first, _last):"]  # names that no parameter of a kernel has
    word = 0
    for name, kind in kernel.parameters:
        rank = RANK.get(kind, 0)
        if rank:
            sizes = ", ".join(f"read_word(_base, {word + 1 + i})" for i in range(rank))
            lines.append(f"    {name} = {kind}(read_word(_base, {word}), ({sizes},))")
        elif kind == "Real":
            lines.append(f"    {name} = Real(read_float(_base, {word}))")
        elif kind == "Epilogue":  # its words stay in the instruction
            lines.append(f"    {name} = _base + {8 * word} if read_word(_base, {word}) else 0")
        else:
            lines.append(f"    {name} = read_word(_base, {word})")
        word += words_of(kind)
    arguments = ", ".join(["tile", *(name for name, _ in kernel.parameters)])
    lines += ["    for tile in range(_first, _last):", f"        kernel({arguments})"]
    elements = {"Real": numba.from_dtype(dtype), "Int": types.int64, "Float": types.float64}
    scope = {kind: _array_at(elements[kind[:-1]], rank) for kind, rank in RANK.items()}
    scope |= {"kernel": njit(**OPTIONS)(specialize(kernel.function, dtype)), "Real": dtype.type}
    scope |= {"read_word": read_word, "read_float": read_float}
    return compile_function(kernels.generated("\n".join(lines), scope), [types.int64] * 3, symbol)


def compile_span(
    scalar: Callable[..., Any], arrays: int, numbers: int, in_place: bool, dtype: np.dtype[Any], symbol: str
) -> bytes:
    """Object code of `int symbol(_, _, y, a, b, c, n, p0, p1)`: y[i] = scalar(a[i], ..., p0, ...) for i < n.

    Where `in_place`, y is also the first operand: a form of its own, because arrays that may overlap do not vectorize.
    """
    names = ["a", "b", "c"][:arrays]
    lines = ["def span(y, a, b, c, n, p0, p1):", "    target = array_at(y, (n,))"]
    values = []
    for i, name in enumerate(names):
        if in_place and i == 0:
            values.append("target[i]")
            continue
        lines.append(f"    from_{name} = array_at({name}, (n,))")
        values.append(f"from_{name}[i]")
    for p in ("p0", "p1")[:numbers]:
        lines.append(f"    number_{p} = Real({p})")
        values.append(f"number_{p}")
    lines += ["    for i in range(target.size):", f"        target[i] = scalar({', '.join(values)})"]
    scope = {
        "scalar": njit(**OPTIONS, forceinline=True)(specialize(scalar, dtype)),
        "Real": dtype.type,
        "array_at": _array_at(numba.from_dtype(dtype), 1),
    }
    return compile_function(kernels.generated("\n".join(lines), scope), SPAN_TYPES, symbol)


def compile_function(function: Callable[..., Any], argument_types: list[Any], symbol: str) -> bytes:
    """Object code of `function` over numbers, under the name `symbol`, with all that it calls and nothing else."""
    dispatcher = njit(**OPTIONS)(function)
    dispatcher.compile(types.void(*argument_types))
    (compiled,) = dispatcher.overloads.values()
    module = llvm.parse_assembly(compiled.library.get_llvm_str())
    for item in (*module.functions, *module.global_variables):
        if item.name == compiled.fndesc.llvm_func_name:
            item.name = symbol
            item.linkage = llvm.Linkage.external
        elif not item.is_declaration:
            item.linkage = llvm.Linkage.internal
    return emit(module, drop_unused=True)


def emit(module: llvm.ModuleRef, drop_unused: bool = False) -> bytes:
    """Machine code of an LLVM module for the processor this process runs on."""
    from chainrule.native.objects import target_machine

    machine = target_machine()
    if drop_unused:
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
        passes = llvm.create_new_module_pass_manager()
        passes.add_global_dead_code_eliminate_pass()
        passes.run(module, builder)
    code: bytes = machine.emit_object(module)
    return code
