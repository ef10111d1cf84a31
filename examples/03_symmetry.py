"""Detecting mirror symmetry: the experiment that opens the 1986 paper on backpropagation, for hundreds of seeds.

D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors", Nature 323,
533-536, 1986, figure 1. Six inputs, two hidden units, one output, all sigmoid; the output should be 1 for the 8 of 64
patterns that are symmetric about the middle. As in the paper: all 64 patterns in every sweep, the gradient summed over
them, E = ½ Σ (y − d)², Δw(t) = −ε ∂E/∂w(t) + α Δw(t−1) with ε = 0.1 and α = 0.9, initial weights uniform in ±0.3.

The paper reports one run, which took 1,425 sweeps, and does not say when a run counts as learned. Here that is when
each of the 64 outputs is within 0.5 of its target, that is, on the right side of ½; results for 0.1 are printed too.

All seeds are trained as one network: S networks side by side (a 6 → 2S layer, then an output for each pair of hidden
units). Since E is a sum over outputs, and SGD updates each weight with its own gradient, the S networks do not affect
each other.

What to look at
  - the distribution of sweeps, with the paper's 1,425 marked, and the fraction of seeds that do not learn;
  - in the networks that learned, weights mirrored about the middle are equal in size and opposite in sign, so a
  symmetric pattern leaves only the bias of each hidden unit; and their magnitudes are in the ratio 1 : 2 : 4, in some
  order, so no other pattern does;
  - about a quarter find 2 : 3 : 4 instead (the paper shows 1 : 2 : 4), which works for the same reason: no combination
  of them, each added, subtracted or omitted, is zero.

    python examples/03_symmetry.py       # draws symmetry.png; --out PATH, --seeds N, --engine reference, --quick
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn, optim

PAPER = 1425
EPSILON, ALPHA = 0.1, 0.9
PATTERNS = np.array([[number >> bit & 1 for bit in range(5, -1, -1)] for number in range(64)], dtype=np.float32)
SYMMETRIC = np.all(PATTERNS[:, ::-1] == PATTERNS, axis=1)
NEVER = -1


class Networks(nn.Module):
    """`count` networks of 6-2-1 sigmoid units side by side: x (n, 6) -> outputs (n, count)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        drawn = np.stack([np.random.default_rng(seed).uniform(-0.3, 0.3, 17) for seed in range(count)])
        drawn = drawn.astype(np.float32)
        self.hidden = nn.Linear(6, 2 * count)
        self.hidden.weight.data = drawn[:, :12].reshape(count, 6, 2).transpose(1, 0, 2).reshape(6, 2 * count)
        self.hidden.bias.data = drawn[:, 12:14].reshape(2 * count)
        self.weight = cr.Parameter(drawn[:, 14:16])  # (count, 2): from the hidden units to the output
        self.bias = cr.Parameter(drawn[:, 16])

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        hidden = self.hidden(x).sigmoid().reshape(x.shape[0], self.count, 2)
        return ((hidden * self.weight).sum(axis=2) + self.bias).sigmoid()


def half_squares(output: cr.Tensor, target: cr.Tensor, weight: cr.Tensor | None = None) -> cr.Tensor:
    """E = ½ Σ (y − d)², summed over patterns and networks."""
    error = output - target
    return (error * error).sum() * 0.5


@dataclass
class Outcome:
    """For each network: the sweep after which it had learned, by two criteria (-1: never), and its final weights."""

    within_half: np.ndarray
    within_tenth: np.ndarray
    first: np.ndarray  # (count, 6, 2): from inputs to hidden units
    second: np.ndarray  # (count, 2)
    biases: np.ndarray  # (count, 2), of the hidden units


def sweep(count: int, sweeps: int, engine: str) -> Outcome:
    """Train all networks, checking after every sweep which of them have learned."""
    model = Networks(count)
    trainer = cr.Trainer(model, loss=half_squares, optimizer=optim.SGD(lr=EPSILON, momentum=ALPHA), engine=engine)
    targets = np.repeat(SYMMETRIC[:, None], count, axis=1).astype(np.float32)
    half, tenth = np.full(count, NEVER), np.full(count, NEVER)
    for number in range(1, sweeps + 1):
        trainer.step(PATTERNS, targets)
        worst = np.abs(trainer.predict(PATTERNS) - targets).max(axis=0)
        half[(half == NEVER) & (worst < 0.5)] = number
        tenth[(tenth == NEVER) & (worst < 0.1)] = number
    p = {name: parameter.data for name, parameter in model.named_parameters().items()}
    first = p["hidden.weight"].reshape(6, count, 2).transpose(1, 0, 2)
    return Outcome(half, tenth, first, p["weight"].copy(), p["hidden.bias"].reshape(count, 2))


