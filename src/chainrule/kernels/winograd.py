"""3x3 convolutions with fewer multiplications: Winograd's F(2x2, 3x3).

Output pixels are computed four at a time. Their 4x4 tile of the image and the weight are transformed
(`native/tiles.py`), so that each pair of channels takes 16 products instead of 36; for all tiles of a block these are
16 matrix products:

    y  = A·[(G·w·Gᵀ) ⊙ (B·x·Bᵀ)]·Aᵀ           summed over input channels before A
    dw = Gᵀ·[(B·x·Bᵀ) ⊙ (Aᵀ·dy·A)]·G           summed over tiles before G

A block of tiles stays in the second-level cache from one transform to the other. All numbers added are of x's
magnitude, so rounding errors are about those of the plain sum. A. Lavin and S. Gray, Fast algorithms for convolutional
neural networks, CVPR 2016.
"""

from __future__ import annotations

from typing import NamedTuple

from chainrule.kernels.panels import cost
from chainrule.kernels.products import one
from chainrule.kernels.reductions import reduce, sum_parts
from chainrule.kernels.windows import Windows
from chainrule.native.kernel import Call, Epilogue, Int, Pointer, advance, blocks, device, kernel, run_epilogue
from chainrule.native.machine import processor
from chainrule.native.matrix import panel
from chainrule.native.memory import Scratch, View
from chainrule.native.tiles import STEP, tile_gradient, tile_input, tile_output, tile_weight, tile_weight_gradient

TILES = 16  # shares of a pass over the images
PARTS = 8  # partial sums of a weight gradient
PRODUCTS = 16  # per tile; its plain windows have 36
CACHE = 310_000  # bytes of a block of tiles, which stays in the second-level cache
SHARED = 420_000  # bytes of a block and the transformed weight, if both fit into that cache
ENTRY = 4  # the cost of beginning a block, in rows of a product: the weight is read again
LINE = 64  # bytes of a cache line
LARGEST = 32_768  # pairs of channels
# The cost of transforming one input and one output channel of a tile, in multiplications; and the share of the plain
# convolution's cost below which tiles are used. A plain weight gradient takes longer per multiplication.
TRANSFORM, SHARE, SHARE_OF_GRADIENT = (125, 110), 0.9, 1.1


def suits(w: Windows, share: float = SHARE) -> bool:
    """Whether this is a 3x3 convolution that tiles make faster: enough channels, and few pixels clipped."""
    plain = all((axis.taps, axis.stride, axis.dilation) == (3, 1, 1) for axis in (w.down, w.across))
    if not plain or w.groups != 1:
        return False
    transforms = TRANSFORM[0] * w.inputs + TRANSFORM[1] * w.outputs
    return _count(w) * (PRODUCTS * w.tap + transforms) < share * w.flops / 2


def suits_weight(w: Windows) -> bool:
    """The same for its weight gradient, whose sums should stay in cache from one block to the next."""
    return suits(w, SHARE_OF_GRADIENT) and w.tap <= LARGEST


def _count(w: Windows) -> int:
    """Tiles of an image."""
    return blocks(w.down.out, STEP) * blocks(w.across.out, STEP)


class Block(NamedTuple):
    """How many images, and how many rows of tiles of each, are computed at a time."""

    images: int
    lines: int


@device
def transform_block(
    images: Int, lines: Int, line: Int, across: Int, x: Pointer, height: Int, width: Int, channels: Int,
    above: Int, before: Int, to: Pointer, plane: Int,
) -> None:  # fmt: skip
    """B·x·Bᵀ of some rows of tiles of some images: 16 planes, in each a row of channels for every tile."""
    for image in range(images):
        for i in range(lines):
            top = STEP * (line + i) - above
            corner = ((image * height + top) * width - before) * channels
            tile_input(
                across, channels, advance(x, corner), STEP * channels, width * channels, channels,
                advance(to, (image * lines + i) * across * channels), channels, 4 * plane, plane,
                -top, height - top, before, width + before, 0, 0,
            )  # fmt: skip


