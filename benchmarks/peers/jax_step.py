"""JAX, one jitted step per call: the state is donated, data stays on the device, the batch is gathered inside the step.

`flat` keeps weights and optimizer state as one vector each, which leaves fewer buffers to pass on every call; `tree`
keeps one array for each weight. The step counter and the losses live in the state, so a call passes nothing from the
host.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.peers import Variant
from benchmarks.peers.jax_network import Network, environments, pools
from benchmarks.workloads import Workload, load


def variants(workload: Workload, threads: int) -> list[Variant]:
    """Thread counts x layout of the state x pooling; a flat state saves nothing where a step takes milliseconds."""
    return [
        Variant(
            f"{label} layout={layout}{'' if pool == 'none' else f' pool={pool}'}",
            {"layout": layout, "pool": pool},
            environment,
        )
        for label, environment in environments(threads)
        for layout in (("tree",) if workload.images else ("tree", "flat"))
        for pool in pools(workload)
    ]


class Peer:
    """`state, loss = step(state, x, y, order)`, called once for each batch."""

    def __init__(self, workload: Workload, path: str, settings: dict[str, Any]) -> None:
        import jax
        import jax.numpy as jnp

        self.jax, self.workload, self.version = jax, workload, f"jax {jax.__version__}"
        x, y, self.initial = load(workload, path)
        self.network = Network(workload, settings["layout"] == "flat", settings["pool"])
        self.x, self.y = jnp.asarray(x), jnp.asarray(y.astype(np.int32) if y.dtype == np.int64 else y)
        self.rng = np.random.default_rng(0)

        def step(state: Any, k: Any, x: Any, y: Any, order: Any) -> Any:
            rows = jax.lax.dynamic_index_in_dim(order, k, keepdims=False)
            state, loss = self.network.step(state, *(a.at[rows].get(mode="promise_in_bounds") for a in (x, y)))
            return state, k + 1, loss

        self.step = jax.jit(step, donate_argnums=(0, 1))
        self.reset()

    def reset(self) -> None:
        """Back to the common initial weights and a fresh optimizer state."""
        self.state = self.network.initial_state(self.initial)

    def check(self, steps: int) -> list[float]:
        """Losses of the first steps from the initial weights, batches in order."""
        self.reset()
        return self._epochs(steps, shuffle=False)

    def run(self, steps: int) -> tuple[int, float, float]:
        """Shuffled training; the losses are fetched at the end of each epoch."""
        self.reset()
        start = time.perf_counter()
        losses = self._epochs(steps, shuffle=True)
        return steps, time.perf_counter() - start, losses[-1]

    def _epochs(self, steps: int, shuffle: bool) -> list[float]:
        jnp, b, n = self.jax.numpy, self.workload.batch, self.workload.steps_per_epoch
        losses: list[float] = []
        while len(losses) < steps:
            order = self.rng.permutation(n * b) if shuffle else np.arange(n * b)
            order, k, state = jnp.asarray(order.reshape(n, b).astype(np.int32)), jnp.int32(0), self.state
            found = []
            for _ in range(min(n, steps - len(losses))):
                state, k, loss = self.step(state, k, self.x, self.y, order)
                found.append(loss)
            self.state = state
            losses += [float(v) for v in self.jax.device_get(found)]
        return losses