def mirror_gap(first: np.ndarray) -> np.ndarray:
    """|w + its mirror image| over |w|, the largest for each network: 0 for equal size and opposite sign."""
    return np.abs(first + first[:, ::-1]).max(axis=(1, 2)) / np.abs(first).max(axis=(1, 2))


def ratios(first: np.ndarray) -> np.ndarray:
    """Magnitudes of the weights on one side of the middle, in ascending order, divided by the smallest: (networks, 3,
    2).
    """
    sizes = np.sort(np.abs(first[:, :3]), axis=1)
    return sizes / sizes[:, :1]


def is_ratio(found: np.ndarray, wanted: tuple[float, float, float]) -> np.ndarray:
    """Which networks have magnitudes in the ratio `wanted`, within 10 %, at both hidden units."""
    goal = np.array(wanted)[None, :, None] / wanted[0]
    return np.all(np.abs(found / goal - 1) < 0.1, axis=(1, 2))


def nearest_to_paper(outcome: Outcome) -> int:
    """The seed that needed about as many sweeps as the paper's run, among those within 0.1."""
    settled = np.flatnonzero(outcome.within_tenth != NEVER)
    return int(settled[np.argmin(np.abs(outcome.within_half[settled] - PAPER))])


def print_outcome(outcome: Outcome, sweeps: int) -> None:
    """Fractions, quantiles, and the paper's place among them."""
    count = len(outcome.within_half)
    for name, when in (("0.5", outcome.within_half), ("0.1", outcome.within_tenth)):
        learned = np.sort(when[when != NEVER])
        share = learned.size / count
        print(f"every output within {name}: {learned.size} of {count} seeds ({share:.1%}) in {sweeps} sweeps")
        if learned.size:
            levels = "  ".join(f"{level}% {np.percentile(learned, level):.0f}" for level in (0, 5, 25, 50, 75, 95, 100))
            print(f"  sweeps needed: {levels}")
            print(
                f"  {np.mean(learned <= PAPER):.0%} of the seeds that learned needed no more than the paper's {PAPER}"
            )


def print_weights(outcome: Outcome) -> None:
    """How closely the weights of the networks that learned are mirrored and in the ratio 1 : 2 : 4, with one
    example.
    """
    settled = outcome.within_tenth != NEVER
    if not settled.any():
        print("no network has settled: its weights have no pattern yet")
        return
    first = outcome.first[settled]
    found = ratios(first)
    opposed = np.all(first[..., 0] * first[..., 1] < 0, axis=1)
    print(f"of the {settled.sum()} networks within 0.1:")
    print(f"  mirrored weights equal and opposite: within {mirror_gap(first).max():.2%} of the largest weight")
    print(f"  the two hidden units of opposite sign at every input: {opposed.mean():.1%}")
    print(f"  magnitudes in the ratio 1 : 2 : 4 (within 10 %): {np.mean(is_ratio(found, (1, 2, 4))):.1%}")
    print(f"  magnitudes in the ratio 2 : 3 : 4 (within 10 %): {np.mean(is_ratio(found, (2, 3, 4))):.1%}")
    middle = np.median(found, axis=(0, 2))
    print(f"  median ratio: {middle[0]:.2f} : {middle[1]:.2f} : {middle[2]:.2f}")
    example = nearest_to_paper(outcome)
    print(f"seed {example}, learned after {outcome.within_half[example]} sweeps:")
    for unit in range(2):
        weights = "  ".join(f"{weight:+7.2f}" for weight in outcome.first[example, :, unit])
        into, out = outcome.biases[example, unit], outcome.second[example, unit]
        print(f"  hidden unit {unit + 1}: {weights}   bias {into:+.2f}   to the output {out:+.2f}")


