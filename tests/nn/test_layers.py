"""Layers: what they compute, refuse, and say of themselves."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.autodiff import functions
from chainrule.errors import OptionError, ShapeError
from chainrule.nn.activations import Activation
from chainrule.ops import activations
from chainrule.ops.record import Op

X = np.random.default_rng(0).normal(size=(4, 6))
LAYERS = [
    *(layer() for layer in Activation.__subclasses__()),
    nn.LeakyReLU(0.2),
    nn.ELU(1.5),
    nn.Softmax(),
    nn.LogSoftmax(axis=0),
    nn.Dropout(0.4),
    nn.Flatten(),
    nn.Linear(6, 3),
    nn.Linear(6, 3, bias=False),
    nn.Residual(nn.Linear(6, 6)),
    nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2)),
    nn.Sequential(),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_gradients(layer):
    layer = layer.astype(np.float64)
    assert cr.gradcheck(layer, X)


def test_linear():
    layer = nn.Linear(3, 2)
    layer.weight.data[...] = [[1, 2], [3, 4], [5, 6]]
    layer.bias.data[...] = [10, 20]
    assert layer([[1.0, 0.0, -1.0]]).data.tolist() == [[6.0, 16.0]]
    assert layer(np.zeros((2, 5, 3))).shape == (2, 5, 2)
    assert layer.weight.dtype == np.float32


def test_linear_starts_as_torch_does():
    cr.seed(0)
    layer = nn.Linear(100, 500)
    bound = 0.1
    for parameter in layer.parameters():
        assert np.abs(parameter.data).max() <= bound
        assert abs(parameter.data.std() - bound / np.sqrt(3)) < 0.005
    cr.seed(0)
    np.testing.assert_array_equal(nn.Linear(100, 500).weight.data, layer.weight.data)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Linear(0, 2),
        lambda: nn.Linear(2, -1),
        lambda: nn.Linear(2.0, 1),
        lambda: nn.Linear(True, 1),
        lambda: nn.Dropout(1.5),
        lambda: nn.Dropout(float("nan")),
        lambda: nn.LeakyReLU(-0.1),
        lambda: nn.ELU(float("inf")),
        lambda: nn.Sequential(nn.ReLU),
        lambda: nn.Sequential([nn.ReLU()]),
        lambda: nn.Residual("tanh"),
        lambda: nn.Softmax("rows"),
        lambda: nn.Dropout("a"),
        lambda: nn.LeakyReLU(None),
        lambda: nn.Flatten(1.5),
    ],
)
def test_bad_settings(build):
    with pytest.raises(OptionError):
        build()


def test_residual_needs_equal_shapes():
    with pytest.raises(ShapeError, match=r"\(4, 6\) into \(4, 1\)"):
        nn.Residual(nn.Linear(6, 1))(X)


def test_flatten():
    assert nn.Flatten()(np.zeros((2, 3, 4))).shape == (2, 12)
    assert nn.Flatten(2)(np.zeros((2, 3, 4, 5))).shape == (2, 3, 20)
    assert nn.Flatten()(np.zeros((0, 3, 4))).shape == (0, 12)
    assert nn.Flatten(-3, -2)(np.zeros((2, 3, 4, 5))).shape == (2, 12, 5)
    assert nn.Flatten(0)(np.zeros((2, 3))).shape == (6,)
    for layer in (nn.Flatten(), nn.Flatten(0, 1), nn.Flatten(-2)):
        with pytest.raises(ShapeError, match=r"flatten: x has shape \(3,\), no axes"):
            layer(np.zeros(3))
    with pytest.raises(ShapeError, match="no axes 2 to 1"):
        nn.Flatten(2, 1)(np.zeros((2, 3, 4)))


def test_dropout_only_in_training():
    layer = nn.Dropout(0.5)
    assert (layer(X).data == 0).any()
    np.testing.assert_array_equal(layer.eval()(X).data, X)
    assert not nn.Dropout(1.0)(X).data.any()


def test_config_builds_the_layer_again():
    for layer in LAYERS:
        if layer.named_children():
            continue
        twin = type(layer)(**layer.config())
        assert repr(twin) == repr(layer)


@pytest.mark.parametrize("layer", Activation.__subclasses__(), ids=lambda layer: layer.__name__)
def test_an_activation_is_its_op_with_the_defaults_of_its_op(layer: type[Activation]) -> None:
    x = np.array([-3.0, -0.5, 0.0, 0.5, 3.0])
    function = getattr(functions, layer.op.name)
    assert layer()(x).numpy().tolist() == function(x).numpy().tolist()
    assert layer.op.forward.formula in (layer.__doc__ or "")


def test_every_activation_has_a_layer() -> None:
    ops = [value for value in vars(activations).values() if isinstance(value, Op)]
    assert ops == [layer.op for layer in Activation.__subclasses__()]
