"""Vanishing and exploding gradients in 30 layers, and what the usual remedies do about them, on Fashion-MNIST.

Why it happens. With samples as rows, z_l = h_(l-1)·W_l + b_l, h_l = f(z_l) and δ_l = ∂L/∂z_l, the chain rule reads

    δ_l = (δ_(l+1)·W_(l+1)ᵀ) ⊙ f′(z_l),        ∂L/∂W_l = h_(l-1)ᵀ·δ_l,

so δ_1 is δ_30 times 29 Jacobians. Weights drawn independently with variance v in layers of n units change the norm,
in each layer, by a factor of about √(n·v·E[f′²]); any factor other than 1 is raised to the 29th power.

  sigmoid      σ′ = σ(1 − σ) ≤ 1/4, and Xavier's v is 1/n: at most 1/4 per layer, 10⁻¹⁷ at the bottom. tanh
  Xavier's v is 1/n, and tanh′ is near 1 around 0: near 1 (Glorot and Bengio, AISTATS 2010). ReLU         f′ is 1 for
  one half and 0 for the other, and He's v is 2/n: √(n·2/n·½) = 1 (He et al., ICCV 2015). batch norm   the scale of W no
  longer matters (Ioffe and Szegedy, ICML 2015). But z is divided by its deviation over the batch, √(n·v·(π − 1)/(2π))
  if the ReLU before had inputs of unit deviation, while W and ReLU alone scale by √(n·v/2): together √(π/(π − 1)) =
  1.21, so gradients explode (Yang et al., ICLR 2019). residual     h + F(h) has the Jacobian 1 + F′, so the product
  contains 1, however small F′ is (He et al., CVPR 2016). As in that paper, F contains batch normalization.

All are trained the same way: same layers, batches and optimizer, weights as proposed by Glorot or He, biases 0.

What to look at
  - sigmoid: the last layers have a gradient, the first have none, and that does not change: it predicts a single class;
  - tanh and ReLU learn with no remedy but weights of the right size, as long as the learning rate is small;
  - batch normalization alone does not stabilize gradients at the start, it makes them grow; they even out in the first
  steps, and in return a learning rate 30 times as large still works. Other seeds and rates show the same;
  - with residual connections as well, the network is the best or among the best at every rate.

    python examples/04_remedies.py       # draws remedies.png; --data NAME_OR_FOLDER, --data-dir, --quick and others
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import data, models, nn, optim
from chainrule.errors import ChainruleError, FileError, NonFiniteError

DEPTH, WIDTH, BATCH, MOMENTUM = 30, 64, 128, 0.9
RATES = (0.003, 0.01, 0.03, 0.1)
PROBE, MEASUREMENTS = 512, 40  # images on which gradients are measured, and measurements per run


@dataclass(frozen=True)
class Network:
    """A way to build 30 layers, their initial weights, and the theoretical factor by which they scale a gradient."""

    name: str
    build: Callable[[tuple[int, ...], int], nn.Module]  # (image, classes)
    start: Callable[[Any], Any]
    theory: str


@dataclass
class Run:
    """One training: its measurements (steps, gradient norms by layer, accuracies), and how it ended."""

    network: Network
    rate: float
    steps: list[int] = field(default_factory=list)
    norms: list[np.ndarray] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    accuracy: float = 0.0
    diverged: int | None = None  # the step with a non-finite loss


def plain(activation: Callable[[], nn.Module]) -> Callable[[tuple[int, ...], int], nn.Module]:
    """30 fully connected layers with activations between."""
    return lambda image, classes: models.plain_mlp(image, classes, depth=DEPTH, width=WIDTH, activation=activation)


def normalized_relu() -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(WIDTH), nn.ReLU())


def residual(image: tuple[int, ...], classes: int) -> nn.Module:
    """The first layer, 14 blocks relu(h + F(h)) of two layers each, and the last layer."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(int(np.prod(image)), WIDTH), normalized_relu()]
    for _ in range((DEPTH - 2) // 2):
        body = [nn.Linear(WIDTH, WIDTH), normalized_relu(), nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH)]
        layers += [nn.Residual(nn.Sequential(*body)), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, classes))


NETWORKS = (
    Network("sigmoid", plain(nn.Sigmoid), nn.init.xavier_normal, "below 0.25"),
    Network("tanh", plain(nn.Tanh), nn.init.xavier_normal, "near 1"),
    Network("ReLU", plain(nn.ReLU), nn.init.he_normal, "1"),
    Network("ReLU, batch norm", plain(normalized_relu), nn.init.he_normal, "1.21"),
    Network("residual", residual, nn.init.he_normal, ""),
)


