"""Outputs and targets -> the figures of a result table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import functions
from chainrule.data.images import ImagePreparation, Images
from chainrule.data.recipe import Dataset, Recipe
from chainrule.data.split import Rows
from chainrule.errors import NonFiniteError
from chainrule.train import metrics

Array = NDArray[Any]
HEADLINE = {"classify": "accuracy", "regress": "r2"}  # the figure of a task's last line


def measure(preparation: Recipe, outputs: Array, y: Array) -> dict[str, Any]:
    """The metrics of a task: accuracy and each class's precision, recall and F1; or MAE, RMSE and R² in units of y."""
    if preparation.quantity is not None:
        predicted, true = preparation.quantity.undo(outputs), preparation.quantity.undo(y)
        return {
            "rows": len(true),
            "mae": metrics.mae(predicted, true),
            "rmse": metrics.rmse(predicted, true),
            "r2": metrics.r2(predicted, true),
        }
    matrix = metrics.confusion_matrix(outputs, y, classes=len(preparation.classes))
    hits, predicted, true = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    classes = [
        {
            "class": name,
            "precision": _share(hits[i], predicted[i]),
            "recall": _share(hits[i], true[i]),
            "f1": _share(2 * hits[i], predicted[i] + true[i]),
            "rows": int(true[i]),
        }
        for i, name in enumerate(preparation.classes)
    ]
    return {"rows": len(y), "accuracy": metrics.accuracy(outputs, y), "classes": classes}


@contextmanager
def naming_rows(data: Dataset, rows: Rows | None = None) -> Iterator[None]:
    """An output or loss that is not finite names its row in the data, of which only `rows` were used, or its file."""
    try:
        yield
    except NonFiniteError as error:
        if error.row is None:
            raise
        row = error.row if rows is None else int(rows[error.row])
        where = data.files[row] if isinstance(data, Images) and data.files else f"{data.source}: row {row + 1}"
        raise NonFiniteError(
            f"{where}: the network's output or its loss is {error.value}, as values of this row are far from those of "
            "the training: mend them, or leave the row out",
            row=row,
            value=error.value,
        ) from None


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def probabilities(logits: Array) -> NDArray[np.float64]:
    """Softmax of the outputs (n, C) of a network for classes."""
    return np.asarray(functions.softmax(logits.astype(np.float64)).data)


def rows_word(preparation: Recipe) -> str:
    """What a data set's rows are called."""
    return "images" if isinstance(preparation, ImagePreparation) else "rows"
