"""PyTorch with the whole step (gather, forward, loss, backward, update) in one `torch.compile` graph.

One graph with `torch.func.grad_and_value` and the update written in place beats compiling model and optimizer apart:
a call pays for guards and dispatch once. Guards are evaluated no more after warming up (`skip_guard_eval_unsafe`).
`unroll` puts several steps into one graph. Compiler modes were tried too: "max-autotune" adds nothing to matrix
products whose weights change on the CPU.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.peers import Variant
from benchmarks.peers.torch_network import Network, layouts
from benchmarks.workloads import Workload, load, matmul_flops


def variants(workload: Workload, threads: int) -> list[Variant]:
    """Threads x layout x Python or C++ wrapper x steps in one graph.

    Several steps only where one takes microseconds, the C++ wrapper not where a step takes many milliseconds: both save
    microseconds a call and make compilation slow.
    """
    small, long = workload.parameters < 20_000, matmul_flops(workload) > 5e9
    return [
        Variant(
            f"threads={t}{'' if layout == 'rows' else ' ' + layout} unroll={unroll}{' cpp' if cpp else ''}",
            {"threads": t, "layout": layout, "unroll": unroll, "cpp": cpp},
            {"OMP_NUM_THREADS": str(t)},
        )
        for t in range(1, threads + 1)
        for layout in layouts(workload)
        for unroll in ((8, 1) if small else (1,))
        for cpp in ((False,) if long else (True, False))
    ]


class Peer:
    """`losses = steps(order)`, order: (unroll, batch) row numbers; weights, optimizer state and running statistics are
    changed in place.
    """

    def __init__(self, workload: Workload, path: str, settings: dict[str, Any]) -> None:
        import torch
        import torch._inductor.config as inductor

        torch.set_num_threads(settings["threads"])
        torch.set_flush_denormal(True)
        torch.set_grad_enabled(False)  # torch.func differentiates all the same; a changed mode would fail the guards
        inductor.cpp_wrapper = settings["cpp"]
        inductor.cpp.threads = settings["threads"]
        for key, value in settings.get("inductor", {}).items():
            setattr(inductor, key, value)
        self.torch, self.workload, self.unroll = torch, workload, settings["unroll"]
        self.version = f"torch {torch.__version__}"
        self.network = Network(torch, workload, settings["layout"], inputs_first=True, pure=True)
        x, y, self.initial = load(workload, path)
        self.x, self.y = self.network.rows(x), torch.from_numpy(y)
        self.generator = torch.Generator().manual_seed(0)
        self.weights, self.statistics = self.network.weights(self.initial), self.network.statistics()
        slots = 1 if workload.optimizer == "sgd" else 2
        self.slots = [[torch.zeros_like(p) for p in self.weights] for _ in range(slots)]
        self.powers = torch.ones(2, dtype=torch.float64)
        self.betas = torch.tensor(workload.betas, dtype=torch.float64)
        self.compiled = torch.compile(self._steps, fullgraph=True, dynamic=False)
        for _ in range(3):
            self.compiled(torch.arange(self.unroll * workload.batch).view(self.unroll, -1))
        torch.compiler.set_stance(skip_guard_eval_unsafe=True)
        self.reset()

    def reset(self) -> None:
        """Back to the common initial weights and a fresh optimizer state, in place."""
        for p, a in zip(self.weights, self.network.weights(self.initial), strict=True):
            p.copy_(a)
        for s, a in zip(self.statistics, self.network.statistics(), strict=True):
            s.copy_(a)
        for slot in self.slots:
            for s in slot:
                s.zero_()
        self.powers.fill_(1.0)

    def _steps(self, order: Any) -> Any:
        torch = self.torch
        losses = []
        for u in range(self.unroll):
            rows = order[u]
            differentiated = torch.func.grad_and_value(self.network.loss, has_aux=True)
            gradients, (loss, statistics) = differentiated(self.weights, self.statistics, self.x[rows], self.y[rows])
            self._update(gradients)
            for s, new in zip(self.statistics, statistics, strict=True):
                s.copy_(new)
            losses.append(loss)
        return torch.stack(losses)

    def _update(self, gradients: list[Any]) -> None:
        w = self.workload
        if w.optimizer == "sgd":
            for p, v, g in zip(self.weights, self.slots[0], gradients, strict=True):
                v.mul_(w.momentum).add_(g + w.weight_decay * p if w.weight_decay else g)
                p.sub_(w.lr * v)
            return
        b1, b2 = w.betas
        self.powers.mul_(self.betas)
        rate = (w.lr / (1 - self.powers[0])).float()
        root = (1 - self.powers[1]).rsqrt().float()
        for p, m, v, g in zip(self.weights, *self.slots, gradients, strict=True):
            m.mul_(b1).add_((1 - b1) * g)
            v.mul_(b2).add_((1 - b2) * g * g)
            p.sub_(rate * m / (v.sqrt() * root + w.eps))

    def check(self, steps: int) -> list[float]:
        """Losses of the first steps from the initial weights, batches in order."""
        self.reset()
        return self._epochs(steps, shuffle=False)[:steps]

    def run(self, steps: int) -> tuple[int, float, float]:
        """Shuffled training; the losses are fetched at the end of each epoch."""
        self.reset()
        start = time.perf_counter()
        losses = self._epochs(steps, shuffle=True)
        return len(losses), time.perf_counter() - start, losses[-1]

    def _epochs(self, steps: int, shuffle: bool) -> list[float]:
        torch, n = self.torch, self.workload.steps_per_epoch
        losses: list[float] = []
        while len(losses) < steps:
            rows = len(self.x)
            order = torch.randperm(rows, generator=self.generator) if shuffle else torch.arange(rows)
            calls = order.view(n // self.unroll, self.unroll, -1)
            count = min(len(calls), -(-(steps - len(losses)) // self.unroll))
            found = [self.compiled(block) for block in calls[:count].unbind()]
            losses += torch.cat(found).tolist()
        return losses
