"""chainrule one step per call: `Trainer.step` on batches the caller gathers, for loops that own their data."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.peers import chainrule_peer
from benchmarks.peers.chainrule_peer import variants

__all__ = ["Peer", "variants"]


class Peer(chainrule_peer.Peer):
    """The same trainer, driven batch by batch."""

    def warm_up(self) -> None:
        """One step, so that the program exists."""
        self.trainer.step(self.x[: self.workload.batch], self.y[: self.workload.batch])

    def run(self, steps: int) -> tuple[int, float, float]:
        """Shuffled training from the initial weights."""
        b, n, rng = self.workload.batch, self.workload.steps_per_epoch, np.random.default_rng(0)
        self.load(self.trainer.model)
        done, loss = 0, 0.0
        start = time.perf_counter()
        while done < steps:
            order = rng.permutation(len(self.x)).reshape(n, b)[: steps - done]
            for rows in order:
                loss = self.trainer.step(self.x[rows], self.y[rows])
            done += len(order)
        return done, time.perf_counter() - start, loss
