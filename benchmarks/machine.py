"""Start-up, memory and size: `python -m benchmarks.machine`.

* cold and warm start of `chainrule train digits`: from starting the process to the end of its first training step, with
  an empty and with a filled kernel cache;
* peak memory and time of the whole command, compared with the same training in torch;
* import time of each library, minus that of a bare interpreter;
* installed size of each library with everything it requires.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import report
from benchmarks.children import RIVAL_PYTHON_VARIABLE, environment, pin
from benchmarks.first_step import REPORT_VARIABLE
from benchmarks.workloads import ROOT

IMPORTS = {"chainrule": "chainrule", "torch": "torch", "jax": "jax", "scikit-learn": "sklearn.neural_network"}
CACHE_VARIABLE = "CHAINRULE_CACHE"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write `benchmarks/results/<date>-machine.json`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.machine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="repetitions of everything but the cold start (default 5)"
    )
    parser.add_argument("--threads", type=int, default=2, help="processors to use (default 2)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    options = parser.parse_args(arguments)
    pin(options.threads)
    record: dict[str, Any] = {"machine": report.machine(options.threads), "started": time.strftime("%Y-%m-%d %H:%M:%S")}
    record["starts"] = starts(options.rounds)
    record["import_seconds"] = import_times(options.rounds)
    record["installed_bytes"] = installed_sizes()
    show(record)
    report.keep(record, options.out, "-machine")


def python_of(library: str) -> str:
    """The interpreter that has `library`."""
    return sys.executable if library == "chainrule" else os.environ.get(RIVAL_PYTHON_VARIABLE, sys.executable)


def starts(rounds: int) -> dict[str, dict[str, Any]]:
    """First step, total time and peak memory of training on the digits: cold, then warm and torch in turn."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        place = Path(folder)
        train = [sys.executable, "-m", "benchmarks.first_step"]
        words = ["train", "digits", "--out", str(place / "runs")]
        torch = [python_of("torch"), "-m", "benchmarks.torch_digits"]
        found["chainrule, cold"] = summarize([watch(train, words, place)])
        warm, rival = [], []
        for _ in range(rounds):
            warm.append(watch(train, words, place))
            if has(python_of("torch"), "torch"):
                rival.append(watch(torch, [json.dumps(digits_settings())], place))
        found["chainrule, warm"] = summarize(warm)
        if rival:
            found["torch"] = summarize(rival)
    return found


def digits_settings() -> dict[str, Any]:
    """The default settings of `chainrule train digits`, for torch to use the same."""
    from chainrule.cli.factory import hidden_sizes, learning_rate
    from chainrule.cli.settings import MLP, Settings

    settings = Settings(data="digits")
    told = {"hidden": hidden_sizes(settings.model or MLP), "lr": learning_rate(settings)}
    return {**told, "epochs": settings.epochs, "batch": settings.batch_size}


def watch(command: list[str], words: list[str], place: Path) -> dict[str, float]:
    """Run a child to its end: {"first_step", "seconds", "peak_rss"} and its test accuracy."""
    note = place / "note.json"
    note.unlink(missing_ok=True)
    extra = {REPORT_VARIABLE: str(note), CACHE_VARIABLE: str(place / "cache")}
    started = time.time()
    log = (place / "log.txt").open("w+")
    child = subprocess.Popen(
        [*command, repr(started), *words], stdout=log, stderr=log, cwd=ROOT, env=environment(extra)
    )
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.time() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    log.seek(0)
    text = log.read()
    log.close()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}: {text[-2000:]}")
    accuracy = [line.split(":")[1] for line in text.splitlines() if line.startswith("test accuracy:")]
    return {
        "first_step": json.loads(note.read_text())["first_step"],
        "seconds": seconds,
        "peak_rss": usage.ru_maxrss * 1024.0,
        "accuracy": float(accuracy[0]) if accuracy else float("nan"),
    }


def summarize(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of several runs, and the runs."""
    return {**{key: median(run[key] for run in runs) for key in runs[0]}, "runs": runs}


def import_times(rounds: int) -> dict[str, float]:
    """Median seconds of `import library`, minus a bare start of that interpreter; interleaved, so that load is
    shared.
    """
    present = [name for name, module in IMPORTS.items() if has(python_of(name), module.split(".")[0])]
    samples: dict[str, list[float]] = {name: [] for name in present}
    for _ in range(rounds):
        for name in present:
            bare = run_seconds(python_of(name), "pass")
            samples[name].append(run_seconds(python_of(name), f"import {IMPORTS[name]}") - bare)
    return {name: median(found) for name, found in samples.items()}


def run_seconds(python: str, program: str) -> float:
    """Seconds to run a small program in a new interpreter."""
    start = time.perf_counter()
    subprocess.run([python, "-c", program], check=True, cwd=ROOT, env=environment({}), capture_output=True)
    return time.perf_counter() - start


def has(python: str, module: str) -> bool:
    """Whether `python` can import `module`, without importing it."""
    program = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", program], check=False, cwd=ROOT, env=environment({})).returncode == 0


def installed_sizes() -> dict[str, int]:
    """Bytes of each library's files and of all it requires, without extras."""
    sizes = {}
    for name, module in IMPORTS.items():
        if has(python_of(name), module.split(".")[0]):
            command = [python_of(name), "-m", "benchmarks.installed", name]
            run = subprocess.run(command, check=True, cwd=ROOT, env=environment({}), capture_output=True, text=True)
            sizes[name] = int(run.stdout)
    return sizes


def show(record: dict[str, Any]) -> None:
    """Print the figures."""
    layout = "{:18}{:>14}{:>14}{:>14}{:>12}"
    print(layout.format("train digits", "first step s", "whole run s", "peak MB", "accuracy"))
    for name, found in record["starts"].items():
        times = [f"{found[key]:.2f}" for key in ("first_step", "seconds")]
        print(layout.format(name, *times, f"{found['peak_rss'] / 2**20:.0f}", f"{found['accuracy']:.4f}"))
    print("\n{:18}{:>14}{:>14}".format("library", "import s", "installed MB"))
    for name, seconds in record["import_seconds"].items():
        print(f"{name:18}{seconds:14.2f}{record['installed_bytes'][name] / 2**20:14.0f}")


if __name__ == "__main__":
    main()
