"""Schedules and clipping against torch: the same weights after each of 100 steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule import nn, optim

torch.set_num_threads(1)
STEPS, BATCH = 100, 16
RNG = np.random.default_rng(5)
X = RNG.normal(size=(STEPS * BATCH, 6))
Y = RNG.integers(0, 3, STEPS * BATCH)

SCHEDULES = [
    (optim.Step(30, gamma=0.5), lambda o: torch.optim.lr_scheduler.StepLR(o, 30, gamma=0.5)),
    (optim.Exponential(0.98), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.98)),
    (optim.Cosine(STEPS, floor=0.1), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.01)),
    (
        optim.Cosine(10, restart=True, growth=2),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 10, T_mult=2),
    ),
    (optim.OneCycle(STEPS), lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, STEPS, cycle_momentum=False)),
    (lambda step: 1 / (1 + step), lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step))),
]


def pair():
    """The same network twice, with the same weights."""
    cr.seed(0)
    own = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).astype("float64")
    other = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)).double()
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(torch.from_numpy(own.named_parameters()[name].data.T.copy()))
    return own, other


def compare_steps(trainer, other, optimizer, before_step=lambda: None, after_step=lambda: None):
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        trainer.step(X[rows], Y[rows])
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(other(x[rows]), y[rows]).backward()
        before_step()
        optimizer.step()
        after_step()
        for name, parameter in other.named_parameters():
            own = trainer.model.named_parameters()[name].data.T
            np.testing.assert_allclose(own, parameter.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("schedule", "make"), SCHEDULES, ids=[str(i) for i in range(len(SCHEDULES))])
def test_schedules_step_by_step(schedule, make):
    own, other = pair()
    trainer = cr.Trainer(own, nn.CrossEntropyLoss(), optim.SGD(lr=0.1), schedule=schedule, engine="reference")
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    scheduler = make(optimizer)

    def after():
        if trainer.steps < STEPS:
            scheduler.step()

    compare_steps(trainer, other, optimizer, after_step=after)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(("norm", "value"), [(0.1, None), (None, 0.01), (0.05, 0.01)])
def test_clipping_step_by_step(norm, value, engine):
    own, other = pair()
    trainer = cr.Trainer(own, nn.CrossEntropyLoss(), optim.SGD(lr=0.1), clip_norm=norm, clip_value=value, engine=engine)

    def clip():
        if value is not None:
            torch.nn.utils.clip_grad_value_(other.parameters(), value)
        if norm is not None:
            torch.nn.utils.clip_grad_norm_(other.parameters(), norm)

    compare_steps(trainer, other, torch.optim.SGD(other.parameters(), lr=0.1), before_step=clip)


def test_reduce_on_plateau_epoch_by_epoch():
    for settings in ({"patience": 2}, {"patience": 0, "cooldown": 2, "factor": 0.5}, {"mode": "max", "patience": 1}):
        own = optim.ReduceOnPlateau("metric", **settings)
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        other = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **settings)
        for value in RNG.uniform(0.5, 1.5, 60):
            own.observe(value)
            other.step(value)
            assert float(own(0)) == pytest.approx(optimizer.param_groups[0]["lr"])
