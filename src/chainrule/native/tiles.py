"""Small tiles of an image, transformed for Winograd's convolution: the symbols kernels call, and the same in Python.

Each is t = M·d·Mᵀ for every channel, with a small matrix M of its own. Tiles that neighbors share an image stand two
pixels apart; what of a tile lies outside of the image reads as 0 and is not written.

    M              from, to            what for
    B  (4 x 4)     image   4x4 -> 4x4  the input of a convolution
    A  (2 x 4)     products 4x4 -> 2x2 its output; `bias` is added, and with `add` what was there before
    Aᵀ (4 x 2)     image   2x2 -> 4x4  the gradient of its output
    G  (4 x 3)     weight  3x3 -> 4x4  a 3x3 weight
    Gᵀ (3 x 4)     products 4x4 -> 3x3 the gradient of the weight

S. Winograd, Arithmetic complexity of computations (1980); A. Lavin and S. Gray, Fast algorithms for convolutional
neural networks, CVPR 2016, section 4.1, with the signs of the fourth row of B and column of A reversed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.native.kernel import External

STEP = 2  # pixels from one tile to the next
B = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1))
A = ((1, 1, 1, 0), (0, 1, -1, 1))
G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))


@dataclass(frozen=True)
class Transform:
    """One of the transforms: its matrix, and which side is an image that clips."""

    name: str
    matrix: tuple[tuple[float, ...], ...]
    clips_source: bool = False
    clips_target: bool = False

    @property
    def size_before(self) -> int:
        """Rows and columns of a tile before."""
        return len(self.matrix[0])

    @property
    def size_after(self) -> int:
        """Rows and columns of a tile afterwards."""
        return len(self.matrix)


def _transposed(matrix: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    return tuple(zip(*matrix, strict=True))


TRANSFORMS = (
    Transform("input", B, clips_source=True),
    Transform("output", A, clips_target=True),
    Transform("gradient", _transposed(A), clips_source=True),
    Transform("weight", G),
    Transform("weight_gradient", _transposed(G)),
)


@dataclass(frozen=True)
class _Plain:
    """A transform in plain Python."""

    transform: Transform

    def __call__(
        self, tiles: int, channels: int, source: Any, s_tile: int, s_row: int, s_col: int, target: Any, t_tile: int,
        t_row: int, t_col: int, top: int, bottom: int, left: int, right: int, bias: Any, add: int,
    ) -> None:  # fmt: skip
        """Tiles at source + tile·s_tile; the image reaches over rows top .. bottom - 1 and columns left .. right - 1,
        counted from the first tile's corner."""
        t, matrix = self.transform, np.array(self.transform.matrix)

        def at(place: Any, offset: int) -> NDArray[Any]:
            start = place.offset + offset
            assert 0 <= start <= place.array.size - channels
            part: NDArray[Any] = place.array[start : start + channels]
            return part

        for tile in range(tiles):
            rows = range(top, bottom)
            columns = range(left - STEP * tile, right - STEP * tile)
            d = np.zeros((t.size_before, t.size_before, channels), source.array.dtype)
            for i, j in np.ndindex(t.size_before, t.size_before):
                if not t.clips_source or (i in rows and j in columns):
                    d[i, j] = at(source, tile * s_tile + i * s_row + j * s_col)
            for i, j in np.ndindex(t.size_after, t.size_after):
                if not t.clips_target or (i in rows and j in columns):
                    value = np.einsum("a,abc,b->c", matrix[i], d, matrix[j])
                    place = at(target, tile * t_tile + i * t_row + j * t_col)
                    if t.clips_target:
                        value += at(bias, 0) if bias else 0.0
                        value += place if add else 0.0
                    place[:] = value


EXTERNALS = tuple(External(f"tile_{t.name}_{{dtype}}", "i" * 16, _Plain(t)) for t in TRANSFORMS)
tile_input, tile_output, tile_gradient, tile_weight, tile_weight_gradient = EXTERNALS
