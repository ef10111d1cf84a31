"""Damaged run files: `python -m benchmarks.damage --mutants 100000`.

Runs are trained on a table (classes; a quantity; with missing values that are filled, or dropped) and on images. Then
one of their files is damaged and a command is run on it, again and again, in this process. Each outcome is one of

    fine            the command did its work
    one line        it said in one line what is wrong with which file
    internal error  it met something that nobody had thought of, raised an exception, or printed more than a line
    slow            it took more than a second of processor time
    memory          it took more than twice the file and 64 MB (measured for one mutant in --sample)
    in silence      it accepted what cannot be right: a key that is gone or there twice, a value of another kind

The last four are faults, and each is printed with the number that makes it again: `--only NUMBER`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer.main

from benchmarks.mutations import STRUCTURAL, Mutation, mutate
from benchmarks.report import machine
from benchmarks.rows import ROOT
from chainrule.cli.main import main as chainrule

QUICK = ("engine=reference", "epochs=2", "batch_size=32", "--quiet")
RUNS = {  # arguments of `train`; the first is the data
    "classes": ("flowers.csv", "--target", "kind", "model=mlp:4", *QUICK),
    "quantity": ("flowers.csv", "--target", "width", "--drop", "kind", "task=regress", "model=mlp:4", *QUICK),
    "mean": ("gaps.csv", "--target", "kind", "missing=mean", "model=linear", *QUICK),
    "drop": ("gaps.csv", "--target", "kind", "missing=drop", "model=mlp:3,3", "optimizer=sgd", "patience=2", *QUICK),
    "images": ("stripes.npz", "model=cnn", "augment=shift:1", *QUICK),
}
OUT = "trained"  # by mutants
MOST_SECONDS, HANGS = 1.0, 60
MOST_MEMORY = 64 << 20
FAULTS = ("internal error", "slow", "memory", "in silence")


class Hang(BaseException):
    """Raised by an alarm in a command that does not end."""


@dataclass(frozen=True)
class Result:
    """What a command did with a damaged file."""

    outcome: str
    status: int
    said: str
    seconds: float = 0.0
    memory: int = 0


def make_runs(folder: Path, *, compiled: bool = True) -> None:
    """Data and runs in `folder`, which is the current one; `compiled`: with the kernels of mutants whose setting
    engine=reference is gone.
    """
    rng = np.random.default_rng(0)
    flowers, gaps = ["width,height,kind"], ["width,height,kind"]
    for i in range(90):
        width, height = rng.normal((i % 3, -(i % 3)), 0.2)
        flowers.append(f"{width:.4f},{height:.4f},{('iris', 'rose', 'tulip')[i % 3]}")
        gaps.append(flowers[-1] if i % 9 else f",{height:.4f},{('iris', 'rose', 'tulip')[i % 3]}")
    for name, lines in (("flowers.csv", flowers), ("gaps.csv", gaps)):
        (folder / name).write_text("\n".join(lines) + "\n")
    wave, y = np.arange(8) % 4 < 2, np.arange(60) % 2
    pictures = [np.where(wave[:, None] if kind else wave[None], 200, 40) * np.ones((8, 8)) for kind in y]
    np.savez(folder / "stripes.npz", x=np.stack(pictures).astype(np.uint8), y=y)
    for name, arguments in RUNS.items():
        result = call(["train", *arguments, "--out", "made", "--name", name])
        if result.outcome != "fine":
            raise RuntimeError(f"{name} cannot be trained: {result.said}")
        (folder / "runs").mkdir(exist_ok=True)
        run = folder / "runs" / name
        next((folder / "made").glob(f"*-{name}")).rename(run)
        if compiled:
            config = (run / "config.yaml").read_text()
            (run / "config.yaml").write_text(config.replace("engine: reference", "engine: compiled"))
            call(["evaluate", str(run)])
            (run / "config.yaml").write_text(config)


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    """Context in which standard output and error are files of their own; yields what they held afterwards."""
    before, texts = (sys.stdout, sys.stderr), list[str]()
    with _text_file() as out, _text_file() as err:
        kept = [open(os.dup(file.fileno()), encoding="utf-8", errors="replace") for file in (out, err)]  # noqa: SIM115
        sys.stdout, sys.stderr = out, err
        try:
            yield texts
        finally:
            sys.stdout, sys.stderr = before
            for file, copy in zip((out, err), kept, strict=True):  # the command may have put another in its place
                file.flush()
                copy.seek(0)
                texts.append(copy.read())
                copy.close()


def _text_file() -> Any:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace", newline="")


def call(arguments: list[str], *, traced: bool = False) -> Result:
    """Run a command in this process."""
    raised, status = "", -1
    if traced:
        tracemalloc.start()
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    start = time.process_time()
    with _captured() as texts:
        try:
            status = chainrule(arguments)
        except BaseException as error:  # noqa: BLE001 - main promises to raise none
            raised = f"raised {type(error).__name__}: {error}"
    seconds = time.process_time() - start
    signal.setitimer(signal.ITIMER_REAL, 0)
    memory = tracemalloc.get_traced_memory()[1] if traced else 0
    tracemalloc.stop()
    return Result(*judge(status, raised, texts[1]), seconds, memory)


def judge(status: int, raised: str, err: str) -> tuple[str, int, str]:
    """The outcome of a command by its exit status and standard error."""
    last = err.splitlines()[-1] if err.strip() else ""
    if raised:
        return "internal error", status, raised
    if status == 0:
        return "fine", status, last
    lines = [line for line in err.splitlines() if line.startswith("chainrule: ")]
    clear = len(lines) == 1 and last == lines[0] and "internal error" not in err and "Traceback" not in err
    return ("one line" if clear and last.isprintable() else "internal error"), status, last[:500]


def commands(draw: random.Random, run: str, name: str) -> list[str]:
    """A command that reads the file `name` of a run."""
    data, folder = RUNS[run][0], f"runs/{run}"
    choices = [["info", folder], ["evaluate", folder], ["predict", folder, data]]
    if name == "config.yaml":
        choices += [["train", "--config", f"{folder}/{name}", "--out", OUT]] * 2
    return draw.choice(choices)


def try_mutant(number: int, seed: int, sample: int) -> tuple[str, str, Mutation, list[str], Result]:
    """Damage a file, run a command on it, and put the file back."""
    draw = random.Random(f"{seed} {number}")
    run, name = draw.choice(list(RUNS)), draw.choice(list(STRUCTURAL))
    path = Path("runs", run, name)
    content, arguments = path.read_bytes(), commands(draw, run, name)
    mutation = mutate(draw, name, content)
    path.write_bytes(mutation.content)
    traced = number % sample == 0
    try:
        result = call(arguments, traced=traced)
    finally:
        path.write_bytes(content)
        shutil.rmtree(OUT, ignore_errors=True)
    outcome = result.outcome
    if outcome == "fine" and mutation.kind.startswith("must"):
        outcome = "in silence"
    if outcome in ("fine", "one line") and result.seconds > MOST_SECONDS and not traced:
        outcome = "slow"
    if outcome in ("fine", "one line") and result.memory > 2 * len(mutation.content) + MOST_MEMORY:
        outcome = "memory"
    return run, name, mutation, arguments, Result(outcome, result.status, result.said, result.seconds, result.memory)


@contextlib.contextmanager
def reading_only() -> Iterator[None]:
    """Context in which `train` on a mutant does all but train, and no run draws, which would take most of the time."""
    from chainrule.cli import figures, train

    before, draw = train.run_job, figures.draw

    def run_job(job: Any, *, quiet: bool) -> dict[str, Any]:
        return {"test": None} if job.settings.out == OUT else before(job, quiet=quiet)

    train.run_job, figures.draw = run_job, lambda job, outputs, out: None
    try:
        yield
    finally:
        train.run_job, figures.draw = before, draw


@contextlib.contextmanager
def built_once() -> Iterator[None]:
    """Context in which the command line is put together once, not for each command, which takes most of the time."""
    before = typer.main.get_command
    typer.main.get_command = functools.cache(before)
    try:
        yield
    finally:
        typer.main.get_command = before


def run_mutants(numbers: range, seed: int, sample: int) -> Iterator[dict[str, Any]]:
    """Each mutant's outcome, in a folder of its own."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with built_once(), reading_only():
                make_runs(Path(folder))
                for number in numbers:
                    run, name, mutation, arguments, result = try_mutant(number, seed, sample)
                    yield {
                        "number": number,
                        "run": run,
                        "file": name,
                        "damage": mutation.kind,
                        "command": arguments[0],
                        "outcome": result.outcome,
                        "said": result.said,
                        "seconds": result.seconds,
                        "memory": result.memory,
                        "size": len(mutation.content),
                    }
        finally:
            os.chdir(here)


