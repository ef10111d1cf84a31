"""Labels and data that change while they are in use: `python -m benchmarks.labels --cases 500`.

Labels of every dtype and layout are given to fit, step, evaluate and gradients, or held by a loss of one's own, and are
changed by a callback, by another thread, or in the file they are mapped from; so are inputs and sample weights. The
result must be that for the data as they were checked, or one of chainrule's errors that names the row; the process
must not crash, and no step may be made on wrong labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.hardened import Outcomes, keep, run_child

CHILD = """
import collections, os, random, sys, tempfile, threading
import numpy as np
import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import ChainruleError, LabelError

seed, wanted = map(int, sys.argv[1:])
draw, rng = random.Random(seed), np.random.default_rng(seed)
n = 300
X, Y = rng.normal(size=(n, 3)).astype("f4"), rng.integers(0, 3, size=n)
folder = tempfile.mkdtemp()

class Own(np.ndarray):
    pass

def mapped(y):
    path = os.path.join(folder, f"{draw.random()}.bin")
    np.asarray(y).tofile(path)
    return np.memmap(path, y.dtype, "r+", shape=y.shape)

FORMS = {
    "as is": lambda y: y.copy(), "strided": lambda y: np.repeat(y, 3)[::3], "backwards": lambda y: y[::-1].copy()[::-1],
    "mapped": mapped, "own": lambda y: y.copy().view(Own), "big-endian": lambda y: y.astype(">i8"), "list": list,
    **{kind: (lambda y, kind=kind: y.astype(kind)) for kind in ("u1", "i1", "i2", "u4", "u8", "f4", "f8", "O")},
}
WRONG = [10**9, -1, 3, 10**12, -(2**63), 255, float("nan"), float("inf"), 0.5, "text", None]

def make(loss, engine):
    cr.seed(1)
    return cr.Trainer(nn.Linear(3, 3), loss, optim.SGD(lr=0.1), engine=engine)

def plain(output, target, weight=None):
    return nn.CrossEntropyLoss()(output, target, weight)

CALLS = {
    "fit": lambda t, x, y, w=None, **more: t.fit(x, y, 3, 100, sample_weight=w, verbose=0, **more)["loss"],
    "step": lambda t, x, y, w=None: [t.step(x, y, w) for _ in range(3)],
    "evaluate": lambda t, x, y, w=None: [t.evaluate(x, y, w)["loss"]],
    "gradients": lambda t, x, y, w=None: t.gradients(x, y, w)["weight"].ravel().tolist(),
}

def spoil(array, value):
    try:
        array[draw.randrange(len(array))] = value
    except (ValueError, TypeError, OverflowError):  # this dtype cannot hold it
        array[:] = 100
    if isinstance(array, np.memmap):
        array.flush()

def given(engine):  # any form that holds the labels gives the result of the labels
    form, call = draw.choice(list(FORMS)), draw.choice(list(CALLS))
    loss = draw.choice([nn.CrossEntropyLoss(), plain])
    try:
        found = CALLS[call](make(loss, engine), X, FORMS[form](Y))
    except ChainruleError:
        assert form in ("O", "f4", "f8"), form  # a loss of one's own takes whole numbers, nobody takes objects
        return "refused"
    assert found == CALLS[call](make(loss, engine), X, Y), (form, call)
    return "right"

def wrong(engine):  # one wrong label is an error that names its row, before anything changes
    value, call = draw.choice(WRONG), draw.choice(list(CALLS))
    y = Y.astype(object if not isinstance(value, int) else "i8")
    if isinstance(value, float):
        y = Y.astype("f8")
    row = draw.randrange(n)
    y[row] = value
    trainer = make(draw.choice([nn.CrossEntropyLoss(), plain]), engine)
    before = trainer.model.state_dict()
    try:
        CALLS[call](trainer, X, y)
    except ChainruleError as error:
        named = f"row {row}" in str(error) or "expected whole" in str(error)
        assert named or not isinstance(value, (int, float)), error
    else:
        raise AssertionError((value, call, "was taken"))
    assert trainer.steps == 0 and all(np.array_equal(before[k], a) for k, a in trainer.model.state_dict().items())
    return "refused"

def held(engine):  # wrong labels that a loss brings along
    labels = draw.choice([np.full(n, 10**9), np.full(n, -1), np.full(n, 255, "u1"), np.full(n, -1, "i1"), Y > 0,
                          np.full(n, np.nan), np.full(n, np.inf), Y.astype(object), Y[:, None], Y[:-1], Y + 1])
    trainer = make(lambda output, target, weight=None: nn.CrossEntropyLoss()(output, labels), engine)
    try:
        CALLS[draw.choice(["step", "gradients"])](trainer, X, X[:, 0])
    except ChainruleError:
        assert trainer.steps == 0
        return "refused"
    except TypeError:
        assert labels.dtype == object
        return "refused"
    raise AssertionError((labels.dtype, labels.shape, "were taken"))

