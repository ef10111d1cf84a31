"""The extra time of the first step with a new batch size: `python -m benchmarks.shapes`.

Each network trains in separate processes, with kernels compiled beforehand. The very first step is timed, then those
with batch sizes that the trainer has not seen: tracing, the gradient tasks, fusion, lowering, memory planning, and
touching memory for the first time. The median of later steps on the same batch is subtracted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import compare, report
from benchmarks.children import pin
from benchmarks.workloads import ROOT

NETWORKS = {"resnet20": (32, 32, 3), "lenet5": (28, 28, 1), "small_cnn": (28, 28, 1)}
SIZES = (64, 63, 61, 48, 33, 57, 62, 96, 40)  # the first is that of the first step; only 96 needs more memory
LAYOUT = "{:12}{:>12}{:>14}{:>12}{:>12}"

CHILD = """
import json, sys, time
from statistics import median
import numpy as np
import chainrule as cr
from chainrule import models, nn, optim

name, image, sizes, later, threads = json.loads(sys.argv[1])
optimizer = optim.SGD(lr=1e-3, momentum=0.9)
trainer = cr.Trainer(getattr(models, name)(tuple(image)), nn.CrossEntropyLoss(), optimizer, threads=threads)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(max(sizes), *image)).astype("float32"), rng.integers(0, 10, max(sizes))

def seconds(size):
    start = time.perf_counter()
    trainer.step(x[:size], y[:size])
    return time.perf_counter() - start

found = {}
for size in sizes:
    first = seconds(size)
    found[size] = first - median(seconds(size) for _ in range(later))
print(json.dumps(found))
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write `benchmarks/results/<date>-shapes.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shapes", description=__doc__)
    parser.add_argument("--networks", type=compare.names(NETWORKS), default=list(NETWORKS), help="default all")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each network (default 5)")
    parser.add_argument("--later", type=int, default=5, help="later steps of each size (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the trainer (default 2)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    options = parser.parse_args(arguments)
    pin(options.threads)
    record: dict[str, Any] = {"machine": report.machine(options.threads), "networks": {}}
    print("milliseconds beyond the step, medians\n" + LAYOUT.format("network", "first step", "median", "least", "most"))
    for name in options.networks:
        extra(name, options)  # compiles kernels into the cache
        record["networks"][name] = runs = [extra(name, options) for _ in range(options.rounds)]
        show(name, runs)
    report.keep(record, options.out, "-shapes")


def extra(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds beyond the step, by batch size, of one new process."""
    settings = json.dumps([name, NETWORKS[name], SIZES, options.later, options.threads])
    command = [sys.executable, "-c", CHILD, settings]
    found: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout)
    return found


def show(name: str, runs: list[dict[str, float]]) -> None:
    """Print one network: its first step of all, then the new sizes, each by its median over the processes."""
    first, *others = (1e3 * median(run[size] for run in runs) for size in runs[0])
    cells = (f"{value:.1f}" for value in (first, median(others), min(others), max(others)))
    print(LAYOUT.format(name, *cells), flush=True)


if __name__ == "__main__":
    main()
