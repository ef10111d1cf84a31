"""Pictures of what a network for images has learnt: its mistakes, what it takes for what, its first filters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import ShapeError

Array = NDArray[Any]

COLUMNS = 8  # images side by side
HEADING, LINE, FILE = 0.3, 1.27, 0.1  # heights of lines, in widths of an image with its margin
MOST_NAMED = 40  # classes whose names are written
MOST_COUNTED = 20  # classes whose counts are written
MOST_FILTERS = 64


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
    """Draw the sixteen worst mistakes and sixteen other images, each with what it was taken for, as PNG.

    pixels (n, h, w, c); probabilities (n, C); labels (n,), places in `classes`; `files` names the images. The worst
    mistake is the one whose true class got the least probability. Raises ImportError without matplotlib, ShapeError
    for arrays that do not fit together.

    >>> pixels = np.zeros((3, 8, 8, 1), np.uint8)
    >>> save_samples(pixels, np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), [0, 0, 1], ("cat", "dog"), "samples.png")
    """
    from matplotlib.figure import Figure

    if pixels.ndim != 4 or not len(pixels) == len(probabilities) == len(labels) > 0:
        raise ShapeError(
            f"save_samples: pixels are {pixels.shape}, probabilities {probabilities.shape}, labels {labels.shape}, "
            "expected (n, h, w, c), (n, C) and (n,) with n > 0"
        )
    parts = {"worst mistakes": worst_mistakes(probabilities, labels)[: 2 * COLUMNS], "others": _all_over(len(labels))}
    parts = {name: rows for name, rows in parts.items() if len(rows)}
    line = LINE + (FILE if len(files) else 0)
    height = sum(HEADING + line * -(-len(rows) // COLUMNS) for rows in parts.values()) + FILE
    figure = Figure(figsize=(1.5 * COLUMNS, 1.5 * height))
    # One axis for all: an axis for each image would take seconds to lay out.
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    limits = (int(pixels.min()), int(pixels.max()) + (pixels.min() == pixels.max()))
    top = 0.0
    for name, rows in parts.items():
        heading = f"{title}: {name}" if title else name
        axis.text(COLUMNS / 2, top + HEADING / 2, heading, ha="center", va="center", fontsize=12)
        for place, row in enumerate(rows):
            left, lower = place % COLUMNS, top + HEADING + line * (place // COLUMNS + 1)
            _show(axis, pixels[row], limits, left + 0.5, lower)
            text = _caption(probabilities[row], int(labels[row]), classes, files[row] if len(files) else "")
            colour = "black" if probabilities[row].argmax() == labels[row] else "tab:red"
            axis.text(left + 0.5, lower - 1.0, text, ha="center", va="bottom", fontsize=7, color=colour)
        top += HEADING + line * -(-len(rows) // COLUMNS)
    axis.set(xlim=(0, COLUMNS), ylim=(height, 0))
    figure.savefig(path, dpi=120)


def worst_mistakes(probabilities: Array, labels: Array) -> NDArray[np.int64]:
    """The rows predicted wrong, the one whose true class got the least probability first."""
    true = probabilities[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(true[wrong], kind="stable")]


def save_confusion(matrix: ArrayLike, classes: Sequence[Any], path: str | Path, title: str = "") -> None:
    """Draw a confusion matrix (C, C) of counts, true classes down and predicted ones across, as PNG.

    Colours are shares of the true class, so that rare classes are seen too. Raises ImportError without matplotlib,
    ShapeError for a matrix of another shape.

    >>> save_confusion([[40, 2], [5, 53]], ("cat", "dog"), "confusion.png")
    """
    from matplotlib.figure import Figure

    counts = np.asarray(matrix, np.float64)
    n = len(classes)
    if counts.shape != (n, n) or not n:
        raise ShapeError(f"save_confusion: the matrix is {counts.shape}, expected ({n}, {n}) for {n} classes")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(12.0, max(4.0, 2.4 + 0.42 * n))
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.set_title(title)
    if n <= MOST_NAMED:
        names = [_cut(name) for name in classes]
        axis.set_xticks(range(n), names, rotation=90)
        axis.set_yticks(range(n), names)
    if n <= MOST_COUNTED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{counts[row, column]:.6g}"
            axis.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    figure.savefig(path, dpi=120)


def save_filters(weight: Array, path: str | Path, title: str = "") -> None:
    """Draw the filters (kh, kw, c, o) of a layer that sees images, up to 64 of its o outputs, as PNG.

    Three channels are drawn in colour, each filter stretched to its own largest value; others as their mean over the
    channels, blue below 0 and red above. Raises ImportError without matplotlib, ShapeError for another shape.

    >>> save_filters(nn.Conv2d(1, 16, 5).weight.data, "filters.png")
    """
    from matplotlib.figure import Figure

    if weight.ndim != 4 or not weight.size:
        raise ShapeError(f"save_filters: the weight is {weight.shape}, expected (kh, kw, channels, outputs)")
    filters = np.moveaxis(weight[..., :MOST_FILTERS].astype(np.float64), -1, 0)
    if filters.shape[-1] != 3:
        filters = filters.mean(axis=-1, keepdims=True)
    filters /= np.maximum(np.abs(filters).max(axis=(1, 2, 3), keepdims=True), np.finfo(np.float64).tiny)
    mosaic = _mosaic((filters + 1) / 2)
    rows, columns = mosaic.shape[:2]
    figure = Figure(figsize=(8.0, max(1.2, 8.0 * rows / columns + 0.4)), layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set_title(title)
    axis.imshow(mosaic if mosaic.shape[-1] == 3 else mosaic[..., 0], cmap="RdBu_r", vmin=0, vmax=1)
    figure.savefig(path, dpi=120)


def _mosaic(filters: Array) -> Array:
    """Filters (o, kh, kw, c) side by side, white between them."""
    count, height, width, channels = filters.shape
    columns = min(count, 2 * COLUMNS)
    lines = -(-count // columns)
    white = 1.0 if channels == 3 else np.nan
    mosaic = np.full((lines * (height + 1) - 1, columns * (width + 1) - 1, channels), white)
    for i, picture in enumerate(filters):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        mosaic[top : top + height, left : left + width] = picture
    return mosaic


def _show(axis: Any, image: Array, limits: tuple[int, int], middle: float, lower: float) -> None:
    """Draw an image, in its proportions, above the line `lower`."""
    height, width = image.shape[:2]
    scale = 0.94 / max(height, width)
    extent = (middle - scale * width / 2, middle + scale * width / 2, lower, lower - scale * height)
    if image.shape[-1] in (3, 4):
        axis.imshow(image, extent=extent, aspect="auto", interpolation="nearest")
    else:
        grey = {"cmap": "gray", "vmin": limits[0], "vmax": limits[1]}
        axis.imshow(image[..., 0], extent=extent, aspect="auto", interpolation="nearest", **grey)


def _caption(probabilities: Array, true: int, classes: Sequence[Any], file: str) -> str:
    """What an image was taken for, what it is if that is something else, and its file."""
    taken = int(probabilities.argmax())
    lines = [f"{_cut(classes[taken])} {probabilities[taken]:.2f}"]
    if taken != true:
        lines.append(f"is {_cut(classes[true])} {probabilities[true]:.2f}")
    if file:
        lines.append(_cut(Path(file).name, 20))
    return "\n".join(lines)


def _all_over(n: int) -> NDArray[np.int64]:
    """Up to sixteen rows, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, 2 * COLUMNS)).astype(np.int64))


def _cut(name: Any, most: int = 16) -> str:
    """A name short enough for its place, with no letter that begins a formula."""
    text = str(name).replace("$", r"\$")
    return text if len(text) <= most else text[: most - 1] + "…"
