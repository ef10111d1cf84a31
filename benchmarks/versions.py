"""This checkout compared with another one, interleaved: `python -m benchmarks.versions ../other-checkout`.

For each workload both train on the same data from the same weights, in alternating processes. It prints medians,
quartiles, the ratio of the medians (below 1: this one is faster), and whether the losses of the first steps are
bit-for-bit equal. Start-up is measured the same way: import, and the first step of `chainrule train digits` with all
kernels compiled before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks import compare, report
from benchmarks.children import Child, environment, pin
from benchmarks.first_step import REPORT_VARIABLE
from benchmarks.peers import Variant
from benchmarks.workloads import ROOT, WORKLOADS, Workload, save

LAYOUT = "{:28}{:>12}{:>20}{:>12}{:>20}{:>8}  {}"
NOT_SLOWER = 1.02


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write `benchmarks/results/<date>-versions.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("--workloads", type=compare.names(WORKLOADS), default=list(WORKLOADS), help="default all")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (default 9)")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of one run (default 0.4)")
    parser.add_argument("--threads", type=int, default=2, help="processors both may use (default 2)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    options = parser.parse_args(arguments)
    pin(options.threads)
    checkouts = (ROOT, options.other.resolve())
    record: dict[str, Any] = {
        "machine": report.machine(options.threads),
        "commits": [commit(root) for root in checkouts],
        "samples": {},
    }
    print(LAYOUT.format("", "this, us", "quartiles", "other, us", "quartiles", "ratio", ""))
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        for name in options.workloads:
            for peer in ("chainrule", "chainrule_step"):
                samples, equal = train(WORKLOADS[name], peer, checkouts, options, Path(folder))
                show(record, f"{name} {'fit' if peer == 'chainrule' else 'step'}", samples, equal)
        for what, seconds in (("import chainrule", import_seconds), ("first step of digits", first_step)):
            rounds = [[seconds(root, Path(folder)) for root in checkouts] for _ in range(options.rounds + 1)]
            show(record, what, [list(samples) for samples in zip(*rounds[1:], strict=True)])  # the first may compile
    report.keep(record, options.out, "-versions")


def commit(root: Path) -> str:
    """The current commit of a checkout."""
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def train(
    workload: Workload, peer: str, checkouts: tuple[Path, ...], options: argparse.Namespace, folder: Path
) -> tuple[list[list[float]], bool]:
    """Seconds per step of each round, by checkout, and whether both have the same losses."""
    data = folder / f"{workload.name}.npz"
    save(workload, data)
    variant = Variant("as installed")
    children = [
        Child(peer, variant, data, folder / f"{workload.name}-{i}.log", root) for i, root in enumerate(checkouts)
    ]
    try:
        losses = [child.check(workload.check_steps) for child in children]
        per_step = [compare.calibrate(child, options.seconds / 2) for child in children]
        steps = [max(1, round(options.seconds / seconds)) for seconds in per_step]
        return compare.interleave(children, steps, options.rounds), losses[0] == losses[1]
    finally:
        for child in children:
            child.close()


def import_seconds(root: Path, folder: Path) -> float:
    """From starting an interpreter to the end of `import chainrule`."""
    return run([sys.executable, "-c", "import chainrule"], root, {})


def first_step(root: Path, folder: Path) -> float:
    """From starting `chainrule train digits` to the end of its first training step."""
    note = folder / "note.json"
    note.unlink(missing_ok=True)
    words = ["train", "digits", "--epochs", "1", "--out", str(folder / "runs")]
    run([sys.executable, "-m", "benchmarks.first_step", repr(time.time()), *words], root, {REPORT_VARIABLE: str(note)})
    return float(json.loads(note.read_text())["first_step"])


def run(command: list[str], root: Path, extra: dict[str, str]) -> float:
    """Seconds that a command takes in a checkout."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=root, env=environment(extra, root))
    return time.perf_counter() - start


def show(record: dict[str, Any], what: str, samples: list[list[float]], equal: bool | None = None) -> None:
    """Print and keep one row."""
    ours, theirs = (quartiles(found) for found in samples)
    ratio = ours[1] / theirs[1]
    slower = ratio > NOT_SLOWER and ours[0] > theirs[2]
    remarks = [*(["SLOWER beyond the quartiles"] if slower else []), *([] if equal is None else [bits(equal)])]
    cells = [cell for low, middle, high in (ours, theirs) for cell in (f"{middle:,.2f}", f"{low:,.2f}..{high:,.2f}")]
    print(LAYOUT.format(what, *cells, f"{ratio:.3f}", ", ".join(remarks)), flush=True)
    record["samples"][what] = {"seconds": samples, "ratio": ratio, "equal": equal}


def bits(equal: bool) -> str:
    """The remark about the losses."""
    return "losses equal" if equal else "losses DIFFER"


def quartiles(samples: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile, in microseconds."""
    low, _, high = quantiles(samples, n=4) if len(samples) > 1 else samples * 3
    return 1e6 * low, 1e6 * median(samples), 1e6 * high


if __name__ == "__main__":
    main()
