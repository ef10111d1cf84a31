"""GFLOP/s of single convolutions compared with oneDNN as torch runs it: `python -m benchmarks.layers`.

Forward pass, input gradient and weight gradient of each layer, as programs of one rule, with one worker and with two;
oneDNN runs with channels last in separate processes, with one thread, and with the better of one and two. Runs
alternate, each after the same pause and one uncounted call, with the same number of repeats; medians count, or another
quantile. Flops are for whole windows, even if they extend past the edge. Prints a table and how many of its rows come
near oneDNN, and writes `benchmarks/results/<date>-layers.json`. CHAINRULE_BENCH_PYTHON names the interpreter that has
torch.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.children import pin
from benchmarks.onednn import OneDnn

# name: (images, size, in, out, kernel, stride, groups)
LAYERS = {
    "3x3, 16 on 32x32": (64, 32, 16, 16, 3, 1, 1),
    "3x3, 32 on 16x16": (64, 16, 32, 32, 3, 1, 1),
    "3x3, 64 on 8x8": (64, 8, 64, 64, 3, 1, 1),
    "3x3, 128 on 28x28, 16 images": (16, 28, 128, 128, 3, 1, 1),
    "3x3, 128 on 8x8": (64, 8, 128, 128, 3, 1, 1),
    "1x1, 64 on 16x16": (64, 16, 64, 64, 1, 1, 1),
    "3x3 by 2, 16 to 32 on 32x32": (64, 32, 16, 32, 3, 2, 1),
    "3x3 by 2, 32 to 64 on 16x16": (64, 16, 32, 64, 3, 2, 1),
    "1x1 by 2, 32 to 64 on 16x16": (64, 16, 32, 64, 1, 2, 1),
    "3x3, 3 to 16 on 32x32": (64, 32, 3, 16, 3, 1, 1),
    "depthwise 3x3, 32 on 32x32": (64, 32, 32, 32, 3, 1, 32),
    "depthwise 3x3, 64 on 16x16": (64, 16, 64, 64, 3, 1, 64),
    "depthwise 3x3 by 2, 64 on 32x32": (64, 32, 64, 64, 3, 2, 64),
}
WHO = ("ours", "oneDNN")
REACHED = 0.9
RULES = ("forward", "input gradient", "weight gradient")
LAYOUT = "{:32} {:16}" + "{:>9}{:>9}{:>7}" * 2


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__)
    parser.add_argument("--only", default="", help="measure only layers whose name contains this")
    parser.add_argument("--rules", nargs="*", default=RULES, choices=RULES)
    parser.add_argument("--rounds", type=int, default=25, help="alternating runs (default 25)")
    parser.add_argument("--seconds", type=float, default=0.02, help="length of one run (default 0.02)")
    parser.add_argument("--quantile", type=float, default=0.5, help="of the times: below 0.5 on a busy machine")
    parser.add_argument("--pause", type=float, default=0.02, help="before each run: threads spin a while after one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    options = parser.parse_args(arguments)
    pin(2)
    rivals = {threads: OneDnn(threads) for threads in (1, 2)}
    print(LAYOUT.format("layer", "rule", *("ours, 1", "oneDNN", "ratio", "ours, 2", "oneDNN", "ratio")))
    record: list[dict[str, Any]] = []
    try:
        for name, layer in LAYERS.items():
            for rule in options.rules if options.only in name else ():
                rates = measure(layer, rule, rivals, options)
                record.append({"layer": name, "rule": rule, **rates})
                one, two = ((rates[f"ours {n}"], rates[f"oneDNN {n}"], ratio(rates, n)) for n in (1, 2))
                cells = (f"{c:.1f}" if i % 3 < 2 else f"{c:.2f}" for i, c in enumerate((*one, *two)))
                print(LAYOUT.format(name, rule, *cells), flush=True)
    finally:
        for rival in rivals.values():
            rival.close()
    if not options.only:
        path = options.out / f"{time.strftime('%Y-%m-%d')}-layers.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps({"machine": report.machine(2), "quantile": options.quantile, "GFLOP/s": record}, indent=1) + "\n"
        )
        print(f"written: {path}")
    reached = (
        f"{sum(ratio(r, n) >= REACHED for r in record)} with {name}" for n, name in ((1, "one worker"), (2, "two"))
    )
    print(f"rows of {len(record)} that reach {REACHED} of oneDNN: {', '.join(reached)}")


def measure(
    layer: tuple[int, ...], rule: str, rivals: dict[int, OneDnn], options: argparse.Namespace
) -> dict[str, float]:
    """Median GFLOP/s of chainrule and of oneDNN with one worker, and with two (oneDNN: the better of one thread and
    two).
    """
    images, size, inputs, outputs, kernel, stride, groups = layer
    pixels = images * (-(-size // stride)) ** 2
    flops = 2.0 * pixels * kernel * kernel * inputs // groups * outputs
    runs: dict[tuple[str, int], Callable[[int], float]] = {}
    for number, rival in rivals.items():
        runs["ours", number] = timed(ours(layer, rule, number))
        runs["oneDNN", number] = functools.partial(rival.seconds, layer, rule)
    # The same number for both, so that the faster one takes the requested time.
    repeats = {n: max(1, round(options.seconds / min(runs[w, n](3) for w in WHO))) for n in rivals}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    for turn in range(options.rounds):
        for number in rivals:
            for who in WHO if turn % 2 else reversed(WHO):
                time.sleep(options.pause)
                seconds[who, number].append(runs[who, number](repeats[number]))
    rates = {
        f"{who} {number}": flops / np.quantile(times, options.quantile) * 1e-9
        for (who, number), times in seconds.items()
    }
    rates["oneDNN 2"] = max(rates["oneDNN 1"], rates["oneDNN 2"])
    return rates


def timed(run: Callable[[int], object]) -> Callable[[int], float]:
    """A function that runs once, then a given number of times, and returns the seconds per run, like
    `OneDnn.seconds`.
    """

    def seconds(repeats: int) -> float:
        run(1)
        start = time.perf_counter()
        run(repeats)
        return (time.perf_counter() - start) / repeats

    return seconds


def ratio(rates: dict[str, Any], workers: int) -> float:
    """The speed relative to oneDNN."""
    return float(rates[f"ours {workers}"] / rates[f"oneDNN {workers}"])


def ours(layer: tuple[int, ...], rule: str, workers: int) -> Callable[[int], object]:
    """A function that computes the rule a given number of times."""
    from chainrule.engine.single import SingleRule
    from chainrule.ops.conv import conv2d

    images, size, inputs, outputs, kernel, stride, groups = layer
    rng = np.random.default_rng(0)
    before = kernel // 2
    attributes: dict[str, Any] = {"stride": (stride, stride), "padding": ((before, before), (before, before))}
    attributes |= {"dilation": (1, 1), "groups": groups}
    shapes = {"x": (images, size, size, inputs), "w": (kernel, kernel, inputs // groups, outputs)}
    assert conv2d.shape_rule is not None
    shapes["y"] = shapes["dy"] = conv2d.shape_rule(shapes["x"], shapes["w"], None, **attributes)
    op_rule, result = {
        "forward": (conv2d.forward, "y"),
        "input gradient": (conv2d.gradients["x"], "x"),
        "weight gradient": (conv2d.gradients["w"], "w"),
    }[rule]
    known = {name: rng.standard_normal(shapes[name], np.float32) for name in op_rule.operands if name != "b"}
    attributes |= {f"{name}_shape": shape for name, shape in shapes.items()}
    keywords = {name: attributes[name] for name in op_rule.attributes}
    operands = [known.get(name) for name in op_rule.operands]
    single = SingleRule(conv2d, op_rule, operands, keywords, [shapes[result]], workers=workers)
    expected = op_rule.definition(*operands, **keywords)
    np.testing.assert_allclose(single.run()[0], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    return single.run


if __name__ == "__main__":
    main()
