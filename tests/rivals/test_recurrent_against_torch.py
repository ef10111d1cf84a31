"""Recurrent layers and cells equal torch's, values and gradients, on both engines: 1e-9 in float64, 1e-4 in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.rivals.recurrent import from_torch

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
USES = ["y", "h", "c", "all"]  # of the results


def close(ours, theirs, dtype):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)


class Network(nn.Module):
    """A layer with first states to learn, the same for all sequences; its results in one number for each."""

    def __init__(self, layer, first, uses):
        self.rnn, self.uses = layer, uses
        self.first = [cr.autodiff.tensor.Parameter(a) for a in first]

    def forward(self, x):
        states = [functions.broadcast(s, (s.shape[0], x.shape[0], s.shape[2])) for s in self.first]
        found = self.rnn(x, tuple(states)) if len(states) > 1 else self.rnn(x, *states)
        return combine(*found, self.uses, lambda s: s.transpose(1, 0, 2))


def combine(y, states, uses, turned):
    """One number for each sequence, made of the used results."""
    h, c = states if isinstance(states, tuple) else (states, None)
    used = {"y": [y], "h": [turned(h)], "c": [turned(h) if c is None else turned(c)], "all": [y, turned(h)]}[uses]
    if uses == "all" and c is not None:
        used.append(turned(c))
    rows = [part.reshape((part.shape[0], part.shape[1] * part.shape[2])) for part in used]
    total = rows[0].sum(1) * 0.5
    for row in rows:
        total = total + (row * row * row).sum(1) + row.sum(1)
    return total


def draw(seed):
    """A random layer of torch, its input and first states, and ours of the same weights."""
    rng = np.random.default_rng(seed)
    kind = ["LSTM", "GRU", "RNN"][seed % 3]
    dtype = "float64" if seed % 2 else "float32"
    hidden, inputs = int(rng.choice([1, 3, 7, 16, 17, 33])), int(rng.choice([1, 4, 9]))
    n, t = int(rng.choice([1, 2, 8, 17, 33])), int(rng.choice([1, 2, 5, 13]))
    options = {"num_layers": int(rng.integers(1, 4)), "bidirectional": bool(rng.random() < 0.5)}
    options["bias"] = bool(rng.random() < 0.8)
    if kind == "RNN" and rng.random() < 0.5:
        options["nonlinearity"] = "relu"
    torch.manual_seed(seed)
    theirs = getattr(torch.nn, kind)(inputs, hidden, batch_first=True, **options).to(getattr(torch, dtype))
    ours = getattr(nn, kind)(inputs, hidden, **options).astype(dtype)
    ours.load_state_dict(from_torch(theirs))
    x = rng.normal(size=(n, t, inputs)).astype(dtype)
    shape = (options["num_layers"] * (1 + options["bidirectional"]), 1, hidden)
    first = [rng.normal(size=shape).astype(dtype) for _ in range(2 if kind == "LSTM" else 1)]
    return theirs, ours, x, first if rng.random() < 0.6 else [], dtype


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("seed", range(36))
def test_random_layers(seed, engine):
    theirs, ours, x, first, dtype = draw(seed)
    uses = USES[seed // 3 % 4]
    wanted = np.random.default_rng(seed).normal(size=len(x)).astype(dtype)
    network = Network(ours, first, uses)
    states = [torch.tensor(a, requires_grad=True) for a in first]
    given = torch.tensor(x, requires_grad=True)
    wide = [s.expand(-1, len(x), -1).contiguous() for s in states]
    found = theirs(given, tuple(wide) if len(wide) > 1 else wide[0] if wide else None)
    output = combine(*found, uses, lambda s: s.transpose(0, 1).contiguous())
    torch.nn.functional.mse_loss(output, torch.tensor(wanted)).backward()
    trainer = cr.Trainer(network, nn.MSELoss(), optim.SGD(lr=0.1), engine=engine, threads=2)
    close(trainer.predict(x), output, dtype)
    gradients = trainer.gradients(x, wanted)
    for name, expected in from_torch(theirs, gradients=True).items():
        close(gradients[f"rnn.{name}"], expected, dtype)
    for number, state in enumerate(states):
        expected_state = np.zeros_like(first[number]) if state.grad is None else state.grad.numpy()
        close(gradients[f"first.{number}"], expected_state, dtype)


def test_the_gradient_for_the_input():
    for seed in (1, 3, 5):
        theirs, ours, x, _, dtype = draw(seed)
        given, mine = torch.tensor(x, requires_grad=True), cr.tensor(x, requires_grad=True)
        theirs(given)[0].pow(3).sum().backward()
        y = ours(mine)[0]
        (y * y * y).sum().backward()
        close(mine.grad, given.grad, dtype)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
@pytest.mark.parametrize("given", [False, True], ids=["from 0", "from a state"])
def test_cells(kind, given):
    rng = np.random.default_rng(0)
    theirs = getattr(torch.nn, kind)(5, 7).double()
    ours = getattr(nn, kind)(5, 7).astype("float64")
    ours.load_state_dict(from_torch(theirs))
    x = rng.normal(size=(3, 5))
    states = [rng.normal(size=(3, 7)) for _ in range(2 if kind == "LSTMCell" else 1)]

    def call(cell, make):
        first = [make(s) for s in states]
        return cell(make(x), tuple(first) if len(first) > 1 else first[0]) if given else cell(make(x))

    mine, found = call(ours, cr.tensor), call(theirs, torch.tensor)
    if kind != "LSTMCell":
        mine, found = (mine,), (found,)
    for one, other in zip(mine, found, strict=True):
        close(one.numpy(), other, "float64")
    (mine[0] * mine[-1]).sum().backward()
    (found[0] * found[-1]).sum().backward()
    for name, expected in from_torch(theirs, gradients=True).items():
        close(getattr(ours, name).grad, expected, "float64")
