"""The network, loss and optimizer of a workload in JAX, shared by its two peers."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from benchmarks.networks import (
    Activation,
    BatchNorm,
    Convolution,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    Pool,
    Residual,
    parameter_shapes,
)
from benchmarks.workloads import Workload

MOMENTUM, EPS = 0.1, 1e-5  # of batch normalization


def environments(threads: int) -> list[tuple[str, dict[str, str]]]:
    """XLA's thread counts worth trying, as (label, environment): without Eigen's pool, and `threads` in the pool."""
    one = {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    choices = [("threads=1", one)]
    if threads > 1:
        choices.append((f"threads={threads}", {"NPROC": str(threads)}))
    return choices


def pools(workload: Workload) -> tuple[str, ...]:
    """Ways of pooling worth trying: along axes of a reshaped array, or `lax.reduce_window`."""
    return ("axes", "window") if any(isinstance(layer, Pool) for layer in workload.layers) else ("none",)


class Network:
    """Pure functions `initial_state` and `step`; `flat` packs each of weights, m and v into one vector."""

    def __init__(self, workload: Workload, flat: bool, pool: str) -> None:
        import jax

        self.jax, self.workload, self.flat, self.pool = jax, workload, flat, pool
        self.shapes = parameter_shapes(workload.layers)

    def initial_state(self, initial: list[np.ndarray]) -> Any:
        """(weights, optimizer state, running statistics); Adam's state: two moments and the powers of its betas."""
        jnp = self.jax.numpy
        weights: Any = [jnp.array(a) for a in initial]
        if self.flat:
            weights = jnp.concatenate([a.ravel() for a in weights])

        def zeros() -> Any:  # new ones for each slot: the buffers are donated
            return self.jax.tree.map(jnp.zeros_like, weights)

        statistics = [(jnp.zeros(c), jnp.ones(c)) for c in _channels(self.workload.layers)]
        if self.workload.optimizer == "sgd":
            return weights, (zeros(),), statistics
        return weights, (zeros(), zeros(), jnp.ones((2,), jnp.float32)), statistics

    def loss(self, weights: Any, x: Any, y: Any) -> Any:
        """Mean loss of one batch, and the mean and variance that each batch normalization found."""
        jnp = self.jax.numpy
        found: list[Any] = []
        h = self._forward(self.workload.layers, iter(self._unpack(weights) if self.flat else weights), x, found)
        if self.workload.loss == "mse":
            return jnp.mean((h - y) ** 2), found
        # A comparison instead of an index: its gradient is no scatter, which XLA runs slowly on the CPU.
        chosen = jnp.sum(jnp.where(y[:, None] == jnp.arange(h.shape[1]), h, 0.0), axis=1)
        return jnp.mean(self.jax.nn.logsumexp(h, axis=1) - chosen), found

    def step(self, state: Any, x: Any, y: Any) -> Any:
        """Forward, backward, update -> (new state, loss)."""
        jnp, tree, w = self.jax.numpy, self.jax.tree, self.workload
        weights, slots, statistics = state
        (loss, found), g = self.jax.value_and_grad(self.loss, has_aux=True)(weights, x, y)
        statistics = tree.map(lambda old, new: (1 - MOMENTUM) * old + MOMENTUM * new, statistics, found)
        if w.optimizer == "sgd":
            if w.weight_decay:
                g = tree.map(lambda g, p: g + w.weight_decay * p, g, weights)
            v = tree.map(lambda v, g: w.momentum * v + g, slots[0], g)
            return (tree.map(lambda p, v: p - w.lr * v, weights, v), (v,), statistics), loss
        b1, b2 = w.betas
        m = tree.map(lambda m, g: b1 * m + (1 - b1) * g, slots[0], g)
        v = tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, slots[1], g)
        powers = slots[2] * jnp.array([b1, b2], jnp.float32)
        rate = w.lr / (1 - powers[0])
        root = 1.0 / jnp.sqrt(1 - powers[1])
        weights = tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + w.eps), weights, m, v)
        return (weights, (m, v, powers), statistics), loss

    def _forward(self, layers: tuple[Layer, ...], weights: Any, h: Any, found: list[Any]) -> Any:
        """The layers on activations h; weights are taken off an iterator in the network's order."""
        for layer in layers:
            if isinstance(layer, Residual):
                body = self._forward(layer.body, weights, h, found)
                h = body + self._forward(layer.shortcut, weights, h, found)
            elif isinstance(layer, Linear):
                h = h @ next(weights) + next(weights)
            elif isinstance(layer, Convolution):
                h = self._convolution(layer, weights, h)
            elif isinstance(layer, BatchNorm):
                h = self._batch_norm(h, next(weights), next(weights), found)
            else:
                h = self._weightless(layer, h)
        return h

    def _convolution(self, layer: Convolution, weights: Any, h: Any) -> Any:
        padding, order = (layer.padding, layer.padding), ("NHWC", "HWIO", "NHWC")
        strides = (layer.stride, layer.stride)
        h = self.jax.lax.conv_general_dilated(h, next(weights), strides, (padding, padding), dimension_numbers=order)
        return h + next(weights) if layer.bias else h

    def _batch_norm(self, h: Any, scale: Any, shift: Any, found: list[Any]) -> Any:
        jnp, lax = self.jax.numpy, self.jax.lax
        mean = jnp.mean(h, (0, 1, 2))
        var = jnp.mean(h * h, (0, 1, 2)) - mean * mean  # both sums in one pass
        count = prod(h.shape[:3])
        found.append((lax.stop_gradient(mean), lax.stop_gradient(var) * (count / (count - 1))))
        factor = scale * lax.rsqrt(var + EPS)
        return h * factor + (shift - mean * factor)

    def _weightless(self, layer: Layer, h: Any) -> Any:
        jnp, lax = self.jax.numpy, self.jax.lax
        if isinstance(layer, Activation):
            return jnp.tanh(h) if layer.kind == "tanh" else self.jax.nn.relu(h)
        if isinstance(layer, GlobalAveragePool):
            return jnp.mean(h, (1, 2))
        if isinstance(layer, Flatten):
            return h.reshape(len(h), -1)
        assert isinstance(layer, Pool), f"JAX's peers do not know {layer}"
        size, largest = layer.size, layer.kind == "max"
        if self.pool == "window":
            window = (1, size, size, 1)
            if largest:
                return lax.reduce_window(h, -jnp.inf, lax.max, window, window, "VALID")
            return lax.reduce_window(h, 0.0, lax.add, window, window, "VALID") / size**2
        n, height, width, channels = h.shape
        windows = h[:, : height // size * size, : width // size * size].reshape(
            n, height // size, size, width // size, size, channels
        )
        return windows.max((2, 4)) if largest else windows.mean((2, 4))

    def _unpack(self, flat: Any) -> list[Any]:
        found, at = [], 0
        for shape in self.shapes:
            found.append(flat[at : at + prod(shape)].reshape(shape))
            at += prod(shape)
        return found


def _channels(layers: tuple[Layer, ...]) -> list[int]:
    """Channels of each batch normalization, in order."""
    found: list[int] = []
    for layer in layers:
        if isinstance(layer, Residual):
            found += _channels(layer.body) + _channels(layer.shortcut)
        elif isinstance(layer, BatchNorm):
            found.append(layer.channels)
    return found
