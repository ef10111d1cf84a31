"""Initial weights: their distribution, fans and determinism."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import OptionError, ShapeError
from chainrule.nn import init

SHAPE = (300, 200)


def drawn(function, **options):
    return function(np.empty(SHAPE, np.float32), seed=0, **options)


@pytest.mark.parametrize(
    ("values", "std", "bound"),
    [
        (drawn(init.uniform, low=-2.0, high=2.0), 2 / np.sqrt(3), 2.0),
        (drawn(init.normal, mean=0.0, std=3.0), 3.0, None),
        (drawn(init.xavier_uniform), np.sqrt(2 / 500), np.sqrt(6 / 500)),
        (drawn(init.xavier_uniform, gain=2.0), 2 * np.sqrt(2 / 500), 2 * np.sqrt(6 / 500)),
        (drawn(init.xavier_normal), np.sqrt(2 / 500), None),
        (drawn(init.he_uniform), np.sqrt(2 / 300), np.sqrt(6 / 300)),
        (drawn(init.he_normal), np.sqrt(2 / 300), None),
        (drawn(init.he_normal, nonlinearity="linear"), np.sqrt(1 / 300), None),
    ],
)
def test_distributions(values, std, bound):
    assert abs(values.std() / std - 1) < 0.02
    assert abs(values.mean()) < 0.02 * std
    assert bound is None or 0.99 * bound < np.abs(values).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (3, 3, 2, 8)])
def test_orthogonal(shape):
    q = init.orthogonal(np.empty(shape), gain=2.0, seed=1).reshape(-1, shape[-1])
    small = q if q.shape[0] <= q.shape[1] else q.T
    np.testing.assert_allclose(small @ small.T, 4.0 * np.eye(len(small)), atol=1e-12)


def test_fans_of_a_convolution():
    assert init.fans((3, 5, 4, 8)) == (60, 120)
    with pytest.raises(ShapeError, match="inputs and outputs"):
        init.fans((4,))


def test_in_place_on_parameters_and_arrays():
    parameter = cr.Parameter(np.empty((2, 3), np.float32))
    array = parameter.data
    assert init.xavier_uniform(parameter, seed=3) is parameter
    assert parameter.data is array
    np.testing.assert_array_equal(array, init.xavier_uniform(np.empty((2, 3), np.float32), seed=3))
    assert not init.zeros(parameter).data.any()


def test_the_default_generator_goes_on_and_restarts():
    cr.seed(4)
    first, second = init.normal(np.empty(5)), init.normal(np.empty(5))
    assert (first != second).all()
    cr.seed(4)
    np.testing.assert_array_equal(init.normal(np.empty(5)), first)
    own = np.random.default_rng(0)
    assert (init.normal(np.empty(5), seed=own) != init.normal(np.empty(5), seed=own)).all()


def test_bad_settings():
    with pytest.raises(OptionError, match="gain"):
        init.he_normal(np.empty((2, 2)), nonlinearity="swoosh")
    with pytest.raises(OptionError, match="low"):
        init.uniform(np.empty(2), 1.0, -1.0)
    with pytest.raises(OptionError, match="std"):
        init.normal(np.empty(2), std=-1.0)
    with pytest.raises(OptionError, match="seed"):
        init.normal(np.empty(2), seed=-1)


@pytest.mark.parametrize("layer", ["Linear", "Conv1d", "Conv2d", "ConvTranspose2d"])
def test_a_seed_gives_the_weight_first_and_then_the_bias(layer):
    sizes = (6, 4) if layer == "Linear" else (6, 4, 3)
    cr.seed(5)
    made = getattr(nn, layer)(*sizes)
    cr.seed(5)
    bound = (6 if layer == "Linear" else init.fans(made.weight.shape)[0]) ** -0.5
    for parameter in (made.weight, made.bias):
        expected = init.uniform(np.empty(parameter.shape, np.float32), -bound, bound)
        np.testing.assert_array_equal(parameter.data, expected)
