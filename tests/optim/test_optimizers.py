"""Optimizers against their textbook recursions, one number at a time, and their settings."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from chainrule import nn
from chainrule.errors import OptionError
from chainrule.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from chainrule.optim.optimizers import UPDATES

STEPS = 100
ALL = [
    SGD(lr=0.1),
    SGD(lr=0.1, weight_decay=0.05),
    SGD(lr=0.05, momentum=0.9),
    SGD(lr=0.05, momentum=0.9, weight_decay=0.05),
    SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.05),
    RMSprop(),
    RMSprop(lr=0.02, alpha=0.9, eps=1e-6, weight_decay=0.05),
    Adagrad(lr=0.5),
    Adagrad(lr=0.5, lr_decay=0.1, weight_decay=0.05),
    Adam(lr=0.1),
    Adam(lr=0.1, betas=(0.5, 0.9), eps=1e-4, weight_decay=0.05),
    AdamW(lr=0.1),
    AdamW(lr=0.1, betas=(0.0, 0.5), weight_decay=0.3),
]


def gradient(p, t):
    return 2 * p + math.sin(t)


def textbook(o, p):
    """The recursion of each docstring in Python floats."""
    b = v = m = 0.0
    for t in range(1, STEPS + 1):
        g = gradient(p, t)
        d = g if isinstance(o, AdamW) else g + o.weight_decay * p
        if isinstance(o, SGD):
            b = o.momentum * b + d
            p -= o.lr * (d + o.momentum * b if o.nesterov else b)
        elif isinstance(o, RMSprop):
            v = o.alpha * v + (1 - o.alpha) * d**2
            p -= o.lr * d / (math.sqrt(v) + o.eps)
        elif isinstance(o, Adagrad):
            v += d**2
            p -= o.lr / (1 + (t - 1) * o.lr_decay) * d / (math.sqrt(v) + o.eps)
        else:
            m = o.betas[0] * m + (1 - o.betas[0]) * d
            v = o.betas[1] * v + (1 - o.betas[1]) * d**2
            if isinstance(o, AdamW):
                p *= 1 - o.lr * o.weight_decay
            p -= o.lr * (m / (1 - o.betas[0] ** t)) / (math.sqrt(v / (1 - o.betas[1] ** t)) + o.eps)
    return p


@pytest.mark.parametrize("optimizer", ALL, ids=str)
def test_a_hundred_steps_equal_the_textbook(optimizer):
    p = np.array([1.5])
    states = [np.zeros(1) for _ in optimizer.update.states]
    rows = optimizer.coefficients(np.arange(1, STEPS + 1), np.full(STEPS, optimizer.lr))
    for t, row in enumerate(rows, start=1):
        p, *states = optimizer.update(row, p, gradient(p, t), *states)
    assert p[0] == pytest.approx(textbook(optimizer, 1.5), rel=1e-9)


@pytest.mark.parametrize("optimizer", ALL, ids=str)
def test_coefficients_are_one_row_a_step_and_depend_on_nothing_before(optimizer):
    steps, lr = np.arange(1, 51), np.linspace(0.1, 0.2, 50)
    rows = optimizer.coefficients(steps, lr)
    assert rows.shape == (50, len(optimizer.update.columns))
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(optimizer.coefficients(steps[20:30], lr[20:30]), rows[20:30])
    assert optimizer.coefficients(steps[:0], lr[:0]).shape == (0, len(optimizer.update.columns))


@pytest.mark.parametrize("optimizer", [*ALL, RMSprop(eps=0), Adagrad(eps=0), Adam(eps=0), AdamW(eps=0)], ids=str)
def test_a_parameter_of_0_whose_gradients_are_0_stays(optimizer):
    """So do the gaps in the blocks of parameters."""
    p = np.zeros(1, np.float32)
    states = [np.zeros(1, np.float32) for _ in optimizer.update.states]
    for row in optimizer.coefficients(np.arange(1, 4), np.ones(3)):
        p, *states = optimizer.update(row, p, np.zeros(1, np.float32), *states)
    np.testing.assert_array_equal([p, *states], 0)


def test_every_update_has_an_optimizer():
    assert {o.update.name for o in ALL} == set(UPDATES)


def test_defaults_are_torch_s():
    assert SGD() == SGD(lr=1e-3, momentum=0, nesterov=False, weight_decay=0)
    assert RMSprop() == RMSprop(lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0)
    assert Adagrad() == Adagrad(lr=1e-2, lr_decay=0, weight_decay=0, eps=1e-10)
    assert Adam() == Adam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0)
    assert AdamW() == AdamW(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)


def test_the_protocol_is_met():
    assert all(isinstance(optimizer, Optimizer) for optimizer in ALL)
    assert not isinstance("adam", Optimizer)


@pytest.mark.parametrize("make", [SGD, RMSprop, Adagrad, Adam, AdamW])
@pytest.mark.parametrize("lr", [math.nan, math.inf, -1e-3, "0.1", None, True])
def test_learning_rates_without_meaning(make, lr):
    with pytest.raises(OptionError, match=rf"{make.__name__}: lr is .*, expected a finite number, at least 0"):
        make(lr=lr)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(momentum=-0.1), "SGD: momentum"),
        (lambda: SGD(nesterov=True), "SGD: nesterov=True needs momentum"),
        (lambda: SGD(momentum=0.9, nesterov="yes"), "SGD: nesterov"),
        (lambda: RMSprop(alpha=1.0), "RMSprop: alpha is 1.0, expected a finite number, at least 0, less than 1"),
        (lambda: Adagrad(lr_decay=-1), "Adagrad: lr_decay"),
        (lambda: Adam(betas=(0.9,)), "Adam: betas"),
        (lambda: Adam(betas=(0.9, 1.0)), "Adam: betas"),
        (lambda: Adam(betas=0.9), "Adam: betas"),
        (lambda: AdamW(eps=-1e-8), "AdamW: eps"),
        (lambda: AdamW(weight_decay=math.nan), "AdamW: weight_decay"),
        (lambda: replace(Adam(), lr=-1), "Adam: lr"),
    ],
)
def test_settings_without_meaning(make, message):
    with pytest.raises(OptionError, match=message):
        make()


@pytest.mark.parametrize("make", [SGD, RMSprop, Adagrad, Adam, AdamW])
def test_parameters_are_the_trainer_s_to_give(make):
    model = nn.Linear(2, 3)
    message = rf"^{make.__name__}: optimizers take no parameters, the Trainer hands them over: .{{0,60}}$"
    for given in (model.parameters(), iter(model.parameters()), model.named_parameters(), model, model.weight):
        for arguments, settings in (
            ((given,), {"lr": 0.1}),
            ((given,), {}),
            ((given, 0.1), {}),
            ((), {"params": given}),
        ):
            with pytest.raises(OptionError, match=message):
                make(*arguments, **settings)


@pytest.mark.parametrize("name", ["step", "zero_grad", "param_groups"])
def test_steps_are_the_trainer_s_to_take(name):
    assert not hasattr(Adam(), name)
    with pytest.raises(AttributeError, match=rf"Adam has no '{name}': .* call trainer.step\(x, y\)"):
        getattr(Adam(), name)


@pytest.mark.parametrize("optimizer", ALL, ids=str)
def test_optimizers_are_copied(optimizer):
    assert copy.deepcopy(optimizer) == pickle.loads(pickle.dumps(optimizer)) == replace(optimizer) == optimizer
