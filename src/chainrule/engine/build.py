"""From a traced step to a program: batch, forward, loss, backward, update, and the slots for its data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from chainrule.autodiff.tape import tracing
from chainrule.autodiff.tensor import Layout, Parameter, symbol, wrap
from chainrule.engine.blocks import Blocks
from chainrule.engine.buffers import Buffers
from chainrule.engine.checks import Whole, check_loss, check_pairs, check_reached, check_weighted
from chainrule.engine.fuse import fuse
from chainrule.engine.graph import Forward, Graph, Value, backward
from chainrule.engine.instruction import Instruction, Slot
from chainrule.engine.lower import Constant, Lowering
from chainrule.engine.memory import allocate_storage, lifetimes, place
from chainrule.engine.operands import Operands
from chainrule.engine.program import Program
from chainrule.engine.recompute import choose, recomputing
from chainrule.engine.setup import Setup
from chainrule.errors import OptionError, ShapeError
from chainrule.kernels import bookkeeping as book
from chainrule.kernels.augmentation import Augment, formula, gathering
from chainrule.kernels.sampling import SAMPLING, sample
from chainrule.kernels.updates import CHECK_TILE, TILE
from chainrule.native.kernel import Call, Kernel, blocks
from chainrule.native.memory import Array, Shape, Storage, View
from chainrule.native.objects import tell

Kind: TypeAlias = Literal["train", "gradients", "predict", "stream", "generate"]
RESULTS = {  # of each kind: the kernel that writes them, and its argument
    "train": (book.record, "losses"),
    "gradients": (book.record, "losses"),
    "predict": (book.deliver, "target"),
    "stream": (book.deliver, "target"),
    "generate": (sample, "tokens"),
}
WEIGHTS = "row weight"  # the role of the weights of rows
SAMPLES, ROWS, STEPS = "samples", "rows", "steps"


@dataclass(frozen=True)
class Blueprint:
    """The purpose of a program, and what it shares with the other programs of its engine."""

    kind: Kind
    batch: int
    shapes: Mapping[str, Shape]  # of what a step gathers, by role
    dtypes: Mapping[str, np.dtype[Any]]
    groups: Mapping[str, str]  # which indices each role is gathered by: those of SAMPLES, ROWS or STEPS
    augment: Augment | None
    setup: Setup
    blocks: Blocks
    buffers: Buffers
    state: View
    arena: Storage
    workers: int


class BoundProgram:
    """A program with the slots for the data of each run."""

    def __init__(
        self,
        key: tuple[Any, ...],
        program: Program,
        gathers: dict[str, Kernel],
        groups: Mapping[str, str],
        output: Value,
        by_row: bool,
        result: Any,
        frozen: list[Constant],
        taken: list[Whole],
    ) -> None:
        self.program, self.output, self.frozen, self.taken = program, output, frozen, taken
        self.by_row = by_row  # whether the output has a row for each step of sequences of different lengths
        self.room = 0  # rows for sequences of different lengths
        kind, self.batch, data = key
        self.alike = kind, data  # the same for programs that differ only in their batch
        self.in_order = np.arange(self.batch, dtype=np.int64)[None]  # indices of data that are one batch
        self.sources: dict[str, Slot] = {}
        slots: dict[str, list[Slot]] = {group: [] for group in (SAMPLES, ROWS, STEPS)}
        counts: Counter[Kernel] = Counter()
        for role, kernel in gathers.items():
            self.sources[role] = program.slot(kernel, "source", counts[kernel])
            slots[groups[role]].append(program.slot(kernel, "indices", counts[kernel]))
            counts[kernel] += 1
        self.indices = {group: Together(found) for group, found in slots.items()}
        self.coefficients = program.slot(book.begin, "coefficients")
        self.results = program.slot(*result)

    def release(self) -> None:
        """Let go of the data that the last run gathered."""
        for slot in (*self.sources.values(), *(slot for group in self.indices.values() for slot in group.slots)):
            slot.array = None  # the next run points it at other data


class Together:
    """Slots that always refer to the same array."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots

    def point_at(self, array: Array) -> None:
        for slot in self.slots:
            slot.point_at(array)


