"""scikit-learn's MLPClassifier and MLPRegressor with the workload's own settings (no penalty, no early stopping).

scikit-learn averages the squared error with a factor of one half, so its learning rate is doubled for the MSE
workload; its two-class network has one logistic output, which is another network, so that workload is left out. Its
Adam adds eps before, not after, the bias correction of the root, so its losses drift from the others' by a few
thousandths: it has a wider tolerance.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from benchmarks.networks import Activation
from benchmarks.peers import Variant
from benchmarks.workloads import Workload, load


def variants(workload: Workload, threads: int) -> list[Variant]:
    """BLAS threads from one to `threads`; none for the two-class network and convolutions it cannot express."""
    if workload.images or (workload.loss == "cross_entropy" and workload.outputs == 2):
        return []
    return [
        Variant(f"threads={t}", {}, {"OPENBLAS_NUM_THREADS": str(t), "OMP_NUM_THREADS": str(t)})
        for t in range(1, threads + 1)
    ]


class Peer:
    """`fit` for whole epochs when timed, `partial_fit` batch by batch when checked."""

    def __init__(self, workload: Workload, path: str, settings: dict[str, Any]) -> None:
        import sklearn
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        warnings.simplefilter("ignore")  # "maximum iterations reached" is the plan here
        self.workload, self.version = workload, f"scikit-learn {sklearn.__version__}"
        self.x, self.y, self.initial = load(workload, path)
        regression = workload.loss == "mse"
        if regression:
            self.y = self.y.ravel()
        self.loss_factor = 2.0 if regression else 1.0
        self.model = (MLPRegressor if regression else MLPClassifier)(
            hidden_layer_sizes=workload.widths[1:-1],
            activation=next(layer.kind for layer in workload.layers if isinstance(layer, Activation)),
            solver=workload.optimizer,
            alpha=0.0,
            batch_size=workload.batch,
            learning_rate_init=workload.lr * self.loss_factor,
            momentum=workload.momentum,
            nesterovs_momentum=False,
            beta_1=workload.betas[0],
            beta_2=workload.betas[1],
            epsilon=workload.eps,
            tol=0.0,
            n_iter_no_change=10**9,
            random_state=0,
        )
        self.reset()

    def reset(self) -> None:
        """Let it build itself, then put the common initial weights in place of its own."""
        first = {"classes": np.unique(self.y)} if self.workload.loss == "cross_entropy" else {}
        b = self.workload.batch
        self.model.warm_start = False  # with it, `partial_fit` would ask for every class in every batch
        self.model.partial_fit(self.x[:b], self.y[:b], **first)
        self.model.coefs_ = [weight.copy() for weight in self.initial[::2]]
        self.model.intercepts_ = [bias.copy() for bias in self.initial[1::2]]
        del self.model._optimizer

    def check(self, steps: int) -> list[float]:
        """Losses of the first steps from the initial weights, batches in order."""
        self.reset()
        b, n = self.workload.batch, self.workload.steps_per_epoch
        losses = []
        for k in range(steps):
            rows = slice(k % n * b, (k % n + 1) * b)
            self.model.partial_fit(self.x[rows], self.y[rows])
            losses.append(self.model.loss_ * self.loss_factor)
        return losses

    def run(self, steps: int) -> tuple[int, float, float]:
        """Whole epochs of `fit`, from the common initial weights."""
        epochs = -(-steps // self.workload.steps_per_epoch)
        self.reset()
        self.model.max_iter, self.model.warm_start = epochs, True
        start = time.perf_counter()
        self.model.fit(self.x, self.y)
        return epochs * self.workload.steps_per_epoch, time.perf_counter() - start, self.model.loss_ * self.loss_factor
