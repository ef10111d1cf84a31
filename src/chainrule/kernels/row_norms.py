"""Normalization of rows, each by itself: by mean and variance, or by the root mean square alone (`centred` is 0).

A row's statistics take one or two passes while it is in cache, so the array is read from memory once.
"""

from __future__ import annotations

import numpy as np

from chainrule.kernels.channels import clear
from chainrule.native.kernel import Epilogue, Int, Pointer, Real, Real1, Real2, kernel, real, run_epilogue

TILE = 8192  # elements: in the first-level cache for the epilogue
PART = 16384  # elements of a tile that is summed by column


@kernel
def normalize_rows(
    tile: Int, y: Real1, mean: Real1, rstd: Real1, x: Real1, scale: Real1, shift: Real1, centred: Int,
    eps: Real, rows: Int, y_at: Pointer, epilogue: Epilogue,
) -> None:  # fmt: skip
    """Rows tile·rows and on of y = (x - mean)·rstd·scale + shift; then the epilogue. Unless `centred`, y = x·rstd·scale
    with the root mean square, and neither mean nor shift is used.
    """
    columns = scale.size
    share = 1.0 / real(columns)
    begin, end = tile * rows, min(mean.size, (tile + 1) * rows)
    for i in range(begin, end):
        row, to = x[i * columns : (i + 1) * columns], y[i * columns : (i + 1) * columns]
        total = 0.0
        if centred:
            for j in range(row.size):
                total += row[j]
        centre = total * share
        total = 0.0
        for j in range(row.size):
            distance = row[j] - centre
            total += distance * distance
        inverse = real(1.0 / np.sqrt(total * share + eps) + 0.0 * total)  # NaN where Σ (x - mean)² overflowed
        if centred:
            for j in range(row.size):
                to[j] = (row[j] - centre) * inverse * scale[j] + shift[j]
            mean[i] = centre
        else:
            for j in range(row.size):
                to[j] = row[j] * inverse * scale[j]
        rstd[i] = inverse
    run_epilogue(epilogue, y_at, begin * columns, (end - begin) * columns)


@kernel
def normalize_rows_gradient(
    tile: Int, dx: Real1, dy: Real1, x: Real1, scale: Real1, mean: Real1, rstd: Real1, centred: Int, rows: Int,
    add: Int, dx_at: Pointer, epilogue: Epilogue,
) -> None:  # fmt: skip
    """Rows tile·rows and on of dx (+)= rstd·(g - mean(g) - x̂·mean(g·x̂)), g = dy·scale; then the epilogue. Unless
    `centred`, of dx (+)= rstd·(g - x̂·mean(g·x̂)), x̂ = x·rstd.
    """
    columns = scale.size
    share = 1.0 / real(columns)
    begin, end = tile * rows, min(mean.size, (tile + 1) * rows)
    for i in range(begin, end):
        row, flow = x[i * columns : (i + 1) * columns], dy[i * columns : (i + 1) * columns]
        to = dx[i * columns : (i + 1) * columns]
        centre, inverse = mean[i] if centred else real(0.0), rstd[i]
        plain = 0.0
        along = 0.0
        for j in range(row.size):
            g = flow[j] * scale[j]
            plain += g
            along += g * (row[j] - centre)
        offset = plain * share * inverse if centred else real(0.0)
        slope = real(along * share * np.float64(inverse) ** 3)  # the cube may be too small for float32
        if add:
            for j in range(row.size):
                to[j] += flow[j] * scale[j] * inverse - slope * (row[j] - centre) - offset
        else:
            for j in range(row.size):
                to[j] = flow[j] * scale[j] * inverse - slope * (row[j] - centre) - offset
    run_epilogue(epilogue, dx_at, begin * columns, (end - begin) * columns)


@kernel
def row_sums(
    tile: Int, scaled: Real2, plain: Real2, dy: Real1, x: Real1, mean: Real1, rstd: Real1, centred: Int, rows: Int,
) -> None:  # fmt: skip
    """Row `tile` of scaled = Σ dy·(x - mean)·rstd and of plain = Σ dy, over rows tile·rows and on."""
    along, total = scaled[tile], plain[tile]
    columns = total.size
    clear(along)
    clear(total)
    for i in range(tile * rows, min(mean.size, (tile + 1) * rows)):
        row, flow = x[i * columns : (i + 1) * columns], dy[i * columns : (i + 1) * columns]
        centre, inverse = mean[i] if centred else real(0.0), rstd[i]
        for j in range(row.size):
            along[j] += flow[j] * ((row[j] - centre) * inverse)
            total[j] += flow[j]
