"""The network, loss and optimizer of a workload in JAX, shared by its two peers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import Workload


def environments(threads: int) -> list[tuple[str, dict[str, str]]]:
    """XLA's thread counts worth trying, as (label, environment): without Eigen's pool, and `threads` in the pool."""
    one = {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    choices = [("threads=1", one)]
    if threads > 1:
        choices.append((f"threads={threads}", {"NPROC": str(threads)}))
    return choices


class Network:
    """Pure functions `initial_state` and `step`; `flat` packs each of weights, m and v into one vector."""

    def __init__(self, workload: Workload, flat: bool) -> None:
        import jax

        self.jax, self.workload, self.flat = jax, workload, flat

    def initial_state(self, initial: list[tuple[np.ndarray, np.ndarray]]) -> Any:
        """(weights, optimizer state); Adam's holds its two moments and the powers of its betas."""
        jnp = self.jax.numpy
        weights: Any = [(jnp.array(w), jnp.array(b)) for w, b in initial]
        if self.flat:
            weights = jnp.concatenate([a.ravel() for pair in weights for a in pair])

        def zeros() -> Any:  # new ones for each slot: the buffers are donated
            return self.jax.tree.map(jnp.zeros_like, weights)

        if self.workload.optimizer == "sgd":
            return weights, (zeros(),)
        return weights, (zeros(), zeros(), jnp.ones((2,), jnp.float32))

    def loss(self, weights: Any, x: Any, y: Any) -> Any:
        """Mean loss of one batch."""
        jnp, w = self.jax.numpy, self.workload
        activation = jnp.tanh if w.activation == "tanh" else self.jax.nn.relu
        pairs = self._unpack(weights) if self.flat else weights
        h = x
        for weight, bias in pairs[:-1]:
            h = activation(h @ weight + bias)
        h = h @ pairs[-1][0] + pairs[-1][1]
        if w.loss == "mse":
            return jnp.mean((h - y) ** 2)
        # A comparison instead of an index: its gradient is no scatter, which XLA runs slowly on the CPU.
        chosen = jnp.sum(jnp.where(y[:, None] == jnp.arange(h.shape[1]), h, 0.0), axis=1)
        return jnp.mean(self.jax.nn.logsumexp(h, axis=1) - chosen)

    def step(self, state: Any, x: Any, y: Any) -> Any:
        """Forward, backward, update -> (new state, loss)."""
        jnp, tree, w = self.jax.numpy, self.jax.tree, self.workload
        weights, slots = state
        loss, g = self.jax.value_and_grad(self.loss)(weights, x, y)
        if w.optimizer == "sgd":
            v = tree.map(lambda v, g: w.momentum * v + g, slots[0], g)
            return (tree.map(lambda p, v: p - w.lr * v, weights, v), (v,)), loss
        b1, b2 = w.betas
        m = tree.map(lambda m, g: b1 * m + (1 - b1) * g, slots[0], g)
        v = tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, slots[1], g)
        powers = slots[2] * jnp.array([b1, b2], jnp.float32)
        rate = w.lr / (1 - powers[0])
        root = 1.0 / jnp.sqrt(1 - powers[1])
        weights = tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + w.eps), weights, m, v)
        return (weights, (m, v, powers)), loss

    def _unpack(self, flat: Any) -> list[tuple[Any, Any]]:
        pairs, at = [], 0
        for i, o in self.workload.layers:
            weight = flat[at : at + i * o].reshape(i, o)
            pairs.append((weight, flat[at + i * o : at + i * o + o]))
            at += i * o + o
        return pairs
