"""The compiled engine: a model's training step traced once per batch shape, then replayed by the workers."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.autodiff.tape import tracing
from chainrule.autodiff.tensor import Tensor, symbol
from chainrule.engine.blocks import Blocks
from chainrule.engine.buffers import Buffers
from chainrule.engine.build import Blueprint, BoundProgram, Builder, Kind
from chainrule.engine.checks import check_finite, not_finite, updated, wrong_label
from chainrule.engine.memory import allocate_storage, empty_arena
from chainrule.engine.program import Program
from chainrule.engine.setup import PREDICT_BATCH, Setup
from chainrule.errors import LabelError, NonFiniteError, OptionError
from chainrule.kernels.augmentation import Augment, signature
from chainrule.kernels.sampling import cannot_draw
from chainrule.kernels.updates import TILE
from chainrule.native.memory import Array, Shape, View
from chainrule.native.state import LARGE, SEED, STEP, STOP, WORDS, WRONG_LABEL
from chainrule.native.workers import default_workers

MOST_PROGRAMS = 64  # traced shapes that are kept


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
        x: Array,
        y: Array | None,
        weight: Array | None = None,
        augment: Augment | None = None,
        first_step: int = 0,
    ) -> None:
        """The data set that `run` draws its batches from, row i of each array for sample i; `augment` changes x.
        `first_step` is the number of the first step to come."""
        self.data = {}
        for role, array in (("x", x), ("y", y), ("weight", weight)):
            if array is not None:
                self.data[role] = self._contiguous(array)
        self._rows = {role: _by_rows(a) for role, a in self.data.items()}
        self.augment = augment if augment is not None and augment.changes else None
        shapes = tuple([(role, a.shape[1:], a.dtype.char) for role, a in self.data.items()])
        self._signature = (shapes, signature(self.augment, self.blocks.dtype))
        self._counters[STOP], self._counters[STEP] = 0, first_step - 1

    def run(self, indices: Array, coefficients: Array, first_step: int) -> Array:
        """One training step per row of `indices`; returns the losses. Raises NonFiniteError before a bad update."""
        bound = self._bound("train", indices.shape[1])
        self._show(bound)
        indices = np.ascontiguousarray(indices, np.int64)
        coefficients = np.ascontiguousarray(coefficients, np.float64)
        if len(indices) > 1 or self.blocks.size <= TILE:  # it would slow down a single step of a large model
            self._counters[LARGE] = first_step - 1  # weights may have been written to since
        losses = np.empty(len(indices))
        losses.fill(np.nan)
        bound.indices.point_at(indices)
        bound.coefficients.point_at(coefficients.reshape(-1))
        bound.results.point_at(losses)
        begun = bound.program.run(len(indices), first_step)
        if bound.program.stopped:
            last = begun - 1
            raise self._refusal(bound, indices[last], losses[last], coefficients[last], first_step + last)
        return losses

    def _refusal(
        self, bound: BoundProgram, rows: Array, loss: float, row: Array, step: int
    ) -> NonFiniteError | LabelError:
        """Why the program stopped in this step."""
        if self._counters[STOP] == WRONG_LABEL:
            return wrong_label(bound.taken, rows, step)
        try:
            arrays = self.blocks.moved()
            check_finite(loss, {name: gradient for name, (_, gradient, *_) in arrays.items()}, step)
            updated(self.setup.update, arrays, row, step)
        except NonFiniteError as error:
            return error
        return not_finite(step, f"an updated value is beyond {self.blocks.dtype}")  # by its last digit

    def gradients(
        self, x: Array, y: Array, weight: Array | None = None, step: int = 0
    ) -> tuple[float, dict[str, Array]]:
        """The loss of one batch and the gradient of every parameter, without an update."""
        self.bind(x, y, weight)
        bound = self._bound("gradients", len(x))
        loss = np.zeros(1)
        bound.indices.point_at(bound.in_order)
        bound.results.point_at(loss)
        self.blocks.gradients.array[:] = 0  # type: ignore[index]  # for parameters that the loss does not depend on
        bound.program.run(1, step)
        if self._counters[STOP] == WRONG_LABEL:
            raise wrong_label(bound.taken, bound.in_order[0], step)
        return float(loss[0]), {name: slope.copy() for name, slope in self.blocks.slopes.items()}

    def outline(self, x: Array) -> Tensor:
        """The model's output for x (n, ...), as a shape without values."""
        with tracing():
            return self.setup.model(symbol(x.shape, x.dtype, "x"))

    def predict(self, x: Array) -> Array:
        """The model's outputs for every row of x."""
        self.bind(x, None)
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
        bound.indices.point_at(np.arange(steps * sequences, dtype=np.int64).reshape(steps, sequences))
        bound.coefficients.point_at(options.reshape(-1))
        bound.results.point_at(tokens)
        bound.program.run(steps, first_step)
        if self._counters[STOP] == WRONG_LABEL:
            raise wrong_label(bound.taken, np.arange(sequences), None)
        if bound.program.stopped:
            raise cannot_draw()

    def _show(self, bound: BoundProgram) -> None:
        """Make it the program that users see, unless that one has a larger batch of the same data."""
        shown = self._latest
        if shown is None or shown.alike != bound.alike or shown.batch <= bound.batch:
            self._latest = bound

    def _predict(self, bound: BoundProgram, indices: Array, result: Array) -> None:
        bound.indices.point_at(indices)
        bound.results.point_at(result)
        begun = bound.program.run(len(indices), 0)
        if bound.program.stopped:
            raise wrong_label(bound.taken, indices[begun - 1], None)

    def _contiguous(self, array: Array) -> Array:
        """In the program's dtype (int64 for whole numbers), row after row; copied only where needed."""
        array = np.asarray(array)
        return np.ascontiguousarray(array, np.int64 if array.dtype.kind in "iu" else self.blocks.dtype)

    def _bound(self, kind: Kind, batch: int) -> BoundProgram:
        """The program for this kind of run and batch shape, with the data set's arrays in place."""
        self.blocks.adopt()
        self.buffers.adopt()
        key = (kind, batch, self._signature)
        if key not in self._programs:
            while len(self._programs) >= MOST_PROGRAMS:  # the oldest is dropped
                del self._programs[next(iter(self._programs))]
            with collector_at_rest():
                self._programs[key] = Builder(self._blueprint(kind, batch)).build(key)
        bound = self._programs[key]
        for constant in bound.frozen:
            constant.refresh()
        for role, rows in self._rows.items():
            bound.sources[role].point_at(rows)
        return bound

    def _blueprint(self, kind: Kind, batch: int) -> Blueprint:
        shared = self.setup, self.blocks, self.buffers, self.state, self.arena, self.workers
        return Blueprint(kind, batch, self.data, self.augment, *shared)


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


def _by_rows(array: Array) -> Array:
    """All axes but the first merged; an empty array gets one column, which is never read."""
    return array.reshape(len(array), -1) if array.size else np.zeros((len(array), 1), array.dtype)


def _as_rows(result: Array, shape: Shape) -> Array:
    """The reverse, for rows of this shape."""
    return result[:, : math.prod(shape)].reshape(len(result), *shape)
