"""Attention as functions of tensors: with heads side by side, and with torch's name, arguments and layout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.autodiff.apply import apply, broadcast_shape
from chainrule.autodiff.random import next_draw
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.errors import DtypeError, ShapeError
from chainrule.native.memory import Array
from chainrule.ops import attention as ops
from chainrule.ops import rotary as rotary_ops
from chainrule.ops import shapes
from chainrule.settings import flag, number, whole


def attention(
    q: Any, k: Any = None, v: Any = None, bias: Any = None, heads: int = 1, causal: bool = False,
    scale: float | None = None, dropout_p: float = 0.0,
) -> Tensor:  # fmt: skip
    """For each query a mean of values, with shares softmax(scale·q·kᵀ + bias) over the keys; heads lie side by side.

    `scale` is 1/√size of a query unless given; `dropout_p` is the probability with which a share is set to 0.
    """
    name = "attention"
    q = q if isinstance(q, Tensor) else Tensor(q)
    count = whole(name, "heads", heads)
    sides = 3 if k is None else 1
    size = q.shape[-1] // (sides * count) if q.ndim else 0
    factor = number(name, "scale", scale) if scale is not None else max(1, size) ** -0.5
    given = {"scale": factor, "heads": count, "causal": flag(name, "causal", causal)}
    chance = number(name, "dropout_p", dropout_p)
    if chance == 0.0:
        return apply(ops.attention, q, k, v, bias, p=0.0, number=0, seed=0, step=0, **given)
    draw = next_draw()
    return apply(ops.attention, q, k, v, bias, p=chance, number=draw.number, seed=draw.seed, step=draw.step, **given)


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:  # fmt: skip
    """softmax(scale·q·kᵀ + mask)·v for query (..., t, d), key (..., s, d), value (..., s, e), as torch's.

    attn_mask has a shape that broadcasts to (..., t, s): booleans, True where a query sees a key, or numbers that are
    added to the scores. A query that sees no key gets 0. With `is_causal`, query i sees keys 0 to i. `scale`
    is 1/√d unless given. Unlike torch's, `is_causal` and a mask may be combined.

    >>> q = np.ones((2, 4, 3, 8))  # 2 sequences, 4 heads, 3 steps, heads of size 8
    >>> scaled_dot_product_attention(q, q, q, is_causal=True).shape
    (2, 4, 3, 8)
    """
    tensors = [x if isinstance(x, Tensor) else Tensor(x) for x in (query, key, value)]
    sizes = [x.shape for x in tensors]
    if any(len(shape) < 2 for shape in sizes) or len({shape[:-2] for shape in sizes}) > 1:
        raise ShapeError(
            f"scaled_dot_product_attention: query has shape {sizes[0]}, key {sizes[1]}, value {sizes[2]}: "
            "expected (..., t, d), (..., s, d) and (..., s, e) with the same leading axes"
        )
    leading = sizes[0][:-2]
    n, heads = math.prod(leading[:-1]), leading[-1] if leading else 1
    q, k, v = (x.reshape((n, heads, *x.shape[-2:])) for x in tensors)
    bias = None
    if attn_mask is not None:
        bias = _for_heads(bias_of("scaled_dot_product_attention", attn_mask, shown=True), leading, k.shape[2])
    y = attention(q, k, v, bias, causal=is_causal, scale=scale, dropout_p=dropout_p)
    return y.reshape((*leading, *y.shape[-2:]))


def rotary(x: Any, heads: int = 1, turned: int | None = None, base: float = 10000.0, start: int = 0) -> Tensor:
    """x (n, t, heads·size) with the first `turned` heads, or all, turned by angles that grow with the step."""
    count = whole("rotary", "heads", heads)
    which = count if turned is None else whole("rotary", "turned", turned, least=0)
    given = {"base": number("rotary", "base", base, above=0), "start": whole("rotary", "start", start, least=0)}
    return apply(rotary_ops.rotary, x, heads=count, turned=which, **given)


def bias_of(place: str, mask: Any, shown: bool) -> Tensor | Array:
    """What a mask adds to scores: numbers as they are, for booleans 0 where they are `shown`, else -∞.

    Raises DtypeError for whole numbers, which might be meant as either.
    """
    if isinstance(mask, Tensor) and mask.dtype.kind == "f":
        return mask
    array = as_array(mask)
    if array.dtype.kind == "b":
        return np.where(array == shown, np.float32(0), np.float32(-np.inf))
    if array.dtype.kind != "f":
        raise DtypeError(
            f"{place}: the mask is {array.dtype}, expected booleans, or real numbers that are added to the scores: "
            "pass mask.astype(bool)"
        )
    return array


def _for_heads(bias: Any, leading: tuple[int, ...], keys: int) -> Any:
    """A bias (..., t, s) as (n or 1, heads or 1, t, s), where n counts all leading axes but the last."""
    place, axes = "scaled_dot_product_attention", len(leading) + 2
    if not 1 <= bias.ndim <= axes:
        raise ShapeError(f"{place}: attn_mask has shape {bias.shape}, expected no more axes than query has, {axes}")
    shape = (1,) * (axes - bias.ndim) + bias.shape
    outer = shape[:-3] if all(n == 1 for n in shape[:-3]) else leading[:-1]
    wanted = (*outer, *shape[len(outer) : -1], keys)
    if wanted != shape:
        broadcast_shape(place, [shape, wanted])
        bias = bias.reshape(shape)
        learned = isinstance(bias, Tensor)
        bias = apply(shapes.broadcast, bias, shape=wanted) if learned else np.broadcast_to(bias, wanted)
    return bias.reshape((math.prod(outer), wanted[-3] if leading else 1, wanted[-2], keys))