class Builder:
    """Traces one step and assembles its program: batch, forward, loss, backward, update."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.blueprint, self.kind, self.batch = blueprint, blueprint.kind, blueprint.batch
        self.setup, self.blocks, self.state = blueprint.setup, blueprint.blocks, blueprint.state
        self.dtype = self.blocks.dtype
        self.instructions: list[Instruction] = []
        self.gathers: dict[str, Kernel] = {}  # the kernel that gathers each input
        self.with_loss = self.kind in ("train", "gradients")
        self.row = View(allocate_storage(16, np.dtype(np.float64), "state", "coefficients"), (16,))

    def build(self, key: tuple[Any, ...]) -> BoundProgram:
        graph = self._trace()
        fuse(graph)
        homes = {value: self.blocks.parameter(name) for name, value in graph.parameters.items()}
        homes |= {value: self.blocks.gradient(name) for name, value in graph.gradients.items()}
        homes |= {v: View(Storage(v.size, v.dtype, "arena", v.name), v.shape) for v in graph.inputs.values()}
        homes |= {v: self.blueprint.buffers.view(v.source) for v in graph.buffers if v.source is not None}
        again: Sequence[Value] = ()
        if self.setup.memory_limit is not None and self.with_loss:
            again = self._fitting(graph, homes, self.setup.memory_limit)
            graph = recomputing(graph, again)
        self._batch(graph, homes)
        lowering = Lowering(graph, self.dtype, homes, self.state)
        for phase in ("forward", "loss", "backward"):
            self._add_tasks(lowering, phase)
            if phase == "loss" and graph.loss is not None:
                losses = View(Storage(1, np.dtype(np.float64), "data", "losses", np.zeros(1)), (1,))
                call = book.record(
                    1, self.state, lowering.view(graph.loss).reshape(1), losses, stops=self.kind == "train"
                )
                loss = Operands((lowering.naming.text(graph.loss),))
                self._add(call, phase, "record", "losses[step] = L", loss)
        if self.kind == "train":
            self._update(lowering)
        else:
            self._results(lowering)
        workers, arena = self.blueprint.workers, self.blueprint.arena
        program = Program(self.instructions, self.dtype, self.state, workers, self.blocks.bytes, arena)
        program.recomputed = [v.name for v in again]
        frozen = [c for c in lowering.constants if isinstance(c.source, Parameter)]
        taken, groups, result = _taken(graph, lowering), self.blueprint.groups, RESULTS[self.kind]
        return BoundProgram(key, program, self.gathers, groups, graph.output, self.by_row, result, frozen, taken)

    def _fitting(self, graph: Graph, homes: dict[Value, View], limit: int) -> Sequence[Value]:
        """The values to recompute so that a step takes at most `limit` bytes. Raises OptionError if that is
        impossible.
        """

        def peak(graph: Graph) -> int:
            calls = Lowering(graph, self.dtype, homes, self.state).calls
            return self.blocks.bytes + place(lifetimes(calls))

        choice = choose(graph, limit, peak)
        if choice.peak > limit:
            raise OptionError(
                f"memory_limit = {limit:,} bytes: a step on {self.batch} samples needs at least "
                f"{choice.peak:,} bytes ({peak(graph):,} without a limit), {self.blocks.bytes:,} of them for "
                "parameters, gradients and optimizer states: raise the limit or use a smaller batch"
            )
        if choice.values:
            again = f"{len(choice.values)} value{'s are' if len(choice.values) > 1 else ' is'} recomputed"
            tell(f"a step on {self.batch} samples takes {choice.peak:,} of {limit:,} bytes of memory: {again}")
        return choice.values

    def _trace(self) -> Graph:
        given = self.blueprint.shapes.items()
        symbols = {role: symbol(shape, self.blueprint.dtypes[role], role) for role, shape in given}
        if "offsets" in symbols:
            layout = Layout(symbols["offsets"], symbols["order"])
            for role, group in self.blueprint.groups.items():
                symbols[role].sequences = layout if group == ROWS or role == WEIGHTS else None
        with tracing() as tape:
            output = self.setup.model(symbols["x"])
            self.by_row = output.sequences is not None
            forward_nodes = len(tape.nodes)
            loss = None
            if self.with_loss:
                weight = symbols.get("weight", symbols.get(WEIGHTS))
                loss = check_loss(self.setup.loss(output, symbols["y"], weight))
                check_pairs(
                    tape.nodes[forward_nodes:], {"the outputs": output, "y": symbols["y"], "sample_weight": weight}
                )
                if self.by_row:
                    check_weighted(tape.nodes[forward_nodes:], weight)
        if not self.with_loss and not self.by_row and (not output.shape or output.shape[0] != self.batch):
            raise ShapeError(
                f"the model's output has shape {output.shape}: its first axis must be the {self.batch} samples"
            )
        steps = Forward(self.blocks.tensors, symbols)
        steps.add(tape.nodes[:forward_nodes], "forward")
        steps.add(tape.nodes[forward_nodes:], "loss")
        graph = Graph(steps.tasks, steps.inputs, steps.parameters, steps.value(output))
        if loss is not None:
            graph.loss = steps.value(loss)
            seed = Value(loss.shape, self.dtype, "one", "constant", wrap(np.ones(loss.shape, self.dtype)))
            backward(steps, graph, loss, seed)
            check_reached(bool(graph.gradients))
        if self.kind in ("train", "stream", "generate"):
            graph.assigned = steps.assigned(tape)
        graph.buffers = steps.buffers
        graph.put_off_assignments()
        return graph

    def _batch(self, graph: Graph, homes: dict[Value, View]) -> None:
        """Begin the step and gather its batch."""
        coefficients = View(Storage(16, np.dtype(np.float64), "data", "coefficients", np.zeros(16)), (16,))
        columns = {"train": len(self.setup.update.columns), "generate": len(SAMPLING)}.get(self.kind, 0)
        self._add(book.begin(1, self.state, coefficients, columns, self.row), "batch", "begin", "step = step + 1")
        indices = View(Storage(1, np.dtype(np.int64), "data", "indices", np.zeros(1, np.int64)), (1, 1))
        for role, value in graph.inputs.items():
            source = View(Storage(1, value.dtype, "data", role, np.zeros(1, value.dtype)), (1, 1))
            target = homes[value]
            if self.blueprint.groups[role] == STEPS:
                target = target.reshape(1, value.size)
            call, what = book.gathering(self.state, indices, source, target), "data[indices]"
            if role == "x" and self.blueprint.augment is not None:
                call = gathering(self.blueprint.augment, self.state, indices, source, homes[value])
                what = formula(self.blueprint.augment, what)
            self.gathers[role] = call.kernel
            self._add(call, "batch", "gather", f"{role} = {what}", Operands.of([], [homes[value]]))

    def _update(self, lowering: Lowering) -> None:
        """Check the gradients, clip them if requested, give buffers their new values, and update the parameters."""
        setup, owned = self.setup, self.blocks
        whole = (owned.size,)
        gradient, parameter = View(owned.gradients, whole), View(owned.parameters, whole)
        tiles, size = blocks(owned.size, book.CHECK_TILE), book.CHECK_TILE
        if setup.clip_value is not None or setup.clip_norm is not None:
            call = book.check(tiles, self.state, gradient, size, flops=2.0 * owned.size, stops=True)
            self._add(call, "update", "check", "stop unless g is finite")
        if setup.clip_value is not None:
            call = book.clip_by_value(tiles, gradient, setup.clip_value, size, flops=2.0 * owned.size)
            self._add(call, "update", "clip_by_value", "g = min(max(g, -c), c)", Operands.of([gradient], [gradient]))
        if setup.clip_norm is not None:
            partial = View(allocate_storage(tiles, np.dtype(np.float64), "state", "squares"), (tiles,))
            call = book.squares(tiles, gradient, partial, size, flops=2.0 * owned.size)
            self._add(call, "update", "squares", "Σg² of each tile")
            call = book.clip_by_norm(tiles, gradient, partial, setup.clip_norm, size, flops=1.0 * owned.size)
            self._add(call, "update", "clip_by_norm", "g = g·min(1, c/‖g‖)", Operands.of([gradient], [gradient]))
        update = setup.update
        row = View(self.row.storage, (len(update.columns),))
        states = [View(owned.states[name], whole) for name in update.states]
        operands = (parameter, gradient, *states, row, self.state)
        flops, moved = update.flops * owned.size, Operands.of(operands, [parameter, *states])
        if owned.size <= TILE and not lowering.graph.assigned:
            call = update.checked_step(1, *operands, flops=flops, stops=True)
            self._add(call, "update", update.name, update.formula, moved)
            return
        call = update.check(blocks(owned.size, CHECK_TILE), *operands, flops=1.0 * owned.size, stops=True)
        self._add(call, "update", "check", "stop unless the update is finite")
        self._assign(lowering)  # before the update: new values of buffers may depend on the old parameters
        self._add(
            update.step(blocks(owned.size, TILE), *operands, flops=flops), "update", update.name, update.formula, moved
        )

    def _assign(self, lowering: Lowering) -> None:
        """Give buffers their new values."""
        self._add_tasks(lowering, "update")
        for call, operands in lowering.assignments:
            self._add(call, "update", "assign", "buffer = new value", operands)

    def _results(self, lowering: Lowering) -> None:
        """Deliver the outputs, or draw the next tokens from them; then layers keep the states they carry on."""
        graph = lowering.graph
        if self.kind == "generate":
            self._sample(lowering.view(graph.output))
        elif not self.with_loss:
            self._deliver(lowering.view(graph.output), Operands((lowering.naming.text(graph.output),)))
        self._assign(lowering)

    def _sample(self, logits: View) -> None:
        """Draw each sequence's next token."""
        tokens = View(Storage(1, np.dtype(np.int64), "data", "tokens", np.zeros(1, np.int64)), (1,))
        columns = logits.shape[-1]
        room = View(Storage(logits.size, self.dtype, "arena", "scratch"), (self.batch, columns))
        last = logits.reshape(self.batch, logits.size // self.batch)
        call = sample(self.batch, self.state, last, room, tokens, self.row, columns, stops=True)
        self._add(call, "result", "sample", "next token ~ softmax(y / temperature)")

    def _deliver(self, output: View, shown: Operands) -> None:
        count = output.shape[0]
        columns = output.size // count
        target = View(Storage(1, self.dtype, "data", "predictions", np.zeros(1, self.dtype)), (1, 1))
        rows = max(1, book.GATHER_TILE // max(1, columns))
        result = output.reshape(count, columns)
        call = book.deliver(blocks(count, rows), self.state, result, target, rows)
        self._add(call, "result", "deliver", "predictions[rows] = y", shown)

    def _add_tasks(self, lowering: Lowering, phase: str) -> None:
        """The calls of a phase's tasks."""
        for call, task, operands in zip(lowering.calls, lowering.sources, lowering.operands, strict=True):
            if task.phase == phase:
                self._add(call, phase, task.label, task.formula, operands)

    def _add(self, call: Call, phase: str, name: str, formula: str, operands: Operands | None = None) -> None:
        """Append a call; without `operands` it only reads the step's arrays."""
        self.instructions.append(Instruction(call, phase, name, formula, operands or Operands.of(call.views())))


def _taken(graph: Graph, lowering: Lowering) -> list[Whole]:
    """The whole numbers that ops take, in the order in which a program may find them wrong."""
    found = []
    for task in graph.tasks:
        if task.op.limits and task.rule is task.op.forward:
            shapes = [None if value is None else value.shape for value in task.operands]
            given = dict(zip(task.op.inputs, task.operands, strict=False))
            for name, rule in task.op.limits.items():
                if (value := given[name]) is not None:
                    limit = rule(*shapes, **task.attributes)
                    beside = [lowering.view(v) for n, v in given.items() if n == limit.goes_with and v is not None]
                    found.append(Whole(task.op.name, lowering.view(value), limit, tuple(beside)))
    return found
