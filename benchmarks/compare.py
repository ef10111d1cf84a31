"""Train every workload with every peer, interleaved, and compare: `python -m benchmarks.compare`.

For each workload all variants of a peer are started and calibrated; the two fastest are kept and checked against the
others' losses. Then they run in turn, round after round, so that a slow minute of the machine affects all of them
equally. Medians and quartiles are printed and written to `benchmarks/results/<date>.json`, `.md` and `.png`; results
from before an error or Ctrl-C are written too.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import report
from benchmarks.children import Child, ChildError, pin
from benchmarks.dense import dense_limit
from benchmarks.peers import PEERS, RIVALS, Variant
from benchmarks.workloads import WORKLOADS, Workload, matmul_flops, save, step_flops

QUICK_VARIANTS = 2
KEPT_VARIANTS = 2  # of each peer for the interleaved rounds: calibration alone may be distorted by a busy moment
PAUSE = 0.1  # seconds between runs: OpenBLAS and OpenMP threads spin for tens of milliseconds after their last job


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; 1 if a peer's losses disagree."""
    options = parse(arguments)
    pin(options.threads)
    record: dict[str, Any] = {
        "machine": report.machine(options.threads),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "dense_gflops": dense_limit(options.threads),
        "workloads": {},
    }
    try:
        measure(options, record)
    finally:
        if record["workloads"] and not options.no_save:
            print("written:", *(str(p) for p in report.write(record, options.out)), sep="\n  ")
    return 0 if all(w["agree"] for w in record["workloads"].values()) else 1


def measure(options: argparse.Namespace, record: dict[str, Any]) -> None:
    """Compare on each workload in turn, into `record`."""
    with tempfile.TemporaryDirectory(prefix="chainrule-bench-") as folder:
        for name in options.workloads:
            record["workloads"][name] = result = compare(WORKLOADS[name], options, Path(folder))
            print(report.table(result, record["dense_gflops"]), flush=True)
    # The limit is the best ever measured on the machine: measured again, since clocks and neighbors change.
    for library, rate in dense_limit(options.threads).items():
        record["dense_gflops"][library] = max(rate, record["dense_gflops"].get(library, 0.0))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument(
        "--workloads", type=names(WORKLOADS), default=list(WORKLOADS), help="comma-separated, default all"
    )
    parser.add_argument("--peers", type=names(PEERS), default=list(PEERS), help="comma-separated, default all")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 11; 3 with --quick)")
    parser.add_argument("--seconds", type=float, help="length of one run (default 0.4; 0.15 with --quick)")
    parser.add_argument("--threads", type=int, default=2, help="processors every peer may use (default 2)")
    parser.add_argument("--variant", default="", help="only variants whose label contains this text")
    parser.add_argument("--quick", action="store_true", help="two variants per peer, few and short rounds")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    rounds, seconds = (3, 0.15) if options.quick else (11, 0.4)
    options.rounds = rounds if options.rounds is None else options.rounds
    options.seconds = seconds if options.seconds is None else options.seconds
    return options


