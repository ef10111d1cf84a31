"""The compiled engine: a model's training step traced once per batch shape, then replayed by the workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from chainrule.autodiff.tape import symbol, tracing
from chainrule.autodiff.tensor import Parameter, Tensor, wrap
from chainrule.engine import bookkeeping as book
from chainrule.engine.blocks import Blocks
from chainrule.engine.buffers import Buffers
from chainrule.engine.checks import check_finite, check_loss, check_reached
from chainrule.engine.fuse import fuse
from chainrule.engine.graph import Forward, Graph, Value, backward
from chainrule.engine.lower import Constant, Lowering
from chainrule.engine.memory import allocate_buffer, lifetimes, place
from chainrule.engine.moving import moved
from chainrule.engine.program import Instruction, Program, Slot
from chainrule.engine.recompute import choose, recomputing
from chainrule.errors import OptionError, ShapeError
from chainrule.native.kernel import Call, blocks
from chainrule.native.objects import tell
from chainrule.native.state import LARGE, LOOK, SEED, WORDS
from chainrule.native.workers import default_workers
from chainrule.ops.record import Array, Buffer, View
from chainrule.ops.updates import TILE, Update

PREDICT_BATCH = 256  # rows predicted at once: large enough for full tiles, small enough for the caches
MOST_PROGRAMS = 64  # traced shapes that are kept
Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class CompiledEngine:
    """Trains through programs; the interface is that of `chainrule.engine.reference.ReferenceEngine`.

    forward: the model; loss(output, target, weight or None): the loss as a single number; parameters: what to learn,
    by name; update: the optimizer's rule; workers: threads, by default the processors this process may use;
    memory_limit: bytes a training step may take, kept by computing values again (`chainrule.engine.recompute`).
    """

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        loss: Loss,
        parameters: Mapping[str, Tensor],
        update: Update,
        seed: int = 0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        workers: int | None = None,
        memory_limit: int | None = None,
    ) -> None:
        if workers is not None and workers < 1:
            raise OptionError(f"threads = {workers}: expected a whole number of at least 1, or None for all processors")
        self.forward, self.loss_function, self.update = forward, loss, update
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.memory_limit = memory_limit
        self.workers = workers or default_workers()
        self.blocks = Blocks(parameters, update.states)
        self.buffers = Buffers(self.blocks.dtype)
        self.state = View(allocate_buffer(WORDS, np.dtype(np.int64), "state", "state"), (WORDS,))
        self.state.numpy()[SEED] = seed
        self.data: dict[str, Array] = {}
        self._rows: dict[str, Array] = {}  # the same with all but the first axis made one
        self._signature: tuple[Any, ...] = ()
        self._programs: dict[tuple[Any, ...], _Bound] = {}
        self._latest: _Bound | None = None

    @property
    def program(self) -> Program:
        """The latest training program; raises OptionError before the first step.

        Of programs for the same data it is that of the largest batch: an epoch's last batch may be smaller.
        """
        if self._latest is None:
            raise OptionError("no program yet: it is traced from a batch's shape, so call step, gradients or fit first")
        return self._latest.program

    def forget(self) -> None:
        """Drop every traced program, after a change of the model's structure."""
        self._programs.clear()

    def bind(self, x: Array, y: Array | None, weight: Array | None = None) -> None:
        """The data set that `run` draws its batches from; row i of each array belongs to sample i."""
        given = {"y": y, "weight": weight}
        self.data = {"x": np.ascontiguousarray(x, self.blocks.dtype)}
        self.data |= {role: self._contiguous(a) for role, a in given.items() if a is not None}
        self._rows = {role: _by_rows(a) for role, a in self.data.items()}
        self._signature = tuple((role, a.shape[1:], a.dtype.char) for role, a in self.data.items())

    def run(self, indices: Array, coefficients: Array, first_step: int) -> Array:
        """One training step per row of `indices`; answers the losses. Raises NonFiniteError before a bad update."""
        bound = self._bound("train", indices.shape[1])
        self._show(bound)
        indices = np.ascontiguousarray(indices, np.int64)
        coefficients = np.ascontiguousarray(coefficients, np.float64)
        # A single step of a large model would lose up to a tenth by it; if it leaves too much, the next one stops.
        self.state.numpy()[LOOK] = len(indices) > 1 or self.blocks.size <= TILE
        losses = np.full(len(indices), np.nan)
        done = 0
        while done < len(indices):
            bound.indices.point_at(indices[done:])
            bound.coefficients.point_at(coefficients[done:].reshape(-1))
            bound.results.point_at(losses[done:])
            done += bound.program.run(len(indices) - done, first_step + done)
            if bound.program.stopped:
                self._update(bound, losses[done - 1], coefficients[done - 1], first_step + done - 1)
        return losses

    def _update(self, bound: _Bound, loss: float, row: Array, step: int) -> None:
        """Make the update that the program stopped before, unless it is bad; raises NonFiniteError then."""
        arrays = self.blocks.moved()
        check_finite(loss, {name: gradient for name, (_, gradient, *_) in arrays.items()}, step)
        values = moved(self.update, arrays, row, step)
        bound.program.run_part(bound.assignments)
        for old, new in values:
            old[...] = new
        self.state.numpy()[LARGE] = any(self.update.large(p, *states) for p, _, *states in arrays.values())

    def gradients(
        self, x: Array, y: Array, weight: Array | None = None, step: int = 0
    ) -> tuple[float, dict[str, Array]]:
        """The loss of one batch and the gradient of every parameter, without an update."""
        self.bind(x, y, weight)
        bound = self._bound("gradients", len(x))
        self._show(bound)
        loss = np.zeros(1)
        bound.indices.point_at(np.arange(len(x), dtype=np.int64)[None])
        bound.results.point_at(loss)
        self.blocks.gradients.array[:] = 0  # type: ignore[index]  # of parameters that the loss does not depend on
        bound.program.run(1, step)
        return float(loss[0]), {name: self.blocks.gradient(name).numpy().copy() for name in self.blocks.tensors}

    def predict(self, x: Array) -> Array:
        """The model's outputs for every row of x."""
        self.bind(x, None)
        batch = max(1, min(PREDICT_BATCH, len(x)))
        bound = self._bound("predict", batch)
        shape = bound.output.shape[1:]
        result = np.empty((len(x), max(1, int(np.prod(shape)))), self.blocks.dtype)
        whole = len(x) // batch * batch
        self._predict(bound, np.arange(whole, dtype=np.int64).reshape(-1, batch), result[:whole])
        if whole < len(x):
            rest = np.arange(whole, len(x), dtype=np.int64)[None]
            self._predict(self._bound("predict", len(x) - whole), rest, result[whole:])
        return result.reshape(len(x), *shape)

    def loss(self, x: Array, y: Array, weight: Array | None = None) -> float:
        """The loss of the model's outputs for a whole data set."""
        output = self.predict(x)
        target = y if y.dtype.kind in "iu" else y.astype(self.blocks.dtype, copy=False)
        by_sample = None if weight is None else wrap(weight.astype(self.blocks.dtype, copy=False))
        return float(self.loss_function(wrap(output), wrap(target), by_sample).item())

    def _show(self, bound: _Bound) -> None:
        """Make it the program that users see, unless that is for a larger batch of the same data."""
        shown = self._latest
        if shown is None or shown.alike != bound.alike or shown.batch <= bound.batch:
            self._latest = bound

    def _predict(self, bound: _Bound, indices: Array, result: Array) -> None:
        bound.indices.point_at(indices)
        bound.results.point_at(result)
        bound.program.run(len(indices), 0)

    def _contiguous(self, array: Array) -> Array:
        """In the program's dtype (int64 for labels), row after row; copied only where needed."""
        array = np.asarray(array)
        return np.ascontiguousarray(array, np.int64 if array.dtype.kind in "iu" else self.blocks.dtype)

    def _bound(self, kind: str, batch: int) -> _Bound:
        """The program for this kind of run and batch shape, with the data set's arrays in place."""
        self.blocks.adopt()
        self.buffers.adopt()
        key = (kind, batch, self._signature)
        if key not in self._programs:
            while len(self._programs) >= MOST_PROGRAMS:  # each holds an arena of its own: the oldest goes
                del self._programs[next(iter(self._programs))]
            self._programs[key] = _Builder(self, kind, batch, self.data).build(key)
        bound = self._programs[key]
        for constant in bound.frozen:
            constant.refresh()
        for role, rows in self._rows.items():
            bound.sources[role].point_at(rows)
        return bound


