"""Every op against everything its record promises; adding an op adds no test code.

For each op in the table `OPS`, for each of its samples and examples:

    definition       = values worked out by hand; keeps the dtype; agrees with the shape rule; takes strided arrays
    gradients        = central finite differences, in float64
    compiled form    = definition, both as plain Python and as machine code, in float32 and float64
    many workers     = one worker, to the bit
    error samples    raise the error the sample names, and name the op
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from tests.ops.powers import powers

import chainrule.ops
from chainrule.autodiff.apply import apply
from chainrule.engine.single import SingleRule
from chainrule.native.kernel import RANK, Address, Call
from chainrule.native.memory import Array, Shape, View
from chainrule.native.state import SEED, STEP
from chainrule.ops.record import OPS, Example, Op, Rule, Sample

for _module in pkgutil.iter_modules(chainrule.ops.__path__):
    importlib.import_module(f"chainrule.ops.{_module.name}")

DIFFERENCE = 1e-5  # half the step of a finite difference
ELEMENTS = 24  # of each input that finite differences try
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
TABLE = [*OPS.values(), powers]


@dataclass
class Case:
    """One op on one sample, in one dtype."""

    op: Op
    inputs: list[Array | None]
    attributes: dict[str, Any]
    results: dict[str, Array] = field(default_factory=dict)  # all that it returns, and random gradients of its outputs

    def forward(self) -> list[Array]:
        return [np.asarray(a) for a in self.op.unpack(self.op(*self.inputs, **self.attributes))]

    @property
    def flows(self) -> dict[str, Array]:
        """The gradients of outputs on which the result depends."""
        return {name: self.results[f"d{name}"] for name in self.op.outputs if f"d{name}" in self.results}

    def without(self, name: str) -> Case:
        """The same, but nothing depends on output `name`."""
        return replace(self, results={n: array for n, array in self.results.items() if n != f"d{name}"})

    @property
    def given(self) -> dict[str, Array]:
        """The inputs by name, without those left out."""
        return {name: x for name, x in zip(self.op.inputs, self.inputs, strict=True) if x is not None}

    def keywords(self, rule: Rule) -> dict[str, Any]:
        """The attributes a rule asks for, shapes of inputs among them."""
        shapes = {f"{name}_shape": x.shape for name, x in self.given.items()}
        return {n: self.attributes[n] if n in self.attributes else shapes[n] for n in rule.attributes}

    def operands(self, rule: Rule) -> list[Array | None]:
        """The arrays a rule asks for, gradients of other inputs and what their rules save among them."""
        known = {**self.results, **self.given}
        makers = {
            name: (other, place)
            for x, other in self.op.gradients.items()
            for place, name in enumerate((f"d{x}", *other.saves))
        }
        return [
            self.expected(makers[n][0])[makers[n][1]] if n in makers and makers[n][0] is not rule else known.get(n)
            for n in rule.operands
        ]

    def expected(self, rule: Rule) -> list[Array]:
        """What the rule's definition returns."""
        if rule is self.op.forward:
            return self.forward()
        answer = rule.definition(*self.operands(rule), **self.keywords(rule))
        return [np.asarray(array) for array in rule.unpack(answer) if array is not None]

    def rules(self) -> list[Rule]:
        """The forward rule, and the gradients of the inputs that are given."""
        return [self.op.forward, *(self.op.gradients[n] for n in self.given if n in self.op.gradients)]


def draw(op: Op, sample: Sample, dtype: str) -> list[Array | None]:
    """The sample's inputs: the same for each run."""
    rng = np.random.default_rng(zlib.crc32(f"{op.name} {sample.shapes} {sample.attributes}".encode()))
    inputs: list[Array | None] = []
    for name, given in zip(op.inputs, sample.shapes, strict=True):
        if isinstance(given, tuple):
            x = rng.standard_normal(given)
            inputs.append(np.asarray(sample.domain(x) if sample.domain else x, dtype))
        else:
            inputs.append(None if given is None else in_dtype(op, name, np.asarray(given), dtype))
    return inputs


def in_dtype(op: Op, name: str, array: Array, dtype: str) -> Array:
    """As an op gets it: whole numbers stay where it takes them."""
    return array.astype(np.int64 if array.dtype.kind in "iu" and name in op.integers else dtype)


def case_of(op: Op, sample: Sample, dtype: str) -> Case:
    inputs = draw(op, sample, dtype)
    if op.pointwise:  # their operands are broadcast beforehand
        shape = np.broadcast_shapes(*(x.shape for x in inputs if x is not None))
        inputs = [None if x is None else np.ascontiguousarray(np.broadcast_to(x, shape)) for x in inputs]
    case = Case(op, inputs, dict(sample.attributes))
    with np.errstate(all="ignore"):
        results = case.forward()
    case.results = dict(zip(op.results, results, strict=True))
    rng = np.random.default_rng(1)
    for name in op.outputs:
        case.results[f"d{name}"] = np.asarray(rng.standard_normal(case.results[name].shape), dtype)
    return case


