"""The networks every peer trains: shapes, optimizer, data and initial weights, defined once.

Each workload is turned into one `.npz` file by the parent process; every peer loads that file, so all of them see the
same bytes. The number of rows is a multiple of the batch size, so that no peer has a ragged last batch.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DATA_VARIABLE = "CHAINRULE_DATA"  # folder holding images/mnist_10k.npz; synthetic rows of the same shape without it


@dataclass(frozen=True)
class Workload:
    """One network with everything that decides its arithmetic; `widths` are (inputs, hidden..., outputs)."""

    name: str
    widths: tuple[int, ...]
    activation: str  # "tanh" or "relu", after every layer but the last
    loss: str  # "mse" over all elements or "cross_entropy" over integer classes
    batch: int
    optimizer: str  # "sgd" (with momentum) or "adam"
    lr: float
    rows: int
    source: str  # "xor", "blobs", "mnist" or "digits"
    momentum: float = 0.9  # sgd only
    betas: tuple[float, float] = (0.9, 0.999)  # adam only
    eps: float = 1e-8  # adam only

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the data."""
        return self.rows // self.batch

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each linear layer."""
        return list(zip(self.widths[:-1], self.widths[1:], strict=True))

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return sum(i * o + o for i, o in self.layers)


WORKLOADS = {
    w.name: w
    for w in (
        Workload("2-8-1", (2, 8, 1), "tanh", "mse", 4, "sgd", 0.01, 1024, "xor"),
        Workload("30-64-64-2", (30, 64, 64, 2), "relu", "cross_entropy", 32, "adam", 1e-3, 4096, "blobs"),
        Workload("784-128-10", (784, 128, 10), "relu", "cross_entropy", 64, "adam", 1e-3, 9984, "mnist"),
        Workload("784-512-512-10", (784, 512, 512, 10), "relu", "cross_entropy", 128, "adam", 1e-3, 9984, "mnist"),
        Workload("digits", (64, 64, 64, 10), "relu", "cross_entropy", 32, "adam", 1e-3, 1792, "digits"),
    )
}


def matmul_flops(workload: Workload) -> int:
    """Operations of one step's matrix products: 2·b·i·o forward, the same for dW, and for dx of all but layer 0."""
    forward = sum(2 * workload.batch * i * o for i, o in workload.layers)
    first = 2 * workload.batch * workload.layers[0][0] * workload.layers[0][1]
    return 3 * forward - first


def step_flops(workload: Workload) -> int:
    """All floating-point operations of one step: matrix products, biases, activations, loss and the update.

    Counts each add, multiply, divide, root or exponential as one: SGD with momentum takes 4 a parameter, Adam 13; an
    activation takes 1 forward and 2 backward; the loss about 8 for each output.
    """
    hidden = sum(workload.widths[1:-1]) * workload.batch
    outputs = workload.widths[-1] * workload.batch
    biases = 2 * (hidden + outputs)  # the add, and the sum over rows of its gradient
    update = {"sgd": 4, "adam": 13}[workload.optimizer] * workload.parameters
    return matmul_flops(workload) + biases + 3 * hidden + 8 * outputs + update


def make_data(workload: Workload) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows x (n, inputs) float32, targets y ((n,) int64 classes or (n, outputs) float32), and where they came from."""
    rng = np.random.default_rng(zlib.crc32(workload.source.encode()))
    if workload.source == "xor":
        x = rng.uniform(-1.0, 1.0, (workload.rows, 2)).astype(np.float32)
        return x, (x[:, :1] * x[:, 1:] < 0).astype(np.float32), "synthetic: sign of the product of two uniform numbers"
    if workload.source == "digits":
        x, y = _digits()
        return x[: workload.rows], y[: workload.rows], "UCI optdigits test set, pixels / 16"
    real = _mnist() if workload.source == "mnist" else None
    if real is not None:
        return real[0][: workload.rows], real[1][: workload.rows], "MNIST, 10,000 images, pixels / 255"
    x, y = _blobs(rng, workload.rows, workload.widths[0], workload.widths[-1])
    return x, y, "synthetic: one noisy centre for each class, a tenth of the labels random"


def initial_weights(workload: Workload) -> list[tuple[np.ndarray, np.ndarray]]:
    """(weight (in, out), bias (out,)) of each layer, uniform in ±1/√in, as torch does by default."""
    rng = np.random.default_rng(7)
    layers = []
    for i, o in workload.layers:
        bound = 1.0 / np.sqrt(i)
        layers.append(
            (rng.uniform(-bound, bound, (i, o)).astype(np.float32), rng.uniform(-bound, bound, o).astype(np.float32))
        )
    return layers


def save(workload: Workload, path: Path) -> str:
    """Write data and initial weights to `path` for the peers; returns where the data came from."""
    x, y, source = make_data(workload)
    arrays = {"x": np.ascontiguousarray(x), "y": np.ascontiguousarray(y)}
    for k, (w, b) in enumerate(initial_weights(workload)):
        arrays[f"w{k}"], arrays[f"b{k}"] = w, b
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own keyword
    return source


def load(workload: Workload, path: str) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """x, y and the initial (weight, bias) pairs that `save` wrote."""
    with np.load(path) as arrays:
        return arrays["x"], arrays["y"], [(arrays[f"w{k}"], arrays[f"b{k}"]) for k in range(len(workload.layers))]


def _blobs(rng: np.random.Generator, rows: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    y = rng.integers(0, classes, rows)
    centres = rng.normal(0.0, 1.0, (classes, width))
    x = (centres[y] + rng.normal(0.0, 2.0, (rows, width))).astype(np.float32)
    # One label in ten is drawn anew: without it the loss falls to zero and denormal numbers decide the speed.
    return x, np.where(rng.random(rows) < 0.1, rng.integers(0, classes, rows), y).astype(np.int64)


def _mnist() -> tuple[np.ndarray, np.ndarray] | None:
    folder = os.environ.get(DATA_VARIABLE)
    path = Path(folder) / "images" / "mnist_10k.npz" if folder else None
    if path is None or not path.exists():
        return None
    with np.load(path) as arrays:
        x = arrays["x"].reshape(len(arrays["x"]), -1).astype(np.float32) / np.float32(255.0)
        return x, arrays["y"].astype(np.int64)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    with np.load(ROOT / "src" / "chainrule" / "data" / "digits.npz") as arrays:
        x = arrays["x"].reshape(len(arrays["x"]), -1).astype(np.float32) / np.float32(16.0)
        return x, arrays["y"].astype(np.int64)
