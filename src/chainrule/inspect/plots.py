"""Training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chainrule.inspect.text import literal_text, on_one_line

NAMES = {"loss": "training", "val_loss": "validation"}
SPELLED = {"val_mae": "MAE", "val_r2": "R²", "val_auc": "AUC"}
RATE = "lr"


@literal_text()
def save_losses(history: Mapping[str, Sequence[float]], path: str | Path, title: str = "") -> None:
    """Draw the training and validation loss over the epochs, other validation metrics and the learning rate, as PNG.

    The losses are drawn on a logarithmic axis if they span more than a factor of 20. Raises ImportError without
    matplotlib. Example: save_losses(trainer.fit(x, y, epochs=20), "loss.png")
    """
    # Figure objects instead of pyplot: this needs no window system and leaves no global state.
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    losses = {label: history[name] for name, label in NAMES.items() if name in history}
    others = {
        SPELLED.get(name, on_one_line(name.removeprefix("val_").replace("_", " "), 30)): history[name]
        for name in history
        if name.startswith("val_") and name not in NAMES
    }
    panels = {"loss": losses}
    shares = {name: values for name, values in others.items() if all(0 <= value <= 1 for value in values)}
    if shares:
        panels[f"validation {next(iter(shares))}" if len(shares) == 1 else "validation metrics"] = shares
    for name in [name for name in others if name not in shares]:  # each in its own unit
        panels[f"validation {name}"] = {name: others[name]}
    if RATE in history:
        panels["learning rate at the epoch's end"] = {"learning rate": history[RATE]}
    figure = Figure(figsize=(1.0 + 5.0 * len(panels), 4.2), layout="constrained")
    for axis, (label, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw_curves(axis, label, curves)
    positive = [value for values in losses.values() for value in values if value > 0]
    if positive and max(positive) > 20 * min(positive):
        figure.axes[0].set_yscale("log")
        figure.axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.suptitle(on_one_line(title))
    figure.savefig(path, dpi=120)


def _draw_curves(axis: Any, label: str, curves: Mapping[str, Sequence[float]]) -> None:
    """Curves over the epochs, with a legend if the label does not say it all."""
    from matplotlib.ticker import MaxNLocator

    for name, values in curves.items():
        axis.plot(range(1, len(values) + 1), values, label=name, marker="o" if len(values) == 1 else None)
    axis.set_xlabel("epoch")
    axis.set_ylabel(label)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(alpha=0.3)
    if len(curves) > 1:
        axis.legend()
