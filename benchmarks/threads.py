"""One trainer in many threads: `python -m benchmarks.threads --processes 200`.

In each process 2 to 8 threads call one trainer at random: predictions, evaluations and gradients of different batch
sizes, steps, fits, saved and loaded files, attempts to copy the trainer. Every step is on the same batch, so there is
one right answer for each number of steps done; every answer must be one of those that were possible between its
beginning and its end, bit for bit, and the losses all those of a trainer in one thread. What cannot be meant must raise
OptionError. Half of the processes fork first, and parent and child do the same. `--fair` measures how evenly threads
get their turns instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.hardened import Outcomes, keep, run_child

CHILD = """
import copy, os, pickle, random, sys, tempfile, threading
import numpy as np
import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError

seed, actions = map(int, sys.argv[1:])
draw, rng = random.Random(seed), np.random.default_rng(seed)
engine = ("compiled", "compiled", "reference")[seed % 3]
count = draw.randint(2, 8)
x, y = rng.normal(size=(500, 6)).astype("f4"), rng.integers(0, 3, 500)
batch = draw.choice([1, 7, 32, 100]) + 1
sizes = [1, 2, 7, 40, 300, 500]
folder = tempfile.mkdtemp()

def make(threads):
    cr.seed(seed)
    model = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Dropout(0.3), nn.Linear(32, 3))
    return cr.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(lr=1e-3), threads=threads, engine=engine)

def flat(answer):
    if isinstance(answer, dict):
        return b"".join(np.asarray(answer[name]).tobytes() for name in sorted(answer))
    return np.asarray(answer).tobytes()

def saved(trainer, size):
    path = os.path.join(folder, f"{os.getpid()}-{threading.get_ident()}.safetensors")
    cr.save(trainer.model, path)
    return cr.load(path).state_dict()

LOOK = {
    "predict": lambda t, n: t.predict(x[:n].copy()),
    "evaluate": lambda t, n: t.evaluate(x[:n].copy(), y[:n].copy()),
    "gradients": lambda t, n: t.gradients(x[: n + 1].copy(), y[: n + 1].copy()),
    "state": lambda t, n: t.model.state_dict(),
    "save": saved,
}

def learn(trainer, name, draw):
    if name == "step":
        return [trainer.step(x[:batch].copy(), y[:batch].copy())]
    n = draw.randint(1, 6)
    return trainer.fit(x[:batch].copy(), y[:batch].copy(), epochs=n, batch_size=batch, verbose=0)["loss"]

def work(number):
    draw = random.Random(1000 * seed + number)
    try:
        meeting.wait()
        for _ in range(actions):
            name = draw.choice([*LOOK, "predict", "step", "step", "fit", "copy"])
            if name == "copy":
                try:
                    draw.choice([copy.copy, copy.deepcopy, pickle.dumps])(trainer)
                except OptionError:
                    continue
                raise AssertionError("a trainer was copied")
            if name in LOOK:
                size, first = draw.choice(sizes), trainer.steps
                answer = flat(LOOK[name](trainer, size))
                answers.append((name, size, first, trainer.steps, answer))
                continue
            try:
                losses.extend(learn(trainer, name, draw))
            except OptionError as error:
                assert "in fit" in str(error), error
                refused.append(name)
    except BaseException as error:
        errors.append(repr(error))

def run():
    global meeting, answers, losses, refused, errors
    meeting, answers, losses, refused, errors = threading.Barrier(count), [], [], [], []
    start = trainer.steps
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert trainer.steps == start + len(losses)
    check(start)

def check(start):
    twin, wanted = make(1), []
    while twin.steps < start:
        twin.step(x[:batch], y[:batch])
    open_answers = list(answers)
    while True:
        k, known, left = twin.steps, {}, []
        for name, size, first, last, answer in open_answers:
            if first <= k <= last:
                if (name, size) not in known:
                    known[name, size] = flat(LOOK[name](twin, size))
                if known[name, size] == answer:
                    continue
            assert k < last, (name, size, first, last, "is not right for any number of steps")
            left.append((name, size, first, last, answer))
        open_answers = left
        if k == trainer.steps:
            break
        wanted.append(twin.step(x[:batch], y[:batch]))
    assert not open_answers
    assert sorted(losses) == sorted(wanted), "losses differ"
    assert flat(trainer.model.state_dict()) == flat(twin.model.state_dict())

trainer = make(1 + seed % 2)
trainer.predict(x)
child = None
if seed % 2:
    run()
    sys.stdout.flush()
    child = os.fork()
run()
if child == 0:
    os._exit(0)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the forked process"
print("right", engine, count, "threads,", len(answers), "answers,", len(losses), "steps,", len(refused), "refused")
"""

FAIR = """
import sys, threading, time
import numpy as np
import chainrule as cr
from chainrule import nn, optim

rows, calls, count = map(int, sys.argv[1:])
x = np.random.default_rng(0).normal(size=(rows, 64)).astype("f4")
model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD())
trainer.predict(x)
meeting, waits, ends = threading.Barrier(count), [], []

def work():
    own = []
    meeting.wait()
    for _ in range(calls):
        started = time.perf_counter()
        trainer.predict(x)
        own.append(time.perf_counter() - started)
    ends.append(time.perf_counter())
    waits.append(max(own))

began = time.perf_counter()
threads = [threading.Thread(target=work) for _ in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
first, last = min(ends) - began, max(ends) - began
print(f"right {rows} rows: first thread ends after {first:.3f} s, last after {last:.3f} s; longest waits of threads",
      f"{1e3 * min(waits):.1f} to {1e3 * max(waits):.1f} ms")
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the processes, print each one's outcome and keep a record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--processes", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--actions", type=int, default=30, help="of each thread (default 30)")
    parser.add_argument("--first", type=int, default=0, help="number of the first process, to go on (default 0)")
    parser.add_argument("--fair", action="store_true", help="8 threads of 200 predictions each")
    parser.add_argument("--out", type=Path, help="folder of the record, if not benchmarks/results")
    options = parser.parse_args(arguments)
    outcomes = Outcomes()
    for rows in (1, 1000) if options.fair else ():
        outcomes.add(f"{rows} rows", run_child(FAIR, rows, 200, 8))
        keep("fair", outcomes, {"outcomes": outcomes.found}, options.out)
    for seed in () if options.fair else range(options.first, options.first + options.processes):
        outcomes.add(f"process {seed}", run_child(CHILD, seed, options.actions))
        keep("threads", outcomes, {"outcomes": outcomes.found}, options.out)
    outcomes.end()


if __name__ == "__main__":
    main()
