"""The record of an op: everything about one differentiable operation, from which all else is derived.

An op is a NumPy function (its definition), a shape rule, and a gradient rule for each differentiable input. Below each
rule stands its compiled form, `lower`: a function that returns the kernel calls which compute the rule on `View`s. A
pointwise rule needs none: its definition is compiled for one element, with vector math in place of NumPy's functions
(`native/vecmath.py`). Write its literals as floats, 1.0: they take the program's dtype, whole numbers would not. Where
something else than the definition should run, `scalar` is the rule for one element.

    @op(formula="y = x·W + b")
    def linear(x, w, b): return x @ w + b                    # definition; keyword-only parameters are attributes

    @linear.shape
    def _(x, w, b): ...                                      # shapes in, shape of y out; raises ShapeError

    @linear.gradient("x", formula="dx = dy·Wᵀ")
    def _(dy, w): return dy @ w.T                            # takes by name what it needs: see below

    @linear.lower                                            # or @linear.lower("x") for the gradient of x
    def _(y, x, w, b): return [gemm(...)]                    # the output's view first, then the rule's operands

    linear.cases(samples=[...], examples=[...])              # what it is tested on

A gradient takes by name dy, inputs, y and saved values, and keyword-only attributes and `x_shape`, the shape of input
x. It may also take `dw`, the gradient for another input w, which is then computed first, whether or not w is trained.
If the op returns more than y, say h, a rule may also take h and its gradient `dh`; dy and dh are None where the loss
does not depend on that output. A gradient rule may save values for the rules of other inputs, which take them by name
and are computed after it: `saves` names for each a result or input of the same shape, and the rule returns
(dx, *saved). Of a value that is like an input not given there is None, also in the lowering.

A lowering takes the output's view (then those of further outputs and saved values), the rule's operands, and any of
these, keyword-only:

    an attribute  of the op
    scratch       scratch(n) returns a View of n elements, free again after the rule
    state         the words of the program's state (`native/state.py`)
    epilogue      pointwise functions to run on each tile that is done (`native/kernel.py`)
    add           whether to add to what the output holds
    sums          where to put the gradient for the next input as well, a sum of dy (a bias); None if not wanted
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, ClassVar

import numpy as np

from chainrule.errors import LabelError, ShapeError
from chainrule.native.kernel import Pointwise
from chainrule.native.memory import Array, Shape


@dataclass(eq=False)
class Rule:
    """One computation of an op: its forward pass, or the gradient for one input."""

    name: str  # "linear" or "linear.x"
    formula: str
    definition: Callable[..., Any]
    operands: tuple[str, ...]
    attributes: tuple[str, ...]
    saves: dict[str, str] = field(default_factory=dict)  # of a gradient: names, with what has the same shape
    overwrites: dict[int, str] = field(default_factory=dict)  # number of a result, and an operand: `Op.overwrites`
    scalar: Callable[..., Any] | None = None
    lowering: Callable[..., Iterable[Any]] | None = None

    def span(self, in_place: bool) -> Pointwise:
        """The span that runs a pointwise rule."""
        assert self.scalar is not None
        return Pointwise(self.name.replace(".", "_d"), self.scalar, len(self.operands), len(self.attributes), in_place)

    def unpack(self, answer: Any) -> tuple[Any, ...]:
        """What the definition of a gradient returned, as one value for it and each saved one."""
        return answer if self.saves else (answer,)

    def takes(self, name: str) -> bool:
        """Whether the lowering takes the keyword `name` (scratch, state, epilogue ...)."""
        return self.lowering is not None and name in _parameters(self.lowering)


@functools.cache
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    """The names of a function's parameters; cached, since a large network needs them thousands of times."""
    return frozenset(inspect.signature(function).parameters)


@dataclass(frozen=True)
class Limit:
    """What an input of whole numbers may hold: 0 .. below - 1, since `reason`, and `besides`."""

    noun: str  # what one is called
    nouns: str  # and several
    below: int
    reason: str
    fix: str
    besides: int | None = None
    goes_with: ClassVar[str] = ""  # the input of the op that decides, too

    @property
    def expected(self) -> str:
        return f"expected 0 .. {self.below - 1} as {self.reason}"

    def wrong(self, values: Array, *beside: Array) -> Array:
        """The positions, in flat order, of values that are outside; `beside` is the input they go with."""
        outside = (values < 0) | (values >= self.below)
        return np.flatnonzero(outside if self.besides is None else outside & (values != self.besides))

    def check(self, op: str, values: Array, *beside: Array) -> None:
        """Raise LabelError, naming the op, unless values are whole numbers within the limit."""
        if values.dtype.kind not in "iu":
            found = f"{self.nouns} are {values.dtype}, expected whole numbers 0 .. {self.below - 1}"
            raise LabelError(f"{op}: {found}: convert them, as in .astype(int)")
        if (wrong := self.wrong(values, *beside)).size:
            found = f"{self.noun} {values.flat[wrong[0]]} in {place_of(wrong[0], values.shape)}"
            raise LabelError(f"{op}: {found}, {self.expected}: {self.fix}")