def called_back(engine):  # a callback changes what is in use
    form = draw.choice([f for f in FORMS if f not in ("list", "O")])
    y, value = FORMS[form](Y), draw.choice([10**9, -1, 1, 100])
    loss = draw.choice([nn.CrossEntropyLoss(), plain])
    if loss is plain and form in ("f4", "f8"):
        loss = nn.CrossEntropyLoss()
    found = CALLS["fit"](make(loss, engine), X, y, callbacks=[lambda epoch, history: spoil(y, value)])
    assert found == CALLS["fit"](make(loss, engine), X, Y), (form, value)
    return "right"

def resized(engine):  # a callback resizes x or the weights
    x, w = X.copy(), np.ones(n, "f4")
    array = draw.choice([x, w])
    rows = draw.choice([0, 5, 10**6])
    change = lambda epoch, history: array.resize((rows, *array.shape[1:]), refcheck=False)
    try:
        CALLS["fit"](make(nn.CrossEntropyLoss(), engine), x, Y, w, callbacks=[change])
    except ChainruleError as error:
        assert "pass copies" in str(error)
        return "refused"
    raise AssertionError("a resized array was used")

def freed(engine):  # nobody else holds the data any more
    held = [X.copy(), Y.copy()]
    def drop(epoch, history):
        held.clear()
        np.full(10**6, np.nan)  # over memory that was freed
    x, y = held
    trainer = make(nn.CrossEntropyLoss(), engine)
    found = trainer.fit(*held, epochs=3, batch_size=100, verbose=0, callbacks=[drop])["loss"]
    assert found == CALLS["fit"](make(nn.CrossEntropyLoss(), engine), X, Y)
    return "right"

def beside(engine):  # another thread changes labels or weights back and forth
    y, w, ended = Y.copy(), np.ones(n, "f4"), threading.Event()
    array, value = draw.choice([(y, 10**12), (y, -1), (w, np.nan), (w, -1.0)])
    right = array.copy()
    def change():
        while not ended.is_set():
            array[:] = value
            array[:] = right
    call = draw.choice(["evaluate", "gradients"] if array is y else ["evaluate"])
    loss = nn.CrossEntropyLoss()
    expected = CALLS[call](make(loss, engine), X, Y, np.ones(n, "f4"))
    thread = threading.Thread(target=change)
    thread.start()
    seen = collections.Counter()
    try:
        for _ in range(10):
            trainer = make(loss, engine)
            try:
                found = CALLS[call](trainer, X, y, w)
                assert array is w or found == expected, (call, value)
                seen["right"] += 1
            except ChainruleError:
                seen["refused"] += 1
    finally:
        ended.set()
        thread.join()
    return "right" if seen["right"] else "refused"

def changing(engine):  # a loss whose labels differ from call to call
    count = [0]
    def loss(output, target, weight=None):
        count[0] += 1
        return nn.CrossEntropyLoss()(output, Y[: len(output)] + (count[0] > 2))
    trainer = make(loss, engine)
    try:
        for rows in (300, 250, 200, 150):
            trainer.step(X[:rows], X[:rows, 0])
    except LabelError as error:
        assert "label 3 in row" in str(error)
        return "refused"
    raise AssertionError("labels of 3 were taken")

seen = collections.Counter()
for number in range(wanted):
    case = draw.choice([given, wrong, held, called_back, resized, freed, beside, changing])
    engine = draw.choice(["compiled", "compiled", "reference"])
    try:
        seen[case.__name__, case(engine)] += 1
    except BaseException:
        print(seed, number, case.__name__, engine, file=sys.stderr)
        raise
print("right", {" ".join(name): count for name, count in sorted(seen.items())})
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the processes, print each one's outcome and keep a record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels", description=__doc__)
    parser.add_argument("--cases", type=int, default=500, help="in all processes together (default 500)")
    parser.add_argument("--each", type=int, default=50, help="of one process (default 50)")
    parser.add_argument("--first", type=int, default=0, help="number of the first process, to go on (default 0)")
    parser.add_argument("--out", type=Path, help="folder of the record, if not benchmarks/results")
    options = parser.parse_args(arguments)
    outcomes = Outcomes()
    for seed in range(options.first, options.first + -(-options.cases // options.each)):
        outcomes.add(f"process {seed}", run_child(CHILD, seed, options.each))
        keep("labels", outcomes, {"cases": len(outcomes.found) * options.each, "outcomes": outcomes.found}, options.out)
    outcomes.end()


if __name__ == "__main__":
    main()
