"""From tasks to kernel calls on views: the memory of values, and what can be computed in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.autodiff.tensor import Tensor
from chainrule.engine.graph import Graph, Task, Value
from chainrule.engine.memory import allocate_storage
from chainrule.engine.operands import Naming, Operands
from chainrule.errors import TraceError
from chainrule.kernels.pointwise import copy, pointwise_call
from chainrule.native.kernel import Call, Step
from chainrule.native.memory import Array, Storage, View


class Constant:
    """A tensor the model holds but does not train, and the program's copy of it."""

    def __init__(self, source: Tensor, array: Array) -> None:
        self.source, self.array = source, array

    def refresh(self) -> None:
        """Copy the tensor's current values: a frozen weight may have been reloaded."""
        self.array[...] = self.source.data


class Lowering:
    """Lowers the tasks of a graph in order; `homes` are the views of values with predetermined memory.

    `calls` collects the kernel calls, `sources` the task each belongs to, `operands` what is printed of its arrays.
    """

    def __init__(self, graph: Graph, dtype: np.dtype[Any], homes: Mapping[Value, View], state: View) -> None:
        self.graph, self.dtype, self.state = graph, dtype, state
        self.homes = {**homes, **_written_in_place(graph, homes)}
        self.naming = Naming()
        self.views = self.naming.views
        self.sharing: dict[Storage, list[Value]] = {}  # the values in each storage
        for value, view in self.homes.items():
            self._put(value, view)
        self.constants: list[Constant] = []
        self.calls: list[Call] = []
        self.sources: list[Task] = []
        self.operands: list[Operands] = []
        self.last_read = {v: i for i, task in enumerate(graph.tasks) for v in task.reads()}
        self.last_read |= dict.fromkeys(graph.results(), len(graph.tasks))
        for i, task in enumerate(graph.tasks):
            self._lower(i, task)
        self.assignments = self._assign()

    def view(self, value: Value) -> View:
        """The memory of a value; constants get memory on first use."""
        if value not in self.views:
            if value.source is None:
                raise TraceError(f"value {value.name} is read before it is computed")
            dtype = self._stored(value)
            buffer = allocate_storage(value.size, dtype, "constant", value.name)
            self.constants.append(Constant(value.source, self._put(value, View(buffer, value.shape)).numpy()))
            self.constants[-1].refresh()
        return self.views[value]

    def _stored(self, value: Value) -> np.dtype[Any]:
        """The dtype of a value in memory: whole numbers of any size are int64, which kernels read."""
        return np.dtype(np.int64) if value.dtype.kind in "iu" else self.dtype

    def _lower(self, number: int, task: Task) -> None:
        operands = [None if v is None else self.view(v) for v in task.operands]
        if task.rule.lowering is not None:
            self._lower_with_kernels(number, task, operands)
        elif task.rule.scalar is not None:
            self._lower_pointwise(number, task, [v for v in operands if v is not None])
        else:
            raise TraceError(f'rule {task.rule.name} has no compiled form: use engine="reference"')

    def _lower_pointwise(self, number: int, task: Task, operands: list[View]) -> None:
        output = task.outputs[0]
        in_place = self.homes.get(output) is operands[0]  # a new value of a buffer
        if output not in self.homes and self._may_overwrite(number, task.operands[0]):
            self._put(output, operands[0])
            in_place = True
        y = self._place(output)
        numbers = tuple(float(task.attributes[a]) for a in task.rule.attributes)
        flops = task.op.flops if isinstance(task.op.flops, (int, float)) else 1.0
        self._emit(task, pointwise_call(task.rule.span(in_place), y, operands, numbers, flops))

    def _lower_with_kernels(self, number: int, task: Task, operands: list[View | None]) -> None:
        rule = task.rule
        assert rule.lowering is not None
        if task.adds_to is not None:
            self._start_sum(number, task, task.adds_to)
        extra: dict[str, Any] = {n: task.attributes[n] for n in rule.attributes if rule.takes(n)}
        offered = {"scratch": self._scratch, "state": self.state}
        extra |= {n: v for n, v in offered.items() if rule.takes(n)}
        if task.joined:
            extra["epilogue"] = tuple(
                Step(j.rule.span(True), None if j.other is None else self.view(j.other), j.numbers) for j in task.joined
            )
        if task.adds_to is not None:
            extra["add"] = True
        if task.sums is not None:
            extra["sums"] = self._place(task.sums)
        self._overwrite(number, task)
        outputs: list[View | None] = [self._place(value) for value in task.outputs]
        if rule.saves:
            saved = dict(zip(task.saved, outputs[1:], strict=True))
            outputs[1:] = map(saved.get, rule.saves)
        result = rule.lowering(*outputs, *operands, **extra)
        if isinstance(result, View):
            self._alias(task, result)
        else:
            self._emit(task, list(result))

    def _overwrite(self, number: int, task: Task) -> None:
        """Give results the memory of operands where the rule allows it and nothing else reads them."""
        for place, name in task.rule.overwrites.items():
            result, operand = task.outputs[place], task.operands[task.rule.operands.index(name)]
            if operand and result not in self.views and result.size == operand.size:
                view = self.view(operand)
                if self._may_overwrite(number, operand):
                    self._put(result, View(view.storage, result.shape, view.offset))

    def _start_sum(self, number: int, task: Task, start: Value) -> None:
        """The task adds to `start`: in place if nothing else reads it, otherwise to a copy."""
        output = task.outputs[0]
        if output not in self.homes and self._may_overwrite(number, start):
            self._put(output, self.view(start))
        else:
            self._emit(task, copy(self._place(output), self.view(start)))

    def _may_overwrite(self, number: int, value: Value | None) -> bool:
        """Whether `value` has a whole arena buffer, which nothing else reads from task `number` on."""
        view = self.views.get(value) if value is not None else None
        if view is None or view.storage.kind != "arena" or view.dtype != self.dtype or view.storage.size != view.size:
            return False
        sharing = self.sharing[view.storage]
        reads = [v for v in self.graph.tasks[number].reads() if v in sharing]
        return reads == [value] and all(self.last_read.get(v, -1) <= number for v in sharing)

    def _place(self, value: Value) -> View:
        if value not in self.views:
            dtype = self._stored(value)
            self._put(value, View(Storage(value.size, dtype, "arena", value.name), value.shape))
        return self.views[value]

    def _put(self, value: Value, view: View) -> View:
        """Record the memory of a value."""
        self.views[value] = view
        self.sharing.setdefault(view.storage, []).append(value)
        return view

    def _alias(self, task: Task, view: View) -> None:
        """The output is the operand's memory with another shape; copied if the output has its own memory."""
        output = task.outputs[0]
        if output in self.homes:
            self._emit(task, copy(self.homes[output], view))
        else:
            viewed = self.sharing[view.storage][-1]
            self.naming.origins[output] = self.naming.origins.get(viewed, viewed)
            self._put(output, View(view.storage, output.shape, view.offset))

    def _assign(self) -> list[tuple[Call, Operands]]:
        """What remains for buffers after all tasks: values not computed in place are copied, those in the memory of
        other buffers through temporary memory.
        """
        moves = [(self.homes[b], self.view(v), self.naming.text(v)) for b, v in self.graph.assigned.items()]
        moves = [move for move in moves if move[0] is not move[1]]
        first: list[tuple[Call, Operands]] = []
        for i, (to, source, text) in enumerate(moves):
            if source.storage.kind == "buffer":
                aside = self._scratch(source.size)
                moved = Operands((text,), Operands.of([aside]).reads)
                first += [(call, moved) for call in copy(aside, source)]
                moves[i] = to, aside, moved.writes[0]
        return first + [
            (call, Operands((text,), Operands.of([to]).reads))
            for to, source, text in moves
            for call in copy(to, source)
        ]

    def _scratch(self, size: int) -> View:
        return View(Storage(size, self.dtype, "arena", "scratch"), (size,))

    def _emit(self, task: Task, calls: list[Call]) -> None:
        self.calls += calls
        self.sources += [task] * len(calls)
        self.operands += self.naming.operands(task, calls)


def _written_in_place(graph: Graph, homes: Mapping[Value, View]) -> dict[Value, View]:
    """The memory for new values of buffers: the buffers' own if pointwise tasks of the update compute them all and
    nothing can read an old value later, not even through a view.
    """
    makers = {v: i for i, task in enumerate(graph.tasks) for v in task.outputs if task.phase == "update"}
    pointwise = [task.rule.lowering is None for task in graph.tasks]
    if not all(value in makers and pointwise[makers[value]] for value in graph.assigned.values()):
        return {}
    readers: dict[Value, list[int]] = {buffer: [] for buffer in graph.assigned}
    for i, task in enumerate(graph.tasks):
        for value in task.reads():
            if value in readers:
                readers[value].append(i)
    return {
        value: homes[buffer]
        for buffer, value in graph.assigned.items()
        if all(pointwise[i] and i <= makers[value] for i in readers[buffer])
    }
