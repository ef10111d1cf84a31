"""Normalization by given statistics is done to the weight and bias of the product before it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions as fn
from chainrule.models import resnet
from chainrule.native.memory import View
from chainrule.train import Trainer

RNG = np.random.default_rng(2)
X = RNG.normal(size=(20, 4, 5, 3))


class Frozen(nn.Module):
    """A normalization that is by given statistics in training too; `again`: its input is read once more."""

    def __init__(self, again: bool = False) -> None:
        self.inner, self.again = nn.Linear(3, 6), again
        self.mean = nn.Buffer(np.full(6, 0.3, np.float32), name="mean")
        self.variance = nn.Buffer(np.linspace(0.5, 2.0, 6, dtype=np.float32), name="variance")

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        h = self.inner(x)
        scale, shift = (np.full(6, number, x.dtype) for number in (1.5, 0.5))
        y = fn.relu(fn.normalize(h, scale, shift, self.mean, self.variance, 1e-3))
        return y + h if self.again else y


def conv(inputs: int, outputs: int, size: Any = 3, **settings: Any) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, padding=1, **settings), nn.BatchNorm2d(outputs)]


def skip() -> list[nn.Module]:
    shortcut = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4))
    return [nn.Residual(nn.Sequential(*conv(3, 4)), shortcut), nn.ReLU()]


def dense(*sizes: int) -> list[nn.Module]:
    return [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.BatchNorm1d(o))]


# Layers, and the instructions of a prediction's forward pass, neighbours of one name once.
MODELS: dict[str, tuple[Callable[[], list[nn.Module]], list[str]]] = {
    "plain": (lambda: [*conv(3, 5, bias=False), nn.ReLU()], ["normalize", "conv2d + relu"]),
    "bias": (lambda: [*conv(3, 5, (3, 2), stride=2), nn.ReLU()], ["normalize", "conv2d + relu"]),
    "groups": (lambda: conv(3, 6, groups=3), ["normalize", "conv2d"]),
    "channels": (lambda: conv(3, 16) + conv(16, 17), ["normalize", "conv2d", "normalize", "conv2d"]),
    "two": (lambda: [*conv(3, 4), nn.BatchNorm2d(4, affine=False)], ["normalize", "conv2d"]),
    "skip": (skip, ["normalize", "conv2d", "normalize", "conv2d + add + relu"]),
    "linear": (lambda: [nn.Linear(3, 5), nn.BatchNorm2d(5)], ["normalize", "linear"]),
    "large weight": (lambda: [nn.Flatten(), *dense(60, 40)], ["linear", "normalize"]),
    "large again": (lambda: [nn.Flatten(), *dense(60, 12, 8)], ["linear", "normalize", "linear"]),
    "activation": (lambda: [nn.Conv2d(3, 5, 1), nn.ReLU(), nn.BatchNorm2d(5)], ["conv2d + relu", "normalize"]),
    "frozen": (lambda: [Frozen()], ["normalize", "linear + relu"]),
    "read again": (lambda: [Frozen(again=True)], ["linear", "normalize + relu + add"]),
}


def runs(name: str, dtype: Any = np.float64) -> tuple[Trainer, Trainer]:
    """A model whose numbers are none of those it starts with, in both engines."""
    cr.seed(3)
    model = nn.Sequential(*MODELS[name][0]()).astype(dtype)
    rng = np.random.default_rng(4)
    state = {path: array + rng.uniform(0.1, 0.9, array.shape) for path, array in model.state_dict().items()}
    model.load_state_dict({path: array.astype(dtype) for path, array in state.items()})
    made = [Trainer(model, nn.MSELoss(), optim.SGD(lr=0.1), engine=engine) for engine in ("reference", "compiled")]
    return made[0], made[1]


def forward(run: Trainer) -> list[Any]:
    """The instructions of the latest program's forward pass."""
    *_, bound = run.engine._programs.values()
    return [i for i in bound.program.instructions if i.phase == "forward"]


def names(run: Trainer) -> list[str]:
    found = [i.name for i in forward(run) if i.name != "flatten"]
    return [name for name, before in zip(found, ["", *found], strict=False) if name != before]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_the_reference_ones(name: str, dtype: Any) -> None:
    reference, compiled = runs(name, dtype)
    close = {"rtol": 1e-10, "atol": 1e-12} if dtype is np.float64 else {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(compiled.predict(X), reference.predict(X), **close)
    assert names(compiled) == MODELS[name][1]


@pytest.mark.parametrize("name", ["skip", "linear", "frozen"])
def test_what_has_changed_is_read_anew(name: str) -> None:
    reference, compiled = runs(name)
    before = compiled.predict(X)
    for tensor in (compiled.model.named_parameters() | compiled.model.named_buffers()).values():
        tensor.data[...] *= 1.5
    after = compiled.predict(X)
    assert not np.allclose(after, before)
    np.testing.assert_allclose(after, reference.predict(X), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["frozen", "read again"])
def test_gradients_pass_through_a_folded_normalization(name: str) -> None:
    reference, compiled = runs(name)
    y = RNG.normal(size=(*X.shape[:3], 6))
    expected = reference.gradients(X, y)
    for path, gradient in compiled.gradients(X, y).items():
        np.testing.assert_allclose(gradient, expected[path], rtol=1e-9, atol=1e-12, err_msg=path)
    assert names(compiled)[0] == MODELS[name][1][0]


def test_no_pass_over_the_images_of_a_residual_network_normalizes() -> None:
    cr.seed(5)
    run = Trainer(resnet(8, (16, 16, 3)), nn.CrossEntropyLoss(), optim.SGD(lr=0.1))
    run.predict(RNG.normal(size=(64, 16, 16, 3)))
    parts = {"scratch", "bias'", *(f"{path}'" for path in run.model.named_parameters())}
    for instruction in forward(run):
        if instruction.name == "normalize":
            written = [a.storage.name for a in instruction.call.arguments if isinstance(a, View)]
            assert written[0] in parts
