"""Normalization layers equal torch's: outputs, gradients, and what they keep over several training steps."""

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule import nn, optim

TOLERANCE = {np.float64: 1e-9, np.float32: 2e-5}
SETTINGS = [
    {},
    {"momentum": 0.3, "eps": 1e-2},
    {"momentum": None},
    {"affine": False},
    {"bias": False},
    {"track_running_stats": False},
    {"affine": False, "momentum": None},
]
SHAPES = [("BatchNorm1d", (7, 5)), ("BatchNorm1d", (4, 9, 5)), ("BatchNorm2d", (3, 6, 4, 5))]
both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
both_engines = pytest.mark.parametrize("engine", ["reference", "compiled"])


def channels_second(x):
    """torch's order of axes."""
    return torch.tensor(np.moveaxis(x, -1, 1))


def assert_close(ours, theirs, dtype, message=""):
    theirs = theirs.detach().numpy()
    scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=message)


def pair(kind, *arguments, dtype, **settings):
    """The same layer twice, with weights that are not all alike."""
    rng = np.random.default_rng(1)
    ours, theirs = getattr(nn, kind)(*arguments, **settings), getattr(torch.nn, kind)(*arguments, **settings)
    ours.astype(dtype)
    theirs.to(torch.float64 if dtype is np.float64 else torch.float32)
    for name, parameter in ours.named_parameters().items():
        parameter.data[...] = rng.normal(size=parameter.shape) + 1
        getattr(theirs, name).data[...] = torch.tensor(parameter.data)
    return ours, theirs


def assert_same_layer(ours, theirs, dtype):
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for name, array in ours.state_dict().items():
        assert_close(array, state[name].double(), dtype, name)


@both_dtypes
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_batch_norm(kind, shape, settings, dtype):
    rng = np.random.default_rng(0)
    ours, theirs = pair(kind, shape[-1], dtype=dtype, **settings)
    for training in (True, True, True, False, True, False):
        ours.train(training)
        theirs.train(training)
        x, dy = (rng.normal(2.0, 3.0, shape).astype(dtype) for _ in range(2))
        a, b = cr.tensor(x, requires_grad=True), channels_second(x).requires_grad_()
        y, expected = ours(a), theirs(b)
        assert_close(np.moveaxis(y.data, -1, 1), expected, dtype)
        y.backward(dy)
        expected.backward(channels_second(dy))
        assert_close(np.moveaxis(a.grad, -1, 1), b.grad, dtype)
        for name, parameter in ours.named_parameters().items():
            assert_close(parameter.grad, getattr(theirs, name).grad, dtype, name)
        assert_same_layer(ours, theirs, dtype)


@pytest.mark.parametrize("shape", [(1, 5), (1, 1, 1, 5)])
def test_both_refuse_one_value_per_channel(shape):
    kind = "BatchNorm1d" if len(shape) == 2 else "BatchNorm2d"
    ours, theirs = pair(kind, 5, dtype=np.float32)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        theirs(channels_second(np.ones(shape, np.float32)))
    with pytest.raises(cr.errors.ShapeError, match="one value per channel"):
        ours(np.ones(shape, np.float32))


def test_large_batches_in_float32():
    """64 x 32 x 32 values a channel, far from 0."""
    x = (np.random.default_rng(0).normal(size=(64, 32, 32, 5)) + 20).astype(np.float32)
    ours, theirs = pair("BatchNorm2d", 5, dtype=np.float32)
    exact = torch.nn.BatchNorm2d(5, dtype=torch.float64)
    exact(channels_second(x.astype(np.float64)))
    model = nn.Sequential(ours, nn.Flatten(), nn.Linear(32 * 32 * 5, 1))
    cr.Trainer(model, nn.MSELoss(), optim.SGD(lr=0.0)).step(x, np.zeros((64, 1)))
    theirs(channels_second(x))
    for name in ("running_mean", "running_var"):
        found, wanted = getattr(ours, name).data, getattr(exact, name).numpy()
        np.testing.assert_allclose(found, wanted, rtol=2e-6)
        np.testing.assert_allclose(found, getattr(theirs, name).numpy(), rtol=1e-5)


