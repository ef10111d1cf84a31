"""A training step as tasks on values: what was traced, and the gradient tasks built from it.

A value is an array that will get memory in the program; a task computes one rule of one op. The forward tasks come from
the tape; `backward` walks them in reverse and adds a task for each gradient that is needed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from chainrule.autodiff.backward import Step, backward_plan, gradients_of, rule_keywords
from chainrule.autodiff.tape import Node, Tape
from chainrule.autodiff.tensor import Buffer, Tensor
from chainrule.errors import TraceError
from chainrule.native.memory import Shape
from chainrule.ops.record import OPS, Op, Rule


@dataclass(eq=False)
class Value:
    """An array of the step, of a `kind`: "result", "input", "parameter", "buffer" or "constant"."""

    shape: Shape
    dtype: np.dtype[Any]
    name: str
    kind: str = "result"
    source: Tensor | None = None  # of a constant or buffer: the tensor the model holds

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclass(eq=False)
class Joined:
    """A pointwise rule joined to the task that computes its first operand; `other` is its second."""

    rule: Rule
    numbers: tuple[float, ...]
    other: Value | None


@dataclass(eq=False)
class Task:
    """One rule to compute: outputs (y, then further ones and saved values) from operands, in one of the step's phases.

    `saved` are the names of what a gradient's rule saves for others, as far as the inputs it is like were given.
    `again` marks a forward task that is run once more in the backward pass (`engine/recompute.py`). The other fields
    are set by fusion: pointwise rules that run on y, in sequence, while it is in cache, a value that y is added to
    first, and the bias gradient computed along with a weight gradient, with its rule.
    """

    rule: Rule
    op: Op
    outputs: list[Value]
    operands: list[Value | None]
    attributes: dict[str, Any]
    phase: str
    saved: tuple[str, ...] = ()
    joined: list[Joined] = field(default_factory=list)
    adds_to: Value | None = None
    sums: Value | None = None
    sums_rule: Rule | None = None
    again: bool = False

    @property
    def rules(self) -> list[Rule]:
        """Its rule, then the rules that fusion joined to it."""
        return [self.rule, *([self.sums_rule] if self.sums_rule else []), *(j.rule for j in self.joined)]

    @property
    def label(self) -> str:
        """The rule's name, with the rules fused into it, and a star if it is recomputed."""
        return ("*" if self.again else "") + " + ".join(rule.name for rule in self.rules)

    @property
    def formula(self) -> str:
        parts = [self.rule.formula, self.adds_to and "added", *(j.rule.formula for j in self.joined)]
        return "; ".join(p for p in parts if p)

    def reads(self) -> list[Value]:
        """Every value the task reads."""
        return [v for v in (*self.operands, *(j.other for j in self.joined), self.adds_to) if v is not None]

    def writes(self) -> list[Value]:
        return self.outputs if self.sums is None else [*self.outputs, self.sums]


@dataclass
class Graph:
    """The tasks of one step, its inputs by role ("x", "y", "weight"), its results, each parameter's gradient, the
    model's buffers, and the new value of each it assigns to."""

    tasks: list[Task]
    inputs: dict[str, Value]
    parameters: dict[str, Value]
    output: Value
    loss: Value | None = None
    gradients: dict[str, Value] = field(default_factory=dict)
    buffers: list[Value] = field(default_factory=list)
    assigned: dict[Value, Value] = field(default_factory=dict)

    def results(self) -> list[Value]:
        """What is read after the last task."""
        found = (self.output, self.loss, *self.gradients.values(), *self.assigned.values())
        return [value for value in found if value is not None]

    def put_off_assignments(self) -> None:
        """Move the tasks needed only for assignments to the end: they belong to the update. Without assignments they
        are dropped.
        """
        needed = self._needed([v for v in (self.output, self.loss, *self.gradients.values()) if v is not None])
        before = set(needed)
        last = [task for task in self._needed(list(self.assigned.values())) if task not in before]
        for task in last:
            task.phase = "update"
        self.tasks = needed + last

    def _needed(self, values: list[Value]) -> list[Task]:
        """The tasks behind some values, in order."""
        wanted = set(values)
        found: list[Task] = []
        for task in reversed(self.tasks):
            if not wanted.isdisjoint(task.writes()):
                wanted.update(task.reads())
                found.append(task)
        return found[::-1]