def child(options: argparse.Namespace) -> None:
    """Run some mutants and print a line of JSON for each."""
    signal.signal(signal.SIGALRM, _hang)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # rather than the whole machine
    for result in run_mutants(range(options.first, options.first + options.each), options.seed, options.sample):
        print(json.dumps(result), flush=True)


def _hang(number: int, frame: Any) -> None:
    raise Hang


def main(arguments: list[str] | None = None) -> None:
    """Run the mutants in processes of some hundreds each; print and record how they ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.damage", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=1000, help="mutants of a process (default 1,000)")
    parser.add_argument("--processes", type=int, default=2, help="at a time (default 2)")
    parser.add_argument("--sample", type=int, default=20, help="memory is measured for one mutant in so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600, help="start no process after this (default 600)")
    parser.add_argument("--only", type=int, help="the number of one mutant, printed in full")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.first is not None:
        return child(options)
    if options.only is not None:
        signal.signal(signal.SIGALRM, _hang)
        print(
            json.dumps(next(run_mutants(range(options.only, options.only + 1), options.seed, options.sample)), indent=1)
        )
        return None
    start = time.time()
    end = start + 60 * options.minutes
    with ThreadPoolExecutor(options.processes) as pool:
        parts = pool.map(lambda first: _run_child(first, options, end), range(0, options.mutants, options.each))
        results = [result for part in parts for result in part]
    record = summarize(results) | {"seconds": round(time.time() - start), **machine(options.processes)}
    print(json.dumps(record["outcomes"], indent=1))
    if options.out:
        options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    sys.exit(any(record["outcomes"].get(fault) for fault in FAULTS))


def _run_child(first: int, options: argparse.Namespace, end: float) -> list[dict[str, Any]]:
    if time.time() > end:
        return []
    command = [sys.executable, "-m", "benchmarks.damage", "--first", str(first), "--seed", str(options.seed)]
    command += ["--each", str(min(options.each, options.mutants - first)), "--sample", str(options.sample)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=environment)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        last = {"number": first + len(results), "outcome": "internal error", "file": "", "damage": ""}
        results.append({**last, "said": f"the process ended with {done.returncode}: {done.stderr[-500:]}"})
    for result in results:
        if result["outcome"] in FAULTS:
            print(json.dumps(result), flush=True)
    return results


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The number of each outcome, in all and for each file, and every fault."""
    files = sorted({result["file"] for result in results})
    return {
        "mutants": len(results),
        "outcomes": Counter(result["outcome"] for result in results),
        "files": {name: Counter(r["outcome"] for r in results if r["file"] == name) for name in files},
        "slowest": max((r.get("seconds", 0.0) for r in results), default=0.0),
        "most_memory_beyond_twice_the_file": max(
            (r.get("memory", 0) - 2 * r.get("size", 0) for r in results), default=0
        ),
        "faults": [result for result in results if result["outcome"] in FAULTS],
    }


if __name__ == "__main__":
    main()
