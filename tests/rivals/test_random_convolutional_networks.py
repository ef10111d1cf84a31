"""Gradients of 30 random convolutional networks equal torch's, on both engines.

The difference is at most 1e-9 of the largest in float64, 1e-4 in float32. Odd sizes, kernels, strides, paddings,
dilations, groups, batch normalization, pooling and residual blocks are drawn.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

import chainrule as cr
from chainrule import nn, optim

TOLERANCE = {np.float64: 1e-9, np.float32: 1e-4}
CLASSES = 3
ACTIVATIONS = [(nn.ReLU, torch.nn.ReLU), (nn.Tanh, torch.nn.Tanh), (nn.SiLU, torch.nn.SiLU), (nn.ELU, torch.nn.ELU)]


class Skip(torch.nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


@dataclass
class Draw:
    """Layers of a random network, ours and torch's side by side; `channels` are those of the latest output."""

    rng: np.random.Generator
    channels: int
    sides: tuple[int, int]

    def pick(self, *values):
        return values[self.rng.integers(len(values))]

    def convolution(self):
        """One that fits the image; its groups divide the channels on both sides."""
        kernel = tuple(int(self.rng.integers(1, min(4, side) + 1)) for side in self.sides)
        dilation = tuple(
            self.pick(1, 2) if k > 1 and (k - 1) * 2 < side else 1 for k, side in zip(kernel, self.sides, strict=True)
        )
        stride = (self.pick(1, 2, 3), self.pick(1, 2))
        padding = tuple(int(self.rng.integers(0, k)) for k in kernel)
        outputs = int(self.pick(3, 4, 6, 12))
        groups = self.pick(*(g for g in (1, 2, 3, 6) if self.channels % g == 0 and outputs % g == 0))
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        settings["bias"] = bool(self.rng.random() < 0.6)
        ours = nn.Conv2d(self.channels, outputs, kernel, **settings)
        theirs = torch.nn.Conv2d(self.channels, outputs, kernel, **settings)
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        self.sides = tuple(
            (n + 2 * p - r) // s + 1 for n, p, r, s in zip(self.sides, padding, reach, stride, strict=True)
        )
        self.channels = outputs
        return ours, theirs

    def normalization(self):
        return nn.BatchNorm2d(self.channels), torch.nn.BatchNorm2d(self.channels)

    def activation(self):
        ours, theirs = self.pick(*ACTIVATIONS)
        return ours(), theirs()

    def pooling(self):
        ours, theirs = self.pick((nn.MaxPool2d, torch.nn.MaxPool2d), (nn.AvgPool2d, torch.nn.AvgPool2d))
        self.sides = tuple(side // 2 for side in self.sides)
        return ours(2), theirs(2)

    def residual(self):
        """3x3 convolutions that keep the image; a 1x1 convolution on the way around where channels change."""
        before, outputs = self.channels, int(self.pick(4, 6, self.channels, 48))
        first, second = (
            (nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.Conv2d(inputs, outputs, 3, padding=1))
            for inputs in (before, outputs)
        )
        self.channels = outputs
        body = [first, self.normalization(), self.activation(), second]
        around = (None, torch.nn.Identity())
        if outputs != before:
            around = (nn.Conv2d(before, outputs, 1), torch.nn.Conv2d(before, outputs, 1))
        ours, theirs = zip(*body, strict=True)
        return nn.Residual(nn.Sequential(*ours), around[0]), Skip(torch.nn.Sequential(*theirs), around[1])

    def network(self):
        layers = []
        for _ in range(int(self.rng.integers(2, 4))):
            layers.append(self.convolution())
            layers += [self.normalization()] if self.rng.random() < 0.5 else []
            layers.append(self.activation())
            layers += [self.residual(), self.activation()] if self.rng.random() < 0.5 else []
            layers += [self.pooling()] if min(self.sides) >= 4 else []
        layers.append((nn.GlobalAvgPool2d(), torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())))
        layers.append((nn.Linear(self.channels, CLASSES), torch.nn.Linear(self.channels, CLASSES)))
        return nn.Sequential(*(a for a, _ in layers)), torch.nn.Sequential(*(b for _, b in layers))


def in_torch(array):
    """A weight of ours in torch's layout: (kh, kw, in, out) as (out, in, kh, kw), (in, out) as (out, in)."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("number", range(30))
def test_gradients(number, dtype, engine):
    rng = np.random.default_rng(number)
    cr.seed(number)
    channels, sides = int(rng.integers(1, 7)), (int(rng.integers(7, 20)), int(rng.integers(7, 20)))
    ours, theirs = Draw(rng, channels, sides).network()
    ours.astype(dtype)
    theirs.to(torch.float64 if dtype is np.float64 else torch.float32)
    parameters = list(ours.named_parameters().items())
    with torch.no_grad():
        for (_, a), b in zip(parameters, theirs.parameters(), strict=True):
            b.copy_(torch.tensor(in_torch(a.data).copy()))
    x = rng.normal(size=(int(rng.integers(2, 10)), *sides, channels)).astype(dtype)
    y = rng.integers(0, CLASSES, len(x))
    trainer = cr.Trainer(ours, nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine)
    found = trainer.gradients(x, y)
    F.cross_entropy(theirs(torch.tensor(x.transpose(0, 3, 1, 2).copy())), torch.tensor(y)).backward()
    # Normalization takes away the bias before it: that gradient is 0, and nothing but rounding in both libraries.
    scale = 0.1 * max(float(b.grad.abs().max()) for b in theirs.parameters())
    for (name, _), b in zip(parameters, theirs.parameters(), strict=True):
        expected = b.grad.numpy()
        error = np.abs(in_torch(found[name]) - expected).max()
        assert error <= TOLERANCE[dtype] * max(np.abs(expected).max(), scale), f"{name}: {error} of {scale}"
