"""Each optimizer equals torch's step by step to 1e-6 over 100 steps: its update alone, and in a trainer."""

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule import nn, optim

STEPS = 100
CASES = [
    (optim.SGD(lr=0.1), torch.optim.SGD, {"lr": 0.1}),
    (optim.SGD(lr=0.1, weight_decay=0.01), torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.01}),
    (optim.SGD(lr=0.05, momentum=0.9), torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    (
        optim.SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ),
    (optim.RMSprop(), torch.optim.RMSprop, {}),
    (
        optim.RMSprop(lr=0.003, alpha=0.9, eps=1e-6, weight_decay=0.01),
        torch.optim.RMSprop,
        {"lr": 0.003, "alpha": 0.9, "eps": 1e-6, "weight_decay": 0.01},
    ),
    (optim.Adagrad(), torch.optim.Adagrad, {}),
    (
        optim.Adagrad(lr=0.05, lr_decay=0.01, weight_decay=0.01, eps=1e-8),
        torch.optim.Adagrad,
        {"lr": 0.05, "lr_decay": 0.01, "weight_decay": 0.01, "eps": 1e-8},
    ),
    (optim.Adam(), torch.optim.Adam, {}),
    (
        optim.Adam(lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01),
        torch.optim.Adam,
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.01},
    ),
    (optim.AdamW(), torch.optim.AdamW, {}),
    (
        optim.AdamW(lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        torch.optim.AdamW,
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1},
    ),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("ours", "kind", "options"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_updates(ours, kind, options, dtype):
    rng = np.random.default_rng(0)
    p, update = rng.normal(size=50).astype(dtype), ours.update
    states = [np.zeros_like(p) for _ in update.states]
    parameter = torch.nn.Parameter(torch.tensor(p))
    theirs = kind([parameter], **options)
    rows = ours.coefficients(np.arange(1, STEPS + 1), np.full(STEPS, ours.lr))
    for row in rows:
        gradient = rng.normal(size=50).astype(dtype)
        p, *states = update(row, p, gradient, *states)
        parameter.grad = torch.tensor(gradient)
        theirs.step()
        np.testing.assert_allclose(p, parameter.detach().numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(("ours", "kind", "options"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_training(ours, kind, options, engine):
    rng = np.random.default_rng(1)
    cr.seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)).astype(np.float64)
    parameters = [torch.nn.Parameter(torch.tensor(p.data)) for p in model.parameters()]
    theirs = kind(parameters, **options)
    trainer = cr.Trainer(model, loss=nn.MSELoss(), optimizer=ours, engine=engine)
    for _ in range(STEPS):
        x, y = rng.normal(size=(7, 5)), rng.normal(size=(7, 2))
        w, b, v, c = parameters
        theirs.zero_grad()
        loss = ((torch.tanh(torch.tensor(x) @ w + b) @ v + c - torch.tensor(y)) ** 2).mean()
        loss.backward()
        theirs.step()
        assert trainer.step(x, y) == pytest.approx(loss.item(), rel=1e-6)
        for a, b in zip(model.parameters(), parameters, strict=True):
            np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-6, atol=1e-6)
