"""Augmentation inside a program: each sample of a batch is gathered and transformed at once, while it is in cache.

An `Augment` is its definition, for the reference engine, and a list of changes, a kind and a number each, for programs.
A change draws from the four random words of the counter (sample's row, AUGMENT + position in the list, step) and key
seed, so an image depends neither on its batch nor on the number of workers. Changes by whole pixels equal the
definition bit for bit, those between pixels (`chainrule.kernels.interpolation`) to the dtype's rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from chainrule.kernels.interpolation import crop, index, paint, room, rotate
from chainrule.native.kernel import Call, Float1, Int, Int1, Int2, Real1, Real2, blocks, device, kernel
from chainrule.native.memory import Array, Storage, View, constant
from chainrule.native.philox import AUGMENT, LOW, philox_block
from chainrule.native.state import POSITION, SEED, STEP

KINDS = ("shift", "flip", "crop", "rotate", "cutout")
SHIFT, FLIP, CROP, ROTATE, CUT_OUT = range(len(KINDS))
TILE = 4096  # elements of a tile, at least one sample
MOST_TILES = 32  # each has memory for an image between two changes
FLOPS = (0.0, 0.0, 9.0, 15.0, 0.0)  # of each kind, for one element


class Change(NamedTuple):
    """One transformation: its kind, and its number (pixels, 1 for vertical, least share, degrees, size)."""

    kind: int
    number: float


class Augment(Protocol):
    """What becomes of the images of a batch. `fill`, one number or one for each channel, is for pixels from outside."""

    @property
    def changes(self) -> tuple[Change, ...]: ...
    @property
    def fill(self) -> Array: ...
    def __call__(self, x: Array, seed: int, steps: ArrayLike, samples: ArrayLike) -> Array: ...


@kernel
def gather_augmented(
    tile: Int, state: Int1, indices: Int2, source: Real2, target: Real2, spare: Real2, plan: Int2, numbers: Float1,
    fill: Real1, height: Int, width: Int, samples: Int,
) -> None:  # fmt: skip
    """target[i] = the changes, one after another, of source[indices[step of this call, i]].

    plan[position] is a change's kind, and where its image goes: 0 the target, 1 the tile's row of `spare`, behind which
    is `room` for interpolation.
    """
    rows = indices[state[POSITION]]
    other, rest = spare[tile, : target.shape[1]], spare[tile, target.shape[1] :]
    for i in range(tile * samples, min(tile * samples + samples, target.shape[0])):
        sample = int(rows[i])
        image = source[sample]
        for position in range(numbers.size):
            a, b, c = random_words(sample, position, state)
            to = target[i] if plan[position, 1] == 0 else other
            kind, number = plan[position, 0], numbers[position]
            if kind == SHIFT:
                shift(to, image, a, b, int(number), fill, height, width)
            elif kind == FLIP:
                flip(to, image, a, int(number), fill.size, height, width)
            elif kind == CROP:
                crop(to, image, rest, a, b, c, number, fill.size, height, width)
            elif kind == ROTATE:
                rotate(to, image, rest, a, number, fill, height, width)
            else:
                if position == 0:  # later ones cover a part of the image where it is
                    move(to, image)
                cut_out(to, a, b, int(number), fill, height, width)
            image = to


@device
def random_words(sample: Int, position: Int, state: Int1) -> Any:
    """Three of the random words of a sample in this step, for the change at `position`."""
    seed = int(state[SEED])
    step = int(state[STEP])
    low, high = step & LOW, (step >> 32) & LOW
    a, b, c, _ = philox_block(sample & LOW, AUGMENT + position, low, high, seed & LOW, (seed >> 32) & LOW)
    return a, b, c


@device
def whole(word: Int, bound: Int) -> Int:
    """A whole number of 0 to bound − 1. Formula: ⌊word·bound / 2³²⌋."""
    return (word * bound) >> 32


@device
def move(to: Real1, image: Real1) -> None:
    """A copy."""
    for k in range(to.size):
        to[k] = image[k]


@device
def shift(to: Real1, image: Real1, a: Int, b: Int, pixels: Int, fill: Real1, height: Int, width: Int) -> None:
    """out[i, j] = x[i − down, j − right], or the fill: one copy of all rows, then what came in is painted over."""
    down = min(max(whole(a, 2 * pixels + 1) - pixels, -height), height)
    right = min(max(whole(b, 2 * pixels + 1) - pixels, -width), width)
    by = (down * width + right) * fill.size
    start = max(0, by)
    stop = max(start, min(to.size, to.size + by))
    move(to[start:stop], image[start - by : stop - by])
    for i in range(height):
        inside = 0 <= i - down < height
        left = 0 if right > 0 or not inside else width + min(right, 0)
        until = right if right > 0 and inside else width
        paint(to, i * width + left, i * width + until, fill)


@device
def flip(to: Real1, image: Real1, a: Int, vertical: Int, channels: Int, height: Int, width: Int) -> None:
    """out[i, j] = x[i, w − 1 − j], or x[h − 1 − i, j], with probability 1/2."""
    wide = width * channels
    if whole(a, 2) == 0:
        move(to, image)
    elif vertical != 0:
        for i in range(height):
            move(to[i * wide : (i + 1) * wide], image[(height - 1 - i) * wide : (height - i) * wide])
    else:
        for i in range(height):
            row, x = to[i * wide : (i + 1) * wide], image[i * wide : (i + 1) * wide]
            if channels == 1:  # numbers that the compiler knows make vector code
                mirror(row, x, 1)
            elif channels == 3:
                mirror(row, x, 3)
            else:
                mirror(row, x, channels)


@device
def mirror(row: Real1, x: Real1, channels: Int) -> None:
    """The pixels of a row in the opposite order."""
    width = row.size // channels
    for j in range(width):
        for c in range(channels):
            row[index(j * channels + c)] = x[index((width - 1 - j) * channels + c)]


@device
def cut_out(to: Real1, a: Int, b: Int, size: Int, fill: Real1, height: Int, width: Int) -> None:
    """The fill in a square about any pixel, in place."""
    top, left = whole(a, height) - size // 2, whole(b, width) - size // 2
    for i in range(max(0, top), min(height, top + size)):
        paint(to, i * width + max(0, left), i * width + min(width, left + size), fill)


def gathering(augment: Augment, state: View, indices: View, source: View, target: View) -> Call:
    """The call that gathers and augments the images (n, h, w, c) of a batch."""
    n, height, width, channels = target.shape
    size = height * width * channels
    kinds = [change.kind for change in augment.changes]
    samples = max(1, TILE // max(1, size), blocks(n, MOST_TILES))
    tiles = blocks(n, samples)
    extra = room(height, width, channels) if CROP in kinds or ROTATE in kinds else 0
    spare = View(Storage(tiles * (size + extra), target.dtype, "arena", "spare"), (tiles, size + extra))
    plan = constant(np.array(list(zip(kinds, destinations(kinds), strict=True)), np.int64))
    numbers = constant(np.array([change.number for change in augment.changes], np.float64))
    fill = constant(np.broadcast_to(augment.fill, (channels,)).astype(target.dtype))
    flat = target.reshape(n, size)
    flops = sum(FLOPS[kind] for kind in kinds) * target.size
    return gather_augmented(
        tiles, state, indices, source, flat, spare, plan, numbers, fill, height, width, samples, flops=flops
    )


def destinations(kinds: Sequence[int]) -> list[int]:
    """Where each change leaves the image: 0 in the target, as the last does, 1 in the spare memory.

    >>> destinations([SHIFT, FLIP, CUT_OUT])
    [1, 0, 0]
    """
    at, found = 0, []
    for kind in reversed(kinds):
        found.append(at)
        at = at if kind == CUT_OUT else 1 - at
    return found[::-1]


def formula(augment: Augment, images: str) -> str:
    """How a program shows the changes: `flip(shift(images))`."""
    for change in augment.changes:
        images = f"{KINDS[change.kind]}({images})"
    return images


def signature(augment: Augment | None, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """What the compiled form depends on, besides the images' shape."""
    return () if augment is None else (augment.changes, augment.fill.astype(dtype).tobytes())
