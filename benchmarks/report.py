"""Tables, Markdown, JSON and the figure of a comparison."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.peers import PEERS, RIVALS

HEADS = ("quartiles", "steps/s", "of dense limit", "speed, best rival = 1", "peak memory")


@dataclass(frozen=True)
class Row:
    """One peer on one workload; times in seconds per step."""

    title: str
    variant: str
    ours: bool
    median: float
    low: float  # quartiles
    high: float
    best: float
    gflops: float  # of the matrix products, over the time of the whole step
    share: float | None  # of the machine's dense limit
    ratio: float | None  # best rival's median / this median
    peak_rss: int

    def times(self, scale: float) -> tuple[str, str, str]:
        """Median, quartiles and best, times `scale`."""
        middle, low, high, best = (f"{v * scale:.2f}" for v in (self.median, self.low, self.high, self.best))
        return middle, f"{low}..{high}", best

    def speeds(self) -> tuple[str, str, str]:
        """Steps per second, share of the dense limit, ratio to the best rival."""
        share = f"{100 * self.share:.0f} %" if self.share is not None else "-"
        return per_second(self.median), share, f"{self.ratio:.2f}" if self.ratio is not None else "-"


def machine(threads: int) -> dict[str, Any]:
    """What a reader needs to judge the figures: processor, threads, system, load when starting."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def rows(result: dict[str, Any], dense: dict[str, float]) -> list[Row]:
    """The peers of one workload, fastest first."""
    medians = {peer: median(found["seconds_per_step"]) for peer, found in result["peers"].items()}
    rival = min((medians[p] for p in RIVALS if p in medians), default=None)
    limit = max(dense.values(), default=None)
    found = []
    for peer, measured in result["peers"].items():
        samples, middle = measured["seconds_per_step"], medians[peer]
        low, _, high = quantiles(samples, n=4) if len(samples) > 1 else (middle,) * 3
        rate = result["matmul_flops"] / middle * 1e-9
        share, ratio = rate / limit if limit else None, rival / middle if rival else None
        who = (PEERS[peer].title, measured["variant"], PEERS[peer].ours)
        found.append(Row(*who, middle, low, high, min(samples), rate, share, ratio, measured["peak_rss"]))
    return sorted(found, key=lambda row: row.median)


def per_second(seconds: float) -> str:
    """Steps per second, of seconds per step."""
    return f"{1 / seconds:,.{0 if seconds < 1e-2 else 1}f}"


def unit(found: list[Row]) -> tuple[str, float]:
    """The unit for the times of one workload: its name, and how many make a second."""
    return ("ms", 1e3) if min((row.median for row in found), default=0.0) > 5e-3 else ("µs", 1e6)


def table(result: dict[str, Any], dense: dict[str, float]) -> str:
    """A plain table of one workload."""
    name, count, flops = result["name"], f"{result['parameters']:,}", f"{result['matmul_flops']:,}"
    found = rows(result, dense)
    short, scale = unit(found)
    columns = ("", f"{short}/step", "quartiles", "best", "steps/s", "of dense", "x best rival", "setting")
    layout = "{:34}{:>11}{:>22}{:>11}{:>12}{:>10}{:>14}  {}"
    lines = [
        f"\n{name}: {count} parameters, {flops} flops a step in products ({result['step_flops']:,} in all)",
        f"data: {result['data']}; losses {'agree' if result['agree'] else 'DISAGREE'}",
        layout.format(*columns),
    ]
    lines += [layout.format(row.title, *row.times(scale), *row.speeds(), row.variant) for row in found]
    return "\n".join(lines)


def markdown(record: dict[str, Any]) -> str:
    """The same as Markdown, for the README."""
    host, dense = record["machine"], record["dense_gflops"]
    limit = ", ".join(f"{library} {rate:.0f}" for library, rate in dense.items())
    lines = [
        f"Measured {record['started']} on {host['processor']}, {host['threads']} threads, {host['system']}, "
        f"Python {host['python']}; load when starting: {host['load']}. "
        f"Medians of {record['rounds']} interleaved runs of {record['seconds']:g} s.",
        f"Dense float32 matrix product: {limit} GFLOP/s.",
        "",
    ]
    for result in record["workloads"].values():
        found = rows(result, dense)
        short, scale = unit(found)
        heads = ("", f"{short} a step", *HEADS)
        lines += [f"**{result['name']}** ({result['data']})", "", f"| {' | '.join(heads)} |", "|---" + "|--:" * 6 + "|"]
        for row in found:
            title = f"**{row.title}**" if row.ours else row.title
            cells = (title, *row.times(scale)[:2], *row.speeds(), f"{row.peak_rss / 2**20:.0f} MB")
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def picture(record: dict[str, Any], path: Path) -> None:
    """Bars of steps per second on a logarithmic axis, one group for each workload."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = list(record["workloads"].values())
    size = (5.2, 0.6 + 2.4 * len(results))
    figure, axes = plt.subplots(len(results), 1, figsize=size, squeeze=False, layout="constrained")
    for axis, result in zip(axes[:, 0], results, strict=True):
        found = rows(result, record["dense_gflops"])[::-1]
        speeds = [1 / row.median for row in found]
        colours = ["#c1440e" if row.ours else "#7d8fa3" for row in found]
        bars = axis.barh([row.title for row in found], speeds, color=colours)
        axis.bar_label(bars, [per_second(1 / speed) for speed in speeds], padding=3, fontsize=8)
        axis.set_xscale("log")
        axis.set_xlim(min(speeds) / 3, max(speeds) * 6)
        axis.set_title(result["name"], fontsize=10, loc="left")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel("training steps per second", fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def write(record: dict[str, Any], folder: Path) -> list[Path]:
    """Write `<date>.json`, `.md` and `.png` into `folder`; the figure needs matplotlib."""
    data = unused(folder, "")
    paths = [data, data.with_suffix(".md")]
    paths[0].write_text(json.dumps(record, indent=1) + "\n")
    paths[1].write_text(markdown(record))
    try:
        picture(record, data.with_suffix(".png"))
    except ModuleNotFoundError:
        print("no figure, because matplotlib is not installed")
    else:
        paths.append(data.with_suffix(".png"))
    return paths


def unused(folder: Path, name: str) -> Path:
    """`<date><name>.json` in `folder`, or `<date><name>-2.json` and so on: records are never overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = time.strftime("%Y-%m-%d") + name
    path, number = folder / f"{stem}.json", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}.json", number + 1
    return path


def keep(record: dict[str, Any], folder: Path, name: str) -> None:
    """Write a record to an unused file of `folder`, and say which."""
    path = unused(folder, name)
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written: {path}")
