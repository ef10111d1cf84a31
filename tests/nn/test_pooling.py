"""Layers that pool, resize and pad images: shapes, gradients, settings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import OptionError, ShapeError

X = np.random.default_rng(0).normal(size=(2, 7, 6, 3))
CASES = [
    (nn.MaxPool2d(2), (2, 3, 3, 3)),
    (nn.MaxPool2d((3, 2), stride=1, padding=(1, 0), dilation=(1, 2), ceil_mode=True), (2, 7, 4, 3)),
    (nn.AvgPool2d(2, ceil_mode=True), (2, 4, 3, 3)),
    (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 4, 3, 3)),
    (nn.AdaptiveAvgPool2d((3, 5)), (2, 3, 5, 3)),
    (nn.GlobalAvgPool2d(), (2, 3)),
    (nn.Upsample(scale_factor=2), (2, 14, 12, 3)),
    (nn.Upsample(scale_factor=(1, 3)), (2, 7, 18, 3)),
    (nn.ZeroPad2d(1), (2, 9, 8, 3)),
    (nn.ZeroPad2d((1, 2, 0, 3)), (2, 10, 9, 3)),
]
each = pytest.mark.parametrize(("layer", "shape"), CASES, ids=lambda v: type(v).__name__)


@each
def test_shapes_and_gradients(layer: nn.Module, shape: tuple[int, ...]) -> None:
    assert layer(X).shape == shape
    assert layer(X[:0]).shape == (0, *shape[1:])
    assert cr.gradcheck(layer, X)


@each
def test_config_builds_the_layer_again(layer: nn.Module, shape: tuple[int, ...]) -> None:
    assert repr(type(layer)(**layer.config())) == repr(layer)


@each
def test_rows_of_numbers_are_refused(layer: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="expected four axes"):
        layer(np.zeros((4, 3)))


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.MaxPool2d(0),
        lambda: nn.MaxPool2d(2.0),
        lambda: nn.MaxPool2d((2, 2, 2)),
        lambda: nn.MaxPool2d(2, 0),
        lambda: nn.MaxPool2d(2, padding=-1),
        lambda: nn.MaxPool2d(2, dilation=0),
        lambda: nn.MaxPool2d(2, ceil_mode=1),
        lambda: nn.AvgPool2d(None),
        lambda: nn.AvgPool2d(2, count_include_pad="yes"),
        lambda: nn.AdaptiveAvgPool2d(0),
        lambda: nn.Upsample(scale_factor=1.5),
        lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
        lambda: nn.ZeroPad2d(-1),
        lambda: nn.ZeroPad2d((1, 2)),
    ],
)
def test_bad_settings(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(OptionError):
        build()


@pytest.mark.parametrize("build", [lambda: nn.Upsample(2), lambda: nn.MaxPool2d(2, 2, 0, 1, True)])  # type: ignore[call-arg]
def test_what_torch_takes_in_another_place_is_given_by_name(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(TypeError, match="positional"):
        build()


def test_zeros_are_where_they_belong() -> None:
    y = nn.ZeroPad2d((1, 0, 2, 0))(np.ones((1, 1, 1, 1))).data
    assert y[0, ..., 0].tolist() == [[0, 0], [0, 0], [0, 1]]
