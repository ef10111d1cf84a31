"""The compiled engine: a model's training step traced once per batch shape, then replayed by the workers."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.autodiff.tape import tracing
from chainrule.autodiff.tensor import Tensor
from chainrule.engine.blocks import Blocks
from chainrule.engine.buffers import Buffers
from chainrule.engine.build import ROWS, SAMPLES, STEPS, WEIGHTS, Blueprint, BoundProgram, Builder, Kind
from chainrule.engine.checks import check_finite, not_finite, updated, wrong_label
from chainrule.engine.memory import allocate_storage, empty_arena
from chainrule.engine.program import Program
from chainrule.engine.ragged import alike, capacity, symbolic, tables
from chainrule.engine.setup import PREDICT_BATCH, Setup
from chainrule.errors import LabelError, NonFiniteError, OptionError
from chainrule.kernels.augmentation import Augment, signature
from chainrule.kernels.sampling import cannot_draw
from chainrule.kernels.updates import TILE
from chainrule.native.memory import Array, Shape, View
from chainrule.native.state import LARGE, SEED, STEP, STOP, WORDS, WRONG_LABEL
from chainrule.native.workers import default_workers
from chainrule.sequences import Sequences, joined

MOST_PROGRAMS = 128  # traced shapes that are kept


class CompiledEngine:
    """Trains through programs; the interface is that of `chainrule.engine.reference.ReferenceEngine`."""

    def __init__(self, setup: Setup) -> None:
        if setup.workers is not None and setup.workers < 1:
            raise OptionError(
                f"threads = {setup.workers}: expected a whole number of at least 1, or None for all processors"
            )
        self.setup = setup
        self.workers = setup.workers or default_workers()
        self.blocks = Blocks(setup.parameters, setup.update.states)
        self.buffers = Buffers(self.blocks.dtype, setup.buffers)
        self.state = View(allocate_storage(WORDS, np.dtype(np.int64), "state", "state"), (WORDS,))
        self._counters = self.state.numpy()
        self._counters[SEED], self._counters[LARGE] = setup.seed, -1
        self.arena = empty_arena()  # for all programs, since one runs at a time
        self.data: dict[str, Array] = {}
        self.augment: Augment | None = None
        self._groups: dict[str, str] = {}  # by what each is gathered
        self._ragged: Sequences | None = None  # x, if its sequences differ in length
        self._weight: Array | None = None  # of each of them, if y has a row for each step
        self._rows: dict[str, Array] = {}  # the same with all axes but the first merged
        self._signature: tuple[Any, ...] = ()
        self._programs: dict[tuple[Any, ...], BoundProgram] = {}
        self._latest: BoundProgram | None = None

    @property
    def program(self) -> Program:
        """The program of the latest training step; raises OptionError before the first step.

        Of several programs for the same data it is the one with the largest batch: an epoch's last batch may be
        smaller.
        """
        if self._latest is None:
            raise OptionError("no program yet, it is traced from a batch's shape: call step or fit first")
        return self._latest.program

    @property
    def steps(self) -> int:
        """Steps done, counted over all calls, including those of a `run` that was interrupted."""
        return int(self._counters[STEP]) + (not self._counters[STOP])

    def forget(self) -> None:
        """Drop every traced program, after the model's structure changed."""
        self._programs.clear()

    def bind(
        self,
        x: Array | Sequences,
        y: Array | Sequences | None,
        weight: Array | None = None,
        augment: Augment | None = None,
        first_step: int = 0,
    ) -> None:
        """The data set that `run` draws its batches from, row i of each array for sample i; `augment` changes x.
        `first_step` is the number of the first step to come."""
        if isinstance(x, Sequences) and x is not self._ragged:
            for bound in self._programs.values():  # many, of which few will run on this data
                bound.release()
        self.data, self._groups, self._ragged, self._weight = {}, {}, None, None
        if isinstance(x, Sequences):
            self._ragged = x
            if isinstance(y, Sequences):
                self._weight, weight = weight, None
        for role, given in (("x", x), ("y", y), ("weight", weight)):
            if given is not None:
                by_row = isinstance(given, Sequences)
                self.data[role] = self._contiguous(given.values if isinstance(given, Sequences) else given)
                self._groups[role] = ROWS if by_row else SAMPLES
        self._rows = {role: _by_rows(a) for role, a in self.data.items()}
        self.augment = augment if augment is not None and augment.changes else None
        shapes = tuple([(role, a.shape[1:], a.dtype.char) for role, a in self.data.items()])
        self._signature = (shapes, signature(self.augment, self.blocks.dtype))
        if self._ragged is not None:
            self._signature = (*self._signature, *self._groups.items())
        self._counters[STOP], self._counters[STEP] = 0, first_step - 1

    def run(self, indices: Array, coefficients: Array, first_step: int) -> Array:
        """One training step per row of `indices`; returns the losses. Raises NonFiniteError before a bad update."""
        indices = np.ascontiguousarray(indices, np.int64)
        coefficients = np.ascontiguousarray(coefficients, np.float64)
        if self._ragged is None:
            return self._run(self._bound("train", indices.shape[1]), indices, coefficients, first_step)
        losses = np.empty(len(indices))
        for part, room in alike(self._ragged, indices):
            bound = self._bound("train", indices.shape[1], room)
            losses[part] = self._run(bound, indices[part], coefficients[part], first_step + part.start)
        return losses

    def _run(self, bound: BoundProgram, indices: Array, coefficients: Array, first_step: int) -> Array:
        """The same for steps that one program serves."""
        self._show(bound)
        if len(indices) > 1 or self.blocks.size <= TILE:  # it would slow down a single step of a large model
            self._counters[LARGE] = first_step - 1  # weights may have been written to since
        losses = np.empty(len(indices))
        losses.fill(np.nan)
        self._point_at(bound, indices)
        bound.coefficients.point_at(coefficients.reshape(-1))
        bound.results.point_at(losses)
        begun = bound.program.run(len(indices), first_step)
        if bound.program.stopped:
            last = begun - 1
            raise self._refusal(bound, indices[last], losses[last], coefficients[last], first_step + last, last)
        return losses

    def _refusal(
        self, bound: BoundProgram, rows: Array, loss: float, row: Array, step: int, last: int
    ) -> NonFiniteError | LabelError:
        """Why the program stopped in this step."""
        if self._counters[STOP] == WRONG_LABEL:
            return wrong_label(bound.taken, rows, step, self._rows_of(bound, last))
        try:
            arrays = self.blocks.moved()
            check_finite(loss, {name: gradient for name, (_, gradient, *_) in arrays.items()}, step)
            updated(self.setup.update, arrays, row, step)
        except NonFiniteError as error:
            return error
        return not_finite(step, f"an updated value is beyond {self.blocks.dtype}")  # by its last digit

    def gradients(
        self, x: Array | Sequences, y: Array | Sequences, weight: Array | None = None, step: int = 0
    ) -> tuple[float, dict[str, Array]]:
        """The loss of one batch and the gradient of every parameter, without an update."""
        self.bind(x, y, weight)
        bound = self._bound("gradients", len(x), None if self._ragged is None else capacity(len(self._ragged.values)))
        loss = np.zeros(1)
        self._point_at(bound, bound.in_order)
        bound.results.point_at(loss)
        self.blocks.gradients.array[:] = 0  # type: ignore[index]  # for parameters that the loss does not depend on
        bound.program.run(1, step)
        if self._counters[STOP] == WRONG_LABEL:
            raise wrong_label(bound.taken, bound.in_order[0], step, self._rows_of(bound, 0))
        return float(loss[0]), {name: slope.copy() for name, slope in self.blocks.slopes.items()}

    def outline(self, x: Array | Sequences) -> Tensor:
        """The model's output for x (n, ...), as a shape without values."""
        with tracing():
            return self.setup.model(symbolic(x))

    def predict(self, x: Array | Sequences) -> Any:
        """The model's outputs for every row of x, or for every step where they have a row for each."""
        self.bind(x, None)
        if isinstance(x, Sequences):
            return joined([self._predict_sequences(numbers) for numbers in _batches(len(x))])
        batch = max(1, min(PREDICT_BATCH, len(x)))
        bound = self._bound("predict", batch)
        shape = bound.output.shape[1:]
        result = np.empty((len(x), max(1, math.prod(shape))), self.blocks.dtype)
        if len(x) == batch:
            self._predict(bound, bound.in_order, result)
            return _as_rows(result, shape)
        whole = len(x) // batch * batch
        self._predict(bound, np.arange(whole, dtype=np.int64).reshape(-1, batch), result[:whole])
        if whole < len(x):
            rest = np.arange(whole, len(x), dtype=np.int64)[None]
            self._predict(self._bound("predict", len(x) - whole), rest, result[whole:])
        return _as_rows(result, shape)

    def stream(self, x: Array) -> Array:
        """The outputs for one more step or stretch of each sequence, x (n, ...); layers keep the states they carry."""
        self.bind(x, None)
        bound = self._bound("stream", len(x))
        shape = bound.output.shape[1:]
        result = np.empty((len(x), max(1, math.prod(shape))), self.blocks.dtype)
        self._predict(bound, bound.in_order, result)
        return _as_rows(result, shape)

    def generate(self, tokens: Array, sequences: int, options: Array, first_step: int, seed: int) -> None:
        """Fill `tokens` (steps·sequences + sequences,), step after step: each step reads the tokens of one step and
        draws those of the next; `options` is a row of coefficients for each step (`kernels.sampling`).
        """
        steps = len(options)
        self.bind(tokens.reshape(-1, 1), None)
        bound = self._bound("generate", sequences)
        self._counters[SEED] = np.uint64(seed).astype(np.int64)
        self._point_at(bound, np.arange(steps * sequences, dtype=np.int64).reshape(steps, sequences))
        bound.coefficients.point_at(options.reshape(-1))
        bound.results.point_at(tokens)
        bound.program.run(steps, first_step)
        if self._counters[STOP] == WRONG_LABEL:
            raise wrong_label(bound.taken, np.arange(sequences), None)
        if bound.program.stopped:
            raise cannot_draw()

    def _predict_sequences(self, numbers: Array) -> Any:
        """The outputs for a batch of sequences."""
        assert self._ragged is not None
        lengths = self._ragged.lengths[numbers]
        bound = self._bound("predict", len(numbers), capacity(int(lengths.sum())))
        shape = bound.output.shape
        result = np.empty((shape[0], max(1, math.prod(shape[1:]))), self.blocks.dtype)
        self._predict(bound, numbers[None], result)
        if not bound.by_row:
            return result.reshape(shape)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return Sequences(result[: offsets[-1]].reshape(-1, *shape[1:]), offsets)

    def _point_at(self, bound: BoundProgram, indices: Array) -> None:
        """Let a program gather these samples (S, B), and, of sequences of different lengths, their rows."""
        bound.indices[SAMPLES].point_at(indices)
        if self._ragged is None:
            return
        made = tables(self._ragged, indices, bound.room, self._weight, self.blocks.dtype)
        bound.indices[ROWS].point_at(made.rows)
        bound.indices[STEPS].point_at(np.arange(len(indices), dtype=np.int64)[:, None])
        for role, array in (("offsets", made.offsets), ("order", made.order), (WEIGHTS, made.weight)):
            if role in bound.sources:
                bound.sources[role].point_at(array)

    def _rows_of(self, bound: BoundProgram, step: int) -> Array | None:
        """The rows of the data that a step gathered, of sequences of different lengths."""
        found = bound.indices[ROWS].slots
        return found[0].array[step] if found and found[0].array is not None else None

    def _show(self, bound: BoundProgram) -> None:
        """Make it the program that users see, unless that one has a larger batch of the same data."""
        shown = self._latest
        if shown is None or shown.alike != bound.alike or shown.batch <= bound.batch:
            self._latest = bound

    def _predict(self, bound: BoundProgram, indices: Array, result: Array) -> None:
        self._point_at(bound, indices)
        bound.results.point_at(result)
        begun = bound.program.run(len(indices), 0)
        if bound.program.stopped:
            raise wrong_label(bound.taken, indices[begun - 1], None, self._rows_of(bound, begun - 1))

    def _contiguous(self, array: Array) -> Array:
        """In the program's dtype (int64 for whole numbers), row after row; copied only where needed."""
        array = np.asarray(array)
        return np.ascontiguousarray(array, np.int64 if array.dtype.kind in "iu" else self.blocks.dtype)

    def _bound(self, kind: Kind, batch: int, room: int | None = None) -> BoundProgram:
        """The program for this kind of run and batch shape, with the data set's arrays in place; `room` is the number
        of rows for sequences of different lengths.
        """
        self.blocks.adopt()
        self.buffers.adopt()
        key = (kind, batch, self._signature) if room is None else (kind, batch, (self._signature, room))
        bound = self._programs.pop(key, None)
        if bound is None:
            while len(self._programs) >= MOST_PROGRAMS:  # the one not used for longest is dropped
                del self._programs[next(iter(self._programs))]
            with collector_at_rest():
                bound = Builder(self._blueprint(kind, batch, room)).build(key)
                bound.room = room or 0
        self._programs[key] = bound
        for constant in bound.frozen:
            constant.refresh()
        for role, rows in self._rows.items():
            bound.sources[role].point_at(rows)
        return bound

    def _blueprint(self, kind: Kind, batch: int, room: int | None) -> Blueprint:
        shared = self.setup, self.blocks, self.buffers, self.state, self.arena, self.workers
        shapes: dict[str, Shape] = {}
        for role, array in self.data.items():
            shapes[role] = (room if room and self._groups[role] == ROWS else batch, *array.shape[1:])
        dtypes, groups = {role: array.dtype for role, array in self.data.items()}, dict(self._groups)
        if room is not None:
            more: dict[str, Shape] = {"offsets": (batch + 1,), "order": (batch,)}
            if self._groups.get("y") == ROWS:
                more[WEIGHTS] = (room,)
            shapes |= more
            groups |= dict.fromkeys(more, STEPS)
            dtypes |= {role: self.blocks.dtype if role == WEIGHTS else np.dtype(np.int64) for role in more}
        return Blueprint(kind, batch, shapes, dtypes, groups, self.augment, *shared)


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Context without garbage collection: a build creates thousands of live objects, and scanning all objects of the
    process may take as long as the build.
    """
    usual = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if usual:
            gc.enable()


def _batches(samples: int) -> list[Array]:
    """The numbers of the samples of each batch of predictions."""
    return [np.arange(first, min(first + PREDICT_BATCH, samples)) for first in range(0, samples, PREDICT_BATCH)]


def _by_rows(array: Array) -> Array:
    """All axes but the first merged; an empty array gets one column, which is never read."""
    return array.reshape(len(array), -1) if array.size else np.zeros((len(array), 1), array.dtype)


def _as_rows(result: Array, shape: Shape) -> Array:
    """The reverse, for rows of this shape."""
    return result[:, : math.prod(shape)].reshape(len(result), *shape)
