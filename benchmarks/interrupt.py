"""How quickly Ctrl-C ends a run: `python -m benchmarks.interrupt`.

A process trains in `fit`; a SIGINT is sent at a random moment, and the time until `fit` has returned is measured.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from statistics import median

from benchmarks.workloads import ROOT

CHILD = """
import json, sys, time
import numpy as np
import chainrule as cr
from chainrule import nn, optim

widths, rows, engine = json.loads(sys.argv[1])
x, y = np.random.rand(rows, widths[0]).astype("float32"), np.random.randint(0, widths[-1], rows)
layers = [layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), nn.ReLU())]
trainer = cr.Trainer(nn.Sequential(*layers[:-1]), nn.CrossEntropyLoss(), optim.SGD(lr=1e-4), engine=engine)
trainer.fit(x, y, epochs=1, verbose=0)
print("ready", flush=True)
history = trainer.fit(x, y, epochs=10**9, verbose=0)
print(time.time(), history.interrupted, flush=True)
"""


def seconds(widths: list[int], rows: int, engine: str) -> float:
    """From the signal to the end of `fit`."""
    command = [sys.executable, "-c", CHILD, json.dumps([widths, rows, engine])]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(random.uniform(0.3, 0.6))
    sent = time.time()
    child.send_signal(signal.SIGINT)
    ended, interrupted = child.stdout.readline().split()
    child.wait()
    if interrupted != "True":
        raise RuntimeError("the run was not interrupted")
    return float(ended) - sent


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interrupt", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="signals to each network (default 9)")
    options = parser.parse_args(arguments)
    layout = "{:24}{:12}{:>14}{:>14}"
    print(layout.format("network", "engine", "median ms", "slowest ms"))
    for widths, rows in (([8, 16, 2], 64), ([784, 512, 512, 10], 20_000)):
        for engine in ("compiled", "reference"):
            found = [seconds(widths, rows, engine) for _ in range(options.rounds)]
            name = "-".join(map(str, widths))
            print(layout.format(name, engine, f"{1e3 * median(found):.0f}", f"{1e3 * max(found):.0f}"), flush=True)


if __name__ == "__main__":
    main()