def parts_of(case: Case) -> list[Case]:
    """The case, and, if the op has several outputs, the same where nothing depends on one of them, or on all but y."""
    ones = [case.without(name) for name in case.op.outputs] if case.op.returns else []
    only = [functools.reduce(Case.without, case.op.returns, case)] if len(case.op.returns) > 1 else []
    return [case, *ones, *only]


def shapes_of(case: Case) -> list[Shape]:
    """What the shape rule says of y and the saved values."""
    shapes = [None if x is None else x.shape for x in case.inputs]
    if case.op.shape_rule is None:
        assert case.op.pointwise, f"{case.op.name} has no shape rule"
        return [shapes[0] or ()]
    said = case.op.shape_rule(*shapes, **case.attributes)
    return said if isinstance(said, list) else [said]


def cases(wanted: Callable[[Sample], bool]) -> Any:
    return pytest.mark.parametrize(
        ("op", "sample"),
        [
            pytest.param(op, sample, id=f"{op.name}-{number}")
            for op in TABLE
            for number, sample in enumerate(op.samples)
            if wanted(sample)
        ],
    )


good = cases(lambda sample: sample.error is None)
bad = cases(lambda sample: sample.error is not None)
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def assert_close(found: list[Array], expected: list[Array], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, float(np.max(np.abs(other), where=np.isfinite(other), initial=0.0)))
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


# --- the record


@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_record_is_complete(op: Op) -> None:
    assert op.__doc__, "an op says what it computes"
    assert op.examples, "an op has values worked out independently"
    inputs = [draw(op, sample, "float64") for sample in op.samples if sample.error is None]
    assert any(first.size == 0 for first, *_ in inputs), "samples hold an empty array"
    assert any(x.size == 1 for of in inputs for x in of if x is not None), "samples hold one of a single element"
    if not op.pointwise or len(op.inputs) > 1:
        assert any(sample.error for sample in op.samples), "samples hold shapes that do not fit"
    for rule in (op.forward, *op.gradients.values()):
        assert rule.formula
        assert rule.scalar or rule.lowering, f"{rule.name} has no compiled form"
        if rule.scalar:
            whole = [c for c in rule.scalar.__code__.co_consts if type(c) is int]
            assert not whole, f"{rule.name}: write {float(whole[0])}, as {whole[0]} would take float32 to float64"


# --- the definition


@pytest.mark.parametrize(
    ("op", "example"),
    [pytest.param(op, e, id=f"{op.name}-{i}") for op in TABLE for i, e in enumerate(op.examples)],
)
def test_definition_gives_the_value_worked_out(op: Op, example: Example) -> None:
    inputs = [
        None if x is None else in_dtype(op, name, np.asarray(x), "float64")
        for name, x in zip(op.inputs, example.inputs, strict=False)
    ]
    with np.errstate(all="ignore"):
        y = op.unpack(op(*inputs, **example.attributes))[0]
    np.testing.assert_allclose(y, np.asarray(example.expected, float), rtol=1e-12, atol=1e-15)


@both_dtypes
@good
def test_definition_keeps_dtype_and_shape(op: Op, sample: Sample, dtype: str) -> None:
    case = case_of(op, sample, dtype)
    said = shapes_of(case)
    for rule in case.rules():
        with np.errstate(all="ignore"):
            expected = case.expected(rule)
        kept = {dtype, "bool", *(["int64"] if op.integers else [])}  # what becomes the op's dtype afterwards
        assert {a.dtype.name for a in expected} <= kept, rule.name
        if rule is op.forward:
            assert [a.shape for a in expected] == said
        else:
            assert expected[0].shape == case.given[input_of(rule)].shape


@good
def test_definition_takes_strided_arrays(op: Op, sample: Sample) -> None:
    case = case_of(op, sample, "float64")
    strided = Case(op, [None if x is None else spread_out(x) for x in case.inputs], case.attributes)
    strided.results = {name: spread_out(x) for name, x in case.results.items()}
    with np.errstate(all="ignore"):
        for rule in case.rules():
            assert_close(strided.expected(rule), case.expected(rule), 1e-12)


def spread_out(x: Array) -> Array:
    """The same values, every other element of a larger array, walked backwards."""
    if x.ndim == 0:
        return x
    room = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)[..., ::-2]
    room[...] = x
    return room


# --- gradients


