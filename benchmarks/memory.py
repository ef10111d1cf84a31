"""Peak memory of training steps, each in a separate process: `python -m benchmarks.memory`.

Every peer trains the workload on few rows, so that the data is a small part. "peak" is the process's maximum resident
memory, "import" the memory after only importing the library, "steps" the difference: weights, their states,
activations, gradients, scratch memory and rows. Medians of several processes.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import compare, report
from benchmarks.children import Child, environment, interpreter, pin
from benchmarks.peers import PEERS, Variant
from benchmarks.workloads import ROOT, WORKLOADS, Workload, save

BATCHES = 2  # of rows
STEPS = 4  # trained by each process, at least
LAYOUT = "{:12}{:34}{:>9}{:>9}{:>9}{:>15}{:>15}  {}"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write `benchmarks/results/<date>-memory.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--workloads", type=compare.names(WORKLOADS), default=["resnet20"], help="default resnet20")
    parser.add_argument("--peers", type=compare.names(PEERS), default=["torch_eager", "chainrule", "chainrule_step"])
    parser.add_argument("--rounds", type=int, default=3, help="processes of each (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="threads of every peer (default 2)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    options = parser.parse_args(arguments)
    pin(options.threads)
    record: dict[str, Any] = {"machine": report.machine(options.threads), "workloads": {}}
    print(LAYOUT.format("workload", "peer", "peak MB", "import", "steps", "peak, torch=1", "steps, torch=1", "setting"))
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        for name in options.workloads:
            record["workloads"][name] = found = measure(WORKLOADS[name], options, Path(folder))
            show(name, found)
    report.keep(record, options.out, "-memory")


def measure(workload: Workload, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """{"peer", "setting", "peak", "import"} of every peer and setting, in bytes; the settings with the lowest memory
    first.
    """
    data = folder / f"{workload.name}.npz"
    save(dataclasses.replace(workload, rows=BATCHES * workload.batch), data)
    found = []
    for peer in options.peers:
        for variant in settings(peer, workload, options.threads):
            if PEERS[peer].ours:
                peak_of(peer, variant, data, folder)  # compiles kernels into the cache, which takes memory once
            peaks = [peak_of(peer, variant, data, folder) for _ in range(options.rounds)]
            row = {
                "peer": peer,
                "setting": variant.label,
                "peak": median(peaks),
                "import": import_peak(peer),
                "peaks": peaks,
            }
            found.append(row)
    return sorted(found, key=lambda row: row["peak"])


def settings(peer: str, workload: Workload, threads: int) -> list[Variant]:
    """The variants of a peer with all threads, which is what a user gets without settings."""
    module = importlib.import_module(f"benchmarks.peers.{PEERS[peer].module}")
    variants: list[Variant] = module.variants(workload, threads)
    return [variant for variant in variants if variant.settings.get("threads", threads) == threads]


def peak_of(peer: str, variant: Variant, data: Path, folder: Path) -> int:
    """Peak bytes of a new process that trains a few steps."""
    with Child(peer, variant, data, folder / f"{peer}.log") as child:
        child.run(STEPS)
        return child.stop()


def import_peak(peer: str) -> int:
    """Peak bytes of a process that imports the peer's library and does nothing."""
    library = {"torch": "torch", "jax": "jax", "sklearn": "sklearn.neural_network"}
    module = "chainrule.train.trainer" if PEERS[peer].ours else library[peer.split("_")[0]]
    command = [interpreter(peer), "-m", "benchmarks.peak", module]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment({}))
    return int(run.stdout)


def show(name: str, found: list[dict[str, Any]]) -> None:
    """Print the rows of one workload; torch's setting with the lowest memory is 1."""
    torch = [row for row in found if row["peer"].startswith("torch")]
    least = [min((row["peak"] - less * row["import"] for row in torch), default=None) for less in (0, 1)]
    for row in found:
        own = (row["peak"], row["peak"] - row["import"])
        ratios = (f"{value / rival:.2f}" if rival else "-" for value, rival in zip(own, least, strict=True))
        sizes = (f"{value / 2**20:.0f}" for value in (row["peak"], row["import"], own[1]))
        print(LAYOUT.format(name, PEERS[row["peer"]].title, *sizes, *ratios, row["setting"]), flush=True)


if __name__ == "__main__":
    main()
