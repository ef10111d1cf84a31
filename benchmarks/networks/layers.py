"""The words networks are written in: layers with their shapes, initial weights and floating-point operations.

Shapes are those of one row, without the batch: (features,) or (height, width, channels). Weights are kept as linear
(in, out) and convolution (kh, kw, in, out); a peer that wants another layout converts them when it loads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Linear:
    """y = x·W + b."""

    inputs: int
    outputs: int

    def output(self, shape: Shape) -> Shape:
        assert shape == (self.inputs,), f"linear layer of {self.inputs} inputs is given {shape}"
        return (self.outputs,)

    def shapes(self) -> list[Shape]:
        return [(self.inputs, self.outputs), (self.outputs,)]

    def arrays(self, rng: np.random.Generator) -> list[np.ndarray]:
        return _uniform(rng, self.shapes(), self.inputs)

    def products(self, shape: Shape) -> int:
        return self.inputs * self.outputs

    def others(self, shape: Shape) -> int:
        return 2 * self.outputs  # the bias, and the sum over rows of its gradient


@dataclass(frozen=True)
class Convolution:
    """y = x ⋆ w (+ b), a square kernel, the same stride and padding both ways."""

    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True

    def output(self, shape: Shape) -> Shape:
        h, w, channels = shape
        assert channels == self.inputs, f"convolution of {self.inputs} channels is given {shape}"
        h, w = ((size + 2 * self.padding - self.kernel) // self.stride + 1 for size in (h, w))
        return h, w, self.outputs

    def shapes(self) -> list[Shape]:
        weight = (self.kernel, self.kernel, self.inputs, self.outputs)
        return [weight, (self.outputs,)] if self.bias else [weight]

    def arrays(self, rng: np.random.Generator) -> list[np.ndarray]:
        return _uniform(rng, self.shapes(), self.kernel**2 * self.inputs)

    def products(self, shape: Shape) -> int:
        return prod(self.output(shape)) * self.kernel**2 * self.inputs

    def others(self, shape: Shape) -> int:
        return 2 * prod(self.output(shape)) if self.bias else 0


class Weightless:
    """The base class of layers without weights."""

    def output(self, shape: Shape) -> Shape:
        return shape

    def shapes(self) -> list[Shape]:
        return []

    def arrays(self, rng: np.random.Generator) -> list[np.ndarray]:
        return []

    def products(self, shape: Shape) -> int:
        return 0

    def others(self, shape: Shape) -> int:
        return 0


@dataclass(frozen=True)
class Activation(Weightless):
    """ "tanh" or "relu"."""

    kind: str

    def others(self, shape: Shape) -> int:
        return 3 * prod(shape)  # one forward, two backward


@dataclass(frozen=True)
class BatchNorm(Weightless):
    """γ·(x - mean)/√(var + 1e-5) + β over all but the channels; running statistics move by a tenth each step."""

    channels: int

    def shapes(self) -> list[Shape]:
        return [(self.channels,), (self.channels,)]

    def arrays(self, rng: np.random.Generator) -> list[np.ndarray]:
        return [np.ones(self.channels, np.float32), np.zeros(self.channels, np.float32)]

    def others(self, shape: Shape) -> int:
        return 14 * prod(shape)  # mean, variance, scale: 5 forward; two sums and the gradient: 9 backward


@dataclass(frozen=True)
class Pool(Weightless):
    """The largest element or the mean of each window of `size`, which is the stride too: "max" or "mean"."""

    kind: str
    size: int

    def output(self, shape: Shape) -> Shape:
        h, w, channels = shape
        return h // self.size, w // self.size, channels

    def others(self, shape: Shape) -> int:
        return (1 if self.kind == "max" else 2) * prod(shape)  # the largest's gradient only chooses


@dataclass(frozen=True)
class GlobalAveragePool(Weightless):
    """The mean of each channel: (h, w, c) becomes (c,)."""

    def output(self, shape: Shape) -> Shape:
        return shape[-1:]

    def others(self, shape: Shape) -> int:
        return 2 * prod(shape)


@dataclass(frozen=True)
class Flatten(Weightless):
    """(h, w, c) becomes (h·w·c,)."""

    def output(self, shape: Shape) -> Shape:
        return (prod(shape),)


@dataclass(frozen=True)
class Dropout(Weightless):
    """Each element is 0 with probability p, else x / (1 - p). Peers draw differently: not where losses are checked."""

    p: float

    def others(self, shape: Shape) -> int:
        return 2 * prod(shape)


@dataclass(frozen=True)
class Residual:
    """body(x) + shortcut(x); an empty shortcut is x itself."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()

    def output(self, shape: Shape) -> Shape:
        found, other = output_shape(self.body, shape), output_shape(self.shortcut, shape)
        assert found == other, f"the body makes {found} of {shape}, the shortcut {other}"
        return found

    def shapes(self) -> list[Shape]:
        return parameter_shapes(self.body) + parameter_shapes(self.shortcut)

    def arrays(self, rng: np.random.Generator) -> list[np.ndarray]:
        return parameter_arrays(self.body, rng) + parameter_arrays(self.shortcut, rng)

    def products(self, shape: Shape) -> int:
        return sum(layer.products(s) for part in (self.body, self.shortcut) for layer, s in _walk(part, shape))

    def others(self, shape: Shape) -> int:
        parts = sum(layer.others(s) for part in (self.body, self.shortcut) for layer, s in _walk(part, shape))
        return parts + 2 * prod(self.output(shape))  # the sum, and the sum of the two gradients


Layer: TypeAlias = (
    Linear | Convolution | Activation | BatchNorm | Pool | GlobalAveragePool | Flatten | Dropout | Residual
)


def output_shape(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    """The shape a row of `shape` has after the layers."""
    for layer in layers:
        shape = layer.output(shape)
    return shape


def parameter_shapes(layers: tuple[Layer, ...]) -> list[Shape]:
    """Shapes of all weights, in order; a residual's body comes before its shortcut."""
    return [shape for layer in layers for shape in layer.shapes()]


def parameter_arrays(layers: tuple[Layer, ...], rng: np.random.Generator) -> list[np.ndarray]:
    """Initial weights in the same order: uniform in ±1/√(numbers that one output sums), as torch does by default."""
    return [array for layer in layers for array in layer.arrays(rng)]


def matmul_flops(layers: tuple[Layer, ...], shape: Shape, batch: int) -> int:
    """Operations of one step's products, two for each multiply-add: forward, dW, and dx of all but the first layer.

    Convolutions count whole windows, even if they extend past the edge of the image.
    """
    counts = [layer.products(s) for layer, s in _walk(layers, shape)]
    first = next(count for count in counts if count)
    return 2 * batch * (3 * sum(counts) - first)


def other_flops(layers: tuple[Layer, ...], shape: Shape, batch: int) -> int:
    """Operations of one step besides its products, forward and backward: biases, activations, normalization,
    pooling.
    """
    return batch * sum(layer.others(s) for layer, s in _walk(layers, shape))


def _walk(layers: tuple[Layer, ...], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Each layer with the shape it is given."""
    for layer in layers:
        yield layer, shape
        shape = layer.output(shape)


def _uniform(rng: np.random.Generator, shapes: list[Shape], summed: int) -> list[np.ndarray]:
    bound = 1.0 / np.sqrt(summed)
    return [rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes]