class Forward:
    """Turns a tape into tasks; every tensor of the tape becomes one value."""

    def __init__(self, parameters: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> None:
        self.tensors = dict(parameters)
        self.nodes: list[Node] = []
        self.values: dict[int, Value] = {}
        self.keep: list[Tensor] = []  # so that no id is reused
        self._made: Counter[str] = Counter()  # results of each op so far
        self.parameters = {name: self._enter(t, name, "parameter") for name, t in parameters.items()}
        self.inputs = {name: self._enter(t, name, "input") for name, t in inputs.items()}
        self.tasks: list[Task] = []

    def _enter(self, tensor: Tensor, name: str, kind: str = "result", source: Tensor | None = None) -> Value:
        self.values[id(tensor)] = value = Value(tensor.shape, tensor.dtype, name, kind, source)
        self.keep.append(tensor)
        return value

    def _new_name(self, op: str) -> str:
        """Distinguishes the results of an op in a printed program: relu, relu#2, relu#3."""
        self._made[op] += 1
        return op if self._made[op] == 1 else f"{op}#{self._made[op]}"

    def value(self, tensor: Tensor) -> Value:
        """The value of a tensor: known, or a buffer or constant the model holds."""
        if id(tensor) in self.values:
            return self.values[id(tensor)]
        if tensor.is_symbolic:
            raise TraceError(
                f"{tensor} was made in another trace: a model must not keep tensors from one call to the next"
            )
        kind = "buffer" if isinstance(tensor, Buffer) else "constant"
        return self._enter(tensor, tensor.name or kind, kind, tensor)

    @property
    def buffers(self) -> list[Value]:
        """The model's buffers that were read or assigned to."""
        return [value for value in self.values.values() if value.kind == "buffer"]

    def assigned(self, tape: Tape) -> dict[Value, Value]:
        """The new value of each buffer."""
        return {self.value(buffer): self.value(tape.assigned[number]) for number, buffer in tape.buffers.items()}

    def add(self, nodes: Iterable[Node], phase: str) -> None:
        """Append nodes of the tape as tasks of `phase`."""
        for node in nodes:
            self.nodes.append(node)
            operands = [None if t is None else self.value(t) for t in node.inputs]
            name = self._new_name(node.op.name)
            names = (name, *(f"{name}.{other}" for other in node.op.results[1:]))
            outputs = [self._enter(t, n) for t, n in zip((*node.known, *node.saved), names, strict=True)]
            self.tasks.append(Task(node.op.forward, node.op, outputs, operands, node.attributes, phase))


def backward(forward: Forward, graph: Graph, loss: Tensor, seed: Value) -> None:
    """Append the gradient tape: the tasks that compute the gradient of the loss for every parameter.

    `seed` is dL/dL = 1. If a value is used several times, its gradients are added, in the order of the reverse walk.
    """
    gradient: dict[int, Value] = {id(loss): seed}
    plan = backward_plan(forward.nodes, loss, forward.tensors.values())
    for node, steps in groupby(plan, key=lambda step: step.node):
        known = gradients_of(node, gradient)
        for step in steps:
            task = _gradient_task(forward, graph, step, known)
            new = task.outputs[0]
            known |= {step.gradient: new, **dict(zip(task.saved, task.outputs[1:], strict=True))}
            if step.wanted:
                total = gradient.get(id(step.input))
                gradient[id(step.input)] = new if total is None else _sum(graph, total, new)
    for name, tensor in forward.tensors.items():
        if id(tensor) in gradient:
            graph.gradients[name] = gradient[id(tensor)]


def _gradient_task(forward: Forward, graph: Graph, step: Step, gradients: Mapping[str, Value | None]) -> Task:
    """Append the task of one gradient of a node; `gradients` are those of its outputs, and its other inputs so far,
    with what their rules saved.
    """
    node, rule = step.node, step.rule
    tensors = dict(zip((*node.op.inputs, *node.op.results), (*node.inputs, *node.outputs, *node.saved), strict=True))
    operand = forward.value(step.input)
    results = [Value(operand.shape, operand.dtype, f"d({operand.name})")]
    saved = {name: like for name, of in rule.saves.items() if (like := tensors[of]) is not None}
    results += [Value(like.shape, operand.dtype, f"d({operand.name}).{name}") for name, like in saved.items()]
    operands = []
    for name in rule.operands:
        known = None if name in gradients else tensors[name]
        operands.append(gradients.get(name) if known is None else forward.value(known))
    task = Task(rule, node.op, results, operands, rule_keywords(node, rule), "backward", tuple(saved))
    graph.tasks.append(task)
    return task


def _sum(graph: Graph, first: Value, second: Value) -> Value:
    total = Value(first.shape, first.dtype, first.name)
    graph.tasks.append(Task(OPS["add"].forward, OPS["add"], [total], [first, second], {}, "backward"))
    return total
