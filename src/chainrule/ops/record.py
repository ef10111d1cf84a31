"""The record of an op: everything about one differentiable operation, from which all else is derived.

An op is a NumPy function (its definition), a shape rule, and one gradient rule per differentiable input. Each rule has
its compiled form: `lower`, a function that returns the kernel calls computing the rule on `View`s. A pointwise rule
needs none: its definition is compiled, for one element at a time, with vector math in place of NumPy's functions
(`native/vecmath.py`; float literals, 1.0, take the program's dtype, whole numbers would not). Where that is not what
should run, `scalar` is the rule for one element.

    @op(formula="y = x·W + b")
    def linear(x, w, b): return x @ w + b                    # definition; keyword-only parameters are attributes

    @linear.shape
    def _(x, w, b): ...                                      # shapes in, shape of y out; raises ShapeError

    @linear.gradient("x", formula="dx = dy·Wᵀ")
    def _(dy, w): return dy @ w.T                            # asks by name for dy, inputs, y, saved values, attributes

    @linear.lower                                            # or @linear.lower("x") for the gradient of x
    def _(y, x, w, b): return [gemm(...)]                    # the output's view first, then the rule's operands

    linear.cases(samples=[...], examples=[...])              # what it is tested on

A gradient may ask for that of another input of the same op, by the name `dw` for input w: it is computed first, also
where nobody trains w. It may also ask for `x_shape` (keyword-only): the shape of input x. A lowering may ask, by
keyword-only name, for the rule's attributes, `scratch` (number of elements -> View), `state` (the program's state
words), `epilogue` (see `chainrule.native.kernel`), `add` (whether to add to what the output holds) and `sums` (where to
put the next input's gradient too, if that is a sum of dy).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from chainrule.errors import ShapeError
from chainrule.native.memory import Array, Shape


@dataclass(eq=False)
class Rule:
    """One computation of an op: its forward pass, or the gradient for one input."""

    name: str  # "linear" or "linear.x"
    formula: str
    definition: Callable[..., Any]
    operands: tuple[str, ...]
    attributes: tuple[str, ...]
    scalar: Callable[..., Any] | None = None
    lowering: Callable[..., Iterable[Any]] | None = None

    def asks(self, name: str) -> bool:
        """Whether the lowering wants the keyword `name` (scratch, state, epilogue)."""
        return self.lowering is not None and name in _parameters(self.lowering)


@functools.cache
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    """The names of a function's parameters; kept, since a large network asks thousands of times."""
    return frozenset(inspect.signature(function).parameters)


