"""Fusion: fewer passes over memory, by joining tasks whose kernels can do another task's work in the same pass.

1. A monotone activation is swapped with the max pooling after it.
2. A sum of two gradients becomes accumulation by the task that computes the second.
3. Normalization with fixed statistics, an affine map of each channel of a product, is applied to its weight and bias.
4. Pointwise tasks, up to two in a row, join the product or normalization that feeds them: an activation whose
   gradient needs only its own output, the sum with a skip, the gradient of an activation.
5. A bias gradient joins its weight gradient, which reads the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from chainrule.autodiff.tensor import wrap
from chainrule.engine.graph import Graph, Joined, Task, Value
from chainrule.native.kernel import STEPS
from chainrule.ops.record import OPS, Rule

COMMUTATIVE = frozenset({"add", "multiply"})


def fuse(graph: Graph) -> None:
    """Join tasks of the graph in place; the values that remain are computed in the same order."""
    _choose_first(graph)
    _join_sums_of_gradients(graph)
    _fold_into_weights(graph)
    _join_pointwise(graph)
    _join_bias_gradients(graph)


def _uses(graph: Graph) -> Counter[Value]:
    """How often each value is read; results of the whole step count as one more read."""
    uses = Counter(v for task in graph.tasks for v in task.reads())
    uses.update(graph.results())
    return uses


def _makers(graph: Graph) -> dict[Value, Task]:
    return {v: task for task in graph.tasks for v in task.outputs}


def _order(graph: Graph) -> dict[Task, int]:
    return {task: number for number, task in enumerate(graph.tasks)}


def _choose_first(graph: Graph) -> None:
    """max f(x) = f(max x), see `chainrule.ops.record.op`: f runs on the result, and f(x) need not be kept."""
    for choice in [t for t in graph.tasks if t.op.selects_largest and t.rule is t.op.forward]:
        makers = _makers(graph)
        function = makers.get(choice.operands[0]) if choice.operands[0] else None
        if function is None or not function.op.monotone or function.rule is not function.op.forward:
            continue
        (every,), chosen = function.outputs, choice.outputs[0]
        _, *back = _readers(graph, every)
        if every in graph.results() or [t.rule for t in back] not in ([], [*function.op.gradients.values()]):
            continue
        giving = makers.get(back[0].operands[0]) if back and back[0].operands[0] else None
        if back and (giving is None or giving.op is not choice.op or len(_readers(graph, giving.outputs[0])) > 1):
            continue
        name = chosen.name
        _rename(graph, {name: every.name, f"d({name})": f"d({every.name})"})
        between = Value(chosen.shape, chosen.dtype, name)
        choice.operands[0], function.operands[0] = function.operands[0], between
        choice.outputs[0], function.outputs = between, [chosen]
        _move(graph, function, graph.tasks.index(choice))
        if giving:
            flow = Value(chosen.shape, chosen.dtype, f"d({name})")
            back[0].operands, giving.operands[0] = [giving.operands[0], chosen], flow
            back[0].outputs, giving.outputs = [flow], back[0].outputs
            _move(graph, back[0], graph.tasks.index(giving))


def _rename(graph: Graph, names: Mapping[str, str]) -> None:
    for value in (value for task in graph.tasks for value in task.outputs):
        value.name = names.get(value.name, value.name)


def _readers(graph: Graph, value: Value) -> list[Task]:
    return [task for task in graph.tasks if value in task.reads()]


def _move(graph: Graph, task: Task, at: int) -> None:
    """Move a task to position `at`."""
    graph.tasks.remove(task)
    graph.tasks.insert(at, task)


def _fold_into_weights(graph: Graph) -> None:
    """f(x·w + b) = x·f°(w) + f(b), see `chainrule.ops.record.op`, if the weight is not larger than the product.

    The product moves to where f was, because f's operands may be known only there.
    """
    uses, makers = _uses(graph), _makers(graph)
    for task in [t for t in graph.tasks if t.op.offsets and t.rule is t.op.forward]:
        y = task.operands[0]
        if y is None or uses[y] != 1 or y not in makers or not _is_product(makers[y], task.phase):
            continue
        product = makers[y]
        given = dict(zip(product.op.inputs, product.operands, strict=True))
        weight, bias = (given[name] for name in product.op.weights)
        if weight is None or weight.size > y.size:
            continue
        zeros = Value(y.shape[-1:], y.dtype, "bias", "constant", wrap(np.zeros(y.shape[-1:], y.dtype)))
        both = [_applied(task, weight, dict.fromkeys(task.op.offsets, zeros)), _applied(task, bias or zeros, {})]
        given |= {name: made.outputs[0] for name, made in zip(product.op.weights, both, strict=True)}
        product.operands, product.outputs = list(given.values()), task.outputs
        makers[task.outputs[0]] = product
        graph.tasks.remove(product)
        at = graph.tasks.index(task)
        graph.tasks[at : at + 1] = [*both, product]


def _is_product(task: Task, phase: str) -> bool:
    return bool(task.op.weights) and task.rule is task.op.forward and task.phase == phase


def _applied(task: Task, value: Value, instead: Mapping[str, Value]) -> Task:
    """The same task on `value`, with operands replaced as in `instead`."""
    others = zip(task.op.inputs[1:], task.operands[1:], strict=True)
    operands = [value, *(instead.get(name, operand) for name, operand in others)]
    result = Value(value.shape, value.dtype, f"{value.name}'")
    return Task(task.rule, task.op, [result], operands, task.attributes, task.phase)


def _join_pointwise(graph: Graph) -> None:
    uses, makers, order = _uses(graph), _makers(graph), _order(graph)
    for task in list(graph.tasks):
        if not _is_pointwise(task.rule, task):
            continue
        for first, other in _orders(task):
            if first is None or first not in makers or uses[first] != 1:
                continue
            maker = makers[first]
            if first is not maker.outputs[0] or not _takes(maker, task.phase):
                continue
            if other is not None and not _known_before(other, maker, makers, order):
                continue
            numbers = tuple(float(task.attributes[a]) for a in task.rule.attributes)
            maker.joined.append(Joined(task.rule, numbers, other))
            maker.outputs[0] = task.outputs[0]
            makers[task.outputs[0]] = maker
            graph.tasks.remove(task)
            break


def _is_pointwise(rule: Rule, task: Task) -> bool:
    return task.op.pointwise and rule.scalar is not None and len(rule.attributes) <= 2 and 1 <= len(task.operands) <= 2


def _orders(task: Task) -> list[tuple[Value | None, Value | None]]:
    """The operands of a pointwise task as (the one it may be joined to, the other)."""
    first, other = (*task.operands, None)[:2]
    return [(first, other), (other, first)] if task.rule.name in COMMUTATIVE else [(first, other)]


def _takes(maker: Task, phase: str) -> bool:
    """Whether `maker` can run a pointwise task of `phase` on its y."""
    if not maker.rule.takes("epilogue") or len(maker.joined) == STEPS:
        return False
    return phase != "update" or maker.phase == "update"  # otherwise it is deferred or skipped


def _known_before(value: Value, task: Task, makers: Mapping[Value, Task], order: Mapping[Task, int]) -> bool:
    """Whether `value` is known when `task` runs: no later task computes it."""
    return value not in makers or order[makers[value]] < order[task]


def _join_sums_of_gradients(graph: Graph) -> None:
    uses, makers, order = _uses(graph), _makers(graph), _order(graph)
    for task in list(graph.tasks):
        if task.rule is not OPS["add"].forward or task.phase != "backward":
            continue
        first, second = task.operands
        if first is None or second is None or second not in makers:
            continue
        maker = makers[second]
        if not maker.rule.takes("add") or maker.adds_to:
            continue
        if uses[first] != 1 or uses[second] != 1 or not _known_before(first, maker, makers, order):
            continue
        maker.adds_to = first
        maker.outputs = task.outputs
        makers[task.outputs[0]] = maker
        graph.tasks.remove(task)


def _join_bias_gradients(graph: Graph) -> None:
    for weight, bias in _pairs(graph):
        if weight.adds_to is None:
            weight.sums, weight.sums_rule = bias.outputs[0], bias.rule
            graph.tasks.remove(bias)


def _pairs(graph: Graph) -> Iterator[tuple[Task, Task]]:
    """Weight and bias gradients of the same layer: neighbors that read the same dy."""
    for first, second in list(zip(graph.tasks, graph.tasks[1:], strict=False)):
        same_layer = first.rule.takes("sums") and second.op is first.op and second.rule.operands == ("dy",)
        if same_layer and first.operands[0] is second.operands[0] and second.adds_to is None:
            yield first, second
