"""What joins what: chains of pointwise tasks, sums before them, and nothing that would change a result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions as fn
from chainrule.train import Trainer

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(24, 6)), RNG.normal(size=(24, 6))


def block(features: int = 6) -> nn.Module:
    return nn.Residual(nn.Sequential(nn.Linear(features, features), nn.BatchNorm1d(features)))


class Chain(nn.Module):
    """Four pointwise ops after a product: two join it."""

    def __init__(self) -> None:
        self.inner = nn.Linear(6, 6)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return ((self.inner(x) * 2.0 + 0.5).tanh() + x).sigmoid()


class Twice(nn.Module):
    """A value that is used twice stays, whatever follows it."""

    def __init__(self) -> None:
        self.inner = nn.Linear(6, 6)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        h = self.inner(x)
        return fn.relu(h + x) + h


class Later(nn.Module):
    """The other operand of a sum is known only after the first product."""

    def __init__(self) -> None:
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        h = self.a(x)
        return fn.relu(h - self.b(x).exp().exp())


MODELS = {
    "residual": lambda: nn.Sequential(nn.Linear(6, 6), block(), nn.ReLU(), block(), nn.ReLU(), nn.Linear(6, 6)),
    "before": lambda: nn.Sequential(
        nn.Linear(6, 6), nn.Residual(nn.Sequential(nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 6))), nn.Linear(6, 6)
    ),
    "shortcut": lambda: nn.Sequential(
        nn.Residual(nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6)), nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6))),
        nn.ReLU(),
        nn.Residual(nn.Sequential(nn.GroupNorm(2, 6), nn.Tanh(), nn.LayerNorm(6))),
        nn.Residual(nn.Residual(nn.Linear(6, 6))),
    ),
    "chain": lambda: nn.Sequential(nn.Linear(6, 6), Chain()),
    "twice": lambda: nn.Sequential(nn.Linear(6, 6), Twice()),
    "later": lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh(), Later()),
}


def run(name: str, engine: str, dtype: Any = np.float64) -> Trainer:
    cr.seed(3)
    model = MODELS[name]().astype(dtype)
    made = Trainer(model, nn.MSELoss(), optim.SGD(lr=0.1, momentum=0.9), engine=engine)
    made.fit(X, Y, epochs=2, batch_size=10, verbose=0)
    return made


@pytest.mark.parametrize("name", MODELS)
def test_joined_tasks_compute_the_same(name: str) -> None:
    reference, compiled = run(name, "reference"), run(name, "compiled")
    expected = reference.gradients(X, Y)
    for path, gradient in compiled.gradients(X, Y).items():
        np.testing.assert_allclose(gradient, expected[path], rtol=1e-8, atol=1e-12, err_msg=path)
    for path, array in reference.model.state_dict().items():
        np.testing.assert_allclose(compiled.model.state_dict()[path], array, rtol=1e-9, atol=1e-12, err_msg=path)
    np.testing.assert_allclose(compiled.predict(X), reference.predict(X), rtol=1e-9, atol=1e-12)


def names(name: str, phase: str) -> list[str]:
    """The instructions of a phase; neighbours of one name once."""
    found: list[str] = []
    for instruction in run(name, "compiled").program.instructions:
        if instruction.phase == phase and found[-1:] != [instruction.name]:
            found.append(instruction.name)
    return found


def test_normalise_add_relu_is_one_pass() -> None:
    once = ["linear", "batch_norm + add + relu"]
    assert names("residual", "forward") == [*once, *once, "linear"]


def test_gradients_are_added_and_then_passed_through_the_activation() -> None:
    backward = names("residual", "backward")
    assert "add" not in backward  # neither sums nor copies of gradients
    assert backward.count("linear.x + relu.x") == 2
    assert backward.count("batch_norm.scale + batch_norm.shift") == 2


def test_a_chain_has_two_links() -> None:
    assert names("chain", "forward") == ["linear", "linear + scale + shift", "tanh", "add", "sigmoid"]


def test_what_is_read_elsewhere_is_not_joined() -> None:
    assert names("twice", "forward") == ["linear", "add", "relu", "add"]
