"""GFLOP/s of a layer's three matrix products compared with NumPy's BLAS: `python -m benchmarks.kernels`.

x·W is the forward pass, xᵀ·dy the weights' gradient, dy·Wᵀ the input's. Each is run as a program of a single rule, with
one worker and with two; packing is part of the time. Runs of chainrule and BLAS alternate; the best of each counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from benchmarks.blas import Blas, operands
from benchmarks.children import pin

# (m, k, n): rows, features in, features out
SHAPES = (
    (4, 2, 8),
    (32, 30, 64),
    (32, 64, 64),
    (64, 784, 128),
    (64, 128, 10),
    (128, 784, 512),
    (128, 512, 512),
    (128, 512, 10),
    (1024, 144, 16),
    (4096, 288, 32),
    (1024, 1024, 1024),
)
PAUSE = 0.1  # seconds: BLAS's threads spin for a while after their last job, on the same processors
KINDS = ("x·W", "xᵀ·dy", "dy·Wᵀ")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("--shapes", type=_shapes, default=SHAPES, help="as in 32x64x64,128x784x512 (rows x in x out)")
    parser.add_argument("--rounds", type=int, default=7, help="alternating runs (default 7)")
    parser.add_argument("--seconds", type=float, default=0.03, help="length of one run (default 0.03)")
    options = parser.parse_args(arguments)
    pin(2)
    blas = {threads: Blas(threads) for threads in (1, 2)}
    layout = "{:>16} {:8}{:>10}{:>10}{:>8}{:>12}{:>10}{:>8}"
    print(layout.format("m x k x n", "product", "ours, 1", "BLAS, 1", "ratio", "ours, 2", "BLAS, 2", "ratio"))
    try:
        for m, k, n in options.shapes:
            for kind in KINDS:
                cells = []
                for threads, rival in blas.items():
                    ours, theirs = rates(kind, m, k, n, threads, rival, options.rounds, options.seconds)
                    cells += [f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}"]
                print(layout.format(f"{m} x {k} x {n}", kind, *cells), flush=True)
    finally:
        for rival in blas.values():
            rival.close()


def rates(
    kind: str, m: int, k: int, n: int, workers: int, rival: Blas, rounds: int, seconds: float
) -> tuple[float, float]:
    """GFLOP/s of chainrule and of BLAS."""
    run = ours(kind, m, k, n, workers)
    flops = 2.0 * m * k * n
    repeats = max(3, round(seconds / (flops / (4e10 * workers) + 2e-7)))
    mine, theirs = float("inf"), float("inf")
    for _ in range(rounds):
        time.sleep(PAUSE)
        start = time.perf_counter()
        run(repeats)
        mine = min(mine, (time.perf_counter() - start) / repeats)
        theirs = min(theirs, rival.seconds(kind, m, k, n, repeats))
    return flops / mine * 1e-9, flops / theirs * 1e-9


def ours(kind: str, m: int, k: int, n: int, workers: int) -> Callable[[int], object]:
    """A function that computes the product a given number of times, checked once against NumPy."""
    from chainrule.engine.single import SingleRule
    from chainrule.ops.linear import linear

    rng = np.random.default_rng(0)
    known = {
        "x": rng.standard_normal((m, k), np.float32),
        "w": rng.standard_normal((k, n), np.float32),
        "dy": rng.standard_normal((m, n), np.float32),
        "b": None,
    }
    rule = {"x·W": linear.forward, "xᵀ·dy": linear.gradients["w"], "dy·Wᵀ": linear.gradients["x"]}[kind]
    shapes = {f"{name}_shape": array.shape for name, array in known.items() if array is not None}
    attributes = {name: shapes[name] for name in rule.attributes}
    a, b = operands(kind, m, k, n)
    inputs, outputs = [known[name] for name in rule.operands], [(len(a), b.shape[1])]
    single = SingleRule(linear, rule, inputs, attributes, outputs, workers=workers)
    found = single.run()[0]
    np.testing.assert_allclose(found, a @ b, rtol=2e-4, atol=2e-4 * np.sqrt(a.shape[1]))
    return single.run


def _shapes(text: str) -> list[tuple[int, ...]]:
    shapes = [tuple(int(size) for size in shape.split("x")) for shape in text.split(",")]
    if any(len(shape) != 3 for shape in shapes):
        raise argparse.ArgumentTypeError("give three sizes each, as in 32x64x64")
    return shapes


if __name__ == "__main__":
    main()
