"""A model in use step by step: a text as it is written, a series as it comes in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from chainrule.autodiff.random import checked_seed
from chainrule.autodiff.tape import no_grad
from chainrule.autodiff.tensor import Tensor, wrap
from chainrule.engine.setup import Setup
from chainrule.errors import DtypeError, OptionError, ShapeError
from chainrule.kernels.sampling import cannot_draw, draw
from chainrule.native.memory import Array
from chainrule.nn.carry import Carried, carrying
from chainrule.nn.module import Module, in_mode
from chainrule.optim.optimizers import SGD
from chainrule.settings import choice, number, shown, whole
from chainrule.train.checks import check_inputs, check_outputs, finite
from chainrule.train.engines import ENGINES
from chainrule.train.structure import Snapshot, structure
from chainrule.train.turns import Turns
from chainrule.train.whole import checked, taken_by

R = TypeVar("R")
MOST = 1 << 40  # tokens that one call may be asked for
AT_ONCE = 64  # steps between two moments at which Ctrl-C works
FIX = "reset the stream, or check the model's weights"


class Stream:
    """Runs a model on further steps of sequences, whose recurrent layers go on from where they were.

    y = stream(x) takes x (n, steps, ...) and returns the model's outputs; the next call goes on after it. Whole
    numbers stay so if the model takes them. All calls have the same n. `generate` lets a language model write.
    `threads`: 1 by default, as one step has little work. A stream uses the model's weights as they are at each call.

    Calls from several threads wait for each other, and for those of trainers and streams that share layers with this
    one. A stream cannot be copied or pickled, but its model can.

    Raises OptionError for layers that need whole sequences (bidirectional ones), ShapeError and DtypeError for inputs
    that do not fit, NonFiniteError for outputs that are NaN or infinite.

    >>> model = nn.Sequential(nn.GRU(3, 8), nn.Linear(8, 1))
    >>> x = np.random.default_rng(0).normal(size=(1, 10, 3))
    >>> stream = cr.Stream(model)
    >>> steps = [stream(x[:, t : t + 1]) for t in range(10)]
    >>> bool(np.allclose(np.concatenate(steps, axis=1), model(x).data, atol=1e-6))
    True
    """

    def __init__(self, model: Module, threads: int = 1, engine: str = "compiled") -> None:
        if not isinstance(model, Module):
            raise OptionError(f"Stream: model is {shown(model)}, expected an nn.Module such as nn.Sequential(...)")
        self._model, self._turns = model, Turns(model)
        self._carried: dict[int, Carried] = {}  # by number of sequences
        self._sequences: int | None = None
        self._tokens: int | None = None  # different ones, of a language model
        self._steps = 0
        self._parameters, self._structure = model.named_parameters(), structure(model)
        self._snapshot = Snapshot(model)
        self._dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
        self._engine: _Engine
        workers = whole("Stream", "threads", threads)
        if choice("Stream", "engine", engine, ENGINES) == "reference":
            self._engine = _ReferenceStream(self._forward)
        else:
            from chainrule.engine.compiled import CompiledEngine  # compiles kernels, so only if it is used

            setup = Setup(self._forward, _no_loss, self._parameters, SGD(lr=0.0).update, workers=workers)
            with self._turns.lock:  # the engine moves the parameters, which others may be using
                self._engine = CompiledEngine(setup)

    def __call__(self, x: Any) -> Array:
        """The outputs (n, steps, ...) for further steps x (n, steps, ...)."""
        with self._turns.lock:
            self._notice_changes()
            x = check_inputs("x", x)
            self._check_sequences(len(x))
            taken = self._run(lambda: taken_by(self._forward_once, x.shape)) if x.dtype.kind in "iu" else []
            x = checked("x", x, taken) if taken else finite("x", x, self._dtype)
            outputs = self._run(lambda: self._engine.stream(x))
            self._sequences = len(x)
            self._steps += 1
        check_outputs("outputs", outputs, lambda: FIX)
        return outputs

    def generate(
        self, tokens: Any, length: int, *, temperature: float = 1.0, top_k: int | None = None, seed: int = 0
    ) -> NDArray[np.int64]:
        """`length` tokens (n, length) that a language model writes after `tokens` (n, given), at least one.

        Each is drawn from p[j] ∝ exp(x[j]/temperature), with x the outputs after the token before, among the `top_k`
        largest of them, by default all; with a temperature of 0 it is the most likely one. Another call goes on where
        this one ended: pass its last token. Raises OptionError for invalid settings, LabelError for tokens out of
        range, ShapeError for a model that has more outputs than it takes tokens, NonFiniteError for outputs that are
        NaN or infinite.
        """
        temperature = number("generate", "temperature", temperature, least=0)
        length = whole("generate", "length", length, most=MOST)
        most = 0 if top_k is None else whole("generate", "top_k", top_k)
        seed = checked_seed(seed)
        given = np.asarray(tokens)
        if given.ndim != 2 or given.dtype.kind not in "iu" or given.size == 0:
            raise ShapeError(f"generate: tokens are {given.dtype} {given.shape}, expected whole numbers (n, given): "
                             "pass at least one token, such as [[0]]")  # fmt: skip
        with self._turns.lock:
            self._notice_changes()
            self._check_sequences(len(given))
            self._run(lambda: self._check_tokens(given))
            text = np.zeros((given.shape[1] + length, len(given)), np.int64)
            text[: given.shape[1]] = given.T
            for start in range(0, len(text) - 1, AT_ONCE):
                part = text[start : start + AT_ONCE + 1]
                options = np.tile([temperature, most, given.shape[1] - start], (len(part) - 1, 1)).astype(np.float64)
                self._run(partial(self._engine.generate, part.reshape(-1), len(given), options, self._steps, seed))
                self._sequences = len(given)
                self._steps += len(part) - 1
        return text[given.shape[1] :].T.copy()

    def reset(self) -> None:
        """Start new sequences: all states are 0 again, and their number may be another."""
        with self._turns.lock:
            for array in chain.from_iterable(carried.arrays() for carried in self._carried.values()):
                array[...] = 0.0
            self._sequences = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise OptionError(
            "Stream: cannot be copied or pickled, as programs point into its memory: make another Stream with "
            "copy.deepcopy(model), or save the model with cr.save(model, path)"
        )

    def _run(self, run: Callable[[], R]) -> R:
        """`run()` with the model in evaluation mode."""
        self._turns.refuse_nesting()
        try:
            self._turns.busy = True
            with np.errstate(all="ignore"):  # outputs are checked
                return in_mode(self._model, False, run, self._snapshot.modules)
        finally:
            self._turns.busy = False

    def _notice_changes(self) -> None:
        """Trace anew if the model was rebuilt around its parameters; raises OptionError if it has others."""
        if self._snapshot.holds():
            return
        snapshot, now, found = Snapshot(self._model), self._model.named_parameters(), structure(self._model)
        if [*now] != [*self._parameters] or any(now[name] is not p for name, p in self._parameters.items()):
            raise OptionError("Stream: the model's parameters changed after the stream was made: make another Stream")
        if found != self._structure:
            self._tokens = None
            self._engine.forget()
        self._snapshot, self._structure = snapshot, found

    def _check_sequences(self, sequences: int) -> None:
        if self._sequences not in (None, sequences):
            raise ShapeError(
                f"Stream: x has {sequences} sequences, those of the calls before were {self._sequences}: reset the "
                "stream, or make another"
            )

    def _check_tokens(self, given: Array) -> None:
        """Raises DtypeError unless the model takes tokens, ShapeError unless it turns them into logits of tokens that
        it takes, LabelError for tokens out of range."""
        if self._tokens is None:
            output = self._forward_once(wrap(np.zeros((len(given), 1), np.int64)))
            if output.ndim != 3 or output.shape[1] != 1:
                raise ShapeError(
                    f"generate: the model turns (n, 1) tokens into {output.shape}, expected (n, 1, tokens): use a "
                    "language model"
                )
            self._tokens = output.shape[-1]
        taken = taken_by(self._forward_once, given)
        if not taken:
            raise DtypeError("generate: the model takes no whole numbers: use one that begins with nn.Embedding")
        checked("tokens", given, taken)
        if self._tokens > (least := min(of.limit.below for of in taken)):
            raise ShapeError(
                f"generate: the model has {self._tokens} outputs, but takes the tokens 0 .. {least - 1}: "
                "give its last layer an output for each token"
            )

    def _forward(self, x: Tensor) -> Tensor:
        with carrying(self._carried.setdefault(x.shape[0], Carried())):
            y: Tensor = self._model(x)
        return y

    def _forward_once(self, x: Tensor) -> Tensor:
        """The same, leaving the states as they are."""
        with carrying(Carried()), no_grad():
            y: Tensor = self._model(x)
        return y


class _Engine(Protocol):
    """What a stream needs of an engine."""

    def forget(self) -> None: ...
    def stream(self, x: Array) -> Array: ...
    def generate(self, tokens: Array, sequences: int, options: Array, first_step: int, seed: int) -> None: ...


class _ReferenceStream:
    """Op by op, with the NumPy definitions."""

    def __init__(self, forward: Any) -> None:
        self._forward = forward

    def forget(self) -> None:
        """Nothing is traced."""

    def stream(self, x: Array) -> Array:
        with no_grad():
            outputs: Array = self._forward(wrap(x)).data
        return outputs

    def generate(self, tokens: Array, sequences: int, options: Array, first_step: int, seed: int) -> None:
        text = tokens.reshape(-1, sequences)
        for step, (temperature, most, given) in enumerate(options):
            outputs = self.stream(text[step][:, None])
            if step + 1 >= given:
                if not np.isfinite(outputs[:, -1]).all():
                    raise cannot_draw()
                text[step + 1] = draw(outputs[:, -1], first_step + step, seed, temperature, int(most))


def _no_loss(*_: Any) -> Tensor:
    raise AssertionError("a stream has no loss")
