"""What exceptions from signals leave behind: `python -m benchmarks.signals --interrupts 20000`.

Each process makes calls on one trainer while alarms and Ctrl-C come at random moments. After each, also where the
exception is still being handled, the trainer's weights, buffers and predictions must be those of one that was never
interrupted after as many steps. A process that dies, hangs or differs is a fault.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.hardened import Outcomes, keep, run_child

CHILD = """
import os, random, signal, sys, tempfile, threading
import numpy as np
import chainrule as cr
from chainrule import nn, optim
from chainrule.native import load, objects

seed, wanted = map(int, sys.argv[1:])
engine = "reference" if seed % 4 == 3 else "compiled"
draw, rng = random.Random(seed), np.random.default_rng(seed)
x, y = rng.normal(size=(300, 6)).astype("f4"), rng.integers(0, 3, 300)
path = os.path.join(tempfile.mkdtemp(), "model.safetensors")

MOST_CALLS = 500  # Python ignores an exception in a finalizer: such an interrupt never comes

class Alarm(Exception):
    pass

def ring(number, frame):
    raise Alarm

def make(threads):
    cr.seed(seed)
    model = nn.Sequential(nn.Linear(6, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Dropout(0.3), nn.Linear(64, 3))
    return cr.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(lr=1e-3), threads=threads, engine=engine)

def fresh():
    kept.append(objects._loaded)  # code in use
    load._addresses, objects._loaded = {}, {}
    trainer.engine.forget()
    trainer.predict(x.copy())

def equal(one, other):
    return all(np.array_equal(one[name], other[name]) for name in other)

def check():
    while twin.steps < trainer.steps:
        twin.step(x, y)
    state = twin.model.state_dict()
    if not equal(trainer.model.state_dict(), state):
        assert equal(trainer.model.state_dict(), shifted) and name == "load", (seed, came, name, "half a state")
        trainer.model.load_state_dict(state)
    assert np.array_equal(trainer.predict(x.copy()), twin.predict(x)), (seed, came, name, trainer.steps)
    if name == "save":
        found = cr.load(path).state_dict()
        assert equal(found, state) or equal(found, saved), (seed, came, "half a file")

signal.signal(signal.SIGALRM, ring)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins with it ignored
main = threading.main_thread().ident
kept = []
trainer, twin = make(1 + seed % 2), make(1)
calls = {
    "step": (5e-4, lambda: trainer.step(x.copy(), y.copy())),
    "predict": (2e-4, lambda: trainer.predict(x.copy())),
    "evaluate": (1e-3, lambda: trainer.evaluate(x.copy(), y.copy())),
    "gradients": (1e-3, lambda: trainer.gradients(x.copy(), y.copy())),
    "fit": (2e-3, lambda: trainer.fit(x.copy(), y.copy(), epochs=3, batch_size=300, verbose=0)),
    "save": (5e-3, lambda: cr.save(trainer.model, path)),
    "load": (2e-4, lambda: (trainer.model.load_state_dict(shifted), trainer.model.load_state_dict(right))),
    "kernels": (2e-2, fresh),
}
if engine == "reference":
    del calls["kernels"]
for _, call in (calls[n] for n in calls if n != "load"):
    call()
came = {n: 0 for n in calls}
while sum(came.values()) < wanted:
    name = draw.choice(list(calls))
    longest, call = calls[name]
    delay, kind = draw.uniform(1e-5, longest), draw.randrange(3)
    right = trainer.model.state_dict()
    shifted = {n: a + 1 for n, a in right.items()}
    if os.path.exists(path):
        saved = cr.load(path).state_dict()
    try:
        if kind == 0:
            signal.setitimer(signal.ITIMER_REAL, delay)
        else:
            send = [(os.kill, os.getpid()), (signal.pthread_kill, main)][kind - 1]
            threading.Timer(delay, send[0], (send[1], signal.SIGINT)).start()
        for _ in range(MOST_CALLS):
            result = call()
            if getattr(result, "interrupted", False):
                raise KeyboardInterrupt
    except (Alarm, KeyboardInterrupt):
        came[name] += 1
        if draw.randrange(2):
            check()
    check()
print("right", came)
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the processes, print each one's outcome and keep a record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signals", description=__doc__)
    parser.add_argument("--interrupts", type=int, default=20_000, help="in all processes together (default 20,000)")
    parser.add_argument("--each", type=int, default=500, help="of one process (default 500)")
    parser.add_argument("--first", type=int, default=0, help="number of the first process, to go on (default 0)")
    parser.add_argument("--out", type=Path, help="folder of the record, if not benchmarks/results")
    options = parser.parse_args(arguments)
    outcomes = Outcomes()
    for seed in range(options.first, options.first + -(-options.interrupts // options.each)):
        outcomes.add(f"process {seed}", run_child(CHILD, seed, options.each))
        keep("signals", outcomes, {"interrupts": len(outcomes.found) * options.each}, options.out)
    outcomes.end()


if __name__ == "__main__":
    main()
