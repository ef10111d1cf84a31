"""Functions of tensors, made from the records of ops."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from chainrule.autodiff.apply import apply, apply_all
from chainrule.autodiff.tensor import Tensor
from chainrule.ops.record import Op
from chainrule.settings import number


def as_function(op: Op) -> Callable[..., Tensor]:
    """The op as a function of tensors, whose parameters are its inputs and, after them, its attributes.

    It returns y, or a tuple of all outputs if there are several. It is generated as source code, like a dataclass's
    `__init__`, so that help() and errors name its parameters.

    >>> from chainrule.ops import activations
    >>> leaky_relu = as_function(activations.leaky_relu)
    >>> leaky_relu([-4.0, 2.0], slope=0.25)
    tensor([-1.,  2.])
    >>> help(leaky_relu)
    Help on function leaky_relu in module chainrule.autodiff.functions:
    <BLANKLINE>
    leaky_relu(x, slope=0.01)
        x where it is positive, else a little of it (Maas et al., ICML 2013). Raises OptionError for a negative slope.
    <BLANKLINE>
            y = x where x > 0, else slope·x
            dx = dy where y > 0, else slope·dy
    <BLANKLINE>
    """
    given = inspect.signature(op.forward.definition).parameters.values()
    parameters = [p.replace(kind=p.POSITIONAL_OR_KEYWORD, annotation=p.empty) for p in given]
    passed = ", ".join(p.name if p.name in op.inputs else f"{p.name}={_checked(op, p)}" for p in given)
    call = f"apply(op, {passed})" if len(op.outputs) == 1 else f"apply_all(op, {passed})[:{len(op.outputs)}]"
    scope: dict[str, Any] = {"op": op, "apply": apply, "apply_all": apply_all, "number": number}
    scope["__name__"] = "chainrule.autodiff.functions"
    exec(f"def {op.name}{inspect.Signature(parameters)}: return {call}", scope)
    function: Callable[..., Tensor] = scope[op.name]
    function.__doc__ = op.description
    return function


def _checked(op: Op, attribute: inspect.Parameter) -> str:
    """How an attribute is passed on: a real number as a Python float, which does not change an array's dtype."""
    name = attribute.name
    return f"number({op.name!r}, {name!r}, {name})" if attribute.annotation in ("float", float) else name