@both_dtypes
@pytest.mark.parametrize(
    ("kind", "arguments", "shape", "settings"),
    [
        ("LayerNorm", (5,), (7, 5), {}),
        ("LayerNorm", (5,), (2, 7, 5), {"eps": 0.1, "bias": False}),
        ("LayerNorm", ((7, 5),), (2, 7, 5), {}),
        ("LayerNorm", (700,), (40, 700), {"elementwise_affine": False}),
        ("GroupNorm", (2, 6), (3, 6), {}),
        ("GroupNorm", (3, 6), (3, 4, 5, 6), {"eps": 0.1}),
        ("GroupNorm", (6, 6), (3, 40, 6), {"affine": False}),
    ],
)
def test_layer_and_group_norm(kind, arguments, shape, settings, dtype):
    rng = np.random.default_rng(0)
    ours, theirs = pair(kind, *arguments, dtype=dtype, **settings)
    x, dy = (rng.normal(2.0, 3.0, shape).astype(dtype) for _ in range(2))
    order = channels_second if kind == "GroupNorm" else torch.tensor
    a, b = cr.tensor(x, requires_grad=True), order(x).requires_grad_()
    y, expected = ours(a), theirs(b)
    y.backward(dy)
    expected.backward(order(dy))
    for found, wanted in ((y.data, expected), (a.grad, b.grad)):
        assert_close(np.moveaxis(found, -1, 1) if kind == "GroupNorm" else found, wanted, dtype)
    for name, parameter in ours.named_parameters().items():
        assert_close(parameter.grad, getattr(theirs, name).grad, dtype, name)


class Linear(torch.nn.Module):
    """torch's linear layer with weights (in, out), over the last axis, shared in value with one of ours."""

    def __init__(self, layer):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(layer.weight.data))
        self.bias = torch.nn.Parameter(torch.tensor(layer.bias.data))

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight.T, self.bias)


class Sum(torch.nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def networks(dtype):
    cr.seed(0)
    lines = [nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)]
    for line in lines:
        line.astype(dtype)
    a, b, c, d = lines
    ours = nn.Sequential(
        a, nn.BatchNorm1d(8), nn.ReLU(),
        nn.Residual(nn.Sequential(b, nn.BatchNorm1d(8, momentum=None)), nn.Sequential(c, nn.LayerNorm(8))), nn.ReLU(),
        nn.GroupNorm(2, 8), d,
    )  # fmt: skip
    a, b, c, d = map(Linear, lines)
    theirs = torch.nn.Sequential(
        a, torch.nn.BatchNorm1d(8), torch.nn.ReLU(),
        Sum(
            torch.nn.Sequential(b, torch.nn.BatchNorm1d(8, momentum=None)),
            torch.nn.Sequential(c, torch.nn.LayerNorm(8)),
        ),
        torch.nn.ReLU(), torch.nn.GroupNorm(2, 8), d,
    )  # fmt: skip
    return ours.astype(dtype), theirs.to(torch.float64 if dtype is np.float64 else torch.float32)


@both_engines
@both_dtypes
def test_a_network_trains_and_evaluates_alike(engine, dtype):
    rng = np.random.default_rng(0)
    ours, theirs = networks(dtype)
    trainer = cr.Trainer(ours, nn.CrossEntropyLoss(), optim.SGD(lr=0.1, momentum=0.9), engine=engine)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for _ in range(8):
        x, y = rng.normal(size=(12, 6)).astype(dtype), rng.integers(0, 3, 12)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        optimizer.step()
        assert trainer.step(x, y) == pytest.approx(loss.item(), rel=TOLERANCE[dtype] * 10)
    assert_same_layer(ours, theirs, dtype)
    assert_close(trainer.predict(x), theirs.eval()(torch.tensor(x)), dtype)
