"""Accuracy on real images, and the time of an epoch compared with torch's: `python -m benchmarks.accuracy`.

Each network is trained with several seeds on all training images for a fixed number of epochs, and tested once, at the
end, on images it never saw. The settings of the perceptron were chosen with --choose, on a tenth of the training
images. Every result is written as soon as it is available; an interrupted run continues with what is missing. The same
network is then timed in torch, eager, in every layout and number of threads, interleaved with chainrule.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from benchmarks import compare, report
from benchmarks.children import pin
from benchmarks.peers.chainrule_network import describe
from benchmarks.workloads import Workload, save
from chainrule import Trainer, nn, optim, seed
from chainrule.data import Parts, Preparation, prepare_images, read_images
from chainrule.data.augmentation import Augmentation, Flip, Rotate, Shift, Transformation
from chainrule.models import lenet5, small_cnn

WARMUP = 0.2  # fraction of the steps in which the learning rate rises
TIMED_BATCHES = 20  # the time of a step does not depend on the number of rows
PEERS = ["torch_eager", "chainrule"]


def mlp() -> nn.Sequential:
    """256, 128 and 64 hidden units."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in ((784, 256), (256, 128), (128, 64)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Linear(64, 10))


@dataclass(frozen=True)
class Task:
    """A network, its data and settings; AdamW with one cycle of the learning rate."""

    data: str
    model: Callable[[], nn.Sequential]
    goal: float  # mean accuracy on the test images
    epochs: int
    augment: tuple[Transformation, ...] = ()
    batch: int = 128
    lr: float = 5e-3
    weight_decay: float = 0.01

    def settings(self) -> dict[str, Any]:
        """Everything that determines a result, for the record."""
        return {**asdict(self), "model": repr(self.model()), "augment": [repr(change) for change in self.augment]}


TASKS = {
    "fashion-small_cnn": Task("fashion-mnist", small_cnn, 0.925, epochs=10, augment=(Flip(),)),
    "fashion-mlp": Task("fashion-mnist", mlp, 0.900, epochs=60, augment=(Flip(),), lr=2e-3, weight_decay=0.05),
    "mnist-small_cnn": Task("mnist", small_cnn, 0.985, epochs=30, augment=(Shift(2), Rotate(10))),
    "mnist-lenet5": Task("mnist", lenet5, 0.985, epochs=80, augment=(Shift(2), Rotate(10))),
}