class Recorder:
    """A callback that measures gradients on the images `probe`, and accuracy on `test`, from time to time."""

    def __init__(self, run: Run, probe: tuple[Any, Any], test: tuple[Any, Any]) -> None:
        self.run, self.probe, self.test = run, probe, test

    def on_fit_begin(self, trainer: cr.Trainer) -> None:
        self.trainer = trainer
        self.every = max(1, trainer.plan.epochs * trainer.plan.batches.steps // MEASUREMENTS)
        self.measure(0)

    def on_step(self, step: int, loss: float) -> None:
        if (step + 1) % self.every == 0:
            self.measure(step + 1)

    def measure(self, step: int) -> None:
        gradients = self.trainer.gradients(*self.probe).values()
        weights = [g for g in gradients if g.ndim == 2]  # one matrix for each layer, in order
        self.run.steps.append(step)
        self.run.norms.append(np.array([np.linalg.norm(g.astype(np.float64)) for g in weights]))
        self.run.accuracies.append(self.trainer.evaluate(*self.test)["accuracy"])


def load(source: str, data_dir: str | None) -> data.Images:
    """The images; the 10,000 test images of Fashion-MNIST if the 60,000 for training are not available."""
    try:
        return data.read_images(source, data_dir=data_dir)
    except FileError as error:
        shared = Path(os.environ.get("CHAINRULE_DATA", ""), "images")
        archives = sorted(shared.glob("fashion_mnist_t10k_*.npz")) if source == "fashion-mnist" else []
        if not archives:
            raise SystemExit(f"{error}\nor use the bundled digits: --data digits") from None
        print(f"{error}\n  using its 10,000 test images from {shared} instead", file=sys.stderr)
        parts = [data.read_images(str(path)) for path in archives]
        pixels, targets = (np.concatenate([getattr(part, name) for part in parts]) for name in ("pixels", "targets"))
        return replace(parts[0], source="fashion-mnist (10,000)", pixels=pixels, targets=targets)


def train(network: Network, rate: float, parts: dict[str, Any], options: argparse.Namespace, watch: bool) -> Run:
    """One network at one learning rate; measured during training if `watch`."""
    (x, y), (tx, ty) = parts["train"], parts["test"]
    run = Run(network, rate)
    cr.seed(options.seed)
    model = network.build(x.shape[1:], int(max(y.max(), ty.max())) + 1)
    for name, parameter in model.named_parameters().items():
        if parameter.ndim == 2:
            network.start(parameter)
        elif name.endswith("bias"):
            nn.init.zeros(parameter)
    optimizer = optim.SGD(lr=rate, momentum=MOMENTUM)
    trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optimizer, seed=options.seed, engine=options.engine)
    observers = [Recorder(run, (x[:PROBE], y[:PROBE]), (tx, ty))] if watch else []
    try:
        trainer.fit(x, y, epochs=options.epochs, batch_size=BATCH, callbacks=observers, verbose=0)
        run.accuracy = trainer.evaluate(tx, ty)["accuracy"]
    except NonFiniteError as error:
        run.diverged = error.step
    print(f"  {network.name}, learning rate {rate:g}: {result(run)}", file=sys.stderr, flush=True)
    return run


def factor(norms: np.ndarray) -> float:
    """The mean factor from one layer's gradient to that of the layer before, over the layers of equal size."""
    return float((norms[1] / norms[-2]) ** (1 / (len(norms) - 3)))


def print_gradients(runs: list[Run]) -> None:
    """The size of gradients in the first, a middle and the last layer, before and after training."""
    print(f"\ngradient norms of the weights, learning rate {runs[0].rate:g}; factor: per layer, towards the input")
    print(f"{'':18}{'before training':^49}  last measured")
    print(f"{'network':18}{'first':>8} {'15th':>8} {'last':>8} {'factor':>8} {'theory':>12}  {'first':>8} {'last':>8}")
    for run in runs:
        before, after = run.norms[0], run.norms[-1]
        sizes = " ".join(f"{norm:8.1e}" for norm in (before[0], before[14], before[-1]))
        late = f"{after[0]:8.1e} {after[-1]:8.1e}"
        print(f"{run.network.name:18}{sizes} {factor(before):8.3f} {run.network.theory:>12}  {late}")


def result(run: Run) -> str:
    return f"{run.accuracy:.1%}" if run.diverged is None else f"NaN @{run.diverged}"


def print_accuracies(table: dict[float, list[Run]]) -> None:
    """Test accuracy of each network at each learning rate."""
    print("\ntest accuracy by learning rate (NaN @s: the loss was no longer finite in step s)")
    print(f"{'network':18}" + "".join(f"{rate:>12g}" for rate in table))
    for row in zip(*table.values(), strict=True):
        print(f"{row[0].network.name:18}" + "".join(f"{result(run):>12}" for run in row))


def print_reading(runs: list[Run]) -> None:
    """What these figures show, in words."""
    start = {run.network.name: run.norms[0] for run in runs}
    sigmoid, batch = start["sigmoid"], start["ReLU, batch norm"]
    shrunk, grown = sigmoid[1] / sigmoid[-2], batch[1] / batch[-2]
    print(f"\nfrom layer 29 to layer 2, sigmoid leaves {shrunk:.0e} of the gradient, too little to change a")
    print(f"weight in float32; batch normalization makes it {grown:.0f} times as large")


