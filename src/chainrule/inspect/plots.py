"""Pictures of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

NAMES = {"loss": "training", "val_loss": "validation"}


def save_losses(history: Mapping[str, Sequence[float]], path: str | Path, title: str = "") -> None:
    """Draw the training and validation loss over the epochs, and any other validation metric beside them, as PNG.

    The losses are drawn on a logarithmic axis where they span more than a factor of 20. Raises ImportError without
    matplotlib. Example: save_losses(trainer.fit(x, y, epochs=20), "loss.png")
    """
    # Figures of their own instead of pyplot: no window system is asked for and no state is left behind.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    losses = {name: history[name] for name in NAMES if name in history}
    others = [name for name in history if name.startswith("val_") and name not in NAMES]
    figure = Figure(figsize=(6.4 if not others else 11.0, 4.2), layout="constrained")
    axes = figure.subplots(1, 1 + bool(others), squeeze=False)[0]
    for name, values in losses.items():
        axes[0].plot(range(1, len(values) + 1), values, label=NAMES[name], marker="." if len(values) == 1 else None)
    for name in others:
        values = history[name]
        label = name.removeprefix("val_").replace("_", " ")
        axes[1].plot(range(1, len(values) + 1), values, label=label, marker="." if len(values) == 1 else None)
    positive = [value for values in losses.values() for value in values if value > 0]
    if positive and max(positive) > 20 * min(positive):
        axes[0].set_yscale("log")
    axes[0].set_ylabel("loss")
    if others:
        axes[1].set_ylabel("on the validation rows")
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
