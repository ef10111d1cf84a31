"""Pooling at ties and NaN, in tiles smaller than an image, fused with what follows; what a wrong setting says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions
from chainrule.engine.single import run_rule
from chainrule.errors import OptionError, ShapeError
from chainrule.kernels import pooling
from chainrule.kernels.pooling import Grid, Window, _tables
from chainrule.ops.pooling import max_pool2d

TWO: dict[str, Any] = {
    "kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "ceil_mode": False
}  # fmt: skip
THREE = TWO | {"kernel": (3, 3), "padding": ((1, 1), (1, 1))}


@pytest.mark.parametrize("settings", [TWO, THREE], ids=["2x2", "3x3"])
@pytest.mark.parametrize("values", ["ties", "nan", "lowest"])
def test_compiled_pooling_at_ties_and_nan(settings: dict[str, Any], values: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (3, 9, 8, 20)).astype(np.float32)
    if values == "nan":
        x[rng.random(x.shape) < 0.1] = np.nan
    if values == "lowest":
        x[:] = -np.inf
    y, argmax = max_pool2d(x, **settings)
    ours = run_rule(max_pool2d, max_pool2d.forward, [x], settings, [y.shape, y.shape])
    np.testing.assert_array_equal(ours, [y, argmax])
    dy = rng.normal(size=y.shape).astype(np.float32)
    rule = max_pool2d.gradients["x"]
    dx = rule.definition(dy, argmax, x_shape=x.shape, **settings)
    np.testing.assert_allclose(
        run_rule(max_pool2d, rule, [dy, argmax], {"x_shape": x.shape, **settings}, [x.shape])[0], dx, atol=1e-6
    )
    np.testing.assert_allclose(dx.sum(), dy.sum(), rtol=1e-4)  # all of it goes somewhere


def test_bands_smaller_than_an_image_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(2, 11, 7, 5)).astype(np.float32)
    y, argmax = max_pool2d(x, **THREE)
    rule = max_pool2d.gradients["x"]
    expected = rule.definition(y, argmax, x_shape=x.shape, **THREE)
    for tile in (1, 40, 100, 10_000):
        monkeypatch.setattr(pooling, "TILE", tile)
        ours = run_rule(max_pool2d, max_pool2d.forward, [x], THREE, [y.shape, y.shape])
        np.testing.assert_array_equal(ours, [y, argmax])
        dx = run_rule(max_pool2d, rule, [y, argmax], {"x_shape": x.shape, **THREE}, [x.shape])[0]
        np.testing.assert_allclose(dx, expected, atol=1e-6)


def test_windows_alike_make_one_run() -> None:
    columns = [Window(0, 1, 2, 2), Window(1, 0, 3, 3), Window(3, 0, 3, 3), Window(5, 0, 3, 3), Window(8, 0, 3, 3)]
    _, runs = _tables(Grid(columns, columns))
    assert runs.numpy().tolist() == [[0, 1, 0, 0, 1, 2, 2], [1, 3, 1, 2, 0, 3, 3], [4, 1, 8, 0, 0, 3, 3]]


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(3), nn.Upsample(scale_factor=2)]
)
@pytest.mark.parametrize("before", [True, False])
def test_activations_beside_pooling_are_fused_rightly(pool: nn.Module, before: bool) -> None:
    cr.seed(0)
    layers = [nn.Tanh(), pool] if before else [pool, nn.ReLU()]
    model = nn.Sequential(nn.Linear(3, 4), *layers, nn.Flatten())
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 8, 3)).astype(np.float32)
    y = rng.normal(size=model(x).shape).astype(np.float32)
    compiled, reference = (
        cr.Trainer(model, loss=nn.MSELoss(), optimizer=optim.SGD(lr=0.1), engine=engine).gradients(x, y)
        for engine in ("compiled", "reference")
    )
    for name, gradient in reference.items():
        np.testing.assert_allclose(compiled[name], gradient, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "settings", "says"),
    [
        ((2, 1, 4, 3), {"kernel_size": 2}, "images 1 x 4 are too small for a kernel that reaches over 2 rows"),
        ((2, 4, 3, 3), {"kernel_size": 2, "dilation": 3}, "a kernel that reaches over 4 columns"),
        ((4, 4, 3), {"kernel_size": 2}, "expected four axes"),
        ((2, 4, 4, 0), {"kernel_size": 2}, "at least one row, one column and one channel"),
    ],
)
def test_images_that_do_not_fit(shape: Any, settings: Any, says: str) -> None:
    with pytest.raises(ShapeError, match=f"max_pool2d: .*{says}"):
        functions.max_pool2d(np.zeros(shape), **settings)


def test_padding_beyond_half_of_the_kernel_is_refused() -> None:
    with pytest.raises(OptionError, match=r"nn\.ZeroPad2d"):
        functions.max_pool2d(np.zeros((1, 8, 8, 1)), 3, padding=2)
