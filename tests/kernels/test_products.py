"""Products over no terms, joined with a bias, an activation and the gradient of a bias as the engine does."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff.tensor import Parameter


class NoFeatures(nn.Module):
    """The sigmoid of a linear layer that gets none of the features of the layer before."""

    def __init__(self, bias: bool) -> None:
        self.before = nn.Linear(4, 3)
        self.w = Parameter(np.zeros((0, 2), np.float32))
        self.b = Parameter(np.array([-1.0, 2.0], np.float32)) if bias else None

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return cr.functions.linear(self.before(x)[:, 3:], self.w, self.b).sigmoid()


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_without_features_is_its_bias(bias: bool) -> None:
    x, y = np.ones((5, 4), np.float32), np.zeros((5, 2), np.float32)
    reference, compiled = (
        cr.Trainer(NoFeatures(bias), nn.MSELoss(), optim.SGD(lr=0.1), engine=engine)
        for engine in ("reference", "compiled")
    )
    np.testing.assert_allclose(compiled.predict(x), reference.predict(x), rtol=1e-6)
    assert compiled.predict(x)[0] == pytest.approx([0.26894, 0.88080] if bias else [0.5, 0.5], rel=1e-4)
    expected = reference.gradients(x, y)
    for name, gradient in compiled.gradients(x, y).items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-5, err_msg=name)
