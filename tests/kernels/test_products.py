"""Products over no terms, joined with a bias, an activation and the gradient of a bias as the engine does; and products
whose operands would displace themselves in the cache."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff.tensor import Parameter
from chainrule.engine.single import run_rule
from chainrule.ops.linear import linear


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


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [
    (300, 130, 512), (700, 260, 256), (520, 200, 512), (600, 131, 1040), (1030, 129, 40), (513, 140, 272),
])  # fmt: skip
def test_packed_products_are_right_and_the_same_for_all_workers(rows: int, inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(rows)
    x, w, b, dy = (rng.normal(size=s) for s in ((rows, inputs), (inputs, outputs), (outputs,), (rows, outputs)))
    known = {"dy": dy, "x": x, "w": w, "b": b}
    for rule, expected in ((linear.forward, x @ w + b), (linear.gradients["w"], x.T @ dy)):
        operands = [known[name] for name in rule.operands]
        shape = [expected.shape]
        alone, *others = (run_rule(linear, rule, operands, {}, shape, np.float32, n)[0] for n in (1, 2, 3, 8))
        np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-3)
        assert all(other.tobytes() == alone.tobytes() for other in others)
