"""One sigmoid neuron, trained step by step: every number computed by hand and by `Tensor.backward`, side by side.

The worked example of the reference article (section 4.3): w1 = w2 = 1, b = 0, samples (1, 0) and (0, 1), mean squared
error, in the article's six steps. The article gives no labels; here the first sample is class 1 and the second class 0.

What to look at
  - each partial derivative is a product along the path from the loss to the parameter: dL/dy · dy/dz · dz/dw;
  - the two columns "by hand" and "backward" agree to the last digits;
  - b - (w1 + w2) never changes, so the article's result w1 = w2 = 0.5, b = 0 cannot be reached for any labels;
  - if a line can separate the labels, no finite weights are best: the loss keeps falling and the weights keep growing.

    python examples/01_single_neuron.py            # draws single_neuron.png; --out PATH, --quick
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr

X = np.array([[1.0, 0.0], [0.0, 1.0]])  # step 2's samples, one per row
LABELS = np.array([1.0, 0.0])
START = np.array([1.0, 1.0, 0.0])  # w1, w2, b
CLAIMED = np.array([0.5, 0.5, 0.0])
LR = 0.5
SHOWN = (1, 2, 10, 50, 200, 500, 1000, 2000)  # iterations to print
NAMES = ("dL/dw1", "dL/dw2", "dL/db")


def sigmoid(z: Any) -> Any:
    """σ(z) = 1 / (1 + e⁻ᶻ)."""
    return 1.0 / (1.0 + np.exp(-z))


def by_hand(parameters: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Forward and backward from the formulas alone: L = ½ Σᵢ (ŷᵢ − yᵢ)², the mean square of two samples."""
    w, b = parameters[:2], parameters[2]
    z = X @ w + b
    prediction = sigmoid(z)
    dprediction = prediction - y  # dL/dŷ = (2/n)(ŷ − y), n = 2
    slope = prediction * (1.0 - prediction)  # dŷ/dz
    dz = dprediction * slope  # the chain rule
    gradient = np.append(X.T @ dz, dz.sum())  # dz/dw1 = x1, dz/dw2 = x2, dz/db = 1
    loss = np.mean((prediction - y) ** 2)
    return {
        "z": z,
        "prediction": prediction,
        "loss": loss,
        "dprediction": dprediction,
        "slope": slope,
        "dz": dz,
        "gradient": gradient,
    }