def draw(outcome: Outcome, sweeps: int, out: Path) -> None:
    """Sweeps needed, fraction learned over time, the weights of one network, and the ratios of all."""
    import matplotlib

    matplotlib.use("Agg")  # draws to a file, without a window
    import matplotlib.pyplot as plt

    figure, ((counts, share), (bars, cloud)) = plt.subplots(2, 2, figsize=(12, 9), layout="constrained")
    when, settled = outcome.within_half, outcome.within_tenth != NEVER
    learned = np.sort(when[when != NEVER])
    counts.hist(learned, bins=np.linspace(0, sweeps, 41))
    counts.set(title=f"sweeps needed by {learned.size} of {when.size} seeds", xlabel="sweeps", ylabel="seeds")
    share.step(learned, np.arange(1, learned.size + 1) / when.size, where="post")
    share.set(title="fraction of seeds that have learned", xlabel="sweeps", ylim=(0, 1), xlim=(0, sweeps))
    for axes in (counts, share):
        axes.axvline(PAPER, color="tab:red", label=f"the paper's run: {PAPER}")
        axes.legend()
    if settled.any():
        example = nearest_to_paper(outcome)
        draw_weights(bars, outcome.first[example], example)
        found = ratios(outcome.first[settled])
        cloud.scatter(found[:, 1].ravel(), found[:, 2].ravel(), s=12, alpha=0.4)
        cloud.plot([2, 1.5], [4, 2], "rx")
        cloud.annotate("1 : 2 : 4, as in the paper", (1.97, 4), ha="right", va="center", color="tab:red")
        cloud.annotate("2 : 3 : 4", (1.54, 2), va="center", color="tab:red")
        cloud.set(
            title="the three weights on one side of each hidden unit",
            xlabel="|middle weight| / |smallest weight|",
            ylabel="|largest weight| / |smallest weight|",
        )
    figure.savefig(out, dpi=120)
    plt.close(figure)


def draw_weights(axes: Any, first: np.ndarray, seed: int) -> None:
    """The weights of both hidden units by input: mirrored, and in the ratio 1 : 2 : 4."""
    places = np.arange(6)
    for unit in range(2):
        axes.bar(places + 0.4 * unit - 0.2, first[:, unit], width=0.4, label=f"hidden unit {unit + 1}")
    axes.axvline(2.5, color="black", linestyle="dashed")
    axes.axhline(0.0, color="black", linewidth=0.8)
    unit_size = np.abs(first).min()
    for place in places:
        size = np.abs(first[place]).mean() / unit_size
        axes.annotate(f"{size:.1f}", (place, 1.15 * np.abs(first).max()), ha="center")
    axes.set(title=f"seed {seed} (numbers: |weight| / |smallest weight|)")
    axes.set(xlabel="input (dashed: the middle of the pattern)", ylabel="weight to the hidden unit")
    axes.margins(y=0.15)
    axes.legend(loc="lower left")


def main() -> None:
    """Train all seeds at once, print the distribution and the weights, draw."""
    parser = argparse.ArgumentParser(description="Mirror symmetry with 6-2-1 networks, as in the 1986 paper.")
    parser.add_argument("--out", type=Path, default=Path("symmetry.png"), help="the figure to write")
    parser.add_argument("--seeds", type=int, default=400, help="networks trained at once")
    parser.add_argument("--engine", choices=("compiled", "reference"), default="compiled")
    parser.add_argument("--quick", action="store_true", help="40 seeds, fewer sweeps")
    options = parser.parse_args()
    count, sweeps = (40, 1500) if options.quick else (options.seeds, 8000)

    print(f"6-2-1, {count} seeds at once, 64 patterns of which {SYMMETRIC.sum()} symmetric, ε = {EPSILON}, α = {ALPHA}")
    began = time.perf_counter()
    outcome = sweep(count, sweeps, options.engine)
    print(f"{sweeps} sweeps of {count} networks: {time.perf_counter() - began:.1f} s")
    print_outcome(outcome, sweeps)
    print_weights(outcome)
    try:
        draw(outcome, sweeps, options.out)
    except ImportError:
        print("no figure, because matplotlib is not installed: pip install matplotlib")
    else:
        print(f"figure: {options.out.resolve()}")


if __name__ == "__main__":
    main()
