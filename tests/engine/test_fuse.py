"""What joins what: chains of pointwise tasks, sums before them, and nothing that would change a result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions as fn
from chainrule.engine import fuse
from chainrule.native.memory import View
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


def test_normalize_add_relu_is_one_pass() -> None:
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


@pytest.mark.parametrize("pool", [
    nn.MaxPool2d(2), nn.MaxPool2d(3, 1, padding=1), nn.MaxPool2d(2, 3), nn.MaxPool2d(3, 2, dilation=2, ceil_mode=True),
])  # fmt: skip
def test_rectified_after_the_largest_is_chosen(pool: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits, with equal and negative numbers in the windows, and the rectified images are not kept."""
    x = np.random.default_rng(0).integers(-2, 3, size=(9, 11, 8, 2)).astype(np.float32)
    y = np.arange(9) % 3

    def trained() -> Trainer:
        cr.seed(0)
        layers = (nn.Conv2d(2, 5, 1), nn.ReLU(), pool, nn.Conv2d(5, 3, 1), nn.GlobalAvgPool2d())
        trainer = Trainer(nn.Sequential(*layers), nn.CrossEntropyLoss(), optim.SGD(lr=0.1))
        for weight in trainer.model.named_parameters().values():  # so that windows hold equal numbers
            weight.data[...] = np.round(2 * weight.data)
        for _ in range(3):
            trainer.step(x, y)
        return trainer

    ours = trained()
    monkeypatch.setattr(fuse, "_choose_first", lambda graph: None)
    plain = trained()
    names = [i.name for i in ours.program.instructions]
    assert "max_pool2d + relu" in names
    assert ours.program.arena_bytes < plain.program.arena_bytes
    np.testing.assert_array_equal(ours.predict(x), plain.predict(x))
    for name, weight in plain.model.named_parameters().items():
        np.testing.assert_array_equal(ours.model.named_parameters()[name].data, weight.data)


@pytest.mark.parametrize("again", [
    (nn.MaxPool2d(2),), (nn.MaxPool2d(3, 1, padding=1), nn.MaxPool2d(2)), (nn.ReLU(), nn.MaxPool2d(2)),
])  # fmt: skip
def test_rectified_after_several_choices(again: tuple[nn.Module, ...]) -> None:
    x, y = RNG.normal(size=(5, 12, 8, 2)), np.arange(5) % 3
    cr.seed(0)
    layers = (nn.Conv2d(2, 5, 1), nn.ReLU(), nn.MaxPool2d(2), *again, nn.Conv2d(5, 3, 1), nn.GlobalAvgPool2d())
    model = nn.Sequential(*layers).astype(np.float64)
    reference, compiled = (
        Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine) for engine in ("reference", "compiled")
    )
    expected = reference.gradients(x, y)
    for path, gradient in compiled.gradients(x, y).items():
        np.testing.assert_allclose(gradient, expected[path], rtol=1e-9, atol=1e-12, err_msg=path)
    np.testing.assert_allclose(compiled.predict(x), reference.predict(x), rtol=1e-9, atol=1e-12)


def test_values_keep_names_of_their_own_where_ops_change_places() -> None:
    layers = [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 3, 3), nn.ReLU(), nn.MaxPool2d(2)]
    trainer = Trainer(nn.Sequential(*layers, nn.GlobalAvgPool2d()), nn.CrossEntropyLoss(), optim.SGD(lr=0.1))
    trainer.step(RNG.normal(size=(4, 14, 14, 2)), np.arange(4) % 3)
    text = trainer.program.table()
    assert "max_pool2d + relu" in text
    for result, gradient in (
        ("relu(4×6×6×5)", "d(max_pool2d)(4×6×6×5)"),
        ("relu#2(4×2×2×3)", "d(max_pool2d#2)(4×2×2×3)"),
    ):
        assert f" {result} " in text
        assert f" {gradient} " in text
    views = (a for i in trainer.program.instructions for a in i.call.arguments if isinstance(a, View))
    buffers = {id(view.storage): view.storage.name for view in views if view.storage.kind == "arena"}
    names = [name for name in buffers.values() if name != "scratch"]
    assert sorted(names) == sorted(set(names))


def test_an_activation_that_is_used_elsewhere_stays() -> None:
    class Both(nn.Module):
        def forward(self, x: cr.Tensor) -> cr.Tensor:
            h = fn.relu(x)
            return fn.max_pool2d(h, 2).mean((1, 2)) + h.mean((1, 2))

    x = RNG.normal(size=(4, 6, 6, 3))
    trainer = Trainer(nn.Sequential(nn.Conv2d(3, 3, 1), Both()), nn.MSELoss(), optim.SGD(lr=0.1))
    trainer.step(x, np.zeros((4, 3)))
    assert "max_pool2d + relu" not in [i.name for i in trainer.program.instructions]
