"""Recurrent layers over sequences x (n, steps, input_size), and their cells, which do one step.

Arguments, order of gates and numerics are torch's, with `batch_first=True`, the only order here. Weights are laid out
(in, out) as everywhere, those of both directions side by side: for layer number k

    weight_ih_lk  (inputs, directions·gates·hidden)      weight_hh_lk  (directions, hidden, gates·hidden)
    bias_lk       (directions·gates·hidden,)             bias_n_lk     (directions, hidden), of GRU only

torch adds two biases, of which this is the sum (except in GRU's new gate, where r multiplies the second one, `bias_n`).
The guide `docs/guides/sequences.md` shows how weights go from torch to chainrule and back, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.errors import OptionError, ShapeError
from chainrule.native.memory import Array, Shape
from chainrule.nn import init, weights
from chainrule.nn.carry import Carried, carried
from chainrule.nn.module import Module
from chainrule.settings import choice, flag, number, whole

STATES = ("h", "c")


class _Recurrent(Module):
    """Layers of one kind, each on the output of the one before."""

    gates = 1
    _run: Callable[..., tuple[Tensor, ...]]  # one layer over all steps: y and its last states

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float,
        bidirectional: bool,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        self.input_size = whole(name, "input_size", input_size)
        self.hidden_size = whole(name, "hidden_size", hidden_size)
        self.num_layers = whole(name, "num_layers", num_layers)
        if not flag(name, "batch_first", batch_first):
            raise OptionError(f"{name}: batch_first is False, but x is (n, steps, features) here: leave it out")
        self.dropout = number(name, "dropout", dropout, least=0, most=1)
        if self.dropout and self.num_layers == 1:
            raise OptionError(f"{name}: dropout acts between layers, num_layers is 1: leave it out, or use nn.Dropout")
        self.bidirectional = flag(name, "bidirectional", bidirectional)
        self.bias = flag(name, "bias", bias)
        for layer in range(self.num_layers):
            inputs = self.input_size if layer == 0 else self.directions * self.hidden_size
            for key, parameter in _parameters(self.gates, inputs, self.hidden_size, self.bias, self.directions).items():
                setattr(self, f"{key}_l{layer}", parameter)

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def config(self) -> dict[str, Any]:
        names = ("input_size", "hidden_size", "num_layers", "bias", "dropout", "bidirectional")
        return {name: getattr(self, name) for name in names}

    def _layers(self, x: Tensor, states: tuple[Any, ...]) -> tuple[Tensor, ...]:
        """y, and the last states of all layers, from their first states."""
        name = type(self).__name__
        if x.ndim != (3 if x.sequences is None else 2) or x.shape[-1] != self.input_size:
            raise ShapeError(f"{name}: x has shape {x.shape}, expected (n, steps, {self.input_size})")
        n = x.shape[0] if x.sequences is None else x.sequences.order.shape[0]
        expected = (self.num_layers * self.directions, n, self.hidden_size)
        for key, state in zip(("h0", "c0"), states, strict=False):
            if state is not None and state.shape != expected:
                raise ShapeError(f"{name}: {key} has shape {state.shape}, expected {expected}: a state for each layer, "
                                 "direction and sequence")  # fmt: skip
        states, carrier = self._first(states, expected, x)
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            rows = slice(layer * self.directions, (layer + 1) * self.directions)
            first = [s if s is None or self.num_layers == 1 else s[rows] for s in states]
            a = functions.linear(x, self._weight("weight_ih", layer), self._weight("bias", layer))
            x, *found = self._run(a, layer, *first)
            last.append(tuple(found))
            if layer < self.num_layers - 1:
                x = functions.dropout(x, self.dropout, self.training)
        final = [functions.concatenate(of_layers, 0) for of_layers in zip(*last, strict=True)]
        if carrier is not None:
            for key, state in zip(STATES, final, strict=False):
                carrier.keep(self, key, state)
        return x, *final

    def _first(
        self, states: tuple[Any, ...], shape: Shape, x: Tensor
    ) -> tuple[tuple[Any, ...], Carried | None]:  # fmt: skip
        """The states to begin with, and where the last ones are left if they are carried on."""
        carrier = carried()
        if carrier is None or any(state is not None for state in states):
            return states, None
        if self.bidirectional:
            raise OptionError(f"{type(self).__name__}: a bidirectional layer needs the whole sequence: it cannot go on "
                              "step by step")  # fmt: skip
        return tuple(carrier.state(self, key, shape, x) for key in STATES[: len(states)]), carrier

    def _weight(self, key: str, layer: int) -> Parameter | None:
        return getattr(self, f"{key}_l{layer}", None)


class LSTM(_Recurrent):
    """y, (h, c) = lstm(x) or lstm(x, (h0, c0)): long short-term memory; see the module for shapes and weights.

    x is (n, steps, input_size), y (n, steps, directions·hidden_size), and the states after the last step h and c
    (num_layers·directions, n, hidden_size), as are the first ones, 0 unless given. The second of two directions begins
    at the last step; `dropout` acts between layers. All weights start uniform in ±1/sqrt(hidden_size), as in torch;
    with `forget_bias` the forget gate's bias starts at that number (1 is common: Jozefowicz et al., ICML 2015).
    Hochreiter and Schmidhuber, Neural Computation 9 (1997).

    >>> y, (h, c) = nn.LSTM(8, 32, num_layers=2, bidirectional=True)(np.ones((5, 30, 8), np.float32))
    >>> y.shape, h.shape, c.shape
    ((5, 30, 64), (4, 5, 32), (4, 5, 32))
    >>> nn.LSTM(8, 32)(np.ones((30, 8)))
    Traceback (most recent call last):
    chainrule.errors.ShapeError: LSTM "weight_ih_l0": x has shape (30, 8), expected (n, steps, 8)
    """

    gates = 4

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = True,
        dropout: float = 0.0, bidirectional: bool = False, *, forget_bias: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.forget_bias = _forget_bias("LSTM", forget_bias, self.bias)
        for layer in range(self.num_layers):
            _set_forget_bias(self._weight("bias", layer), self.hidden_size, self.forget_bias)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "forget_bias": self.forget_bias}

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # fmt: skip
        y, h, c = self._layers(x, (None, None) if state is None else tuple(state))
        return y, (h, c)

    def _run(self, a: Tensor, layer: int, *first: Tensor | None) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = functions.lstm(a, self._weight("weight_hh", layer), *first, *a.sequences or ())
        return found


class GRU(_Recurrent):
    """y, h = gru(x) or gru(x, h0): gated recurrent units; see `LSTM` for shapes and starting weights.

    n = tanh(W·x + b + r·(W·h + b_n)) as in torch, with r after the product. Cho et al., EMNLP 2014.

    >>> y, h = nn.GRU(8, 32)(np.ones((5, 30, 8), np.float32))
    >>> y.shape, h.shape, bool(np.all(y.data[:, -1] == h.data[0]))
    ((5, 30, 32), (1, 5, 32), True)
    """

    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = True,
        dropout: float = 0.0, bidirectional: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, h = self._layers(x, (h0,))
        return y, h

    def _run(self, a: Tensor, layer: int, *first: Tensor | None) -> tuple[Tensor, ...]:
        weight, bias = self._weight("weight_hh", layer), self._weight("bias_n", layer)
        found: tuple[Tensor, ...] = functions.gru(a, weight, bias, *first, *a.sequences or ())
        return found


class RNN(_Recurrent):
    """y, h = rnn(x) or rnn(x, h0): h = tanh(W·x + W·h + b), or relu; see `LSTM` for shapes and starting weights.

    Elman, Cognitive Science 14 (1990).

    >>> y, h = nn.RNN(8, 32, nonlinearity="relu")(np.ones((5, 30, 8), np.float32))
    >>> y.shape, h.shape
    ((5, 30, 32), (1, 5, 32))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = True, dropout: float = 0.0, bidirectional: bool = False,
    ) -> None:  # fmt: skip
        self.nonlinearity = choice("RNN", "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "nonlinearity": self.nonlinearity}

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, h = self._layers(x, (h0,))
        return y, h

    def _run(self, a: Tensor, layer: int, *first: Tensor | None) -> tuple[Tensor, ...]:
        weight, kind = self._weight("weight_hh", layer), self.nonlinearity
        found: tuple[Tensor, ...] = functions.rnn(a, weight, *first, *a.sequences or (), nonlinearity=kind)
        return found


class _Cell(Module):
    """One step; its weights are weight_ih (inputs, gates·hidden), weight_hh (hidden, gates·hidden), and biases."""

    gates = 1
    weight_ih: Parameter
    weight_hh: Parameter
    bias: Parameter | None = None
    bias_n: Parameter | None = None

    def __init__(self, input_size: int, hidden_size: int, bias: bool) -> None:
        name = type(self).__name__
        self.input_size = whole(name, "input_size", input_size)
        self.hidden_size = whole(name, "hidden_size", hidden_size)
        self.has_bias = flag(name, "bias", bias)
        for key, parameter in _parameters(self.gates, self.input_size, self.hidden_size, self.has_bias, None).items():
            setattr(self, key, parameter)

    def config(self) -> dict[str, Any]:
        return {"input_size": self.input_size, "hidden_size": self.hidden_size, "bias": self.has_bias}

    def _operands(self, x: Tensor, states: tuple[Any, ...]) -> list[Any]:
        """What the op takes, as a sequence of one step: a, wh, and the states."""
        name, n = type(self).__name__, x.shape[0] if x.ndim else 0
        if x.shape != (n, self.input_size):
            raise ShapeError(f"{name}: x has shape {x.shape}, expected (n, {self.input_size})")
        for key, state in zip(("h", "c"), states, strict=False):
            if state is not None and state.shape != (n, self.hidden_size):
                raise ShapeError(f"{name}: {key} has shape {state.shape}, expected {(n, self.hidden_size)}")
        a = functions.linear(x, self.weight_ih, self.bias).reshape((n, 1, self.gates * self.hidden_size))
        wh = self.weight_hh.reshape((1, *self.weight_hh.shape))
        return [a, wh, *(None if state is None else state.reshape((1, *state.shape)) for state in states)]


class LSTMCell(_Cell):
    """h, c = cell(x) or cell(x, (h, c)): one step of `LSTM`, for x (n, input_size) and states (n, hidden_size).

    >>> h, c = nn.LSTMCell(8, 32)(np.ones((5, 8), np.float32))
    >>> h.shape, c.shape
    ((5, 32), (5, 32))
    """

    gates = 4

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, forget_bias: float | None = None
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias)
        self.forget_bias = _forget_bias("LSTMCell", forget_bias, self.has_bias)
        _set_forget_bias(self.bias, self.hidden_size, self.forget_bias)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "forget_bias": self.forget_bias}

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        _, h, c = functions.lstm(*self._operands(x, (None, None) if state is None else tuple(state)))
        return _only(h), _only(c)


