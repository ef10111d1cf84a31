"""The cost of augmentation inside a program: `python -m benchmarks.augmentation`.

Each list of transformations compared with the plain gather of a batch of 64, one worker; then a step of `small_cnn`
with and without, two workers. Images are random rows of a data set too large for the caches. Runs are interleaved; the
best of each counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

import numpy as np

import chainrule as cr
from benchmarks.children import pin
from chainrule import nn, optim
from chainrule.autodiff.tensor import Parameter
from chainrule.data.augmentation import Augmentation, Crop, CutOut, Flip, Rotate, Shift, Transformation
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.program import Program
from chainrule.engine.setup import Setup
from chainrule.models import small_cnn
from chainrule.optim.optimizers import UPDATES

BATCH = 64
CHANGES: dict[str, list[Transformation]] = {
    "plain gather": [],
    "shift 2": [Shift(2)],
    "flip": [Flip()],
    "cutout 8": [CutOut(8)],
    "crop 0.8": [Crop(0.8)],
    "rotate 10": [Rotate(10)],
    "shift 2, flip, cutout 8": [Shift(2), Flip(), CutOut(8)],
    "all five": [Shift(2), Flip(), CutOut(8), Crop(0.8), Rotate(10)],
}
LAYOUT = "{:26}{:>14}{:>10}{:>16}{:>10}"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augmentation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="alternating runs (default 15)")
    options = parser.parse_args(arguments)
    pin(2)
    for image in ((28, 28, 1), (32, 32, 3)):
        samples = 200_000_000 // (4 * int(np.prod(image)))
        x = np.random.default_rng(0).standard_normal((samples, *image), np.float32)
        indices = np.random.default_rng(1).integers(0, samples, (400, BATCH))
        alone = best({name: gathers(x, indices, changes) for name, changes in CHANGES.items()}, options.rounds)
        steps = best({name: trains(x[:6400], changes) for name, changes in CHANGES.items()}, options.rounds)
        print(LAYOUT.format("x".join(map(str, image)), "µs a batch", "ratio", "ms a CNN step", "ratio"))
        for name in CHANGES:
            batch, step = alone[name], steps[name]
            ratios = [f"{t[name] / t['plain gather']:.3f}" for t in (alone, steps)]
            print(LAYOUT.format(name, f"{batch * 1e6:.1f}", ratios[0], f"{step * 1e3:.3f}", ratios[1]), flush=True)


def gathers(x: np.ndarray, indices: np.ndarray, changes: Iterable[Transformation]) -> Callable[[], float]:
    """Runs only the batch phase; returns seconds per batch."""
    w = {"w": Parameter(np.ones(1, np.float32))}
    engine = CompiledEngine(Setup(lambda x: x, lambda y, _, __: (w["w"] * 1.0).sum(), w, UPDATES["sgd"], workers=1))
    engine.bind(x, np.zeros((len(x), 1), np.float32), None, Augmentation(changes))
    engine.run(indices[:1], np.zeros((1, 2)), 0)
    batch = Program(engine.program.instructions[:2], engine.blocks.dtype, engine.state, 1)
    batch.slot(batch.instructions[0].call.kernel, "coefficients").point_at(np.zeros(2 * len(indices)))
    batch.slot(batch.instructions[1].call.kernel, "indices").point_at(indices)
    batch.slot(batch.instructions[1].call.kernel, "source").point_at(x.reshape(len(x), -1))

    def run() -> float:
        start = time.perf_counter()
        batch.run(len(indices), 0)
        return (time.perf_counter() - start) / len(indices)

    return run


def trains(x: np.ndarray, changes: list[Transformation]) -> Callable[[], float]:
    """Runs an epoch; returns seconds per step."""
    y = np.arange(len(x)) % 10
    trainer = cr.Trainer(small_cnn(x.shape[1:]), nn.CrossEntropyLoss(), optim.Adam(), threads=2)

    def run() -> float:
        start = time.perf_counter()
        trainer.fit(x[:1280], y[:1280], epochs=1, batch_size=BATCH, augment=changes, verbose=0)
        return (time.perf_counter() - start) / 20

    run()
    return run


def best(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The least seconds of each."""
    found = dict.fromkeys(runs, np.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            found[name] = min(found[name], run())
    return found


if __name__ == "__main__":
    main()
