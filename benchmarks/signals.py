"""What exceptions from signals leave behind: `python -m benchmarks.signals --interrupts 20000`.

Each process makes calls on one trainer while alarms and Ctrl-C come at random moments. After each, the trainer must
predict what one that was never interrupted does after as many steps. A process that dies, hangs or differs is a fault.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.workloads import ROOT

CHILD = """
import os, random, signal, sys, threading
import numpy as np
import chainrule as cr
from chainrule import nn, optim
from chainrule.native import load, objects

seed, wanted = map(int, sys.argv[1:])
draw, rng = random.Random(seed), np.random.default_rng(seed)
x, y = rng.normal(size=(300, 6)).astype("f4"), rng.integers(0, 3, 300)

class Alarm(Exception):
    pass

def ring(number, frame):
    raise Alarm

def make(threads):
    cr.seed(seed)
    model = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 3))
    return cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=1e-3), threads=threads)

def fresh():
    kept.append(objects._loaded)  # code in use
    load._addresses, objects._loaded = {}, {}
    trainer.engine.forget()
    trainer.predict(x.copy())

signal.signal(signal.SIGALRM, ring)
kept = []
trainer, twin = make(1 + seed % 2), make(1)
calls = [lambda: trainer.step(x.copy(), y.copy()), lambda: trainer.predict(x.copy()), fresh,
         lambda: trainer.fit(x.copy(), y.copy(), epochs=3, batch_size=300, verbose=0)]
came = 0
while came < wanted:
    number = draw.randrange(4)
    kind = draw.choice([signal.SIGALRM, signal.SIGINT])
    delay = draw.uniform(1e-5, (5e-4, 2e-4, 2e-2, 2e-3)[number])
    try:
        if kind == signal.SIGALRM:
            signal.setitimer(signal.ITIMER_REAL, delay)
        else:
            timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
        while True:
            result = calls[number]()
            if getattr(result, "interrupted", False):
                raise KeyboardInterrupt
    except (Alarm, KeyboardInterrupt):
        came += 1
    while twin.steps < trainer.steps:
        twin.step(x, y)
    assert np.array_equal(trainer.predict(x.copy()), twin.predict(x)), (seed, came, trainer.steps)
print("right", came)
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the processes and print how many ended well."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signals", description=__doc__)
    parser.add_argument("--interrupts", type=int, default=20_000, help="in all processes together (default 20,000)")
    parser.add_argument("--each", type=int, default=1000, help="of one process (default 1,000)")
    options = parser.parse_args(arguments)
    faults = 0
    for seed in range(-(-options.interrupts // options.each)):
        command = [sys.executable, "-c", CHILD, str(seed), str(options.each)]
        try:
            child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=3600)
            outcome = child.stdout.strip() or f"ended with {child.returncode}: {child.stderr[-2000:]}"
        except subprocess.TimeoutExpired:
            outcome = "hangs"
        faults += not outcome.startswith("right")
        print(f"process {seed}: {outcome}", flush=True)
    print(f"{faults} faults")


if __name__ == "__main__":
    main()
