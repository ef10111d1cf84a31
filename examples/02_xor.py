"""XOR with a 2-2-1 network: what a hidden layer is for, and what can still go wrong.

No line separates (0,1) and (1,0) from (0,0) and (1,1), so a single neuron outputs ½ for all four. Two hidden units
draw two lines, and the output unit combines them. Many seeds are trained the same way; those that fail are shown too.

What to look at
  - the seeds that learn turn XOR into a problem that a single line can separate: the four points in the hidden plane;
  - the seeds that fail output 0, 1, ½, ½: one pattern of each class right, the other two averaged. For those two, both
  hidden units are saturated, so the two patterns are one point in the hidden plane, and the gradient that would
  separate them is nearly 0: as small as at a solution, but far from any. A descending path to zero error exists from
  every finite point (Sprinkhuizen-Kuyper and Boers, Annals of Mathematics and Artificial Intelligence 25, 107-136,
  1999), but it may be too flat to follow in reasonable time.

    python examples/02_xor.py            # draws xor.png; --out PATH, --engine reference, --quick
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn, optim

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
Y = np.array([[0], [1], [1], [0]], dtype=np.float32)
LR, MOMENTUM = 0.5, 0.9


@dataclass
class Run:
    """One seed's training: the trained network, its loss per sweep, outputs, and the size of its last gradient."""

    seed: int
    trainer: cr.Trainer
    losses: np.ndarray
    outputs: np.ndarray
    slope: float

    @property
    def learned(self) -> bool:
        return bool(np.all(np.abs(self.outputs - Y) < 0.5))


def train(seed: int, sweeps: int, engine: str) -> Run:
    """A 2-2-1 network of sigmoid units: mean squared error, all four patterns in every step."""
    cr.seed(seed)
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid())
    optimizer = optim.SGD(lr=LR, momentum=MOMENTUM)
    trainer = cr.Trainer(model, loss=nn.MSELoss(), optimizer=optimizer, seed=seed, engine=engine)
    history = trainer.fit(X, Y, epochs=sweeps, batch_size=4, shuffle=False)
    slope = np.sqrt(sum(float((g**2).sum()) for g in trainer.gradients(X, Y).values()))
    return Run(seed, trainer, np.array(history["loss"]), trainer.predict(X), float(slope))


def train_seeds(seeds: int, sweeps: int, engine: str) -> list[Run]:
    """Train each seed, printing a line when it ends."""
    print("seed   output for (0,0) (0,1) (1,0) (1,1)      loss    |gradient|   learned")
    runs = []
    for seed in range(seeds):
        run = train(seed, sweeps, engine)
        outputs = "  ".join(f"{value:.3f}" for value in run.outputs.ravel())
        verdict = "yes" if run.learned else "NO"
        print(f"{run.seed:4d}   {outputs:>34}   {run.losses[-1]:.6f}   {run.slope:.1e}     {verdict}", flush=True)
        runs.append(run)
    return runs


def print_share(runs: list[Run], sweeps: int) -> None:
    """How many learned."""
    learned = [run for run in runs if run.learned]
    print(f"learned: {len(learned)} of {len(runs)} seeds in {sweeps} sweeps (every output within 0.5 of its target)")
    if len(learned) < len(runs):
        print("the others are stuck: the gradient is as small as at a solution, but the loss is not")


def draw_surface(axes: Any, run: Run) -> None:
    """The output over the input plane, and the line at which each hidden unit switches."""
    grid = np.linspace(-0.5, 1.5, 81, dtype=np.float32)
    x1, x2 = np.meshgrid(grid, grid)
    points = np.stack([x1.ravel(), x2.ravel()], axis=1)
    outputs = run.trainer.predict(points).reshape(x1.shape)
    surface = axes.contourf(x1, x2, outputs, levels=np.linspace(0, 1, 21), cmap="RdBu_r")
    axes.figure.colorbar(surface, ax=axes, label="output (points: target)", ticks=(0, 0.5, 1))
    weight, bias = (run.trainer.model.named_parameters()[name].data for name in ("0.weight", "0.bias"))
    for unit, style in enumerate(("dashed", "dotted")):
        line = x1 * weight[0, unit] + x2 * weight[1, unit] + bias[unit]
        axes.contour(x1, x2, line, levels=[0.0], colors="black", linestyles=style)
        axes.plot([], [], color="black", linestyle=style, label=f"hidden unit {unit + 1} is ½")
    axes.legend(loc="lower left")
    axes.scatter(X[:, 0], X[:, 1], c=Y.ravel(), cmap="RdBu_r", edgecolor="black", s=120, zorder=3)
    axes.set(title=f"seed {run.seed}: {'learned' if run.learned else 'stuck'}", xlabel="x1", ylabel="x2")


