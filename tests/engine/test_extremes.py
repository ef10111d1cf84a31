"""Inputs of any size have the same outcome on both engines: the same values, or the same error and no step taken."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import NonFiniteError
from chainrule.train import Trainer

RNG = np.random.default_rng(5)
ONE = np.zeros((20, 6))
ONE[0, 3] = 1.0
NOISE = RNG.normal(size=(20, 6))
INPUTS = {
    "zeros": 0 * NOISE,
    "denormal": 1e-42 * NOISE,
    "tiny": 1e-20 * NOISE,
    "usual": NOISE,
    "1e10": 1e10 * NOISE,
    "1e18": 1e18 * NOISE,
    "1e19": 1e19 * NOISE,
    "1e20": 1e20 * NOISE,
    "1e38": 1e38 * np.clip(NOISE, -3, 3),
    "one 1e20": NOISE + 1e20 * ONE,
    "one 3e38": NOISE + 3e38 * ONE,
}
LAYERS = {
    "batch": lambda: nn.BatchNorm1d(6),
    "average": lambda: nn.BatchNorm1d(6, momentum=None),
    "untracked": lambda: nn.BatchNorm1d(6, track_running_stats=False),
    "layer": lambda: nn.LayerNorm(6),
    "group": lambda: nn.GroupNorm(2, 6),
    "relu behind": lambda: nn.Sequential(nn.BatchNorm1d(6), nn.ReLU()),
    "softmax": lambda: nn.Softmax(),
    "none": lambda: nn.Sequential(),
}
LABELS, VALUES = RNG.integers(0, 3, 20), RNG.normal(size=(20, 3))
LOSSES = {
    "cross-entropy": (nn.CrossEntropyLoss(), LABELS),
    "smooth": (nn.CrossEntropyLoss(weight=[1.0, 2.0, 0.5], label_smoothing=0.1), LABELS),
    "binary": (nn.BCEWithLogitsLoss(pos_weight=2.0), (VALUES > 0).astype(float)),
    "squared": (nn.MSELoss(), VALUES),
    "absolute": (nn.L1Loss(), VALUES),
    "huber": (nn.HuberLoss(), VALUES),
}


def outcome(engine, layer, loss, x, y):
    """What two epochs, a prediction and the weights afterwards are; an error by its class."""
    cr.seed(1)
    model = nn.Sequential(layer(), nn.Linear(6, 3))
    # A power of 2: where a large step goes back the way that another came, what is left is no error of rounding lr·g.
    trainer = Trainer(model, loss, optim.SGD(lr=2**-7), engine=engine)
    found = [attempt(lambda: trainer.fit(x, y, epochs=2, batch_size=10, shuffle=False)["loss"])]
    found += [attempt(lambda: trainer.predict(x)), trainer.steps]
    state = list(model.state_dict().values())
    assert all(np.isfinite(array).all() for array in state)
    return found + state


def attempt(function):
    try:
        return function()
    except NonFiniteError:
        return "not finite"


def compare(layer, loss, x, y):
    found = [outcome(engine, layer, loss, x, y) for engine in ("reference", "compiled")]
    for one, other in zip(*found, strict=True):
        assert isinstance(one, str) == isinstance(other, str), (one, other)
        if not isinstance(one, str):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4 * max(1e-30, np.abs(one).max(initial=0)))


@pytest.mark.parametrize("size", INPUTS)
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer, size):
    compare(LAYERS[layer], *LOSSES["cross-entropy"][:1], INPUTS[size], LABELS)


@pytest.mark.parametrize("size", INPUTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss, size):
    compare(LAYERS["none"], LOSSES[loss][0], INPUTS[size], LOSSES[loss][1])


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("layer", ["batch", "average", "untracked", "layer", "group"])
def test_a_variance_beyond_float32_is_an_error_before_the_first_step(engine, layer):
    cr.seed(1)
    trainer = Trainer(
        nn.Sequential(LAYERS[layer](), nn.Linear(6, 3)), nn.CrossEntropyLoss(), optim.SGD(), engine=engine
    )
    before = trainer.model.state_dict()
    with pytest.raises(NonFiniteError, match="step 0: the loss is nan"):
        trainer.fit(INPUTS["1e20"], LABELS, batch_size=10)
    assert trainer.steps == 0
    assert all((before[name] == array).all() for name, array in trainer.model.state_dict().items())
