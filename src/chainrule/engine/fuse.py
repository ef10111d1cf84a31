"""Fusion: fewer passes over memory, by joining tasks whose kernels can do another's work on the way.

1. An activation joins the product that feeds it, when its gradient needs only its own output.
2. An activation's gradient joins the product that computes the incoming gradient.
3. A sum of two gradients becomes accumulation by the product that computes the second.
4. A bias gradient joins its weight gradient, which reads the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from chainrule.engine.graph import Graph, Task, Value
from chainrule.ops.record import OPS, Rule


def fuse(graph: Graph) -> None:
    """Join tasks of the graph in place; the values that remain are computed in the same order."""
    _join_epilogues(graph)
    _join_sums_of_gradients(graph)
    _join_bias_gradients(graph)


def _uses(graph: Graph) -> Counter[Value]:
    """How often each value is read; results of the whole step count as read once more."""
    uses = Counter(v for task in graph.tasks for v in task.reads())
    uses.update(v for v in (graph.output, graph.loss, *graph.gradients.values()) if v is not None)
    return uses


def _makers(graph: Graph) -> dict[Value, Task]:
    return {v: task for task in graph.tasks for v in task.outputs}


def _join_epilogues(graph: Graph) -> None:
    uses, makers = _uses(graph), _makers(graph)
    for task in list(graph.tasks):
        if not _is_pointwise(task.rule, task):
            continue
        first, *rest = task.operands
        if first is None or first not in makers:
            continue
        maker = makers[first]
        if not maker.rule.asks("epilogue") or maker.epilogue or uses[first] != 1 or len(rest) > 1:
            continue
        if len(maker.outputs) != 1 or (rest and not _known_before(graph, rest[0], maker)):
            continue
        maker.epilogue = task.rule
        maker.numbers = tuple(float(task.attributes[a]) for a in task.rule.attributes)
        maker.other = rest[0] if rest else None
        maker.outputs = task.outputs
        makers[task.outputs[0]] = maker
        graph.tasks.remove(task)


def _is_pointwise(rule: Rule, task: Task) -> bool:
    return task.op.pointwise and rule.scalar is not None and len(rule.attributes) <= 2 and bool(task.operands)


def _known_before(graph: Graph, value: Value | None, task: Task) -> bool:
    """Whether `value` is known when `task` runs: no later task computes it."""
    later = graph.tasks[graph.tasks.index(task) :]
    return all(value is not written for t in later for written in t.writes())


def _join_sums_of_gradients(graph: Graph) -> None:
    uses, makers = _uses(graph), _makers(graph)
    for task in list(graph.tasks):
        if task.rule is not OPS["add"].forward or task.phase != "backward":
            continue
        first, second = task.operands
        if first is None or second is None or second not in makers:
            continue
        maker = makers[second]
        if not maker.rule.asks("add") or maker.epilogue or maker.adds_to:
            continue
        if uses[first] != 1 or uses[second] != 1 or not _known_before(graph, first, maker):
            continue
        maker.adds_to = first
        maker.outputs = task.outputs
        makers[task.outputs[0]] = maker
        graph.tasks.remove(task)


def _join_bias_gradients(graph: Graph) -> None:
    for weight, bias in _pairs(graph):
        if weight.adds_to is None:
            weight.sums = bias.outputs[0]
            graph.tasks.remove(bias)


def _pairs(graph: Graph) -> Iterator[tuple[Task, Task]]:
    """Weight and bias gradients of the same layer: neighbours that read the same dy."""
    for first, second in list(zip(graph.tasks, graph.tasks[1:], strict=False)):
        same_layer = first.rule.asks("sums") and second.op is first.op and second.rule.operands == ("dy",)
        if same_layer and first.operands[0] is second.operands[0] and second.adds_to is None:
            yield first, second
