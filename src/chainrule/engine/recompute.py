"""Recomputation: values of the forward pass are computed again in the backward pass instead of being kept.

Backpropagation reads values of the forward pass long after they were computed, and they make up most of a step's
memory. Recomputing such a value from others that are kept, just before its first use, frees its memory in between; the
results are bit-for-bit the same. Cheap values go first (activations, normalization, pooling: a pass over memory). If
that is not enough, values are kept at intervals only, and the segments between them are recomputed one at a time.

Source: T. Chen, B. Xu, C. Zhang and C. Guestrin, "Training deep nets with sublinear memory cost" (2016), section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from chainrule.engine.graph import Graph, Task, Value

CHEAP = 4.0  # operations per byte: below this, recomputing a value costs about one pass over memory
SHORT = 4  # tasks: a longer chain would keep all of its values in memory
SMALL = 1 / 256  # of all kept bytes: values below this fraction are not worth a task


@dataclass(frozen=True)
class Choice:
    """The recomputed values, and the peak bytes of memory of a step with them."""

    values: tuple[Value, ...]
    peak: int


def kept(graph: Graph) -> list[Value]:
    """Results of the forward pass that the backward pass reads, in order, without those too small to matter."""
    read_later = {v for task in graph.tasks if task.phase == "backward" for v in task.reads()}
    results = set(graph.results())
    found = [v for t in graph.tasks if t.phase == "forward" for v in t.outputs if v in read_later and v not in results]
    least = SMALL * sum(v.bytes for v in found)
    return [v for v in found if v.bytes >= least]


def choose(graph: Graph, limit: int, peak: Callable[[Graph], int]) -> Choice:
    """The fewest values to recompute so that `peak(graph)` is at most `limit`, cheap ones first.

    Returns the smallest peak found if none is within the limit.
    """
    best = Choice((), peak(graph))
    for values in _levels(graph):
        if best.peak <= limit:
            break
        level = Choice(tuple(values), peak(recomputing(graph, values)))
        if level.peak <= limit:
            return _shortest(graph, level, limit, peak)
        best = min(best, level, key=lambda choice: choice.peak)
    return best


def _levels(graph: Graph) -> Iterator[list[Value]]:
    """Sets of values to recompute: those that a few cheap tasks produce, then all but every n-th."""
    values = kept(graph)
    cheap: list[Value] = []
    for value in values:
        tasks = _Copies(graph, [*cheap, value]).needed([value])
        if len(tasks) <= SHORT and all(_operations(t) < CHEAP * sum(v.bytes for v in t.outputs) for t in tasks):
            cheap.append(value)
    yield cheap
    period = 2
    while period <= len(values):
        yield [v for i, v in enumerate(values) if i % period != period - 1]
        period += max(1, period // 2)


def _shortest(graph: Graph, level: Choice, limit: int, peak: Callable[[Graph], int]) -> Choice:
    """The fewest leading values of a level that suffice, by bisection."""
    best, low, high = level, 0, len(level.values)
    while high - low > 1:
        middle = (low + high) // 2
        choice = Choice(level.values[:middle], peak(recomputing(graph, level.values[:middle])))
        if choice.peak <= limit:
            best, high = choice, middle
        else:
            low = middle
    return best


def _operations(task: Task) -> float:
    """Floating-point operations of a task."""
    if callable(task.op.flops):
        return task.op.flops(*(None if v is None else v.shape for v in task.operands))
    return task.op.flops * sum(v.size for v in task.outputs)


def recomputing(graph: Graph, values: Sequence[Value]) -> Graph:
    """The graph with each of `values` recomputed just before the first backward task that reads it."""
    copies = _Copies(graph, values)
    tasks: list[Task] = []
    for task in graph.tasks:
        if task.phase == "backward":
            tasks += [copies.make(maker) for maker in copies.needed([v for v in task.reads() if v in copies.again])]
            tasks.append(copies.reading(task))
        else:
            tasks.append(task)
    return replace(graph, tasks=tasks)


class _Copies:
    """What has been recomputed so far, and what that requires."""

    def __init__(self, graph: Graph, values: Sequence[Value]) -> None:
        self.again = set(values)
        self.known: dict[Value, Value] = {}
        read_later = {v for task in graph.tasks if task.phase == "backward" for v in task.reads()}
        self._kept = read_later - self.again
        forward = [task for task in graph.tasks if task.phase == "forward"]
        self._makers = {v: (number, task) for number, task in enumerate(forward) for v in task.outputs}

    def needed(self, values: list[Value]) -> list[Task]:
        """The tasks to run again for `values`, in order: the tasks that compute them, and those that compute their
        unkept inputs.
        """
        found: dict[int, Task] = {}
        wanted = list(values)
        while wanted:
            value = wanted.pop()
            if value in self.known or value in self._kept or value not in self._makers:
                continue
            number, maker = self._makers[value]
            if number not in found:
                found[number] = maker
                wanted += maker.reads()
        return [found[number] for number in sorted(found)]

    def make(self, task: Task) -> Task:
        """A forward task to run in the backward pass, with new outputs; kept values are read directly."""
        outputs = [replace(v, name=f"{v.name}*") for v in task.outputs]
        copy = replace(self.reading(task), outputs=outputs, phase="backward", again=True)
        self.known.update({v: new for v, new in zip(task.outputs, outputs, strict=True) if v not in self._kept})
        return copy

    def reading(self, task: Task) -> Task:
        """The task, reading copies if there are any."""
        operands = [None if v is None else self.known.get(v, v) for v in task.operands]
        joined = [replace(j, other=j.other and self.known.get(j.other, j.other)) for j in task.joined]
        return replace(task, operands=operands, joined=joined)
