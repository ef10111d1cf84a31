"""Pictures of what an image network has learned: its worst mistakes, the confusion matrix, its first filters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import DataError, NonFiniteError, ShapeError
from chainrule.inspect.text import literal_text, on_one_line
from chainrule.train.checks import check_outputs

Array = NDArray[Any]

COLUMNS = 8  # images side by side
HEADING, LINE, FILE = 0.3, 1.27, 0.1  # heights of lines, in widths of an image with its margin
MOST_NAMED = 100  # classes whose names are written
MOST_COUNTED = 40  # classes whose counts are written
MOST_FILTERS = 64
LARGE = 5  # pixels of a side from which a filter may show a picture


@literal_text()
def save_samples(
    pixels: Array,
    probabilities: Array,
    labels: Array,
    classes: Sequence[Any],
    path: str | Path,
    *,
    title: str = "",
    files: Sequence[str] = (),
) -> None:
    """Draw the sixteen worst mistakes and sixteen correct images, each with its predicted class, as PNG.

    pixels (n, h, w, c); probabilities (n, C); labels (n,), indices into `classes`; `files` are names of the images. The
    worst mistake is the one whose true class got the lowest probability. Raises ImportError without matplotlib,
    ShapeError for arrays that do not fit together, NonFiniteError for probabilities of NaN.

    >>> pixels = np.zeros((3, 8, 8, 1), np.uint8)
    >>> save_samples(pixels, np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), [0, 0, 1], ("cat", "dog"), "samples.png")
    """
    from matplotlib.figure import Figure

    if pixels.ndim != 4 or not len(pixels) == len(probabilities) == len(labels) > 0:
        raise ShapeError(
            f"save_samples: pixels are {pixels.shape}, probabilities {probabilities.shape}, labels {labels.shape}, "
            "expected (n, h, w, c), (n, C) and (n,) with n > 0"
        )
    check_outputs("save_samples: probabilities", probabilities, lambda: "remove such images")
    worst = worst_mistakes(probabilities, labels)[: 2 * COLUMNS]
    correct = _all_over(np.flatnonzero(probabilities.argmax(axis=1) == labels))
    mistakes = "worst mistakes, with the probabilities of the predicted and the true class"
    rest = f"{'' if len(worst) else 'no mistakes; '}some correct ones, with the probability of the predicted class"
    parts = {heading: rows for heading, rows in ((mistakes, worst), (rest, correct)) if len(rows)}
    line = LINE + (FILE if len(files) else 0)
    height = sum(HEADING + line * -(-len(rows) // COLUMNS) for rows in parts.values()) + FILE
    figure = Figure(figsize=(1.5 * COLUMNS, 1.5 * height))
    # A single axis for all images: one axis each would take seconds to lay out.
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    limits = _limits(pixels, np.concatenate([worst, correct]))
    top = 0.0
    for heading, rows in parts.items():
        if title and not top:
            heading = f"{on_one_line(title, 60)}: {heading}"
        axis.text(COLUMNS / 2, top + HEADING / 2, heading, ha="center", va="center", fontsize=12)
        for place, row in enumerate(rows):
            left, lower = place % COLUMNS, top + HEADING + line * (place // COLUMNS + 1)
            _show(axis, _shown(pixels[row], limits), limits, left + 0.5, lower)
            text = _caption(probabilities[row], int(labels[row]), classes, files[row] if len(files) else "")
            colour = "black" if probabilities[row].argmax() == labels[row] else "tab:red"
            axis.text(left + 0.5, lower - 1.0, text, ha="center", va="bottom", fontsize=7, color=colour)
        top += HEADING + line * -(-len(rows) // COLUMNS)
    axis.set(xlim=(0, COLUMNS), ylim=(height, 0))
    figure.savefig(path, dpi=120)


def worst_mistakes(probabilities: Array, labels: Array) -> NDArray[np.int64]:
    """The wrongly predicted rows, the one whose true class got the lowest probability first."""
    true = probabilities[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(true[wrong], kind="stable")]


@literal_text()
def save_confusion(matrix: ArrayLike, classes: Sequence[Any], path: str | Path, title: str = "") -> None:
    """Draw a confusion matrix (C, C) of counts, true classes down and predicted ones across, as PNG.

    Colors show fractions of the true class, so that rare classes are visible too; more than 100 classes are numbered.
    Raises ImportError without matplotlib, ShapeError for a matrix of another shape, DataError for values that are not
    counts.

    >>> save_confusion([[40, 2], [5, 53]], ("cat", "dog"), "confusion.png")
    """
    from matplotlib.figure import Figure

    counts = np.asarray(matrix, np.float64)
    n = len(classes)
    if counts.shape != (n, n) or not n:
        raise ShapeError(f"save_confusion: the matrix is {counts.shape}, expected ({n}, {n}) for {n} classes")
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise DataError(
            "save_confusion: the matrix contains values that are not counts, expected finite numbers of at least 0"
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(16.0, max(4.5, 2.4 + 0.42 * n))
    cell = 72 * (side - 2.4) / n  # in points, like font sizes
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, label="fraction of the true class", shrink=0.6, pad=0.02)
    numbered = "" if n <= MOST_NAMED else ", by its number from 0"
    axis.set_xlabel(f"predicted class{numbered}")
    axis.set_ylabel(f"true class{numbered}")
    _write_title(figure, title)
    if n <= MOST_NAMED:
        names, size = [_cut(name) for name in classes], min(10.0, 0.9 * cell)
        upright = 0.7 * size * max(map(len, names)) > cell  # approximate width of a letter
        axis.set_xticks(range(n), names, rotation=90 if upright else 0, fontsize=size)
        axis.set_yticks(range(n), names, fontsize=size)
    if n <= MOST_COUNTED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{counts[row, column]:.6g}"
            size = min(9.0, 1.4 * cell / max(3, len(text)))
            axis.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    figure.savefig(path, dpi=120)


@literal_text()
def save_filters(weight: Array, path: str | Path, title: str = "") -> None:
    """Draw the filters (kh, kw, c, o) of a layer whose inputs are images, up to 64 of its o outputs, as PNG.

    Each filter is divided by its largest absolute value. Three channels are drawn as red, green and blue, 0 at half
    brightness; otherwise the mean over the channels is drawn, blue below 0 and red above. Raises ImportError without
    matplotlib, ShapeError for another shape, NonFiniteError for weights of NaN.

    >>> save_filters(nn.Conv2d(1, 16, 5).weight.data, "filters.png")
    """
    from matplotlib.figure import Figure

    if weight.ndim != 4 or not weight.size:
        raise ShapeError(f"save_filters: the weight is {weight.shape}, expected (kh, kw, channels, outputs)")
    filters = np.moveaxis(weight[..., :MOST_FILTERS].astype(np.float64), -1, 0)
    finite = np.isfinite(filters).reshape(len(filters), -1).all(axis=1)
    if not finite.all():
        raise NonFiniteError(f"save_filters: filter {int(np.argmin(finite))} is not finite: train with a smaller lr")
    coloured = filters.shape[-1] == 3
    if not coloured:
        filters = filters.mean(axis=-1, keepdims=True)
    filters /= np.maximum(np.abs(filters).max(axis=(1, 2, 3), keepdims=True), np.finfo(np.float64).tiny)
    columns, shape = min(len(filters), COLUMNS), filters.shape[1:3]
    tall = 0.94 * shape[0] / max(shape) + 0.06
    height = tall * -(-len(filters) // columns)
    figure = Figure(figsize=(COLUMNS, height + 1.4), layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    _write_title(figure, title)
    for place, picture in enumerate(filters):
        middle, lower = place % columns + 0.5, tall * (place // columns + 1)
        _show(axis, (picture + 1) / 2 if coloured else picture, (-1, 1), middle, lower, "RdBu_r")
    axis.set(xlim=(0, columns), ylim=(height + 0.02, 0), aspect="equal")
    if coloured:
        explained = "gray: weight 0; more or less of a color than in gray: positive or negative weight for that color"
    else:
        explained = "weight, divided by the filter's largest absolute value"
        figure.colorbar(axis.images[0], ax=axis, location="bottom", ticks=(-1, 0, 1), aspect=30, shrink=0.5, pad=0.02)
    if min(shape) >= LARGE:
        expected = "after training many filters show edges, strokes or spots; random ones have hardly changed"
    else:
        expected = "filters this small show no pictures: each compares pixels with their neighbors"
    figure.supxlabel(f"{explained}\n{expected}", fontsize=9)
    figure.savefig(path, dpi=120)


def _write_title(figure: Any, title: str) -> None:
    """The title above a figure, in a font small enough for its width."""
    text = on_one_line(title)
    figure.suptitle(text, fontsize=min(12.0, 115 * figure.get_figwidth() / max(1, len(text))))


def _limits(pixels: Array, rows: Array) -> tuple[float, float]:
    """The values drawn as black and white: 0 and 255 for bytes, otherwise the range of nearly all values in some
    rows.
    """
    low, high = (pixels.min(), pixels.max()) if pixels.dtype == np.uint8 else np.percentile(pixels[rows], (0.5, 99.5))
    return float(low), float(high) if high > low else float(low) + 1


def _shown(image: Array, limits: tuple[float, float]) -> Array:
    """An image in the form Matplotlib expects: colors that are not bytes are scaled from the limits to 0 .. 1."""
    if image.dtype == np.uint8 or image.shape[-1] not in (3, 4):
        return image
    return np.clip((image - limits[0]) / (limits[1] - limits[0]), 0, 1)


def _show(
    axis: Any, image: Array, limits: tuple[float, float], middle: float, lower: float, shades: str = "gray"
) -> None:
    """Draw an image, in its proportions, above the line `lower`; one without colors in `shades` between the limits."""
    height, width = image.shape[:2]
    scale = 0.94 / max(height, width)
    extent = (middle - scale * width / 2, middle + scale * width / 2, lower, lower - scale * height)
    shown = image if image.shape[-1] in (3, 4) else image[..., 0]
    settings = {"cmap": shades, "vmin": limits[0], "vmax": limits[1]}  # ignored for color images
    axis.imshow(shown, extent=extent, aspect="auto", interpolation="nearest", **settings)


def _caption(probabilities: Array, true: int, classes: Sequence[Any], file: str) -> str:
    """The predicted class of an image, the true class if it differs, and the file."""
    taken = int(probabilities.argmax())
    lines = [f"predicted {_cut(classes[taken])} ({probabilities[taken]:.2f})"]
    if taken != true:
        lines.append(f"true {_cut(classes[true])} ({probabilities[true]:.2f})")
    if file:
        lines.append(_cut(Path(file).name, 20))
    return "\n".join(lines)


def _all_over(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Up to sixteen of the rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), 2 * COLUMNS)).astype(np.int64)]


def _cut(name: Any, most: int = 16) -> str:
    """A name, shortened to fit."""
    return on_one_line(name, most)
