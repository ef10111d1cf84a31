"""Convolutional layers: what they compute, refuse, and say of themselves."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError, ShapeError

RNG = np.random.default_rng(0)
IMAGES, SEQUENCES = RNG.normal(size=(2, 6, 5, 4)), RNG.normal(size=(2, 9, 4))
LAYERS = [
    (nn.Conv2d(4, 3, 3), IMAGES, (2, 4, 3, 3)),
    (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), groups=2), IMAGES, (2, 3, 4, 6)),
    (nn.Conv2d(4, 4, 2, padding="same", groups=4, bias=False), IMAGES, (2, 6, 5, 4)),
    (nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=(1, 0)), IMAGES, (2, 12, 9, 3)),
    (nn.Conv1d(4, 3, 4, padding="same"), SEQUENCES, (2, 9, 3)),
    (nn.Conv1d(4, 3, 4, padding="valid"), SEQUENCES, (2, 6, 3)),
    (nn.Conv2d(4, 4, 2, stride=2, padding="valid"), IMAGES, (2, 3, 2, 4)),
    (nn.Conv1d(4, 2, 3, 2, 1, dilation=2, groups=2), SEQUENCES, (2, 4, 2)),
]


@pytest.mark.parametrize(("layer", "x", "shape"), LAYERS)
def test_layers(layer, x, shape):
    layer = layer.astype(np.float64)
    assert layer(x).shape == shape
    assert cr.gradcheck(layer, x)
    twin = type(layer)(**layer.config())
    assert repr(twin) == repr(layer)


def test_weights_start_as_torch_does():
    cr.seed(0)
    for layer, bound in ((nn.Conv2d(20, 50, 3), 180**-0.5), (nn.ConvTranspose2d(50, 20, 3), 180**-0.5)):
        for parameter in layer.parameters():
            assert np.abs(parameter.data).max() <= bound
        assert abs(layer.weight.data.std() - bound / np.sqrt(3)) < 0.02 * bound


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Conv2d(0, 1, 3),
        lambda: nn.Conv2d(1, 0, 3),
        lambda: nn.Conv2d(1, 1, 0),
        lambda: nn.Conv2d(1, 1, (3, 3, 3)),
        lambda: nn.Conv2d(1, 1, 3, 0),
        lambda: nn.Conv2d(1, 1, 3, padding=-1),
        lambda: nn.Conv2d(1, 1, 3, stride=2, padding="same"),
        lambda: nn.Conv2d(1, 1, 3, padding="Same"),
        lambda: nn.Conv2d(1, 1, 3, bias=None),
        lambda: nn.Conv2d(4, 6, 3, groups=4),
        lambda: nn.Conv2d(3, 6, 3, groups=2),
        lambda: nn.Conv2d(4, 4, 3, groups=0),
        lambda: nn.Conv2d(4, 4, 3, dilation=1.5),
        lambda: nn.Conv1d(4, 4, (3, 1)),
        lambda: nn.Conv1d(4, 4, 3, padding="reflect"),
        lambda: nn.ConvTranspose2d(4, 4, 3, padding="same"),
        lambda: nn.ConvTranspose2d(4, 4, 3, output_padding=-1),
    ],
)
def test_bad_settings(build):
    with pytest.raises(OptionError, match="Conv"):
        build()


def test_errors_name_the_layer():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 5))
    with pytest.raises(ShapeError, match=r"2 channels.*expects 3"):
        model(np.zeros((1, 8, 8, 2)))
    with pytest.raises(ShapeError, match=r"5 x 5 pixels, the padded image has 3 x 3"):
        model(np.zeros((1, 5, 5, 3)))
    with pytest.raises(ShapeError, match=r"conv1d .*x has shape \(8, 3\)"):
        nn.Conv1d(3, 4, 3)(np.zeros((8, 3)))


def test_both_engines_train_a_small_network_alike():
    images, labels = RNG.normal(size=(12, 7, 7, 2)).astype(np.float32), RNG.integers(0, 3, 12)

    def losses(engine):
        cr.seed(1)
        body = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding="same"), nn.Sigmoid(), nn.Conv2d(8, 8, (2, 3), padding="same", groups=2)
        )  # fmt: skip
        model = nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Residual(body), nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, groups=8), nn.Tanh(), nn.ConvTranspose2d(8, 4, 2), nn.ReLU(),
            nn.Flatten(), nn.Linear(64, 3),
        )  # fmt: skip
        trainer = cr.Trainer(model, loss=nn.CrossEntropyLoss(), optimizer=optim.SGD(lr=0.05), engine=engine)
        return [trainer.step(images, labels) for _ in range(5)]

    np.testing.assert_allclose(losses("compiled"), losses("reference"), rtol=1e-5)
