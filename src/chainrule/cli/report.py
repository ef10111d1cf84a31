"""What the commands print: tables of layers, settings and results."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from chainrule import nn
from chainrule.autodiff.tape import no_grad
from chainrule.autodiff.tensor import tensor


def console(*, quiet: bool = False) -> Console:
    """Standard output; only the last lines are printed when `quiet`."""
    return Console(highlight=False, soft_wrap=True, quiet=quiet, markup=False)


def layer_table(model: nn.Sequential, inputs: int) -> Table:
    """A row for each layer: its output's shape, with n for the rows, and its number of parameters."""
    import numpy as np

    table = _table("layer", "output shape", "parameters")
    was_training = model.training
    model.eval()
    total = 0
    with no_grad():
        x = tensor(np.zeros((1, inputs), np.float32))
        for name, layer in model.named_children().items():
            x = layer(x)
            parameters = sum(p.data.size for p in layer.parameters())
            total += parameters
            shape = ", ".join(["n", *map(str, x.shape[1:])])
            table.add_row(f"{name} {layer!r}", f"({shape})", f"{parameters:,}")
    model.train(was_training)
    table.add_section()
    table.add_row("total", "", f"{total:,}")
    return table


def result_table(results: dict[str, Any], what: str = "test") -> Table:
    """A row for each class, or for each metric of a quantity."""
    if "classes" not in results:
        table = _table(what, "value")
        for name, label in (("mae", "MAE"), ("rmse", "RMSE"), ("r2", "R²")):
            table.add_row(label, f"{results[name]:.6g}")
        table.add_row("rows", f"{results['rows']:,}")
        return table
    classes = results["classes"]
    table = _table("class", "precision", "recall", "F1", "rows")
    for row in classes:
        shares = [f"{row[name]:.4f}" for name in ("precision", "recall", "f1")]
        table.add_row(str(row["class"]), *shares, f"{row['rows']:,}")
    present = [row for row in classes if row["rows"]] or classes
    means = [sum(row[name] for row in present) / len(present) for name in ("precision", "recall", "f1")]
    table.add_section()
    table.add_row("mean", *(f"{mean:.4f}" for mean in means), f"{results['rows']:,}")
    return table


def value_table(values: dict[str, Any], *titles: str) -> Table:
    table = _table(*titles)
    table.columns[1].justify = "left"
    for name, value in values.items():
        table.add_row(name, "" if value is None else _shown(value))
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
