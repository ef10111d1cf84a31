"""What the commands measure and print: metrics, and tables of layers, settings and results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chainrule import functions, nn
from chainrule.data.preparation import Preparation
from chainrule.data.text.inputs import TextInputs
from chainrule.settings import printable

if TYPE_CHECKING:
    from chainrule.train import Trainer

Array = NDArray[Any]
HEADLINE = {"classify": "accuracy", "regress": "r2", "generate": "loss"}  # the main metric of a task
MOST_CLASSES = 10  # printed for one picture


class PlainConsole(Console):
    """Prints text as it is: names from data are no markup, and what a terminal would obey is made visible."""

    def __init__(self, *, quiet: bool = False, stderr: bool = False) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False, quiet=quiet, stderr=stderr)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def console(*, quiet: bool = False) -> Console:
    """Standard output; prints nothing when `quiet`."""
    return PlainConsole(quiet=quiet)


def error_console() -> Console:
    """Standard error, for notes that are no part of the output."""
    return PlainConsole(stderr=True)


def measure(preparation: Preparation, outputs: Array, y: Array) -> dict[str, Any]:
    """The metrics of a task: accuracy and each class's precision, recall and F1; or MAE, RMSE and R² in units of y."""
    from chainrule.train import metrics

    if preparation.quantity is not None:
        predicted, true = preparation.quantity.undo(outputs), preparation.quantity.undo(y)
        return {
            "rows": len(true),
            "mae": metrics.mae(predicted, true),
            "rmse": metrics.rmse(predicted, true),
            "r2": metrics.r2(predicted, true),
        }
    accuracy, found = metrics.accuracy(outputs, y), outputs.argmax(axis=1)
    # Counted without a confusion matrix, which takes the square of the number of classes.
    hits, given, rows = (
        np.bincount(values, minlength=len(preparation.classes)) for values in (y[found == y], found, y)
    )
    classes = [
        {
            "class": name,
            "precision": _ratio(hits[i], given[i]),
            "recall": _ratio(hits[i], rows[i]),
            "f1": _ratio(2 * hits[i], given[i] + rows[i]),
            "rows": int(rows[i]),
        }
        for i, name in enumerate(preparation.classes)
    ]
    return {"rows": len(y), "accuracy": accuracy, "classes": classes}


def measure_run(
    preparation: Preparation, trainer: Trainer, x: Array, y: Array
) -> tuple[Array | None, dict[str, Any]]:  # fmt: skip
    """The outputs for some rows and their metrics; of a text only the metrics, as its outputs take much memory."""
    if preparation.kind == "text":
        return None, {"rows": len(y), **trainer.evaluate(x, y)}
    outputs = trainer.predict(x)
    return outputs, measure(preparation, outputs, y)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def probabilities(logits: Array) -> NDArray[np.float64]:
    """Softmax of a classifier's outputs (n, C)."""
    return np.asarray(functions.softmax(logits.astype(np.float64)).data)


def row_word(preparation: Preparation) -> str:
    """What one row of a data set is called."""
    return {"images": "image", "text": "window"}.get(preparation.kind, "row")


def headline(preparation: Preparation, results: dict[str, Any]) -> str:
    """`"accuracy: 0.9750"`."""
    metric = HEADLINE[preparation.task]
    unit = ""
    if isinstance(preparation.inputs, TextInputs):
        unit = f" nats per {preparation.inputs.vocabulary.unit}"
    return f"{metric}: {results[metric]:.4f}{unit}"


def count(number: int, noun: str) -> str:
    """`"1 epoch"`, `"2 epochs"`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def layer_table(model: nn.Module, preparation: Preparation) -> Table:
    """A row for each layer: its output's shape, with n for the batch, and its number of parameters."""
    table = _table("layer", "output shape", "parameters")
    rows = nn.summary(model, (1, *preparation.input_shape), preparation.input_dtype)
    for row in rows:
        shape = ", ".join(["n", *map(str, (row.output or ())[1:])])
        table.add_row(f"{row.name} {row.kind}", f"({shape})", f"{row.parameters:,}")
    table.add_section()
    table.add_row("total", "", f"{sum(row.parameters for row in rows):,}")
    return table


def result_table(results: dict[str, Any]) -> Table:
    """A row for each class, or for each metric of a quantity or a text."""
    if "classes" not in results:
        return _metric_table(results)
    classes = results["classes"]
    table = _table("class", "precision", "recall", "F1", "rows")
    for row in classes:
        shares = [f"{row[key]:.4f}" for key in ("precision", "recall", "f1")]
        table.add_row(str(row["class"]), *shares, f"{row['rows']:,}")
    present = [row for row in classes if row["rows"]] or classes
    means = [sum(row[key] for row in present) / len(present) for key in ("precision", "recall", "f1")]
    table.add_section()
    table.add_row("mean", *(f"{mean:.4f}" for mean in means), f"{results['rows']:,}")
    return table


def _metric_table(results: dict[str, Any]) -> Table:
    table = _table("metric", "value")
    if "loss" in results:
        values = {"perplexity": math.exp(results["loss"]), "bits per token": results["loss"] / math.log(2)}
        values["accuracy"] = results["accuracy"]
    else:
        values = {name: results[key] for key, name in (("mae", "MAE"), ("rmse", "RMSE"), ("r2", "R²"))}
    for name, value in values.items():
        table.add_row(name, f"{value:.6g}")
    table.add_row("windows" if "loss" in results else "rows", f"{results['rows']:,}")
    return table


def probability_table(classes: Sequence[Any], shares: Sequence[float]) -> Table:
    """A row for each of the most likely classes, the first one first."""
    table = _table("class", "probability")
    for share, name in sorted(zip(shares, classes, strict=True), key=lambda pair: -pair[0])[:MOST_CLASSES]:
        table.add_row(str(name), f"{share:.4f}")
    if len(classes) > MOST_CLASSES:
        table.add_row(f"{len(classes) - MOST_CLASSES} others", "")
    return table


def value_table(values: dict[str, Any], *titles: str) -> Table:
    table = _table(*titles)
    table.columns[1].justify = "left"
    for name, value in values.items():
        table.add_row(name, _shown(value))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(*titles: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for i, title in enumerate(titles):
        table.add_column(title, justify="left" if i == 0 else "right", overflow="fold")
    return table