def compare(workload: Workload, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Calibrate, interleave and summarize one workload."""
    data = folder / f"{workload.name}.npz"
    result: dict[str, Any] = {
        "name": workload.name,
        "data": save(workload, data),
        "parameters": workload.parameters,
        "matmul_flops": matmul_flops(workload),
        "step_flops": step_flops(workload),
        "peers": {},
        "calibration": {},
        "errors": {},
    }
    chosen: list[Child] = []
    try:
        for peer in options.peers:
            chosen += fastest(peer, workload, data, folder, options, result)
        result["agree"], result["check"] = agreement(chosen, workload.check_steps)
        samples = interleave(chosen, [steps_for(c, result, options.seconds) for c in chosen], options.rounds)
        for child, found in sorted(zip(chosen, samples, strict=True), key=lambda pair: median(pair[1])):
            if child.peer not in result["peers"]:  # the variant of a peer with the best median
                result["peers"][child.peer] = {
                    "title": PEERS[child.peer].title,
                    "variant": child.variant.label,
                    "version": child.ready["version"],
                    "seconds_per_step": found,
                    "peak_rss": child.stop(),
                }
    finally:
        for child in chosen:
            child.close()
    return result


def fastest(
    peer: str, workload: Workload, data: Path, folder: Path, options: argparse.Namespace, result: dict[str, Any]
) -> list[Child]:
    """Running children of the fastest variants of `peer`; none if it does not support this workload."""
    module = importlib.import_module(f"benchmarks.peers.{PEERS[peer].module}")
    variants: list[Variant] = [v for v in module.variants(workload, options.threads) if options.variant in v.label]
    times: dict[str, float] = {}
    result["calibration"][peer] = times
    kept: list[Child] = []
    for number, variant in enumerate(variants[:QUICK_VARIANTS] if options.quick else variants):
        try:
            child = Child(peer, variant, data, folder / f"{workload.name}-{peer}-{number}.log")
            times[variant.label] = calibrate(child, min(0.15, options.seconds))
        except ChildError as error:
            result["errors"][f"{peer} {variant.label}"] = str(error)
            _say(f"  {error}")
            continue
        _say(f"  {workload.name} {peer} {variant.label}: {times[variant.label] * 1e6:.2f} us")
        kept = sorted([*kept, child], key=lambda c: times[c.variant.label])
        for slower in kept[KEPT_VARIANTS:]:
            slower.close()
        del kept[KEPT_VARIANTS:]
    return kept


def steps_for(child: Child, result: dict[str, Any], seconds: float) -> int:
    """Steps of a run of about `seconds`."""
    per_step: float = result["calibration"][child.peer][child.variant.label]
    return max(1, round(seconds / per_step))


def calibrate(child: Child, seconds: float) -> float:
    """Seconds per step, the best of a few runs of about `seconds` each."""
    steps, best = 8, float("inf")
    while True:
        run = child.run(steps)
        if run["seconds"] >= 0.6 * seconds:
            break
        growth = seconds / max(run["seconds"], 1e-9)
        steps = int(max(run["steps"], steps) * min(max(growth, 1.5), 30.0)) + 1
    for _ in range(3):
        run = child.run(steps)
        best = min(best, run["seconds"] / run["steps"])
    return best


def interleave(children: list[Child], steps: list[int], rounds: int) -> list[list[float]]:
    """Seconds per step of each round, by child; the order rotates by one place every round."""
    samples: list[list[float]] = [[] for _ in children]
    for turn in range(rounds):
        for place in range(len(children)):
            i = (place + turn) % len(children)
            time.sleep(PAUSE)
            run = children[i].run(steps[i])
            samples[i].append(run["seconds"] / run["steps"])
    return samples


def agreement(children: list[Child], steps: int) -> tuple[bool, dict[str, list[float]]]:
    """Whether all peers have the same losses in their first steps, and the losses."""
    losses = {f"{child.peer} {child.variant.label}": child.check(steps) for child in children}
    agree = True
    for k in range(steps):
        middle = median(found[k] for found in losses.values()) if losses else 0.0
        for child, (name, found) in zip(children, losses.items(), strict=True):
            if not abs(found[k] - middle) <= PEERS[child.peer].tolerance * max(abs(middle), 1e-3):
                _say(f"  step {k}: {name} has loss {found[k]:.6f}, the others {middle:.6f}")
                agree = False
    return agree, losses


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def names(known: Any) -> Any:
    """A parser of comma-separated names from `known`; "rivals" means all other libraries."""

    def split(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        expanded = [n for name in names for n in (RIVALS if name == "rivals" else (name,))]
        for name in expanded:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is unknown: choose from {', '.join(known)}")
        return expanded

    return split


if __name__ == "__main__":
    sys.exit(main())
