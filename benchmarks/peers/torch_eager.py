"""PyTorch, eager: plain tensors and functional calls (no module overhead), fused optimizer, denormals flushed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from benchmarks.peers import Variant
from benchmarks.peers.torch_network import Network, layouts
from benchmarks.workloads import Workload, load


def variants(workload: Workload, threads: int) -> list[Variant]:
    """Every thread count up to `threads`, gathering rows batch by batch or once an epoch, every layout of images."""
    return [
        Variant(
            f"threads={t} gather={gather}{'' if layout == 'rows' else ' ' + layout}",
            {"threads": t, "gather": gather, "layout": layout},
            {"OMP_NUM_THREADS": str(t)},
        )
        for t in range(1, threads + 1)
        for layout in layouts(workload)
        for gather in (("batch",) if workload.images else ("batch", "epoch"))
    ]


class Peer:
    """One training step at a time, as a careful PyTorch user writes it."""

    def __init__(self, workload: Workload, path: str, settings: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(settings["threads"])
        torch.set_flush_denormal(True)
        self.torch, self.workload, self.settings = torch, workload, settings
        self.version = f"torch {torch.__version__}"
        self.network = Network(torch, workload, settings["layout"], inputs_first=False, pure=False)
        x, y, self.initial = load(workload, path)
        self.x, self.y = self.network.rows(x), torch.from_numpy(y)
        self.generator = torch.Generator().manual_seed(0)
        self.reset()

    def reset(self) -> None:
        """Back to the common initial weights, with a new optimizer."""
        optim, w = self.torch.optim, self.workload
        self.weights = [p.requires_grad_() for p in self.network.weights(self.initial)]
        self.statistics = self.network.statistics()
        if w.optimizer == "sgd":
            self.optimizer = optim.SGD(
                self.weights, lr=w.lr, momentum=w.momentum, weight_decay=w.weight_decay, fused=True
            )
        else:
            self.optimizer = optim.Adam(self.weights, lr=w.lr, betas=w.betas, eps=w.eps, fused=True)

    def step(self, x: Any, y: Any) -> Any:
        """Forward, loss, backward, update -> the loss, still a tensor."""
        loss = self.network.loss(self.weights, self.statistics, x, y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def check(self, steps: int) -> list[float]:
        """Losses of the first steps from the initial weights, batches in order."""
        self.reset()
        b, n = self.workload.batch, self.workload.steps_per_epoch
        losses = [
            self.step(self.x[k % n * b : (k % n + 1) * b], self.y[k % n * b : (k % n + 1) * b]) for k in range(steps)
        ]
        return [float(v) for v in self.torch.stack(losses)]

    def run(self, steps: int) -> tuple[int, float, float]:
        """Shuffled training; every loss is kept and fetched at the end of the epoch."""
        torch, b, n = self.torch, self.workload.batch, self.workload.steps_per_epoch
        self.reset()
        done, last = 0, 0.0
        start = time.perf_counter()
        while done < steps:
            order = torch.randperm(len(self.x), generator=self.generator)
            count = min(n, steps - done)
            batches: Iterable[Any]
            if self.settings["gather"] == "epoch":
                batches = zip(self.x[order].split(b), self.y[order].split(b), strict=True)
            else:
                batches = ((self.x[rows], self.y[rows]) for rows in order.split(b))
            losses = [self.step(x, y) for (x, y), _ in zip(batches, range(count), strict=False)]
            last = torch.stack(losses).tolist()[-1]
            done += count
        return done, time.perf_counter() - start, last
