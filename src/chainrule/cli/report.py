"""What the commands print: tables of layers, settings and results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from chainrule import nn


def console(*, quiet: bool = False) -> Console:
    """Standard output; only the last lines are printed when `quiet`."""
    return Console(highlight=False, soft_wrap=True, quiet=quiet, markup=False)


def error_console() -> Console:
    """Standard error, for notes that are no part of the output."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def layer_table(model: nn.Module, inputs: tuple[int, ...]) -> Table:
    """A row for each layer: its output's shape, with n for the rows, and its number of parameters."""
    table = _table("layer", "output shape", "parameters")
    rows = nn.summary(model, (1, *inputs))
    for row in rows:
        shape = ", ".join(["n", *map(str, (row.output or ())[1:])])
        table.add_row(f"{row.name} {row.kind}", f"({shape})", f"{row.parameters:,}")
    table.add_section()
    table.add_row("total", "", f"{sum(row.parameters for row in rows):,}")
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


def probability_table(classes: Sequence[Any], shares: Sequence[float], most: int = 10) -> Table:
    """A row for each of the likeliest classes, the first one first."""
    table = _table("class", "probability")
    for share, name in sorted(zip(shares, classes, strict=True), key=lambda pair: -pair[0])[:most]:
        table.add_row(str(name), f"{share:.4f}")
    if len(classes) > most:
        table.add_row(f"{len(classes) - most} others", "")
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