@kernel
def winograd_weight(tile: Int, w: Pointer, inputs: Int, outputs: Int, u: Pointer, u_plane: Int, width: Int) -> None:
    """G·w·Gᵀ of panel `tile` of output channels: 16 matrices, a panel wide."""
    left = tile * width
    tile_weight(
        inputs, min(width, outputs - left), advance(w, left), outputs, 3 * inputs * outputs, inputs * outputs,
        advance(u, tile * 16 * u_plane), width, 4 * u_plane, u_plane, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip


@kernel
def winograd(
    tile: Int, images: Int, batch: Int, band: Int, group: Int, lines: Int, x: Pointer, height: Int, wide: Int,
    inputs: Int, above: Int, before: Int, u: Pointer, y: Pointer, rows: Int, columns: Int, outputs: Int, width: Int,
    bias: Pointer, add: Int, room: Pointer, v_plane: Int, u_plane: Int, m_plane: Int, epilogue: Epilogue,
) -> None:  # fmt: skip
    """Some images, or a band of rows of tiles of one: block by block, and each block by panels of channels."""
    down, across = (rows + STEP - 1) // STEP, (columns + STEP - 1) // STEP
    bands = (down + band - 1) // band
    last = min(images, (tile // bands + 1) * batch)
    end = min(down, (tile % bands + 1) * band)
    v = advance(room, tile * 16 * (v_plane + m_plane))
    m = advance(v, 16 * v_plane)
    for image in range(tile // bands * batch, last, group):
        n = min(group, last - image)
        for line in range(tile % bands * band, end, lines):
            deep = min(lines, end - line)
            transform_block(
                n, deep, line, across, advance(x, image * height * wide * inputs), height, wide, inputs, above, before,
                v, v_plane,
            )  # fmt: skip
            for left in range(0, outputs, width):
                broad = min(width, outputs - left)
                for e in range(16):
                    panel(
                        n * deep * across, 1, inputs, advance(v, e * v_plane), inputs, 1, 0,
                        advance(u, (left // width * 16 + e) * u_plane), width, 0, advance(m, e * m_plane), width, 0, 0,
                        broad,
                    )  # fmt: skip
                for i in range(n):
                    for j in range(deep):
                        top = STEP * (line + j)
                        tile_output(
                            across, broad, advance(m, (i * deep + j) * across * width), width, 4 * m_plane,
                            m_plane, advance(y, ((image + i) * rows + top) * columns * outputs + left),
                            STEP * outputs, columns * outputs, outputs, 0, rows - top, 0, columns,
                            advance(bias, left), add,
                        )  # fmt: skip
            if epilogue:
                for i in range(n):
                    top = STEP * line
                    at = ((image + i) * rows + top) * columns * outputs
                    size = (min(rows, STEP * (line + deep)) - top) * columns * outputs
                    run_epilogue(epilogue, y, at, size)


@kernel
def winograd_weight_gradient(
    tile: Int, images: Int, batch: Int, group: Int, lines: Int, x: Pointer, height: Int, wide: Int, inputs: Int,
    above: Int, before: Int, dy: Pointer, rows: Int, columns: Int, outputs: Int, width: Int, dw: Pointer,
    sums: Pointer, one: Pointer, room: Pointer, v_plane: Int, z_plane: Int, u_plane: Int,
) -> None:  # fmt: skip
    """The weight gradient of some images; `sums` receives the column sums of their dy (the gradient of a bias)."""
    down, across = (rows + STEP - 1) // STEP, (columns + STEP - 1) // STEP
    first, last = tile * batch, min(images, (tile + 1) * batch)
    v = advance(room, tile * 16 * (v_plane + z_plane + u_plane))
    z = advance(v, 16 * v_plane)
    du = advance(z, 16 * z_plane)
    for image in range(first, last, group):
        n = min(group, last - image)
        for line in range(0, down, lines):
            deep = min(lines, down - line)
            transform_block(
                n, deep, line, across, advance(x, image * height * wide * inputs), height, wide, inputs, above, before,
                v, v_plane,
            )  # fmt: skip
            for i in range(n):
                for j in range(deep):
                    top = STEP * (line + j)
                    tile_gradient(
                        across, outputs, advance(dy, ((image + i) * rows + top) * columns * outputs), STEP * outputs,
                        columns * outputs, outputs, advance(z, (i * deep + j) * across * outputs), outputs,
                        4 * z_plane, z_plane, 0, rows - top, 0, columns, 0, 0,
                    )  # fmt: skip
            more = 1 if image > first or line > 0 else 0
            for e in range(16):
                for left in range(0, outputs, width):
                    panel(
                        inputs, 1, n * deep * across, advance(v, e * v_plane), 1, inputs, 0,
                        advance(z, e * z_plane + left), outputs, 0, advance(du, e * u_plane + left),
                        outputs, more, 0, min(width, outputs - left),
                    )  # fmt: skip
    tile_weight_gradient(
        1, inputs * outputs, du, 0, 4 * u_plane, u_plane, advance(dw, tile * 9 * inputs * outputs),
        0, 3 * inputs * outputs, inputs * outputs, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    if sums:
        for left in range(0, outputs, width):
            panel(
                1, 1, (last - first) * rows * columns, one, 0, 0, 0,
                advance(dy, first * rows * columns * outputs + left), outputs, 0,
                advance(sums, tile * outputs + left), outputs, 0, 0, min(width, outputs - left),
            )  # fmt: skip


def _most(w: Windows, channels: int, item: int, beside: int = 0) -> int:
    """The most rows of tiles that fit into the cache, with `channels` numbers at each of the 16 positions of a tile.

    Blocks are smaller beside a weight of `beside` bytes, unless less than half of a block would be left: then the
    weight is read from beyond that cache, and rarely.
    """
    left = min(CACHE, SHARED - beside)
    room = left if 2 * left >= CACHE else CACHE
    return max(1, room // (PRODUCTS * channels * item * blocks(w.across.out, STEP)))


def _even(count: int, most: int) -> int:
    """How many of `count` to compute at a time, at most `most`, so that the last are not few."""
    return blocks(count, blocks(count, most))


def _block(w: Windows, images: int, lines: int, most: int) -> Block:
    """Of the blocks of at most `most` rows of tiles, the one that suits the microkernel's tiles best.

    There are `images` images of `lines` rows of tiles.
    """
    across = blocks(w.across.out, STEP)

    def price(whole: int, piece: int, tiles: int) -> float:
        """The cost of the products of `whole` rows or images, `piece` at a time."""
        return whole // piece * (cost(piece * tiles) + ENTRY) + cost(whole % piece * tiles)

    if most >= lines:
        pieces = range(min(images, most // lines), 0, -1)
        return Block(min(pieces, key=lambda n: price(images, n, lines * across)), lines)
    return Block(1, min(range(most, 0, -1), key=lambda n: price(lines, n, across)))


def _plane(elements: int, view: View) -> int:
    """The distance between planes: an odd number of cache lines, or all 16 would fall into the same few cache sets."""
    line = LINE // view.dtype.itemsize
    return (blocks(elements, line) | 1) * line


def correlate_tiles(
    y: View, x: View, weight: View, w: Windows, scratch: Scratch, bias: View | None, add: bool, epilogue: Epilogue
) -> list[Call]:  # fmt: skip
    """The calls for y (+)= x correlated with a weight (3, 3, inputs, outputs), plus bias."""
    images, width, down = x.shape[0], processor().panel(x.dtype), blocks(w.down.out, STEP)
    batch, band = blocks(images, TILES), blocks(down, blocks(TILES, images))
    shares = blocks(images, batch) * blocks(down, band)
    weight_size = PRODUCTS * w.tap * x.dtype.itemsize
    block = _block(w, batch, band, _most(w, w.inputs + width, x.dtype.itemsize, beside=weight_size))
    many, panels = block.images * block.lines * blocks(w.across.out, STEP), blocks(w.outputs, width)
    v_plane, u_plane, m_plane = (_plane(n, y) for n in (many * w.inputs, w.inputs * width, many * width))
    u, room = scratch(panels * 16 * u_plane), scratch(shares * 16 * (v_plane + m_plane))
    return [
        winograd_weight(panels, weight, w.inputs, w.outputs, u, u_plane, width),
        winograd(
            shares, images, batch, band, *block, x, w.down.size, w.across.size, w.inputs, w.down.before,
            w.across.before, u, y, w.down.out, w.across.out, w.outputs, width, bias, int(add), room, v_plane, u_plane,
            m_plane, epilogue, flops=2.0 * images * _count(w) * PRODUCTS * w.tap,
        ),
    ]  # fmt: skip


def weight_gradient_tiles(
    dw: View, dy: View, x: View, w: Windows, scratch: Scratch, sums: View | None
) -> list[Call]:  # fmt: skip
    """The calls for the weight gradient, and for that of the bias, `sums`; partial sums are added in order."""
    images, width = x.shape[0], processor().panel(x.dtype)
    batch = blocks(images, PARTS)
    parts = blocks(images, batch)
    most, lines = _most(w, w.inputs + w.outputs, x.dtype.itemsize), blocks(w.down.out, STEP)
    block = Block(_even(batch, most // lines), lines) if most >= lines else Block(1, _even(lines, most))
    many = block.images * block.lines * blocks(w.across.out, STEP)
    partial = dw if parts == 1 else scratch(parts * dw.size)
    partial_sums = sums if parts == 1 or not sums else scratch(parts * sums.size)
    planes = [_plane(n, dy) for n in (many * w.inputs, many * w.outputs, w.tap)]
    room = scratch(parts * 16 * sum(planes))
    calls = [
        winograd_weight_gradient(
            parts, images, batch, *block, x, w.down.size, w.across.size, w.inputs, w.down.before, w.across.before, dy,
            w.down.out, w.across.out, w.outputs, width, partial, partial_sums, one(dw.dtype), room, *planes,
            flops=2.0 * images * _count(w) * PRODUCTS * w.tap,
        )
    ]  # fmt: skip
    for whole, part in ((dw, partial), (sums, partial_sums)):
        if whole and part and parts > 1:
            calls += reduce(sum_parts, whole, part.reshape(parts, whole.size), (0,), scratch)
    return calls
