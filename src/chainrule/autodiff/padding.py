"""Padding of images as a function of tensors, and as an argument of convolutions and pooling."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff.apply import apply
from chainrule.autodiff.tensor import Tensor
from chainrule.errors import OptionError
from chainrule.kernels.windows import Padding, Pair
from chainrule.ops import padding as ops
from chainrule.settings import choice, pair, whole


def zero_pad2d(x: Any, padding: int | tuple[int, int, int, int]) -> Tensor:
    """Images (n, h, w, c) padded with zeros: the same on each side, or (left, right, top, bottom)."""
    left, right, top, bottom = frame("zero_pad2d", padding)
    return apply(ops.zero_pad2d, x, padding=((top, bottom), (left, right)))


def frame(place: str, padding: Any) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) of one number or four. Raises OptionError for others."""
    sides = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * 4
    if len(sides) != 4:
        raise OptionError(f"{place}: padding is {padding!r}, expected one number or (left, right, top, bottom)")
    left, right, top, bottom = (whole(place, "padding", side, least=0) for side in sides)
    return left, right, top, bottom


def paddings(
    place: str, value: Any, kernel: tuple[int, ...] = (), stride: Pair = (1, 1), dilation: Pair = (1, 1)
) -> Padding:
    """((top, bottom), (left, right)) of a whole number, a pair, pairs of pairs; "same" or "valid" too with a `kernel`.

    "same" puts an odd pixel at the end, as torch does. Raises OptionError for other values, and for "same" with a
    stride.
    """
    if kernel and isinstance(value, str):
        value = 0 if choice(place, "padding", value, ("same", "valid")) == "valid" else value
    if kernel and value == "same":
        if stride != (1, 1):
            raise OptionError(f'{place}: padding is "same" with stride {stride}: use stride 1, or padding as numbers')
        down, across = (d * (k - 1) for d, k in zip(dilation, kernel, strict=False))
        return (down // 2, down - down // 2), (across // 2, across - across // 2)
    down, across = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    return pair(place, "padding", down, 0), pair(place, "padding", across, 0)
