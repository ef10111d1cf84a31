"""JAX, `lax.scan` over many steps in one jitted call: no Python between steps. The rival to beat.

Tried settings: threads, one array or one vector per kind of state, batches gathered inside the scan or all rows
permuted before it, and unrolling of the loop. One call covers whole epochs: one, or more of a small data set. With
images it is a few steps, unrolled to the last: XLA runs convolutions inside a loop many times slower on the CPU.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.peers import Variant
from benchmarks.peers.jax_network import Network, environments, pools
from benchmarks.workloads import Workload, load, matmul_flops

CALL_STEPS, CALL_FLOPS = 512, 2.5e11  # of one call, at most, but for a longer epoch


def variants(workload: Workload, threads: int) -> list[Variant]:
    """Threads x state layout x gathering x unrolling x pooling.

    `flat` and unrolling pay only where a step takes microseconds, permuting all rows only where a row is small.
    """
    tiny, small = workload.parameters < 1_000, workload.parameters < 20_000
    unrolls = (_unrolled(workload),) if workload.images else (1, 8) if small else (1,)
    return [
        Variant(
            f"{label} {layout} gather={gather} unroll={unroll}{'' if pool == 'none' else f' pool={pool}'}",
            {"layout": layout, "gather": gather, "unroll": unroll, "pool": pool},
            env,
        )
        for label, env in environments(threads)
        for layout in (("tree", "flat") if tiny else ("tree",))
        for gather in (("inside",) if workload.images else ("inside", "before"))
        for unroll in unrolls
        for pool in pools(workload)
    ]


def _unrolled(workload: Workload) -> int:
    """Steps of a call without a loop: whole calls make an epoch, and compiling long steps takes its time."""
    most = 2 if matmul_flops(workload) > 5e9 else 8
    return next(steps for steps in range(most, 0, -1) if workload.steps_per_epoch % steps == 0)


class Peer:
    """`state, losses = many(state, x, y, order)`, order: (steps, batch) row numbers."""

    def __init__(self, workload: Workload, path: str, settings: dict[str, Any]) -> None:
        import jax
        import jax.numpy as jnp

        self.jax, self.workload, self.version = jax, workload, f"jax {jax.__version__}"
        x, y, self.initial = load(workload, path)
        self.network = Network(workload, settings["layout"] == "flat", settings["pool"])
        self.x, self.y = jnp.asarray(x), jnp.asarray(y.astype(np.int32) if y.dtype == np.int64 else y)
        self.rng = np.random.default_rng(0)
        most = min(CALL_STEPS, int(CALL_FLOPS / matmul_flops(workload)))
        self.epochs = max(1, most // workload.steps_per_epoch)
        self.steps = settings["unroll"] if workload.images else self.epochs * workload.steps_per_epoch  # of a call
        inside, unroll = settings["gather"] == "inside", settings["unroll"]

        def many(state: Any, x: Any, y: Any, order: Any) -> Any:
            def by_rows(state: Any, rows: Any) -> Any:
                return self.network.step(state, *(a.at[rows].get(mode="promise_in_bounds") for a in (x, y)))

            def by_batch(state: Any, batch: Any) -> Any:
                return self.network.step(state, *batch)

            if inside:
                return jax.lax.scan(by_rows, state, order, unroll=unroll)
            return jax.lax.scan(by_batch, state, (x[order], y[order]), unroll=unroll)

        self.many = jax.jit(many, donate_argnums=(0,))
        self.reset()

    def reset(self) -> None:
        """Back to the common initial weights and a fresh optimizer state."""
        self.state = self.network.initial_state(self.initial)

    def check(self, steps: int) -> list[float]:
        """Losses of the first steps from the initial weights, batches in order."""
        self.reset()
        losses: list[float] = []
        while len(losses) < steps:
            losses += self._epochs(shuffle=False).tolist()
        return losses[:steps]

    def run(self, steps: int) -> tuple[int, float, float]:
        """Shuffled training in calls of whole epochs; every loss is fetched."""
        self.reset()
        done, start = 0, time.perf_counter()
        while done < steps:
            losses = self._epochs(shuffle=True)
            done += len(losses)
        return done, time.perf_counter() - start, losses[-1]

    def _epochs(self, shuffle: bool) -> np.ndarray:
        n, b = self.workload.steps_per_epoch, self.workload.batch
        epochs = [self.rng.permutation(n * b) if shuffle else np.arange(n * b) for _ in range(self.epochs)]
        order = np.concatenate(epochs).reshape(-1, b).astype(np.int32)
        found = []
        for start in range(0, len(order), self.steps):
            self.state, losses = self.many(self.state, self.x, self.y, order[start : start + self.steps])
            found.append(losses)
        return np.concatenate(self.jax.device_get(found))
