"""Recurrent layers and cells: shapes, both engines, workers, files, starting weights, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff.tensor import Parameter
from chainrule.errors import OptionError, ShapeError

RNG = np.random.default_rng(0)
KINDS = [nn.LSTM, nn.GRU, nn.RNN]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


class Last(nn.Module):
    """A linear layer on the last state of the last layer, or on y of every step."""

    def __init__(self, rnn: nn.Module, units: int, every: bool = False) -> None:
        self.rnn, self.every, self.out = rnn, every, nn.Linear(units, 2)

    def forward(self, x: Any) -> Any:
        y, state = self.rnn(x)
        h = state[0] if isinstance(state, tuple) else state
        return self.out(y if self.every else h[h.shape[0] - 1])


@kinds
@pytest.mark.parametrize("every", [False, True], ids=["state", "every step"])
@pytest.mark.parametrize(("n", "t", "units"), [(1, 1, 1), (1, 9, 7), (35, 6, 17), (16, 3, 128)])
def test_engines_agree_and_workers_change_no_bit(kind: Any, every: bool, n: int, t: int, units: int) -> None:
    def run(engine: str, threads: int) -> tuple[list[float], dict[str, Any]]:
        cr.seed(1)
        both = every and units == 17
        model = Last(kind(3, units, num_layers=2, dropout=0.25, bidirectional=both), units * (1 + both), every)
        rng = np.random.default_rng(2)
        x, y = rng.normal(size=(n, t, 3)), rng.normal(size=(n, t, 2) if every else (n, 2))
        trainer = cr.Trainer(model, nn.MSELoss(), optim.Adam(lr=0.01), engine=engine, threads=threads)
        return [trainer.step(x, y) for _ in range(3)], model.state_dict()

    losses, weights = run("reference", 1)
    alone, mine = run("compiled", 1)
    np.testing.assert_allclose(alone, losses, rtol=1e-4)
    for name, array in weights.items():
        np.testing.assert_allclose(mine[name], array, rtol=1e-3, atol=1e-4, err_msg=name)
    for threads in (2, 3, 8):
        others, theirs = run("compiled", threads)
        assert others == alone
        assert all(theirs[name].tobytes() == array.tobytes() for name, array in mine.items())


class Twice(nn.Module):
    """The inputs' part of the gates and y are read again after the loop, so their memory must stay as it is."""

    def __init__(self, kind: Any, again: bool) -> None:
        self.again, self.gates = again, {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}[kind]
        self.run = {nn.LSTM: cr.functions.lstm, nn.GRU: cr.functions.gru, nn.RNN: cr.functions.rnn}[kind]
        self.before, self.wh = nn.Linear(3, self.gates * 5), Parameter(0.3 * RNG.normal(size=(1, 5, self.gates * 5)))

    def forward(self, x: Any) -> Any:
        a = self.before(x)
        y, *_ = self.run(a, self.wh)
        if not self.again:
            return y.sum(2)
        return (y * y).sum(2) + (a * a).sum(2) + (self.run(a, self.wh)[0] * y).sum(2)


@kinds
@pytest.mark.parametrize("again", [False, True])
def test_memory_is_used_again_only_if_nothing_reads_it(kind: Any, again: bool) -> None:
    model = Twice(kind, again).astype(np.float64)
    x, y = RNG.normal(size=(9, 6, 3)), RNG.normal(size=(9, 6))
    reference, compiled = (cr.Trainer(model, nn.MSELoss(), optim.SGD(), engine=e) for e in ("reference", "compiled"))
    expected = reference.gradients(x, y)
    for name, array in compiled.gradients(x, y).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-9, atol=1e-12)


@kinds
def test_gradients_are_finite_differences(kind: Any) -> None:
    rnn = kind(2, 3, bidirectional=True).astype(np.float64)
    first = np.random.default_rng(3).normal(size=(2, 2, 3))

    def call(x: Any, h: Any, *weights: Any) -> Any:
        names = list(rnn.named_parameters())
        before = {name: getattr(rnn, name) for name in names}
        try:
            for name, weight in zip(names, weights, strict=True):
                setattr(rnn, name, weight)
            y, last = rnn(x, (h, h) if kind is nn.LSTM else h)
            states = last if isinstance(last, tuple) else (last,)
            return (y * y).sum() + sum((s * s * s).sum() for s in states)
        finally:
            for name, weight in before.items():
                setattr(rnn, name, weight)

    weights = [p.data.copy() for p in rnn.parameters()]
    cr.gradcheck(call, [RNG.normal(size=(2, 4, 2)), first, *weights])


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_cell_over_time_is_the_layer(engine: str) -> None:
    """Weights of a cell in a loop of one's own get the layer's gradients."""
    layer, cell = nn.LSTM(3, 5).astype(np.float64), nn.LSTMCell(3, 5).astype(np.float64)
    cell.load_state_dict(
        {name: layer.state_dict()[f"{name}_l0"].reshape(p.shape) for name, p in cell.named_parameters().items()}
    )

    class Loop(nn.Module):
        def __init__(self) -> None:
            self.cell = cell

        def forward(self, x: Any) -> Any:
            state = None
            for t in range(x.shape[1]):
                state = self.cell(x[:, t], state)
            return state[0]

    class Whole(nn.Module):
        def __init__(self) -> None:
            self.layer = layer

        def forward(self, x: Any) -> Any:
            return self.layer(x)[1][0][0]

    x, y = RNG.normal(size=(4, 6, 3)), RNG.normal(size=(4, 5))
    found = [cr.Trainer(m, nn.MSELoss(), optim.SGD(lr=0.1), engine=engine).gradients(x, y) for m in (Loop(), Whole())]
    for name, array in found[0].items():
        expected = found[1][name.replace("cell.", "layer.") + "_l0"]
        np.testing.assert_allclose(array.ravel(), expected.ravel(), rtol=1e-9, atol=1e-12)


