"""Backpropagation: which gradients are needed, in which order, and their sum if a tensor was used several times.

For y = f(x) inside a larger computation with result E, the chain rule gives dE/dx = Σ over uses of x of
(dE/dy)·(dy/dx). A walk over the ops in reverse order meets every use of y before the op that made it, so dE/dy is
complete when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import numpy as np

from chainrule.autodiff.tape import Node, Origin
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.errors import GraphError, ShapeError
from chainrule.native.memory import Array
from chainrule.ops.record import Rule

G = TypeVar("G")  # what stands for a gradient: an array, or a value of a program


class Step(NamedTuple):
    """One gradient to compute: that of `node.outputs` for `node.inputs[position]`, by `rule`.

    If not `wanted`, it is only computed because a later rule of the same node needs it.
    """

    node: Node
    position: int
    rule: Rule
    wanted: bool = True

    @property
    def gradient(self) -> str:
        """The name of the result for other rules of the node: "dw" for input w."""
        return f"d{self.node.op.inputs[self.position]}"

    @property
    def input(self) -> Tensor:
        tensor = self.node.inputs[self.position]
        assert tensor is not None
        return tensor


def backward_plan(nodes: Sequence[Node], loss: Tensor, wanted: Iterable[Tensor]) -> list[Step]:
    """The gradients to compute, in order, to have those of `loss` for the `wanted` tensors.

    `nodes` are in the order of the forward pass. Gradients of one tensor must be summed in that order. Raises
    GraphError if one must pass through an input for which its op has no gradient.
    """
    needs = {id(tensor) for tensor in wanted}
    for node in nodes:
        if node.output.requires_grad and any(id(tensor) in needs for tensor in node.inputs):
            needs.update(map(id, node.known))
    reached = {id(loss)}
    plan = []
    for node in reversed(nodes):
        if not any(id(output) in reached for output in node.known):
            continue
        positions = [index for index, tensor in enumerate(node.inputs) if id(tensor) in needs]
        plan += _steps(node, positions)
        reached.update(id(node.inputs[index]) for index in positions)
    return plan


def _steps(node: Node, wanted: list[int]) -> list[Step]:
    """The gradients of one node to compute, in order, to have those of the `wanted` inputs. Raises GraphError."""
    op = node.op
    for name in (op.inputs[index] for index in wanted):
        if name not in op.gradients:
            raise GraphError(f"backward: op {op.name} has no gradient for {name}: pass it detached, as in x.detach()")
    order = map(op.inputs.index, op.gradients_for(op.inputs[index] for index in wanted))
    return [Step(node, index, op.gradients[op.inputs[index]], index in wanted) for index in order]


def gradients_of(node: Node, totals: Mapping[int, G]) -> dict[str, G | None]:
    """The gradient of each output of a node, by name, from `totals` by id; None where nothing depends on it."""
    pairs = zip(node.op.outputs, node.outputs, strict=True)
    return {f"d{name}": None if tensor is None else totals.get(id(tensor)) for name, tensor in pairs}


def rule_keywords(node: Node, rule: Rule) -> dict[str, Any]:
    """The keyword arguments of a gradient rule: attributes of the op, and shapes of inputs (`x_shape`)."""
    shapes = {f"{name}_shape": t.shape for name, t in zip(node.op.inputs, node.inputs, strict=False) if t is not None}
    return {name: node.attributes[name] if name in node.attributes else shapes[name] for name in rule.attributes}


def backpropagate(loss: Tensor, gradient: Any = None, retain_graph: bool = False) -> None:
    """Add to `.grad` of every leaf behind `loss` its gradient; `gradient` is what flows into `loss`, 1 by default."""
    nodes = history(loss)
    candidates = [loss, *(tensor for node in nodes for tensor in (*node.inputs, *node.outputs) if tensor is not None)]
    keepers = {id(t): t for t in candidates if t.requires_grad and (t.is_leaf or t.retains)}.values()
    for tensor, total in zip(keepers, gradients(loss, keepers, gradient, retain_graph), strict=True):
        if total is None:
            continue
        if tensor.grad is None:
            tensor.grad = np.array(total)  # a copy: rules may return views of one another's arrays
        else:
            tensor.grad += total


def gradients(
    loss: Tensor, wanted: Iterable[Tensor], gradient: Any = None, retain_graph: bool = False
) -> list[Array | None]:
    """The gradient of `loss` for each wanted tensor, None where it does not depend on it; `.grad` stays as it is."""
    if not loss.requires_grad:
        raise GraphError(
            "backward: this tensor does not depend on any that requires gradients: "
            "give the inputs requires_grad=True, and compute outside no_grad()"
        )
    wanted, nodes = list(wanted), history(loss)
    for node in nodes:
        origin_of(node).check()  # all before any gradient is used, so that an error changes nothing
    totals = {id(loss): _seed(loss, gradient)}
    kept = {id(tensor) for tensor in wanted}
    for node, steps in groupby(backward_plan(nodes, loss, wanted), key=lambda step: step.node):
        known = gradients_of(node, totals)
        for output in map(id, node.known):
            if output not in kept:
                totals.pop(output, None)
        for step in steps:
            (dx, *saved), key = differentiate(step, known), id(step.input)
            known |= {step.gradient: dx, **dict(zip(step.rule.saves, saved, strict=True))}
            if step.wanted:
                totals[key] = totals[key] + dx if key in totals else dx
    if not retain_graph:
        for node in nodes:
            origin_of(node).free()
    return [totals.get(id(tensor)) for tensor in wanted]


def history(loss: Tensor) -> list[Node]:
    """The ops behind an eager tensor, in order of execution. Raises GraphError if they were freed."""
    made: dict[Origin, list[Tensor | None]] = {}  # the outputs of each op that were met
    waiting = [loss]
    while waiting:  # not recursive: a graph may be deeper than Python's stack
        tensor = waiting.pop()
        origin = tensor.origin
        if origin is None:
            continue
        if origin not in made:
            origin.arrays()
            made[origin] = [None] * len(origin.op.outputs)
            waiting.extend(t for t in origin.inputs if t is not None and t.requires_grad)
        made[origin][tensor.position] = tensor
    nodes = [Node(of.op, of.inputs, of.attributes, tuple(outputs)) for of, outputs in made.items()]
    return sorted(nodes, key=lambda node: origin_of(node).number)


def origin_of(node: Node) -> Origin:
    """The record of an eager op."""
    assert node.output.origin is not None, "a traced op has no values"
    return node.output.origin


def differentiate(step: Step, known: Mapping[str, Array | None]) -> tuple[Array, ...]:
    """The gradient of an eager op for one of its inputs, given those for its outputs and others its rule needs; then
    what the rule saves for others.
    """
    node, rule = step.node, step.rule
    values = {**known, **origin_of(node).arrays()}
    with np.errstate(all="ignore"):
        answer = rule.definition(*(values.get(name) for name in rule.operands), **rule_keywords(node, rule))
    dx, *saved = rule.unpack(answer)
    dx = np.asarray(dx)
    if dx.shape != step.input.shape:
        raise ShapeError(f"gradient {rule.name} has shape {dx.shape}, its input {step.input.shape}: fix the rule")
    return dx.astype(step.input.dtype, copy=False), *saved


def _seed(loss: Tensor, gradient: Any) -> Array:
    if gradient is None:
        if loss.size != 1:
            raise ShapeError(
                f"backward: the result has shape {loss.shape}, gradients flow from one number: "
                f"call .sum() or .mean() first, or pass gradient= with shape {loss.shape}"
            )
        return np.ones(loss.shape, loss.dtype)
    array = as_array(gradient)
    if array.shape != loss.shape:
        raise ShapeError(f"backward: gradient has shape {array.shape}, expected that of the result, {loss.shape}")
    return array.astype(loss.dtype, copy=False)