def main(arguments: list[str] | None = None) -> int:
    """Train what is missing, time, print and write `accuracy.json`; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--tasks", type=compare.names(TASKS), default=list(TASKS), help="comma-separated, default all")
    parser.add_argument("--seeds", type=int, default=3, help="networks of each task (default 3)")
    parser.add_argument("--epochs", type=int, help="instead of each task's own")
    parser.add_argument(
        "--choose",
        action="store_true",
        help="hold out a tenth of the training images and measure on them, not the test",
    )
    parser.add_argument("--data-dir", help="folder of the IDX files of fashion-mnist")
    parser.add_argument("--threads", type=int, default=2, help="processors to use (default 2)")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved runs when timing (default 7)")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of one such run (default 0.4)")
    parser.add_argument("--no-torch", action="store_true", help="do not time")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "accuracy.json")
    options = parser.parse_args(arguments)
    options.quick, options.variant = False, ""
    pin(options.threads)
    record = json.loads(options.out.read_text()) if options.out.exists() else {}
    reached = True
    for name in options.tasks:
        task = TASKS[name]
        preparation, parts = read(task, options)
        result = begun(record, name, task, options)
        for number in range(options.seeds):
            if str(number) not in result["seeds"]:
                result["seeds"][str(number)] = train(task, preparation, parts, number, result["epochs"])
                write(record, options.out)
        if not options.no_torch and "timing" not in result:
            result["timing"] = timing(name, task, parts, options)
            write(record, options.out)
        reached &= show(name, result)
    return 0 if reached else 1


def begun(record: dict[str, Any], name: str, task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """The part of the record for a task: earlier results, if they have the same settings."""
    # Through JSON and back, because JSON has no tuples.
    epochs = options.epochs or task.epochs
    measured_on = "a tenth of the training images" if options.choose else "test images"
    settings = json.loads(json.dumps({**task.settings(), "epochs": epochs, "measured_on": measured_on}))
    if name not in record or record[name]["settings"] != settings:
        record[name] = {"settings": settings, "epochs": epochs, "machine": report.machine(options.threads), "seeds": {}}
    found: dict[str, Any] = record[name]
    return found


def read(task: Task, options: argparse.Namespace) -> tuple[Preparation, Parts]:
    """The images, with those to measure on held out."""
    images = read_images(task.data, data_dir=options.data_dir if task.data == "fashion-mnist" else None)
    return prepare_images(images, validation=0.1 if options.choose else 0.0)


def train(task: Task, preparation: Preparation, parts: Parts, number: int, epochs: int) -> dict[str, Any]:
    """Accuracies of one seed after all epochs, and the seconds of each epoch with everything it needs."""
    seed(number)
    x, y = parts.arrays(parts.split.train)
    steps = epochs * -(-len(x) // task.batch)
    optimizer = optim.AdamW(lr=task.lr, weight_decay=task.weight_decay)
    schedule = optim.OneCycle(steps, warmup=WARMUP)
    trainer = Trainer(task.model(), nn.CrossEntropyLoss(), optimizer, schedule=schedule, seed=number)
    augment = Augmentation(task.augment, fill=preparation.black()) if task.augment else None
    seconds, losses = [], []
    for epoch in range(epochs):
        start = time.perf_counter()
        history = trainer.fit(x, y, epochs=1, batch_size=task.batch, augment=augment, verbose=0)
        seconds.append(time.perf_counter() - start)
        losses.append(history["loss"][-1])
        print(f"\r  seed {number}, epoch {epoch + 1}: loss {losses[-1]:.4f}  ", end="", file=sys.stderr, flush=True)
        if history.interrupted:
            raise KeyboardInterrupt
    held_out = parts.split.validation if len(parts.split.validation) else parts.split.test
    test = trainer.evaluate(*parts.arrays(held_out))
    print(f"accuracy {test['accuracy']:.4f}", file=sys.stderr)
    measured = {"accuracy": test["accuracy"], "train_accuracy": trainer.evaluate(x, y)["accuracy"]}
    return {**measured, "loss": test["loss"], "train_losses": losses, "epoch_seconds": seconds}


def timing(name: str, task: Task, parts: Parts, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of an epoch in chainrule and in torch's best setting, both without augmentation, and that setting."""
    rows, layers = TIMED_BATCHES * task.batch, describe(task.model())
    x, y = parts.arrays(parts.split.train[:rows])
    shape = tuple(x.shape[1:])
    if isinstance(task.model()[0], nn.Flatten):
        shape, layers, x = (x[0].size,), layers[1:], x.reshape(len(x), -1)
    assert len(x) == rows, f"{task.data} has too few images"
    workload = Workload(name, shape, layers, "cross_entropy", task.batch, "adam", task.lr / 10, rows, task.data)
    steps = -(-len(parts.split.train) // task.batch)
    result: dict[str, Any] = {"calibration": {}, "errors": {}}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        data = Path(folder) / "rows.npz"
        save(workload, data, (np.ascontiguousarray(x), y))
        children = [c for peer in PEERS for c in compare.fastest(peer, workload, data, Path(folder), options, result)]
        try:
            counts = [compare.steps_for(child, result, options.seconds) for child in children]
            samples = compare.interleave(children, counts, options.rounds)
        finally:
            for child in children:
                child.close()
    for child, times in sorted(zip(children, samples, strict=True), key=lambda pair: -median(pair[1])):
        found[child.peer] = {"epoch_seconds": median(times) * steps, "setting": child.variant.label}
    return found


def write(record: dict[str, Any], path: Path) -> None:
    """Replace the old record atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(record, indent=1) + "\n")
    beside.replace(path)


def show(name: str, result: dict[str, Any]) -> bool:
    """Print one task's figures; whether the mean reaches the goal."""
    found = [one["accuracy"] for one in result["seeds"].values()]
    goal, spread = result["settings"]["goal"], stdev(found) if len(found) > 1 else 0.0
    epoch = median([s for one in result["seeds"].values() for s in one["epoch_seconds"][1:] or one["epoch_seconds"]])
    listed, where = ", ".join(f"{value:.4f}" for value in found), result["settings"]["measured_on"]
    score = f"accuracy {mean(found):.4f} ± {spread:.4f} ({listed}), goal {goal:.4f}"
    print(f"{name}, {where}: {score}; {epoch:.2f} s an epoch")
    for peer, timed in result.get("timing", {}).items():
        seconds, setting = timed["epoch_seconds"], timed["setting"]
        print(f"  without augmentation, {peer}: {seconds:.2f} s an epoch ({setting})", flush=True)
    return mean(found) >= goal


if __name__ == "__main__":
    sys.exit(main())