def place_of(number: Any, shape: Shape) -> str:
    """Where element `number` of an array is, for messages: its row, and its place in that if it has several."""
    row, *rest = (int(i) for i in np.unravel_index(number, shape)) if shape else (0,)
    return f"row {row}, position {', '.join(map(str, rest))}" if rest else f"row {row}"


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
        returns: tuple[str, ...],
        saves: tuple[str, ...],
        integers: tuple[str, ...],
        moves: bool,
        by_row: bool | Callable[..., bool],
        averages: bool,
        flops: Callable[..., float] | float,
        weights: tuple[str, ...],
        offsets: tuple[str, ...],
        monotone: bool,
        selects_largest: bool,
    ) -> None:
        self.name = definition.__name__
        self.__doc__ = definition.__doc__
        self.forward = _rule(self.name, formula, definition, pointwise)
        self.inputs = self.forward.operands
        self.optional = frozenset(n for n, p in inspect.signature(definition).parameters.items() if p.default is None)
        self.attributes = self.forward.attributes
        self.pointwise = pointwise
        self.returns, self.saves, self.integers = returns, saves, frozenset(integers)
        self.moves, self.by_row, self.averages = moves, by_row, averages
        self._check_names()
        self.flops = flops
        self.samples: tuple[Sample, ...] = ()
        self.examples: tuple[Example, ...] = ()
        self.weights, self.offsets = weights, offsets
        self.monotone, self.selects_largest = monotone, selects_largest
        self.gradients: dict[str, Rule] = {}
        self.limits: dict[str, Callable[..., Limit]] = {}
        self.shape_rule: Callable[..., Any] | None = None

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """The NumPy definition, applied to arrays."""
        return self.forward.definition(*inputs, **attributes)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what gradients flow through: y, then further outputs."""
        return ("y", *self.returns)

    @property
    def results(self) -> tuple[str, ...]:
        """The names of all that the definition returns: outputs, then saved values."""
        return (*self.outputs, *self.saves)

    def unpack(self, answer: Any) -> tuple[Any, ...]:
        """What the definition returned, as one value for each of `results`."""
        return (answer,) if len(self.results) == 1 else answer

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
        """Decorator: `rule(*shapes, **attributes)` returns y's shape (of more `results`, a list of theirs)."""
        self.shape_rule = rule
        return rule

    def limit(self, name: str) -> Callable[[Callable[..., Limit]], Callable[..., Limit]]:
        """Decorator: `rule(*shapes, **attributes)` says what an input of whole numbers may hold."""

        def add(rule: Callable[..., Limit]) -> Callable[..., Limit]:
            self.limits[name] = rule
            return rule

        return add

    def gradient(
        self, name: str, *, formula: str, saves: dict[str, str] | None = None
    ) -> Callable[[Callable[..., Any]], Rule]:
        """Decorator: the gradient for input `name`, in NumPy, which takes by parameter name what it needs."""
        if name not in self.inputs:
            raise TypeError(f"op {self.name} has no input {name!r}, only {', '.join(self.inputs)}")

        def add(definition: Callable[..., Any]) -> Rule:
            rule = _rule(f"{self.name}.{name}", formula, definition, self.pointwise)
            others = [f"d{other}" for other in (*self.outputs, *self.inputs) if other != name]
            rule.saves = saves or {}
            saved = [key for other in self.gradients.values() for key in other.saves]
            known = {*self.inputs, *self.results, *others, *saved}
            if unknown := [n for n in rule.operands if n not in known]:
                raise TypeError(f"gradient {rule.name} takes {unknown}, known are {sorted(known)}")
            self.gradients[name] = rule
            return rule

        return add

    def gradients_for(self, wanted: Iterable[str]) -> list[str]:
        """The inputs whose gradients must be computed for those of `wanted`, each after those that its rule takes.

        Raises KeyError for an input without a gradient.
        """
        order: list[str] = []

        def visit(name: str) -> None:
            if name in order:
                return
            needed = self.gradients[name].operands
            for other in self.inputs:
                made = {f"d{other}", *(self.gradients[other].saves if other in self.gradients else ())}
                if not made.isdisjoint(needed):
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

    def overwrites(self, result: str, operand: str) -> None:
        """Declare that kernels read each element of an operand before they write that of `result`, such as y or dx."""
        rule = self.gradients.get(result.removeprefix("d"), self.forward) if result[0] == "d" else self.forward
        rule.overwrites[self.results.index(result) if rule is self.forward else 0] = operand

    def cases(self, *, samples: Sequence[Sample], examples: Sequence[Example]) -> None:
        """What the table-driven test checks the op on; stands at the end of the op's file."""
        self.samples, self.examples = tuple(samples), tuple(examples)

    def _check_names(self) -> None:
        if self.pointwise and self.returns:
            raise TypeError(f"op {self.name}: a pointwise op has one output: make an op for each")
        if len({*self.inputs, *self.results}) < len(self.inputs) + len(self.results):
            raise TypeError(f"op {self.name}: inputs {self.inputs} and results {self.results} must differ in name")
        if unknown := self.integers - {*self.inputs}:
            raise TypeError(f"op {self.name}: integers {sorted(unknown)} are none of its inputs {self.inputs}")

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
    returns: tuple[str, ...] = (),
    saves: tuple[str, ...] = (),
    integers: tuple[str, ...] = (),
    moves: bool = False,
    by_row: bool | Callable[..., bool] = False,
    averages: bool = False,
    flops: Callable[..., float] | float = 1.0,
    weights: tuple[str, ...] = (),
    offsets: tuple[str, ...] = (),
    monotone: bool = False,
    selects_largest: bool = False,
) -> Callable[[Callable[..., Any]], Op]:
    """Decorator that turns a NumPy function into an op and enters it in the table `OPS`.

    pointwise         each element of y is made of one element of each operand; operands are broadcast beforehand
    returns           names of further outputs that gradients flow through: the definition returns (y, *returned)
    saves             names of values kept for the gradients: the definition returns (y, *returned, *saved)
    integers          names of inputs that are whole numbers, such as labels, and stay int64
    moves             the elements of y are those of the inputs, in another order: of whole numbers, y is whole too
    by_row            each row of y, by the first axis, is made of the same row of the inputs that have such rows; or
                      whether it is, as a function of the first such input's shape and the attributes
    averages          a loss: a sum over all rows by `weight`, which is 0 where they do not count
    flops             a number per element of y, or a function of the input shapes

    The others allow `chainrule.engine.fuse` to rewrite networks:

    weights           names of weight and bias of a product y = x·w + b, whose last axis is y's
    offsets           of an op that acts on each channel of its first input alone, f(x) = a·x + t: names of the inputs
                      which, when 0, make t = 0. Then f(x·w + b) = x·(a·w) + f(b)
    monotone          a larger x never has a smaller y; and the gradient, made of dy and y, is 0 where several x share y
    selects_largest   each element of y is the largest of some elements of the first input. Then max f(x) = f(max x) for
                      a monotone f
    """

    def make(definition: Callable[..., Any]) -> Op:
        record = Op(
            definition, formula, pointwise, returns, saves, integers, moves, by_row or pointwise, averages, flops,
            weights, offsets, monotone, selects_largest,
        )  # fmt: skip
        if record.name in OPS:
            raise TypeError(f"op {record.name} is defined twice")
        OPS[record.name] = record
        return record

    return make


def _rule(name: str, formula: str, definition: Callable[..., Any], pointwise: bool) -> Rule:
    parameters = inspect.signature(definition).parameters.values()
    operands = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
    attributes = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
    scalar = _by_position(definition) if pointwise else None
    return Rule(name, formula, definition, operands, attributes, scalar=scalar)


def _by_position(definition: Any) -> Callable[..., Any]:
    """The definition with its attributes after its operands, as compiled code passes them."""
    code = definition.__code__
    code = code.replace(co_argcount=code.co_argcount + code.co_kwonlyargcount, co_kwonlyargcount=0)
    if definition.__closure__:  # a kernel has no memory for what a function around the definition holds
        raise TypeError(
            f"op {definition.__name__}: its definition uses {', '.join(code.co_freevars)} of a function around it: "
            "define the op at the level of its module, with an attribute for what changes"
        )
    return FunctionType(code, definition.__globals__, definition.__name__)