@dataclass(frozen=True)
class Sample:
    """Inputs for the table-driven test of an op.

    `shapes` are drawn from a standard normal, mapped by `domain`; an array among them is taken as it is, None leaves an
    optional input out. `error` is the exception expected.
    """

    shapes: tuple[Shape | Array | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: Callable[[Array], Array] | None = None
    error: type[Exception] | None = None


@dataclass(frozen=True)
class Example:
    """A value of the op worked out independently of its definition (by hand, by `math`, or from a cited source)."""

    inputs: tuple[Any, ...]
    expected: Any
    attributes: dict[str, Any] = field(default_factory=dict)


def of_one_array(domain: Callable[[Array], Array] | None = None, **attributes: float) -> list[Sample]:
    """What every pointwise op of one array is tested on."""
    return [Sample((shape,), attributes, domain) for shape in ((2, 3), (0, 3), (1,), (), (3, 1, 37))]


def of_two_arrays(domain: Callable[[Array], Array] | None = None, **attributes: float) -> list[Sample]:
    """What every pointwise op of two arrays, of shapes that broadcast, is tested on."""
    fitting: list[tuple[Shape, Shape]] = [
        *(((2, 3), (2, 3)), ((3, 1), (1, 4)), ((2, 3), (3,)), ((2, 3), ()), ((), ()), ((1,), (1,))),
        *(((0, 3), (0, 3)), ((0, 3), (1, 3)), ((129,), (129,))),
    ]
    foreign: list[tuple[Shape, Shape]] = [((2, 3), (3, 2)), ((4,), (5,))]
    good = [Sample(shapes, attributes, domain) for shapes in fitting]
    return good + [Sample(shapes, attributes, error=ShapeError) for shapes in foreign]


class Op:
    """A differentiable operation; made by `op`, completed by the decorators `shape`, `gradient`, `scalar`, `lower`."""

    def __init__(
        self,
        definition: Callable[..., Any],
        formula: str,
        pointwise: bool,
        saves: tuple[str, ...],
        flops: Callable[..., float] | float,
        weights: tuple[str, ...],
        offsets: tuple[str, ...],
        keeps_order: bool,
        chooses: bool,
    ) -> None:
        self.name = definition.__name__
        self.__doc__ = definition.__doc__
        self.forward = _rule(self.name, formula, definition, pointwise)
        self.inputs = self.forward.operands
        self.optional = frozenset(n for n, p in inspect.signature(definition).parameters.items() if p.default is None)
        self.attributes = self.forward.attributes
        self.pointwise = pointwise
        self.saves = saves
        self.flops = flops
        self.samples: tuple[Sample, ...] = ()
        self.examples: tuple[Example, ...] = ()
        self.weights, self.offsets = weights, offsets
        self.keeps_order, self.chooses = keeps_order, chooses
        self.gradients: dict[str, Rule] = {}
        self.shape_rule: Callable[..., Any] | None = None

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """The NumPy definition, applied to arrays."""
        return self.forward.definition(*inputs, **attributes)

    @property
    def formulas(self) -> str:
        """The formulas of all rules, a line for each."""
        return "\n".join(f"    {rule.formula}" for rule in (self.forward, *self.gradients.values()))

    @property
    def description(self) -> str:
        """What it computes and its formulas, for help() on what is made from it."""
        return f"{inspect.cleandoc(self.__doc__ or '')}\n\n{self.formulas}"

    def __repr__(self) -> str:
        return f"<op {self.name}: {self.forward.formula}>"

    def shape(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `rule(*shapes, **attributes)` returns y's shape (a list where the op saves values: y first)."""
        self.shape_rule = rule
        return rule

    def gradient(self, name: str, *, formula: str) -> Callable[[Callable[..., Any]], Rule]:
        """Decorator: the gradient for input `name`, as NumPy, asking by parameter name for what it needs."""
        if name not in self.inputs:
            raise TypeError(f"op {self.name} has no input {name!r}, only {', '.join(self.inputs)}")

        def add(definition: Callable[..., Any]) -> Rule:
            rule = _rule(f"{self.name}.{name}", formula, definition, self.pointwise)
            others = [f"d{other}" for other in self.inputs if other != name]
            known = {"dy", "y", *self.inputs, *self.saves, *others}
            if unknown := [n for n in rule.operands if n not in known]:
                raise TypeError(f"gradient {rule.name} asks for {unknown}, known are {sorted(known)}")
            self.gradients[name] = rule
            return rule

        return add

    def gradients_for(self, wanted: Iterable[str]) -> list[str]:
        """The inputs whose gradients are to be computed to have those of `wanted`, each after those its rule asks for.

        Raises KeyError for an input without a gradient.
        """
        order: list[str] = []

        def visit(name: str) -> None:
            if name in order:
                return
            for other in self.inputs:
                if f"d{other}" in self.gradients[name].operands:
                    visit(other)
            order.append(name)

        for name in wanted:
            visit(name)
        return order

    def scalar(self, of: Callable[..., Any] | str) -> Callable[..., Any]:
        """Decorator, bare or with an input's name: the rule for one element, where it is not the definition."""
        return self._attach("scalar", of)

    def lower(self, of: Callable[..., Any] | str) -> Callable[..., Any]:
        """Decorator, bare or with an input's name: the kernel calls that compute the rule on views."""
        return self._attach("lowering", of)

    def cases(self, *, samples: Sequence[Sample], examples: Sequence[Example]) -> None:
        """What the table-driven test checks the op on; stands at the end of the op's file."""
        self.samples, self.examples = tuple(samples), tuple(examples)

    def _attach(self, field_name: str, of: Callable[..., Any] | str) -> Callable[..., Any]:
        rule = self.gradients[of] if isinstance(of, str) else self.forward

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            rule.scalar = None  # in place of the definition
            setattr(rule, field_name, function)
            return function

        return add if isinstance(of, str) else add(of)


OPS: dict[str, Op] = {}


def op(
    *,
    formula: str,
    pointwise: bool = False,
    saves: tuple[str, ...] = (),
    flops: Callable[..., float] | float = 1.0,
    weights: tuple[str, ...] = (),
    offsets: tuple[str, ...] = (),
    keeps_order: bool = False,
    chooses: bool = False,
) -> Callable[[Callable[..., Any]], Op]:
    """Decorator that turns a NumPy function into an op and enters it in the table `OPS`.

    `pointwise` ops compute each element alone (operands are broadcast to one shape beforehand). `saves` names extra
    outputs kept for the gradients: the definition then returns (y, *saved). `flops` is a number per element of y, or a
    function of the input shapes. `weights` names weight and bias of a product, y = x·w + b, whose last axis is y's.
    `offsets` names inputs of an op that is done to each channel of its first input alone: f(x) = f°(x) + t, with f°,
    where they are 0, linear. So f(x·w + b) = x·f°(w) + f(b), which `chainrule.engine.fuse` makes use of, as of
    max f(x) = f(max x): `chooses` says that y are elements of the first input, the largest of some each; `keeps_order`
    that a larger x never has a smaller y, and that the gradient, made of dy and y, is 0 where several x have one y.
    """

    def make(definition: Callable[..., Any]) -> Op:
        record = Op(definition, formula, pointwise, saves, flops, weights, offsets, keeps_order, chooses)
        if record.name in OPS:
            raise TypeError(f"op {record.name} is defined twice")
        OPS[record.name] = record
        return record

    return make


def _rule(name: str, formula: str, definition: Callable[..., Any], pointwise: bool) -> Rule:
    parameters = inspect.signature(definition).parameters.values()
    operands = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
    attributes = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
    return Rule(name, formula, definition, operands, attributes, _by_position(definition) if pointwise else None)


def _by_position(definition: Any) -> Callable[..., Any]:
    """The definition with its attributes after its operands, as compiled code passes them."""
    code = definition.__code__
    code = code.replace(co_argcount=code.co_argcount + code.co_kwonlyargcount, co_kwonlyargcount=0)
    return FunctionType(code, definition.__globals__, definition.__name__)