def draw_hidden(axes: Any, run: Run) -> None:
    """The four patterns in the plane of the hidden units, the inputs of the output unit."""
    p = {name: parameter.data for name, parameter in run.trainer.model.named_parameters().items()}
    hidden = 1.0 / (1.0 + np.exp(-(X @ p["0.weight"] + p["0.bias"])))
    grid = np.linspace(-0.1, 1.1, 61)
    h1, h2 = np.meshgrid(grid, grid)
    output = h1 * p["2.weight"][0, 0] + h2 * p["2.weight"][1, 0] + p["2.bias"][0]
    axes.contour(h1, h2, output, levels=[0.0], colors="black")
    axes.plot([], [], color="black", label="output is ½")
    axes.legend(loc="upper left")
    axes.scatter(hidden[:, 0], hidden[:, 1], c=Y.ravel(), cmap="RdBu_r", edgecolor="black", s=120, zorder=3)
    for (left, right), point, up in zip(X, hidden, (8, 8, 22, 8), strict=True):  # (0,1) and (1,0) often coincide
        axes.annotate(f"({left:g}, {right:g})", point, xytext=(8, up), textcoords="offset points")
    axes.set(title=f"seed {run.seed}: the patterns in the hidden plane", xlabel="hidden unit 1", ylabel="hidden unit 2")


def draw(runs: list[Run], out: Path) -> None:
    """Losses of all seeds, the surfaces of one that learned and one that did not, and the hidden plane."""
    import matplotlib

    matplotlib.use("Agg")  # draws to a file, without a window
    import matplotlib.pyplot as plt

    figure, ((curves, solved), (hidden, stuck)) = plt.subplots(2, 2, figsize=(12, 10), layout="constrained")
    for run in sorted(runs, key=lambda run: not run.learned):
        curves.semilogy(run.losses, color="tab:blue" if run.learned else "tab:red", linewidth=0.8)
    curves.set(title="loss of every seed (red: did not learn)", xlabel="sweep", ylabel="mean squared error")
    winner = next((run for run in runs if run.learned), runs[0])
    loser = next((run for run in runs if not run.learned), None)
    draw_surface(solved, winner)
    draw_hidden(hidden, winner)
    if loser is None:
        stuck.text(0.5, 0.5, "every seed learned", ha="center")
        stuck.axis("off")
    else:
        draw_surface(stuck, loser)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def main() -> None:
    """Train every seed, print the results, draw."""
    parser = argparse.ArgumentParser(description="XOR with a 2-2-1 network, over many seeds.")
    parser.add_argument("--out", type=Path, default=Path("xor.png"), help="the figure to write")
    parser.add_argument("--engine", choices=("compiled", "reference"), default="compiled")
    parser.add_argument("--quick", action="store_true", help="fewer seeds and sweeps")
    options = parser.parse_args()
    seeds, sweeps = (4, 1500) if options.quick else (40, 4000)

    print(f"XOR, 2-2-1 sigmoid network, mean squared error, SGD lr {LR} momentum {MOMENTUM}, {sweeps} sweeps")
    runs = train_seeds(seeds, sweeps, options.engine)
    print_share(runs, sweeps)
    try:
        draw(runs, options.out)
    except ImportError:
        print("no figure, because matplotlib is not installed: pip install matplotlib")
    else:
        print(f"figure: {options.out.resolve()}")


if __name__ == "__main__":
    main()