def _by_rows(array: Array) -> Array:
    """All axes but the first as one; an empty array gets one column, which nothing reads."""
    return array.reshape(len(array), -1) if array.size else np.zeros((len(array), 1), array.dtype)


class _Bound:
    """A program with the slots that are pointed at the data of each run."""

    def __init__(
        self,
        key: tuple[Any, ...],
        program: Program,
        roles: dict[str, np.dtype[Any]],
        output: Value,
        result: Any,
        frozen: list[Constant],
        assignments: range,
    ) -> None:
        self.program, self.output, self.frozen, self.assignments = program, output, frozen, assignments
        kind, self.batch, data = key
        self.alike = kind, data  # the same for programs that differ in their batch alone
        self.sources: dict[str, Slot] = {}
        counts = {book.gather: 0, book.gather_labels: 0}
        for role, dtype in roles.items():
            kernel = book.gather_labels if dtype.kind == "i" else book.gather
            self.sources[role] = program.slot(kernel, "source", counts[kernel])
            counts[kernel] += 1
        slots = [program.slot(kernel, "indices", i) for kernel, count in counts.items() for i in range(count)]
        self.indices = _Together(slots)
        self.coefficients = program.slot(book.begin, "coefficients")
        self.results = program.slot(*result)


class _Together:
    """Slots that always mean the same array."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots

    def point_at(self, array: Array) -> None:
        for slot in self.slots:
            slot.point_at(array)


class _Builder:
    """Traces one step and puts its program together: batch, forward, loss, backward, update."""

    def __init__(self, engine: CompiledEngine, kind: str, batch: int, data: dict[str, Array]) -> None:
        self.engine, self.kind, self.batch, self.data = engine, kind, batch, data
        self.dtype = engine.blocks.dtype
        self.instructions: list[Instruction] = []
        self.assignments = range(0)  # which of the instructions
        self.row = View(allocate_buffer(16, np.dtype(np.float64), "state", "coefficients"), (16,))

    def build(self, key: tuple[Any, ...]) -> _Bound:
        graph = self._trace()
        fuse(graph)
        homes = {value: self.engine.blocks.parameter(name) for name, value in graph.parameters.items()}
        homes |= {value: self.engine.blocks.gradient(name) for name, value in graph.gradients.items()}
        homes |= {v: View(Buffer(v.size, v.dtype, "arena", v.name), v.shape) for v in graph.inputs.values()}
        homes |= {v: self.engine.buffers.view(v.source) for v in graph.buffers if v.source is not None}
        again: Sequence[Value] = ()
        if self.engine.memory_limit is not None and self.kind != "predict":
            again = self._fitting(graph, homes, self.engine.memory_limit)
            graph = recomputing(graph, again)
        self._batch(graph, homes)
        lowering = Lowering(graph, self.dtype, homes, self.engine.state)
        for phase in ("forward", "loss", "backward"):
            for call, task in zip(lowering.calls, lowering.sources, strict=True):
                if task.phase == phase:
                    self._add(call, phase, task.label, task.formula)
            if phase == "loss" and graph.loss is not None:
                losses = View(Buffer(1, np.dtype(np.float64), "data", "losses", np.zeros(1)), (1,))
                call = book.record(1, self.engine.state, lowering.view(graph.loss).reshape(1), losses)
                self._add(call, phase, "record", "losses[step] = L", stops=self.kind == "train")
        if self.kind == "train":
            self._update(lowering)
        if self.kind == "predict":
            self._deliver(lowering.view(graph.output))
        program = Program(
            self.instructions, self.dtype, self.engine.state, self.engine.workers, self.engine.blocks.bytes
        )
        program.recomputed = [v.name for v in again]
        result = (book.deliver, "target") if self.kind == "predict" else (book.record, "losses")
        frozen = [c for c in lowering.constants if isinstance(c.source, Parameter)]
        roles = {role: a.dtype for role, a in self.data.items()}
        return _Bound(key, program, roles, graph.output, result, frozen, self.assignments)

    def _fitting(self, graph: Graph, homes: dict[Value, View], limit: int) -> Sequence[Value]:
        """The values to compute again so that a step takes at most `limit` bytes. Raises OptionError where none do."""

        def peak(graph: Graph) -> int:
            calls = Lowering(graph, self.dtype, homes, self.engine.state).calls
            return self.engine.blocks.bytes + place(lifetimes(calls))

        choice = choose(graph, limit, peak)
        if choice.peak > limit:
            raise OptionError(
                f"memory_limit = {limit:,} bytes: a step on {self.batch} samples takes {choice.peak:,} at least, "
                f"{self.engine.blocks.bytes:,} of them parameters, gradients and optimizer states: raise the limit or "
                "make the batch smaller"
            )
        if choice.values:
            again = f"{len(choice.values)} value{'s are' if len(choice.values) > 1 else ' is'} computed again"
            tell(f"a step on {self.batch} samples takes {choice.peak:,} of {limit:,} bytes of memory: {again}")
        return choice.values

    def _trace(self) -> Graph:
        symbols = {role: symbol((self.batch, *a.shape[1:]), a.dtype, role) for role, a in self.data.items()}
        with tracing() as tape:
            output = self.engine.forward(symbols["x"])
            forward_nodes = len(tape.nodes)
            loss = None
            if self.kind != "predict":
                loss = check_loss(self.engine.loss_function(output, symbols["y"], symbols.get("weight")))
        if self.kind == "predict" and (not output.shape or output.shape[0] != self.batch):
            raise ShapeError(
                f"the model's output has shape {output.shape}: its first axis must be the {self.batch} samples"
            )
        steps = Forward(self.engine.blocks.tensors, symbols)
        steps.add(tape.nodes[:forward_nodes], "forward")
        steps.add(tape.nodes[forward_nodes:], "loss")
        graph = Graph(steps.tasks, steps.inputs, steps.parameters, steps.value(output))
        if loss is not None:
            graph.loss = steps.value(loss)
            seed = Value(loss.shape, self.dtype, "one", "constant", wrap(np.ones(loss.shape, self.dtype)))
            backward(steps, graph, loss, seed)
            check_reached(bool(graph.gradients))
        if self.kind == "train":
            graph.assigned = steps.assigned(tape)
        graph.buffers = steps.buffers
        graph.put_off_assignments()
        return graph

    def _batch(self, graph: Graph, homes: dict[Value, View]) -> None:
        """Begin the step and gather its batch."""
        state = self.engine.state
        coefficients = View(Buffer(16, np.dtype(np.float64), "data", "coefficients", np.zeros(16)), (16,))
        columns = len(self.engine.update.columns) if self.kind == "train" else 0
        self._add(book.begin(1, state, coefficients, columns, self.row), "batch", "begin", "step = step + 1")
        indices = View(Buffer(1, np.dtype(np.int64), "data", "indices", np.zeros(1, np.int64)), (1, 1))
        for role, value in graph.inputs.items():
            target = homes[value].reshape(self.batch, value.size // max(1, self.batch))
            source = View(Buffer(1, value.dtype, "data", role, np.zeros(1, value.dtype)), (1, 1))
            kernel = book.gather_labels if value.dtype.kind == "i" else book.gather
            rows = max(1, book.GATHER_TILE // max(1, target.shape[1]))
            call = kernel(blocks(self.batch, rows), state, indices, source, target, rows)
            self._add(call, "batch", "gather", f"{role} = data[indices]")

    def _update(self, lowering: Lowering) -> None:
        """Check the gradients, clip them where asked, give buffers their new values, and move the parameters."""
        engine, owned = self.engine, self.engine.blocks
        whole = (owned.size,)
        gradient, parameter = View(owned.gradients, whole), View(owned.parameters, whole)
        tiles, size = blocks(owned.size, book.CHECK_TILE), book.CHECK_TILE
        if engine.clip_value is not None or engine.clip_norm is not None:
            call = book.check(tiles, engine.state, gradient, size, flops=2.0 * owned.size)
            self._add(call, "update", "check", "stop unless g is finite", stops=True)
        if engine.clip_value is not None:
            call = book.clip_by_value(tiles, gradient, engine.clip_value, size, flops=2.0 * owned.size)
            self._add(call, "update", "clip_by_value", "g = min(max(g, -c), c)")
        if engine.clip_norm is not None:
            partial = View(allocate_buffer(tiles, np.dtype(np.float64), "state", "squares"), (tiles,))
            call = book.squares(tiles, gradient, partial, size, flops=2.0 * owned.size)
            self._add(call, "update", "squares", "Σg² of each tile")
            call = book.clip_by_norm(tiles, gradient, partial, engine.clip_norm, size, flops=1.0 * owned.size)
            self._add(call, "update", "clip_by_norm", "g = g·min(1, c/‖g‖)")
        update, row = engine.update, View(self.row.buffer, (len(engine.update.columns),))
        states = [View(owned.states[name], whole) for name in update.states]
        several, divisors = owned.size > TILE or bool(lowering.graph.assigned), update.divisors
        if several:  # else the update's kernel checks for itself
            checked = (parameter, gradient, row, divisors, engine.state, size)
            call = book.check_update(tiles, *checked, flops=2.0 * owned.size)
            self._add(call, "update", "check", "stop unless the update is sure to be finite", stops=True)
            divisors = -1
        self._assign(lowering)  # before the update: new values of buffers may depend on the old parameters
        operands = (parameter, gradient, *states, row, divisors, engine.state)
        call = update.kernel(blocks(owned.size, TILE), *operands, flops=update.flops * owned.size)
        self._add(call, "update", update.name, update.formula, stops=not several)

    def _assign(self, lowering: Lowering) -> None:
        """Give buffers their new values."""
        first = len(self.instructions)
        for call, task in zip(lowering.calls, lowering.sources, strict=True):
            if task.phase == "update":
                self._add(call, "update", task.label, task.formula)
        for call in lowering.assignments:
            self._add(call, "update", "assign", "buffer = new value")
        self.assignments = range(first, len(self.instructions))

    def _deliver(self, output: View) -> None:
        columns = output.size // self.batch
        target = View(Buffer(1, self.dtype, "data", "predictions", np.zeros(1, self.dtype)), (1, 1))
        rows = max(1, book.GATHER_TILE // max(1, columns))
        result = output.reshape(self.batch, columns)
        call = book.deliver(blocks(self.batch, rows), self.engine.state, result, target, rows)
        self._add(call, "result", "deliver", "predictions[rows] = y")

    def _add(self, call: Call, phase: str, name: str, formula: str, stops: bool = False) -> None:
        self.instructions.append(Instruction(call, phase, name, formula, stops))
