"""The time of a step while another process keeps a core busy: `python -m benchmarks.busy`.

Quiet and busy runs alternate; the ratio of their medians is printed. Workers that only spin at their barriers would
lose whole time slices here, since one of them is always off its processor.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import compare, report
from benchmarks.children import Child, pin
from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS, Workload, save


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write `benchmarks/results/<date>-busy.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    parser.add_argument(
        "--workloads", type=compare.names(WORKLOADS), default=list(WORKLOADS), help="comma-separated, default all"
    )
    parser.add_argument(
        "--peers", type=compare.names(PEERS), default=["chainrule"], help="comma-separated, default chainrule"
    )
    parser.add_argument("--rounds", type=int, default=9, help="quiet and busy runs each (default 9)")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of one run (default 0.4)")
    parser.add_argument("--threads", type=int, default=2, help="processors for peer and intruder together (default 2)")
    parser.add_argument("--variant", default="", help="only variants whose label contains this text")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    options = parser.parse_args(arguments)
    options.quick = False
    pin(options.threads)
    record: dict[str, Any] = {"machine": report.machine(options.threads), "workloads": {}}
    layout = "{:16}{:36}{:>12}{:>12}{:>8}"
    print(layout.format("workload", "peer", "quiet us", "busy us", "ratio"))
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        for name in options.workloads:
            record["workloads"][name] = found = measure(WORKLOADS[name], options, Path(folder))
            for peer, (quiet, busy) in found.items():
                q, b = median(quiet), median(busy)
                cells = (f"{q * 1e6:.2f}", f"{b * 1e6:.2f}", f"{b / q:.2f}")
                print(layout.format(name, PEERS[peer].title, *cells), flush=True)
    report.keep(record, options.out, "-busy")


def measure(
    workload: Workload, options: argparse.Namespace, folder: Path
) -> dict[str, tuple[list[float], list[float]]]:
    """(quiet, busy) seconds per step of each peer's fastest variant, by peer."""
    data = folder / f"{workload.name}.npz"
    save(workload, data)
    found = {}
    for peer in options.peers:
        calibration: dict[str, Any] = {"calibration": {}, "errors": {}}
        children = compare.fastest(peer, workload, data, folder, options, calibration)
        if children:
            found[peer] = alternate(children[0], compare.steps_for(children[0], calibration, options.seconds), options)
        for child in children:
            child.close()
    return found


def alternate(child: Child, steps: int, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds per step without and with the intruder, in turn."""
    intruder = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    samples: tuple[list[float], list[float]] = ([], [])
    try:
        for turn in range(2 * options.rounds):
            busy = turn % 2
            intruder.send_signal(signal.SIGCONT if busy else signal.SIGSTOP)
            time.sleep(0.05)
            run = child.run(steps)
            samples[busy].append(run["seconds"] / run["steps"])
    finally:
        intruder.kill()
        intruder.wait()
    return samples


if __name__ == "__main__":
    main()
