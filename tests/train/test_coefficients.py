"""Coefficients of single steps, computed ahead, are those of every step by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.optim.optimizers import OptimizerBase, sgd
from chainrule.train import Trainer
from chainrule.train.coefficients import AHEAD, Coefficients

X, Y = np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2
OPTIMIZERS = [
    optim.SGD(momentum=0.9, nesterov=True),
    optim.RMSprop(),
    optim.Adagrad(lr_decay=0.1),
    optim.Adam(),
    optim.AdamW(),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
def test_single_steps_have_the_bits_of_groups_and_of_steps_alone(optimizer):
    coefficients, steps = Coefficients(), np.arange(2 * AHEAD + 3)
    whole = coefficients.of(optimizer, None, 0, len(steps))
    assert np.array_equal(whole, np.concatenate([coefficients.of(optimizer, None, int(s), 1) for s in steps]))
    lr = np.array([optimizer.lr])
    assert np.array_equal(whole, np.concatenate([optimizer.coefficients(np.array([s + 1]), lr) for s in steps]))
    for step in (5, AHEAD + 5, 4, 3, 2 * AHEAD, 0):  # a trainer's count may be set to any step
        assert np.array_equal(coefficients.of(optimizer, None, step, 1)[0], whole[step])


def test_another_optimizer_or_schedule_counts_from_the_next_step_on():
    coefficients = Coefficients()
    for optimizer in (optim.SGD(lr=1.0), optim.SGD(lr=2.0), optim.SGD(lr=1.0)):
        assert coefficients.of(optimizer, None, 7, 1)[0, 0] == optimizer.lr
        assert coefficients.of(optimizer, lambda step: 0.5 + 0 * step, 7, 1)[0, 0] == 0.5 * optimizer.lr


@dataclass
class Own(OptimizerBase):
    """An optimizer whose settings may change, and which counts how often it is asked."""

    lr: float = 1.0
    asked: list = field(default_factory=list)
    update = sgd

    def columns(self, steps, lr):
        self.asked += steps.tolist()
        return {"lr": lr, "weight_decay": 0.0}


def test_ones_own_optimizer_and_schedule_are_asked_at_every_step():
    cr.seed(0)
    optimizer, seen = Own(), []
    trainer = Trainer(nn.Linear(3, 2), nn.CrossEntropyLoss(), optimizer, lambda step: seen.append(step) or 1.0)
    plain = Trainer(nn.Linear(3, 2), nn.CrossEntropyLoss(), optimizer)
    trainer.step(X, Y)
    assert optimizer.asked == [1]
    plain.step(X, Y)
    before = plain.model.weight.data.copy()
    optimizer.lr = 0.0
    plain.step(X, Y)
    assert optimizer.asked == [1, 1, 2]
    assert np.array_equal(plain.model.weight.data, before)


def test_settings_of_ours_cannot_change():
    lr, betas = np.array(0.5), [0.5, 0.5]
    optimizer = optim.Adam(lr=lr, betas=betas)
    lr[...], betas[0] = 9.0, 0.0
    assert optimizer == optim.Adam(lr=0.5, betas=(0.5, 0.5))
