"""Gradients of 50 random networks equal torch's, on both engines: 1e-9 relative in float64, 1e-4 in float32.

Depth, widths, activations, skips, dropout, losses and their settings are drawn; dropout in torch takes our masks.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

import chainrule as cr
from chainrule import nn, optim
from chainrule.ops.dropout import mask, scale_of

TOLERANCE = {np.float64: 1e-9, np.float32: 1e-4}
SEED = 5  # of the trainer

ACTIVATIONS = [
    (nn.ReLU, F.relu),
    (lambda: nn.LeakyReLU(0.1), lambda x: F.leaky_relu(x, 0.1)),
    (lambda: nn.ELU(1.3), lambda x: F.elu(x, 1.3)),
    (nn.GELU, F.gelu),
    (nn.SiLU, F.silu),
    (nn.Sigmoid, torch.sigmoid),
    (nn.Tanh, torch.tanh),
    (nn.Softplus, F.softplus),
    (nn.Softmax, lambda x: F.softmax(x, -1)),
    (nn.LogSoftmax, lambda x: F.log_softmax(x, -1)),
]


class Linear(torch.nn.Module):
    """torch's linear layer with weights (in, out), shared in value with one of ours."""

    def __init__(self, layer):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(layer.weight.data))
        self.bias = None if layer.bias is None else torch.nn.Parameter(torch.tensor(layer.bias.data))

    def forward(self, x):
        return F.linear(x, self.weight.T, self.bias)


class Function(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


class Skip(torch.nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


@dataclass
class Draw:
    """Layers of a random network, ours and torch's side by side."""

    rng: np.random.Generator
    dtype: type
    dropouts: int = 0
    layers: list = field(default_factory=list)

    def linear(self, inputs, outputs):
        layer = nn.Linear(inputs, outputs, bias=bool(self.rng.random() < 0.8)).astype(self.dtype)
        return layer, Linear(layer)

    def activation(self):
        ours, theirs = ACTIVATIONS[self.rng.integers(len(ACTIVATIONS))]
        return ours(), Function(theirs)

    def dropout(self):
        p, number = float(self.rng.uniform(0.1, 0.6)), self.dropouts
        self.dropouts += 1
        dropped = Function(lambda x: x * torch.tensor(mask(tuple(x.shape), p, number, SEED, 0)) * scale_of(p))
        return nn.Dropout(p), dropped

    def skip(self, width):
        """A skip around one or two layers, or around another skip."""
        body = [self.linear(width, width), self.activation()]
        if self.rng.random() < 0.5:
            body.append(self.linear(width, width))
        if self.rng.random() < 0.2:
            body.append(self.skip(width))
        ours, theirs = zip(*body, strict=True)
        return nn.Residual(nn.Sequential(*ours)), Skip(torch.nn.Sequential(*theirs))

    def network(self, inputs, outputs):
        width, layers = inputs, []
        for _ in range(self.rng.integers(0, 6)):
            wide = int(self.rng.integers(1, 70))
            layers += [self.linear(width, wide), self.activation()]
            width = wide
            if self.rng.random() < 0.4:
                layers.append(self.skip(width))
            if self.rng.random() < 0.25:
                layers.append(self.dropout())
        layers.append(self.linear(width, outputs))
        ours, theirs = zip(*layers, strict=True)
        return nn.Sequential(*ours), torch.nn.Sequential(*theirs)


def total(losses, weight, counts, reduction):
    """Each sample's losses times its weight, summed; for "mean" divided by what they count for."""
    w = weight.reshape(-1, *[1] * (losses.ndim - 1))
    return (losses * w).sum() / (1.0 if reduction == "sum" else (w * counts * torch.ones_like(losses)).sum())


def loss(rng, dtype, n, outputs):
    """Ours, torch's of (output, targets, weight), and targets."""
    reduction = ["mean", "sum"][rng.integers(2)]
    kind = ["squared", "absolute", "huber", "classes", "binary"][rng.integers(5)]
    if kind == "classes":
        weight = rng.uniform(0.5, 2.0, outputs) if rng.random() < 0.5 else None
        smoothing = float(rng.choice([0.0, 0.1]))
        per_class = torch.ones(outputs, dtype=torch.float64) if weight is None else torch.tensor(weight)

        def theirs(x, t, w):
            v = per_class.to(x.dtype)
            losses = F.cross_entropy(x, t, v, reduction="none", label_smoothing=smoothing)
            return total(losses, w, v[t], reduction)

        ours = nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing, reduction=reduction)
        return ours, theirs, rng.integers(0, outputs, n)
    if kind == "binary":
        positive = rng.uniform(0.5, 3.0, outputs) if rng.random() < 0.5 else np.ones(outputs)

        def theirs(x, t, w):
            v = torch.tensor(positive).to(x.dtype)
            losses = F.binary_cross_entropy_with_logits(x, t, pos_weight=v, reduction="none")
            return total(losses, w, 1.0, reduction)

        return (
            nn.BCEWithLogitsLoss(pos_weight=positive, reduction=reduction),
            theirs,
            rng.random((n, outputs)).astype(dtype),
        )
    function, ours = {
        "squared": (F.mse_loss, nn.MSELoss(reduction=reduction)),
        "absolute": (F.l1_loss, nn.L1Loss(reduction=reduction)),
        "huber": (lambda x, t, reduction: F.huber_loss(x, t, reduction, 0.7), nn.HuberLoss(0.7, reduction=reduction)),
    }[kind]

    def theirs(x, t, w):
        return total(function(x, t, reduction="none"), w, 1.0, reduction)

    return ours, theirs, rng.normal(size=(n, outputs)).astype(dtype)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("number", range(50))
def test_gradients(number, dtype, engine):
    rng = np.random.default_rng(number)
    cr.seed(number)
    n, inputs, outputs = int(rng.integers(1, 40)), int(rng.integers(1, 50)), int(rng.integers(1, 12))
    model, other = Draw(rng, dtype).network(inputs, outputs)
    ours, theirs, y = loss(rng, dtype, n, outputs)
    x = rng.normal(size=(n, inputs)).astype(dtype)
    weight = rng.uniform(0.1, 3.0, n).astype(dtype) if rng.random() < 0.3 else None

    trainer = cr.Trainer(model, loss=ours, optimizer=optim.SGD(lr=0.1), seed=SEED, engine=engine)
    gradients = trainer.gradients(x, y, weight)
    w = torch.ones(n, dtype=torch.tensor(x).dtype) if weight is None else torch.tensor(weight)
    theirs(other(torch.tensor(x)), torch.tensor(y), w).backward()

    expected = {name: p.grad.numpy() for name, p in other.named_parameters()}
    assert set(gradients) == set(expected)
    for name, gradient in gradients.items():
        scale = np.abs(expected[name]).max()
        assert gradient.dtype == dtype
        np.testing.assert_allclose(
            gradient, expected[name], rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=f"{name}\n{model}"
        )
