"""dropout sets random elements to 0 while a network trains; dropout_channels sets random channels of each sample to 0.

Whether an element is dropped depends on (seed, step, number, element) alone: its random word is word element % 4 of the
Philox block with counter (element // 4, number, step) and key seed. So no mask is stored: the gradient draws the same
words again, and the result is the same for any number of workers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import OptionError, ShapeError
from chainrule.kernels.copies import fill
from chainrule.native.kernel import Call, Int, Int1, Real, Real1, Real2, Real3, blocks, kernel
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.native.philox import LOW, philox, philox_block, split
from chainrule.native.state import SEED, STEP
from chainrule.ops.record import Example, Sample, op

TILE = 4096  # elements; whole Philox blocks


@op(formula="y = x/(1 - p) with probability 1 - p, else 0", by_row=True)
def dropout(x: Array, *, p: float, number: int, seed: int, step: int) -> Array:
    """x with each element set to 0 with probability p, and the others divided by 1 - p (Srivastava et al. 2014).

    `number` counts the dropouts of the model. Raises OptionError for p outside 0 .. 1.
    """
    return _dropped(x, p, number, seed, step)


@dropout.shape
def _(x: Shape, *, p: float, number: int, seed: int, step: int) -> Shape:
    if not 0.0 <= p <= 1.0:
        raise OptionError(f"dropout: p is {p}, expected a probability from 0 to 1")
    return x


@dropout.lower
def _(y: View, x: View, *, p: float, number: int, state: View) -> list[Call]:
    return _calls(y, x, state, p, number)


def _calls(y: View, x: View, state: View, p: float, number: int) -> list[Call]:
    tiles = blocks(x.size, TILE)
    call = drop(tiles, y.flat(), x.flat(), state, threshold_of(p), scale_of(p), number, flops=float(x.size))
    return [call] if tiles else []


@kernel
def drop(tile: Int, y: Real1, x: Real1, state: Int1, threshold: Int, scale: Real, number: Int) -> None:
    """TILE elements of y = scale·x where the element's random word is at least `threshold`, else 0."""
    seed = int(state[SEED])
    step = int(state[STEP])
    seed_low, seed_high = seed & LOW, (seed >> 32) & LOW
    step_low, step_high = step & LOW, (step >> 32) & LOW
    start = tile * TILE
    kept = y[start : min(y.size, start + TILE)]
    given = x[start : min(y.size, start + TILE)]
    first = start // 4
    for block in range(kept.size // 4):
        a, b, c, d = philox_block(first + block, number, step_low, step_high, seed_low, seed_high)
        at = 4 * block
        kept[at] = scale * given[at] if a >= threshold else 0.0
        kept[at + 1] = scale * given[at + 1] if b >= threshold else 0.0
        kept[at + 2] = scale * given[at + 2] if c >= threshold else 0.0
        kept[at + 3] = scale * given[at + 3] if d >= threshold else 0.0
    rest = kept.size // 4 * 4
    a, b, c, d = philox_block(first + rest // 4, number, step_low, step_high, seed_low, seed_high)
    for i in range(rest, kept.size):
        word = a if i == rest else (b if i == rest + 1 else c)
        kept[i] = scale * given[i] if word >= threshold else 0.0


@dropout.gradient("x", formula="dx = dy/(1 - p) where x was kept, else 0")
def _(dy: Array, *, p: float, number: int, seed: int, step: int) -> Array:
    return _dropped(dy, p, number, seed, step)


@dropout.lower("x")
def _(dx: View, dy: View, *, p: float, number: int, state: View) -> list[Call]:
    return _calls(dx, dy, state, p, number)


def _dropped(x: Array, p: float, number: int, seed: int, step: int) -> Array:
    return np.where(mask(x.shape, p, number, seed, step), x * scale_of(p), x.dtype.type(0))


def mask(shape: Shape, p: float, number: int, seed: int, step: int) -> Array:
    """True, with probability 1 - p, for elements that are kept."""
    size = math.prod(shape)
    words = philox((np.arange((size + 3) // 4), number, *split(step)), split(seed))
    kept: Array = words.reshape(-1)[:size].reshape(shape) >= threshold_of(p)
    return kept


def threshold_of(p: float) -> int:
    """The least 32-bit word whose element is kept."""
    return round(p * 2**32)


def scale_of(p: float) -> float:
    """The factor of kept elements, which preserves the mean; for p = 1 nothing is kept."""
    return 1.0 / (1.0 - p) if p < 1.0 else 0.0


@op(formula="y = x/(1 - p) with probability 1 - p, else 0; one draw for each channel of a sample", by_row=True)
def dropout_channels(x: Array, *, p: float, number: int, seed: int, step: int) -> Array:
    """x (n, ..., c) with each channel of each sample set to 0 with probability p, the others divided by 1 - p.

    Neighboring pixels are alike, so dropping single ones hides little (Tompson et al., CVPR 2015). Raises OptionError
    for p outside 0 .. 1, ShapeError for fewer than two axes.
    """
    return _channels_dropped(x, p, number, seed, step)


@dropout_channels.shape
def _(x: Shape, *, p: float, number: int, seed: int, step: int) -> Shape:
    if not 0.0 <= p <= 1.0:
        raise OptionError(f"dropout_channels: p is {p}, expected a probability from 0 to 1")
    if len(x) < 2:
        raise ShapeError(f"dropout_channels: x has shape {x}, expected (samples, ..., channels)")
    return x


@dropout_channels.lower
def _(y: View, x: View, *, p: float, number: int, state: View, scratch: Scratch) -> list[Call]:
    return _channel_calls(y, x, state, p, number, scratch)


def _channel_calls(y: View, x: View, state: View, p: float, number: int, scratch: Scratch) -> list[Call]:
    if not x.size:
        return []
    n, channels = x.shape[0], x.shape[-1]
    pixels = x.size // (n * channels)
    ones, factor = scratch(n * channels), scratch(n * channels)
    samples = max(1, TILE // (pixels * channels))
    parts = (v.reshape(n, pixels, channels) for v in (y, x))
    return [
        fill(blocks(ones.size, TILE), ones, 1.0, TILE),
        *_calls(factor, ones, state, p, number),
        scale_by_sample(blocks(n, samples), *parts, factor.reshape(n, channels), samples, flops=float(x.size)),
    ]


@kernel
def scale_by_sample(tile: Int, y: Real3, x: Real3, factor: Real2, samples: Int) -> None:
    """y (n, pixels, c) = x·factor (n, c), for `samples` samples from tile·samples on."""
    for i in range(tile * samples, min(x.shape[0], (tile + 1) * samples)):
        row = factor[i]
        for pixel in range(x.shape[1]):
            given, scaled = x[i, pixel], y[i, pixel]
            for c in range(row.size):
                scaled[c] = given[c] * row[c]


@dropout_channels.gradient("x", formula="dx = dy/(1 - p) in channels that were kept, else 0")
def _(dy: Array, *, p: float, number: int, seed: int, step: int) -> Array:
    return _channels_dropped(dy, p, number, seed, step)


@dropout_channels.lower("x")
def _(dx: View, dy: View, *, p: float, number: int, state: View, scratch: Scratch) -> list[Call]:
    return _channel_calls(dx, dy, state, p, number, scratch)


def _channels_dropped(x: Array, p: float, number: int, seed: int, step: int) -> Array:
    return np.where(_channel_mask(x.shape, p, number, seed, step), x * scale_of(p), x.dtype.type(0))


def _channel_mask(shape: Shape, p: float, number: int, seed: int, step: int) -> Array:
    """True for channels of samples that are kept, in a shape that broadcasts over the axes in between."""
    between = (1,) * (len(shape) - 2)
    return mask((shape[0], shape[-1]), p, number, seed, step).reshape(shape[0], *between, shape[-1])


def _with(p: float, **others: int) -> dict[str, Any]:
    return {"p": p, "number": 0, "seed": 0, "step": 0, **others}


dropout.cases(
    samples=[
        Sample(((3, 5),), _with(0.5)),
        Sample(((9001,),), _with(0.1, number=3, seed=2**40 + 7, step=2**33 + 1)),
        Sample(((2, 3),), _with(0.0)),
        Sample(((2, 3),), _with(1.0)),
        Sample(((1, 1),), _with(0.3)),
        Sample(((0, 3),), _with(0.5)),
        Sample(((),), _with(0.5)),
        Sample(((2, 3),), _with(1.5), error=OptionError),
        Sample(((2, 3),), _with(math.nan), error=OptionError),
    ],
    examples=[
        # The published first block for counter 0 and key 0: 6627e8d5 e169c58d bc57ac4c 9b00dbd8, of 2³² each.
        Example(([1.0, 2.0, 3.0, 4.0],), [0.0, 4.0, 6.0, 8.0], _with(0.5)),
        Example(([1.0, 2.0, 3.0],), [0.0, 8.0, 0.0], _with(0.75)),
    ],
)

dropout_channels.cases(
    samples=[
        Sample(((3, 5),), _with(0.5)),
        Sample(((4, 6, 5, 7),), _with(0.3, number=3, seed=2**40 + 7, step=2**33 + 1)),
        Sample(((200, 9, 3),), _with(0.1)),
        Sample(((2, 3, 3),), _with(0.0)),
        Sample(((1, 1),), _with(0.3)),
        Sample(((0, 2, 3),), _with(0.5)),
        Sample(((2, 3),), _with(-0.1), error=OptionError),
        Sample(((3,),), _with(0.5), error=ShapeError),
    ],
    examples=[
        # The words of `dropout`, for samples 0 and 1 with two channels each.
        Example(([[[1.0, 2.0]] * 2, [[3.0, 4.0]] * 2],), [[[0.0, 4.0]] * 2, [[6.0, 8.0]] * 2], _with(0.5)),
    ],
)
