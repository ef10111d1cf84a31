"""A training step as tasks on values: what was traced, and the gradient tape built from it.

A value is an array the program will have memory for; a task computes one rule of one op. The forward tasks come from
the tape; `backward` walks them in reverse and adds a task for each gradient that is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.autodiff.backward import Step, backward_plan, rule_keywords
from chainrule.autodiff.tape import Node
from chainrule.autodiff.tensor import Tensor
from chainrule.errors import TraceError
from chainrule.ops.record import OPS, Op, Rule, Shape


@dataclass(eq=False)
class Value:
    """An array of the step; `kind` says whose it is: "result", "input", "parameter" or "constant"."""

    shape: Shape
    dtype: np.dtype[Any]
    name: str
    kind: str = "result"
    source: Tensor | None = None  # of a constant: the tensor the model holds

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclass(eq=False)
class Task:
    """One rule to compute: outputs (y, then saved values) from operands, in one of the step's phases.

    The last five fields are set by fusion: a pointwise function run on the output while it is in cache (`other` is its
    second operand), a value the result is added to, and the bias gradient computed along with a weight gradient.
    """

    rule: Rule
    op: Op
    outputs: list[Value]
    operands: list[Value | None]
    attributes: dict[str, Any]
    phase: str
    epilogue: Rule | None = None
    numbers: tuple[float, ...] = ()
    other: Value | None = None
    adds_to: Value | None = None
    sums: Value | None = None

    @property
    def label(self) -> str:
        """The rule's name, with what fusion added to it."""
        parts = [self.rule.name, self.sums and f"{self.op.name}.b", self.epilogue and self.epilogue.name]
        return " + ".join(p for p in parts if p)

    @property
    def formula(self) -> str:
        parts = [self.rule.formula, self.adds_to and "added", self.epilogue and self.epilogue.formula]
        return "; ".join(p for p in parts if p)

    def reads(self) -> Iterable[Value]:
        """Every value the task reads."""
        yield from (v for v in (*self.operands, self.other, self.adds_to) if v is not None)

    def writes(self) -> Iterable[Value]:
        yield from self.outputs
        if self.sums is not None:
            yield self.sums


@dataclass
class Graph:
    """The tasks of one step, its inputs by role ("x", "y", "weight"), its results, and each parameter's gradient."""

    tasks: list[Task]
    inputs: dict[str, Value]
    parameters: dict[str, Value]
    output: Value
    loss: Value | None = None
    gradients: dict[str, Value] = field(default_factory=dict)


class Forward:
    """Turns a tape into tasks; every tensor of the tape becomes one value."""

    def __init__(self, parameters: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> None:
        self.tensors = dict(parameters)
        self.nodes: list[Node] = []
        self.values: dict[int, Value] = {}
        self.keep: list[Tensor] = []  # so that no id is used twice
        self.parameters = {name: self._enter(t, name, "parameter") for name, t in parameters.items()}
        self.inputs = {name: self._enter(t, name, "input") for name, t in inputs.items()}
        self.tasks: list[Task] = []

    def _enter(self, tensor: Tensor, name: str, kind: str = "result", source: Tensor | None = None) -> Value:
        self.values[id(tensor)] = value = Value(tensor.shape, tensor.dtype, name, kind, source)
        self.keep.append(tensor)
        return value

    def value(self, tensor: Tensor) -> Value:
        """The value of a tensor: known, or a constant the model holds."""
        if id(tensor) in self.values:
            return self.values[id(tensor)]
        if tensor.is_symbolic:
            raise TraceError(
                f"{tensor} was made in another trace: a model must not keep tensors from one call to the next"
            )
        return self._enter(tensor, "constant", "constant", tensor)

    def add(self, nodes: Iterable[Node], phase: str) -> None:
        """Append nodes of the tape as tasks of `phase`."""
        for node in nodes:
            self.nodes.append(node)
            operands = [None if t is None else self.value(t) for t in node.inputs]
            outputs = [self._enter(t, node.op.name) for t in (node.output, *node.saved)]
            self.tasks.append(Task(node.op.forward, node.op, outputs, operands, node.attributes, phase))


def backward(forward: Forward, graph: Graph, loss: Tensor, seed: Value) -> None:
    """Append the gradient tape: the tasks that compute the gradient of the loss for every parameter.

    `seed` is dL/dL = 1. Where a value is used several times its gradients are added, in the order of the reverse walk.
    """
    gradient: dict[int, Value] = {id(loss): seed}
    for step in backward_plan(forward.nodes, loss, forward.tensors.values()):
        new = _gradient_task(forward, graph, step, gradient[id(step.node.output)])
        known = gradient.get(id(step.input))
        gradient[id(step.input)] = new if known is None else _sum(graph, known, new)
    for name, tensor in forward.tensors.items():
        if id(tensor) in gradient:
            graph.gradients[name] = gradient[id(tensor)]


def _gradient_task(forward: Forward, graph: Graph, step: Step, dy: Value) -> Value:
    node, rule = step.node, step.rule
    tensors = dict(zip((*node.op.inputs, "y", *node.op.saves), (*node.inputs, node.output, *node.saved), strict=True))
    known = {name: None if t is None else forward.value(t) for name, t in tensors.items()} | {"dy": dy}
    operand = forward.value(step.input)
    result = Value(operand.shape, operand.dtype, f"d({operand.name})")
    operands = [known[name] for name in rule.operands]
    graph.tasks.append(Task(rule, node.op, [result], operands, rule_keywords(node, rule), "backward"))
    return result


def _sum(graph: Graph, first: Value, second: Value) -> Value:
    total = Value(first.shape, first.dtype, first.name)
    graph.tasks.append(Task(OPS["add"].forward, OPS["add"], [total], [first, second], {}, "backward"))
    return total
