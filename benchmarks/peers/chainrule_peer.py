"""chainrule through its public interface: `Trainer.fit` with shuffling, history and all checks on."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.peers import Variant
from benchmarks.peers.chainrule_network import build
from benchmarks.workloads import Workload, load


def variants(workload: Workload, threads: int) -> list[Variant]:
    """As a user gets it: the default number of workers for these processors."""
    return [Variant("as installed")]


class Peer:
    """Whole epochs of `fit`; the program is traced before the first timed run, as rivals are compiled before theirs."""

    def __init__(self, workload: Workload, path: str, settings: dict[str, Any]) -> None:
        import chainrule

        self.workload, self.settings = workload, settings
        self.version = f"chainrule {chainrule.__version__}"
        self.x, self.y, initial = load(workload, path)
        names = build(workload.layers).named_parameters()
        self.initial = dict(zip(names, initial, strict=True))
        self.trainer = self._make_trainer()
        self.warm_up()

    def warm_up(self) -> None:
        """One epoch, so that the program exists."""
        self.trainer.fit(self.x, self.y, epochs=1, batch_size=self.workload.batch, verbose=0)

    def load(self, model: Any) -> None:
        """Give a model the common initial weights; running statistics, which no loss of training needs, go on."""
        model.load_state_dict(self.initial, strict=False)

    def check(self, steps: int) -> list[float]:
        """Losses of the first steps from the initial weights, batches in order."""
        trainer, b, n = self._make_trainer(), self.workload.batch, self.workload.steps_per_epoch
        rows = [slice(k % n * b, (k % n + 1) * b) for k in range(steps)]
        return [trainer.step(self.x[r], self.y[r]) for r in rows]

    def run(self, steps: int) -> tuple[int, float, float]:
        """Whole epochs of `fit` from the initial weights; the optimizer's state goes on, which changes no speed."""
        epochs = -(-steps // self.workload.steps_per_epoch)
        self.load(self.trainer.model)
        start = time.perf_counter()
        history = self.trainer.fit(self.x, self.y, epochs=epochs, batch_size=self.workload.batch, verbose=0)
        return epochs * self.workload.steps_per_epoch, time.perf_counter() - start, history["loss"][-1]

    def _make_trainer(self) -> Any:
        from chainrule import Trainer, nn, optim

        w = self.workload
        model = build(w.layers)
        self.load(model)
        loss = nn.MSELoss() if w.loss == "mse" else nn.CrossEntropyLoss()
        optimizer: optim.Optimizer
        if w.optimizer == "sgd":
            optimizer = optim.SGD(lr=w.lr, momentum=w.momentum, weight_decay=w.weight_decay)
        else:
            optimizer = optim.Adam(lr=w.lr, betas=w.betas, eps=w.eps)
        return Trainer(model, loss, optimizer, seed=0, threads=self.settings.get("threads"))
