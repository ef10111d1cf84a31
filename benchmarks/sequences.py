"""Recurrent networks in chainrule, PyTorch and JAX, interleaved: `python -m benchmarks.sequences`.

Each library is a process of its own for each of its settings: threads, and in JAX how far the loop is unrolled. Losses
of the first steps are compared; then all run in turn, round after round, and of each library the setting with the best
median counts. `--predict` measures predictions instead of training steps. CHAINRULE_BENCH_PYTHON names the interpreter
that has torch and JAX.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks import sequence_peers as peers
from benchmarks.children import RIVAL_PYTHON_VARIABLE, environment, pin
from benchmarks.sequence_peers import POOL, WORKLOADS, Step

LIBRARIES: dict[str, Callable[..., Step]] = {
    "chainrule": peers.ours,
    "torch": peers.torch_step,
    "torch.compile": functools.partial(peers.torch_step, compiled=True),
    "JAX": peers.jax_step,
    "JAX unrolled": functools.partial(peers.jax_step, unroll=2),
}
CHECKED = 5  # steps
TOLERANCE = 1e-3


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sequences", description=__doc__)
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--libraries", nargs="*", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one run")
    parser.add_argument("--predict", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("LIBRARY", "WORKLOAD", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        serve(*options.child, options.predict)
        return
    pin(options.threads)
    for name in options.workloads:
        found = measure(name, options)
        best = min((times for library, times in found.items() if library != "chainrule"), default=None, key=median)
        for library, times in found.items():
            ratio = f"{median(times) / median(found['chainrule']):8.2f}" if "chainrule" in found else ""
            print(f"{name:16} {library:14} {1e6 * median(times):10.0f} us {ratio}", flush=True)
        if best and "chainrule" in found:
            rate = WORKLOADS[name].flops / median(found["chainrule"]) / 1e9
            print(f"{name:16} {median(best) / median(found['chainrule']):.2f} times the best; {rate:.0f} GFLOP/s")


def measure(name: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a step in each round, by library, of its best setting."""
    children: list[tuple[str, subprocess.Popen[str]]] = []
    samples: list[list[float]] = []
    losses: dict[str, list[float]] = {}
    try:
        for library in options.libraries:
            for threads in sorted({options.threads} if library == "chainrule" else {1, options.threads}):
                child = start(library, name, threads, options.predict)
                if (answer := ask(child, "check")) is None:
                    print(f"{library} with {threads} threads ended: see its message above", file=sys.stderr)
                    continue
                losses[f"{library} {threads}"] = answer
                children.append((library, child))
        compare(name, losses)
        counts = [calibrate(child, options.seconds) for _, child in children]
        samples = [[] for _ in children]
        for _ in range(options.rounds):
            for (_, child), times, count in zip(children, samples, counts, strict=True):
                time.sleep(0.05)  # threads spin for a while after their last job
                times.append(ask(child, count) / count)
    finally:
        for _, child in children:
            child.kill()
            child.wait()
    found: dict[str, list[float]] = {}
    for (library, _), times in zip(children, samples, strict=True):
        found[library] = min(found.get(library, times), times, key=median)
    return found


def compare(name: str, losses: dict[str, list[float]]) -> None:
    """Print losses that differ."""
    middle = [median(step) for step in zip(*losses.values(), strict=True)]
    for who, found in losses.items():
        if any(abs(a - b) > TOLERANCE * max(1.0, abs(b)) for a, b in zip(found, middle, strict=True)):
            print(f"{name}: {who} computes {found}, the others {middle}", file=sys.stderr)


def start(library: str, name: str, threads: int, predicts: bool) -> subprocess.Popen[str]:
    python = sys.executable if library == "chainrule" else os.environ.get(RIVAL_PYTHON_VARIABLE, sys.executable)
    command = [python, "-m", "benchmarks.sequences", "--child", library, name, str(threads)]
    extra = {"OMP_NUM_THREADS": str(threads), "NPROC": str(threads), "JAX_PLATFORMS": "cpu"}
    if threads == 1:
        extra["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return subprocess.Popen(
        command + ["--predict"] * predicts,
        env=environment(extra),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(child: subprocess.Popen[str], question: Any) -> Any:
    """The child's answer, None if it ended."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        print(json.dumps(question), file=child.stdin, flush=True)
    except BrokenPipeError:
        return None
    line = child.stdout.readline()
    return json.loads(line) if line else None


def calibrate(child: subprocess.Popen[str], seconds: float) -> int:
    """How many steps take about so long."""
    count = POOL
    while (spent := ask(child, count)) < seconds / 2 and count < 1 << 20:
        count *= 2
    return max(POOL, round(count * seconds / spent / POOL) * POOL)


def serve(library: str, name: str, threads: str, predicts: bool) -> None:
    """A child: answers "check" with the first losses, a number of steps with the seconds they took."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries may print
    step = LIBRARIES[library](WORKLOADS[name], int(threads), predicts)
    for line in sys.stdin:
        question = json.loads(line)
        if question == "check":
            check = getattr(step, "check", step)
            losses = [float(check(i)) for i in range(POOL)]
            answers.write(json.dumps(losses[:CHECKED]) + "\n")
            continue
        begin = time.perf_counter()
        for i in range(question):
            last = step(i)
        float(last)
        answers.write(json.dumps(time.perf_counter() - begin) + "\n")


if __name__ == "__main__":
    main()