@kinds
def test_files_keep_the_layer(kind: Any, tmp_path: Path) -> None:
    model = nn.Sequential(kind(4, 6, num_layers=2, bidirectional=True, dropout=0.1))
    cr.save(model, tmp_path / "m.safetensors")
    again = cr.load(tmp_path / "m.safetensors")
    assert repr(again) == repr(model)
    x = RNG.normal(size=(3, 5, 4)).astype("f4")
    np.testing.assert_array_equal(again.eval()(x)[0].data, model.eval()(x)[0].data)


def test_starting_weights() -> None:
    cr.seed(0)
    lstm = nn.LSTM(50, 100, bidirectional=True, forget_bias=1.5)
    for parameter in (lstm.weight_ih_l0, lstm.weight_hh_l0):
        assert 0.099 < np.abs(parameter.data).max() <= 0.1
    gates = lstm.bias_l0.data.reshape(2, 4, 100)
    assert (gates[:, 1] == 1.5).all()
    assert 0.1 < np.abs(gates[:, [0, 2, 3]]).max() <= 0.2, "the sum of torch's two biases"
    gates = nn.GRU(50, 100).bias_l0.data.reshape(3, 100)
    assert np.abs(gates[:2]).max() > 0.1 >= np.abs(gates[2]).max()
    assert not any("bias" in name for name in nn.GRU(2, 3, bias=False).state_dict())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LSTM(0, 3), "input_size is 0"),
        (lambda: nn.LSTM(3, 2.5), "hidden_size is 2.5"),
        (lambda: nn.GRU(3, 4, batch_first=False), "batch_first is False"),
        (lambda: nn.GRU(3, 4, dropout=0.5), "dropout acts between layers"),
        (lambda: nn.RNN(3, 4, nonlinearity="sine"), "nonlinearity is 'sine'"),
        (lambda: nn.LSTM(3, 4, bias=False, forget_bias=1.0), "forget_bias is 1.0, but bias is False"),
        (lambda: nn.LSTM(3, 4, forget_bias=float("nan")), "forget_bias is nan"),
    ],
)
def test_settings_that_make_no_sense(make: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.LSTM(3, 4)(np.ones((5, 2, 4))), r"x has shape \(5, 2, 4\), expected \(n, steps, 3\)"),
        (lambda: nn.LSTM(3, 4)(np.ones((2, 3))), r"x has shape \(2, 3\)"),
        (lambda: nn.GRU(3, 4)(np.ones((5, 2, 3)), np.ones((5, 4))), r"h0 has shape \(5, 4\), expected \(1, 5, 4\)"),
        (
            lambda: nn.LSTM(3, 4)(np.ones((5, 2, 3)), (np.ones((1, 5, 4)), np.ones((1, 4, 4)))),
            r"c0 has shape \(1, 4, 4\), expected \(1, 5, 4\)",
        ),
        (lambda: nn.RNNCell(3, 4)(np.ones((5, 2))), r"x has shape \(5, 2\), expected \(n, 3\)"),
        (lambda: nn.GRUCell(3, 4)(np.ones((5, 3)), np.ones((4, 4))), r"h has shape \(4, 4\), expected \(5, 4\)"),
    ],
)
def test_shapes_that_do_not_fit(call: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call()


def test_a_batch_without_sequences_or_steps() -> None:
    y, h = nn.GRU(3, 4)(np.ones((0, 5, 3), np.float32))
    assert (y.shape, h.shape) == ((0, 5, 4), (1, 0, 4))
    y, (h, _) = nn.LSTM(3, 4)(np.ones((2, 0, 3), np.float32), (np.full((1, 2, 4), 0.5), np.zeros((1, 2, 4))))
    assert y.shape == (2, 0, 4)
    assert (h.data == 0.5).all()
