"""Training curves, and predictions against true values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chainrule.errors import ShapeError
from chainrule.inspect.text import literal_text, on_one_line
from chainrule.train.checks import check_outputs

NAMES = {"loss": "training, mean during the epoch", "val_loss": "validation, after the epoch"}
SPELLED = {"val_mae": "MAE", "val_r2": "R²", "val_auc": "AUC"}
RATE = "lr"
SOLID = 500  # points; the more there are above, the more transparent each is drawn


@literal_text()
def save_losses(
    history: Mapping[str, Sequence[float]],
    path: str | Path,
    title: str = "",
    *,
    loss: str = "loss",
    kept: int | None = None,
) -> None:
    """Draw the training and validation loss over the epochs, other validation metrics and the learning rate, as PNG.

    `loss` labels the losses; their axis is logarithmic, and says so, if they span more than a factor of 20. `kept` is
    the epoch, from 1, whose weights were kept, which is marked. Raises ImportError without matplotlib.
    Example: save_losses(trainer.fit(x, y, epochs=20), "loss.png", loss="cross-entropy")
    """
    # Figure objects instead of pyplot: this needs no window system and leaves no global state.
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import FuncFormatter

    losses = {label: history[name] for name, label in NAMES.items() if name in history}
    positive = [value for values in losses.values() for value in values if value > 0]
    logarithmic = bool(positive) and max(positive) > 20 * min(positive)
    label = on_one_line(loss, 60)
    panels = {f"{label} (logarithmic)" if logarithmic else label: losses, **_other_panels(history)}
    figure = Figure(figsize=(1.0 + 5.2 * len(panels), 4.2), layout=ConstrainedLayoutEngine(w_pad=0.12))
    for axis, (label, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw_curves(axis, label, curves)
        if kept is not None:
            axis.axvline(kept, color="gray", linestyle="dashed", label=f"weights kept: epoch {kept}")
    if kept is not None:
        figure.axes[0].legend()
    if logarithmic:
        figure.axes[0].set_yscale("log")
        figure.axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.suptitle(on_one_line(title))
    figure.savefig(path, dpi=120)


def _other_panels(history: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Sequence[float]]]:
    """The curves besides the losses by the label of their axis: metrics from 0 to 1 together, others on their own."""
    others = {
        SPELLED.get(name, on_one_line(name.removeprefix("val_").replace("_", " "), 30)): history[name]
        for name in history
        if name.startswith("val_") and name not in NAMES
    }
    panels: dict[str, dict[str, Sequence[float]]] = {}
    shares = {name: values for name, values in others.items() if all(0 <= value <= 1 for value in values)}
    if shares:
        panels[f"validation {next(iter(shares))}" if len(shares) == 1 else "validation metrics"] = shares
    for name in [name for name in others if name not in shares]:  # each in its own unit
        panels[f"validation {name}"] = {name: others[name]}
    if RATE in history:
        panels["learning rate, after the epoch"] = {"learning rate": history[RATE]}
    return panels


def _draw_curves(axis: Any, label: str, curves: Mapping[str, Sequence[float]]) -> None:
    """Curves over the epochs, with a legend if the label does not say it all."""
    from matplotlib.ticker import MaxNLocator

    for name, values in curves.items():
        axis.plot(range(1, len(values) + 1), values, label=name, marker="o" if len(values) == 1 else None)
    axis.set_xlabel("epoch")
    axis.set_ylabel(label)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    last = max(map(len, curves.values()), default=0)
    if last > 1:
        axis.set_xlim(1, last)  # there is no epoch 0
    axis.grid(alpha=0.3)
    if len(curves) > 1:
        axis.legend()


@literal_text()
def save_predictions(
    true: ArrayLike, predicted: ArrayLike, path: str | Path, *, name: str = "value", title: str = ""
) -> None:
    """Draw predicted values (n,) of a quantity against the true ones (n,), and the line on which they agree, as PNG.

    `name` is what the quantity is called. Raises ImportError without matplotlib, ShapeError for arrays that do not fit
    together, NonFiniteError for NaN and infinities.

    >>> save_predictions([1.0, 2.0, 3.0], [1.1, 1.9, 3.2], "predicted.png", name="price")
    """
    from matplotlib.figure import Figure

    x, y = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise ShapeError(
            f"save_predictions: true values are {x.shape}, predicted ones {y.shape}, expected (n,) for both with n > 0"
        )
    for which, values in (("true", x), ("predicted", y)):
        check_outputs(f"save_predictions: {which}", values, lambda: "remove such rows")
    figure = Figure(figsize=(6.0, 6.0), layout="constrained")
    axis = figure.subplots()
    axis.scatter(x, y, s=10, linewidths=0, alpha=min(0.7, max(0.15, SOLID / len(x))))
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    axis.plot([low, high], [low, high], color="black", linewidth=0.8, label="predicted = true")
    axis.set_aspect("equal", adjustable="datalim")
    label = on_one_line(name, 40)
    axis.set(xlabel=f"true {label}", ylabel=f"predicted {label}")
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left")
    figure.suptitle(on_one_line(title))
    figure.savefig(path, dpi=120)