class GRUCell(_Cell):
    """h = cell(x) or cell(x, h): one step of `GRU`, for x (n, input_size) and h (n, hidden_size).

    >>> nn.GRUCell(8, 32)(np.ones((5, 8), np.float32)).shape
    (5, 32)
    """

    gates = 3

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        a, wh, first = self._operands(x, (h,))
        bias = None if self.bias_n is None else self.bias_n.reshape((1, self.hidden_size))
        _, last = functions.gru(a, wh, bias, first)
        return _only(last)


class RNNCell(_Cell):
    """h = cell(x) or cell(x, h): one step of `RNN`, for x (n, input_size) and h (n, hidden_size).

    >>> nn.RNNCell(8, 32, nonlinearity="relu")(np.ones((5, 8), np.float32)).shape
    (5, 32)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        self.nonlinearity = choice("RNNCell", "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(input_size, hidden_size, bias)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "nonlinearity": self.nonlinearity}

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        _, last = functions.rnn(*self._operands(x, (h,)), nonlinearity=self.nonlinearity)
        return _only(last)


def _only(state: Tensor) -> Tensor:
    """A state (1, n, hidden) as (n, hidden)."""
    return state.reshape(state.shape[1:])


def _parameters(
    gates: int, inputs: int, hidden: int, bias: bool, directions: int | None
) -> dict[str, Parameter]:  # fmt: skip
    """The parameters of one layer by name, uniform in ±1/sqrt(hidden); of a cell if there are no directions.

    A bias that stands for two of torch's is the sum of two such numbers.
    """
    bound, width = hidden**-0.5, (directions or 1) * gates * hidden
    leading = () if directions is None else (directions,)
    found = {
        "weight_ih": weights.uniform((inputs, width), bound),
        "weight_hh": weights.uniform((*leading, hidden, gates * hidden), bound),
    }
    if bias:
        found["bias"] = weights.uniform((width,), bound, terms=2)
        if gates == 3:
            found["bias_n"] = weights.uniform((*leading, hidden), bound)
            new = _gate(found["bias"], 2, gates, hidden)
            new[...] = init.uniform(np.empty(new.shape), -bound, bound)
    return found


def _gate(bias: Parameter, number: int, gates: int, hidden: int) -> Array:
    """The part of a bias that is one gate's, (directions, hidden), to be set; not that of a model without memory."""
    if not bias.data.flags.writeable:
        return np.empty((bias.size // (gates * hidden), hidden))
    return bias.data.reshape(-1, gates, hidden)[:, number]


def _forget_bias(name: str, value: float | None, bias: bool) -> float | None:
    if value is not None and not bias:
        raise OptionError(f"{name}: forget_bias is {value}, but bias is False: leave one of them out")
    return None if value is None else number(name, "forget_bias", value)


def _set_forget_bias(bias: Parameter | None, hidden: int, value: float | None) -> None:
    if bias is not None and value is not None:
        _gate(bias, 1, 4, hidden)[...] = value