def by_backward(parameters: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The same numbers from chainrule: only the forward pass is written out."""
    w = cr.tensor(parameters[:2].reshape(2, 1), requires_grad=True)
    b = cr.tensor(parameters[2:], requires_grad=True)
    z = cr.tensor(X) @ w + b
    prediction = z.sigmoid()
    error = prediction - cr.tensor(y.reshape(2, 1))
    loss = (error * error).mean()
    loss.backward()
    assert w.grad is not None
    assert b.grad is not None
    return {
        "z": z.data.ravel(),
        "prediction": prediction.data.ravel(),
        "loss": loss.data,
        "gradient": np.concatenate([w.grad.ravel(), b.grad]),
    }


def train(iterations: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Steps 2 to 5, repeated, with a line printed for each iteration of SHOWN.

    Returns the path of (w1, w2, b), the losses, and the largest gap between the two gradients.
    """
    path, losses, gap = [START], [], 0.0
    for number in range(1, iterations + 1):
        hand, auto = by_hand(path[-1], LABELS), by_backward(path[-1], LABELS)
        gap = max(gap, float(np.abs(hand["gradient"] - auto["gradient"]).max()))
        losses.append(float(auto["loss"]))
        path.append(path[-1] - LR * auto["gradient"])
        if number in SHOWN:
            w1, w2, b = path[-1]
            print(f"  {number:9d}  {w1:+10.6f}  {w2:+10.6f}  {b:+10.6f}  {losses[-1]:.8f}", flush=True)
    return np.array(path), np.array(losses), gap


def end_of_path(start: np.ndarray, y: np.ndarray, iterations: int) -> np.ndarray:
    """Where the same steps lead, using only the formulas: `train` has shown that they agree with `backward`."""
    parameters = start
    for _ in range(iterations):
        parameters = parameters - LR * by_hand(parameters, y)["gradient"]
    return parameters


def print_iteration(number: int, parameters: np.ndarray) -> np.ndarray:
    """Steps 2 to 5 with every number; returns the parameters after them."""
    hand, auto = by_hand(parameters, LABELS), by_backward(parameters, LABELS)
    print(f"\niteration {number}")
    for i, (x1, x2) in enumerate(X):
        w1, w2, b = parameters
        print(
            f"  step 2  sample ({x1:g}, {x2:g})  z = {w1:.6f}·{x1:g} {w2:+.6f}·{x2:g} {b:+.6f} = {hand['z'][i]:.6f}"
            f"   ŷ = σ(z) = {hand['prediction'][i]:.6f}   y = {LABELS[i]:g}"
        )
    print(f"  step 3  L = ½[(ŷ₁−y₁)² + (ŷ₂−y₂)²] = {hand['loss']:.6f}")
    for i in range(len(X)):
        print(
            f"  step 4  sample {i + 1}  dL/dŷ = ŷ−y = {hand['dprediction'][i]:+.6f}"
            f"   dŷ/dz = ŷ(1−ŷ) = {hand['slope'][i]:.6f}   dL/dz = {hand['dz'][i]:+.6f}"
        )
    print("          gradient   by hand               backward")
    for name, mine, theirs in zip(NAMES, hand["gradient"], auto["gradient"], strict=True):
        print(f"          {name:<9}  {mine:+.15f}   {theirs:+.15f}")
    after = parameters - LR * auto["gradient"]
    for name, old, slope, new in zip(("w1", "w2", "b"), parameters, auto["gradient"], after, strict=True):
        print(f"  step 5  {name:<2} = {old:+.6f} − {LR:g}·({slope:+.6f}) = {new:+.6f}")
    return after


def print_claim(iterations: int) -> None:
    """Why the article's result w1 = w2 = 0.5, b = 0 cannot be reached."""
    print("\nThe article's result is w1 = 0.5, w2 = 0.5, b = 0.")
    print("  Sample (1,0) moves w1 and b by the same amount, sample (0,1) moves w2 and b by the same amount:")
    print("  b − (w1 + w2) keeps its starting value −2. For the claimed result it would be −1.")
    print("  labels          w1          w2           b   b−(w1+w2)   largest distance to the claim")
    for y in ([0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]):
        w1, w2, b = end = end_of_path(START, np.array(y), iterations)
        far = np.abs(end - CLAIMED).max()
        print(f"  {y[0]:g}, {y[1]:g}   {w1:+10.6f}  {w2:+10.6f}  {b:+10.6f}   {b - w1 - w2:+.6f}   {far:.6f}")
    soft = float(sigmoid(0.5))
    print(f"  At the claimed result both predictions are σ(0.5) = {soft:.6f}: the two classes cannot be told apart.")
    print(f"  It would need both labels {soft:.4f}, and a start with b = w1 + w2 − 1, so b = 1:")
    for start in (START, np.ones(3)):
        w1, w2, b = end_of_path(start, np.full(2, soft), 800)
        print(f"    from b = {start[2]:g}: w1 = {w1:.4f}, w2 = {w2:.4f}, b = {b:.4f}")


def draw_graph(axes: Any, parameters: np.ndarray) -> None:
    """The computation graph of the first sample: values above (black), derivatives of the loss below (red)."""
    hand = by_hand(parameters, LABELS)
    z, prediction, dz = (float(hand[key][0]) for key in ("z", "prediction", "dz"))
    (x1, x2), (w1, w2, b) = X[0], parameters
    loss = 0.5 * (prediction - LABELS[0]) ** 2  # this sample's part of L
    nodes = {
        "w1·x1": (0.0, 2.0, w1 * x1, dz),
        "w2·x2": (0.0, 1.0, w2 * x2, dz),
        "b": (0.0, 0.0, b, dz),
        "z = Σ": (1.2, 1.0, z, dz),
        "ŷ = σ(z)": (2.4, 1.0, prediction, prediction - LABELS[0]),
        "½(ŷ−y)²": (3.6, 1.0, loss, 1.0),
    }
    heads = ("z = Σ", "z = Σ", "z = Σ", "ŷ = σ(z)", "½(ŷ−y)²")
    arrow = {"arrowstyle": "->", "shrinkA": 26, "shrinkB": 26}
    for tail, head in zip(nodes, heads, strict=False):
        axes.annotate("", xy=nodes[head][:2], xytext=nodes[tail][:2], arrowprops=arrow)
    for name, (left, up, value, slope) in nodes.items():
        axes.text(left, up, name, ha="center", va="center", bbox={"boxstyle": "round", "facecolor": "white"})
        axes.text(left, up + 0.33, f"{value:.4f}", ha="center", fontsize=8)
        axes.text(left, up - 0.42, f"{slope:+.4f}", ha="center", fontsize=8, color="tab:red")
    axes.set(xlim=(-0.6, 4.2), ylim=(-0.7, 2.7), title="sample (1, 0), iteration 1: value above, dL/d(node) below")
    axes.axis("off")


def draw(path: np.ndarray, losses: np.ndarray, out: Path) -> None:
    """Graph, loss, decision boundary, and the path of the parameters, in one figure."""
    import matplotlib

    matplotlib.use("Agg")  # draws to a file, without a window
    import matplotlib.pyplot as plt

    figure, ((graph, curve), (plane, ways)) = plt.subplots(2, 2, figsize=(12, 9), layout="constrained")
    draw_graph(graph, path[0])
    curve.loglog(np.arange(1, len(losses) + 1), losses)
    curve.set(title="loss (mean squared error)", xlabel="iteration", ylabel="L")
    grid = np.linspace(-0.5, 1.5, 101)
    x1, x2 = np.meshgrid(grid, grid)
    w1, w2, b = path[-1]
    shades = plane.contourf(x1, x2, sigmoid(w1 * x1 + w2 * x2 + b), levels=np.linspace(0, 1, 21), cmap="RdBu_r")
    figure.colorbar(shades, ax=plane, label="ŷ")
    plane.contour(x1, x2, w1 * x1 + w2 * x2 + b, levels=[0.0], colors="black")
    plane.contour(x1, x2, x1 + x2, levels=[0.0], colors="black", linestyles="dashed")
    plane.scatter(X[:, 0], X[:, 1], c=LABELS, cmap="RdBu_r", edgecolor="black", s=120, zorder=3)
    plane.set(title="ŷ = ½ before (dashed) and after training", xlabel="x1", ylabel="x2")
    for column, name in enumerate(("w1", "w2", "b")):
        ways.plot(path[:, column], label=name)
    ways.plot(path[:, 2] - path[:, 0] - path[:, 1], "k:", label="b − (w1 + w2)")
    ways.axhline(-1.0, color="gray", linewidth=0.8, linestyle="dashed", label="the same for the article's result")
    ways.set(title="the parameters", xlabel="iteration")
    ways.legend()
    figure.savefig(out, dpi=120)
    plt.close(figure)


def main() -> None:
    """Run the six steps, print every number, draw the figure."""
    parser = argparse.ArgumentParser(description="One sigmoid neuron, every number by hand and by Tensor.backward.")
    parser.add_argument("--out", type=Path, default=Path("single_neuron.png"), help="the figure to write")
    parser.add_argument("--quick", action="store_true", help="fewer iterations")
    options = parser.parse_args()
    iterations = 200 if options.quick else 2000

    print("One neuron: z = w1·x1 + w2·x2 + b, ŷ = σ(z), L = ½ Σ (ŷ−y)²")
    print("The article gives no labels. Here they are y = 1 for (1, 0) and y = 0 for (0, 1).")
    print(f"step 1  w1 = 1, w2 = 1, b = 0, learning rate {LR:g}")
    after_one = print_iteration(1, START)
    print_iteration(2, after_one)

    print(f"\nstep 6  steps 2 to 5, {iterations} times")
    print("  iteration        w1          w2           b  loss before")
    path, losses, gap = train(iterations)
    print(f"largest difference between by hand and backward: {gap:.1e}")
    print_claim(iterations)
    try:
        draw(path, losses, options.out)
    except ImportError:
        print("\nno figure, because matplotlib is not installed: pip install matplotlib")
    else:
        print(f"\nfigure: {options.out.resolve()}")


if __name__ == "__main__":
    main()
