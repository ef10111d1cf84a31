"""Upsampling of images as a function of tensors."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff.apply import apply
from chainrule.autodiff.tensor import Tensor
from chainrule.ops import upsample as ops
from chainrule.settings import pair


def upsample_nearest(x: Any, scale_factor: int | tuple[int, int]) -> Tensor:
    """Every pixel of images (n, h, w, c) repeated scale_factor times down and across."""
    return apply(ops.upsample_nearest, x, scale=pair("upsample_nearest", "scale_factor", scale_factor))