def draw_norms(figure: Any, places: Any, runs: list[Run]) -> None:
    """Gradient norms by layer and step, one map for each network, one color scale for all."""
    from matplotlib.colors import LogNorm

    colours = LogNorm(1e-8, 1e2)
    for axes, run in zip(places, runs, strict=True):
        norms = np.array(run.norms).T
        layers = np.arange(1, len(norms) + 1)
        drawn = axes.pcolormesh(run.steps, layers, np.maximum(norms, 1e-30), norm=colours, cmap="inferno")
        axes.set(title=run.network.name, xlabel="step")
        axes.set_yticks(
            [1, 10, 20, DEPTH], labels=["1, input", "10", "20", f"{DEPTH}, output"] if run is runs[0] else []
        )
    places[0].set_ylabel("layer")
    figure.colorbar(drawn, ax=list(places), label="gradient norm (black: below)", extend="min", fraction=0.05, pad=0.01)


def draw(table: dict[float, list[Run]], shown: float, title: str, out: Path) -> None:
    """Gradients by layer and step; those at the start; accuracy over training; accuracy by learning rate."""
    import matplotlib

    matplotlib.use("Agg")  # draws to a file, without a window
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(16, 9), layout="constrained")
    upper, lower = figure.subfigures(2, 1)
    runs = table[shown]
    draw_norms(upper, upper.subplots(1, len(runs)), runs)
    upper.suptitle(f"{title}: gradient norm of each layer, learning rate {shown:g}")
    start, curves, rates = lower.subplots(1, 3)
    for number, run in enumerate(runs):
        look = {"color": f"C{number}", "label": run.network.name}
        start.semilogy(np.arange(1, DEPTH + 1), run.norms[0], marker=".", **look)
        curves.plot(run.steps, run.accuracies, **look)
        line = [row[number] for row in table.values()]
        heights = [r.accuracy if r.diverged is None else np.nan for r in line]
        rates.semilogx(list(table), heights, marker="o", **look)
        lost = [r.rate for r in line if r.diverged is not None]
        rates.plot(lost, [0.02] * len(lost), "x", color=f"C{number}", markersize=10)
    start.set(title="gradient norm before training", xlabel="layer (1: input)", ylabel="norm")
    curves.set(title=f"test accuracy, learning rate {shown:g}", xlabel="step", ylim=(0, 1))
    rates.set(title="test accuracy at the end", xlabel="learning rate", ylim=(0, 1))
    rates.minorticks_off()
    rates.set_xticks(list(table), labels=[f"{rate:g}" for rate in table])
    rates.plot([], [], "x", color="black", markersize=10, label="diverged")
    lower.legend(*rates.get_legend_handles_labels(), loc="outside lower center", ncols=len(runs) + 1)
    figure.savefig(out, dpi=110)
    plt.close(figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Gradients in 30 layers: sigmoid, tanh, ReLU, batch norm, residual.")
    parser.add_argument("--out", type=Path, default=Path("remedies.png"), help="the figure to write")
    parser.add_argument("--data", default="fashion-mnist", help="fashion-mnist, mnist, digits, or a path to images")
    parser.add_argument("--data-dir", help="folder of the named data sets")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("compiled", "reference"), default="compiled")
    parser.add_argument("--quick", action="store_true", help="2,000 images, 10 epochs, two learning rates")
    return parser.parse_args()


def main() -> None:
    """Train every network at every rate, print tables, draw."""
    options = parse()
    if not options.out.resolve().parent.is_dir():
        raise SystemExit(f"{options.out}: no such folder: create it, or choose another --out")
    began = time.perf_counter()
    images = load(options.data, options.data_dir)
    _, prepared = data.prepare_images(images, validation=0.0, seed=0)
    rates, most = RATES, None
    if options.quick:
        rates, most, options.epochs = (RATES[0], RATES[-1]), 2000, 10
    split = prepared.split
    parts = {"train": prepared.arrays(split.train[:most]), "test": prepared.arrays(split.test[:most])}
    counts = f"{len(parts['train'][0]):,} images for training, {len(parts['test'][0]):,} for testing"
    print(f"{images.source}: {counts}; {DEPTH} layers of {WIDTH}, SGD momentum {MOMENTUM}, {options.epochs} epochs")
    shown = rates[0]
    table = {rate: [train(network, rate, parts, options, rate == shown) for network in NETWORKS] for rate in rates}
    print_gradients(table[shown])
    print_accuracies(table)
    print_reading(table[shown])
    print(f"{len(rates) * len(NETWORKS)} trainings: {time.perf_counter() - began:.0f} s")
    try:
        draw(table, shown, f"{DEPTH} layers on {images.source}", options.out)
    except ImportError:
        print("no figure, because matplotlib is not installed: pip install matplotlib")
    else:
        print(f"figure: {options.out.resolve()}")


if __name__ == "__main__":
    try:
        main()
    except ChainruleError as error:
        raise SystemExit(str(error)) from None
