"""What every peer trains: network, optimizer, data and initial weights, defined once.

Each workload is turned into one `.npz` file by the parent process; every peer loads that file, so all of them see the
same bytes. The number of rows is a multiple of the batch size, so that no peer has a ragged last batch.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from benchmarks import networks
from benchmarks.networks import Layer, Linear, Shape
from benchmarks.networks.definitions import cnn, lenet5, mlp, resnet20
from benchmarks.rows import ROOT, make_rows

__all__ = ["ROOT", "WORKLOADS", "Workload", "load", "matmul_flops", "save", "saved", "step_flops"]


@dataclass(frozen=True)
class Workload:
    """One network with everything that determines its arithmetic; `shape` is that of a row of x."""

    name: str
    shape: Shape
    layers: tuple[Layer, ...]
    loss: str  # "mse" over all elements or "cross_entropy" over integer classes
    batch: int
    optimizer: str  # "sgd" (with momentum) or "adam"
    lr: float
    rows: int
    source: str  # of the rows, see `benchmarks.rows`
    momentum: float = 0.9  # sgd only
    weight_decay: float = 0.0  # sgd only, on all parameters
    betas: tuple[float, float] = (0.9, 0.999)  # adam only
    eps: float = 1e-8  # adam only
    check_steps: int = 20  # in which all peers must have the same losses

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the data."""
        return self.rows // self.batch

    @property
    def outputs(self) -> int:
        """Number of outputs for a row."""
        return prod(networks.output_shape(self.layers, self.shape))

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return sum(prod(shape) for shape in networks.parameter_shapes(self.layers))

    @property
    def images(self) -> bool:
        """Whether rows are images (h, w, c)."""
        return len(self.shape) == 3

    @property
    def widths(self) -> tuple[int, ...]:
        """(inputs, hidden..., outputs) of the linear layers: all there is of a network without images."""
        linear = [layer for layer in self.layers if isinstance(layer, Linear)]
        return (linear[0].inputs, *(layer.outputs for layer in linear))


# Rows of an image workload: few, for peers that run whole epochs; the time of a step does not depend on them.
WORKLOADS = {
    w.name: w
    for w in (
        Workload("2-8-1", (2,), mlp(2, 8, 1, activation="tanh"), "mse", 4, "sgd", 0.01, 1024, "xor"),
        Workload("30-64-64-2", (30,), mlp(30, 64, 64, 2), "cross_entropy", 32, "adam", 1e-3, 4096, "blobs"),
        Workload("784-128-10", (784,), mlp(784, 128, 10), "cross_entropy", 64, "adam", 1e-3, 9984, "mnist"),
        Workload("784-512-512-10", (784,), mlp(784, 512, 512, 10), "cross_entropy", 128, "adam", 1e-3, 9984, "mnist"),
        Workload("digits", (64,), mlp(64, 64, 64, 10), "cross_entropy", 32, "adam", 1e-3, 1792, "digits"),
        Workload("lenet5", (28, 28, 1), lenet5(), "cross_entropy", 32, "adam", 1e-3, 9984, "mnist"),
        Workload("cnn", (28, 28, 1), cnn(), "cross_entropy", 64, "adam", 1e-3, 1920, "mnist"),
        Workload("resnet20", (32, 32, 3), resnet20(), "cross_entropy", 64, "sgd", 1e-3, 512, "pictures",
                 weight_decay=1e-4, check_steps=8),
    )
}  # fmt: skip


def matmul_flops(workload: Workload) -> int:
    """Operations of one step's matrix products and convolutions."""
    return networks.matmul_flops(workload.layers, workload.shape, workload.batch)


def step_flops(workload: Workload) -> int:
    """All floating-point operations of one step: products, all other layers, loss and the update.

    Counts each add, multiply, divide, root or exponential as one: SGD with momentum takes 4 a parameter, Adam 13; the
    loss about 8 for each output.
    """
    others = networks.other_flops(workload.layers, workload.shape, workload.batch)
    update = {"sgd": 4, "adam": 13}[workload.optimizer] * workload.parameters
    return matmul_flops(workload) + others + 8 * workload.outputs * workload.batch + update


def save(workload: Workload, path: Path, rows: tuple[np.ndarray, np.ndarray] | None = None) -> str:
    """Write workload, data and initial weights to `path` for the peers; returns where the data came from.

    `rows` are x and y of a workload whose source `benchmarks.rows` does not know.
    """
    found = (*rows, workload.source) if rows else None
    x, y, source = found or make_rows(workload.source, workload.rows, workload.shape, workload.outputs)
    arrays = {"x": np.ascontiguousarray(x), "y": np.ascontiguousarray(y)}
    arrays["workload"] = np.frombuffer(pickle.dumps(workload), np.uint8)
    for k, array in enumerate(networks.parameter_arrays(workload.layers, np.random.default_rng(7))):
        arrays[f"p{k}"] = array
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own keyword
    return source


def saved(path: str) -> Workload:
    """The workload that `save` wrote."""
    with np.load(path) as arrays:
        workload: Workload = pickle.loads(arrays["workload"].tobytes())
        return workload


def load(workload: Workload, path: str) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """x, y and the initial weights that `save` wrote, in the order of `networks.parameter_shapes`."""
    with np.load(path) as arrays:
        count = len(networks.parameter_shapes(workload.layers))
        return arrays["x"], arrays["y"], [arrays[f"p{k}"] for k in range(count)]