@good
def test_gradients_are_finite_differences(op: Op, sample: Sample) -> None:
    parts = parts_of(case_of(op, sample, "float64"))
    with np.errstate(all="ignore"):
        for case, rule in ((part, rule) for part in parts for rule in part.rules()[1:]):
            size = sum(float(np.sum(np.abs(flow * case.results[name]))) for name, flow in case.flows.items())
            noise = 16 * np.finfo(float).eps / DIFFERENCE * size
            found = case.expected(rule)[0]
            for element in some_elements(found.size):
                change = moved(case, input_of(rule), element, 1) - moved(case, input_of(rule), element, -1)
                expected = change / (2 * DIFFERENCE)
                limit = 1e-6 * max(1.0, abs(expected)) + noise
                assert abs(found.flat[element] - expected) <= limit, f"{rule.name} at element {element}"


def some_elements(size: int) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, size - 1, min(size, ELEMENTS))})


def input_of(rule: Rule) -> str:
    """The input that a gradient rule is for."""
    return rule.name.rpartition(".")[2]


def moved(case: Case, name: str, element: int, sign: int) -> float:
    """Σ dy·y over the outputs, with one element of one input moved by a small difference."""
    x = case.given[name].copy()
    x.flat[element] += sign * DIFFERENCE
    inputs = [x if n == name else case.given.get(n) for n in case.op.inputs]
    results = dict(zip(case.op.results, Case(case.op, inputs, case.attributes).forward(), strict=True))
    return sum(float(np.sum(flow * results[name])) for name, flow in case.flows.items())


# --- compiled forms


def compiled(case: Case, rule: Rule, dtype: str, workers: int = 1) -> SingleRule:
    shapes: list[Shape | None] = [a.shape for a in case.expected(rule)]
    for place, like in enumerate(rule.saves.values(), start=1):
        if like not in case.results and like not in case.given:
            shapes.insert(place, None)
    seed = int(case.attributes.get("seed", 0))
    return SingleRule(case.op, rule, case.operands(rule), case.keywords(rule), shapes, dtype, workers, seed)


def run(single: SingleRule, case: Case) -> list[Array]:
    """What the machine code writes into memory that held NaN."""
    spoil(single)
    return [y.copy() for y in single.run(1, int(case.attributes.get("step", 0)))]


def spoil(single: SingleRule) -> None:
    """Fill all memory that the program should write before it reads it."""
    for instruction in single.program.instructions:
        for view in instruction.call.arguments:
            if isinstance(view, View) and view.storage.kind in ("arena", "output"):
                view.storage.array[:] = np.nan


@both_dtypes
@good
def test_machine_code_is_the_definition(op: Op, sample: Sample, dtype: str) -> None:
    with np.errstate(all="ignore"):
        for case in parts_of(case_of(op, sample, dtype)):
            for rule in case.rules():
                assert_close(run(compiled(case, rule, dtype), case), case.expected(rule), TOLERANCE[dtype])


@good
def test_kernels_run_as_python(op: Op, sample: Sample) -> None:
    case = case_of(op, sample, "float64")
    with np.errstate(all="ignore"):
        for rule in case.rules():
            single = compiled(case, rule, "float64")
            spoil(single)
            state = single.program.state.numpy()
            state[SEED], state[STEP] = case.attributes.get("seed", 0), case.attributes.get("step", 0)
            for instruction in single.program.instructions:
                run_as_python(instruction.call)
            assert_close(single.outputs, case.expected(rule), TOLERANCE["float64"])


def run_as_python(call: Call) -> None:
    arguments = []
    for (_, kind), value in zip(call.kernel.parameters, call.arguments, strict=True):
        if kind in RANK:
            arguments.append(value.numpy())
        elif kind == "Pointer" and value is not None:
            arguments.append(Address(value.storage.array, value.offset))
        else:
            arguments.append(0 if value is None else value)
    for tile in reversed(range(call.tiles)):  # tiles may run in any order
        call.kernel.function(tile, *arguments)


@good
def test_the_number_of_workers_changes_no_bit(op: Op, sample: Sample) -> None:
    case = case_of(op, sample, "float32")
    for rule in case.rules():
        with np.errstate(all="ignore"):
            alone, *others = (run(compiled(case, rule, "float32", workers), case) for workers in (1, 2, 3, 8))
        for other in others:
            assert [a.tobytes() for a in alone] == [a.tobytes() for a in other], rule.name


# --- errors


@bad
def test_error_samples_raise_and_name_the_op(op: Op, sample: Sample) -> None:
    assert sample.error is not None
    with pytest.raises(sample.error, match=op.name):
        apply(op, *(draw_anything(x) for x in sample.shapes), **sample.attributes)


def draw_anything(given: Any) -> Any:
    return np.ones(given) if isinstance(given, tuple) else given
