"""Scaled dot-product attention: each query takes a mean of values, weighted by how well their keys fit it.

One op, which never holds the scores of all queries with all keys: they are computed by blocks, and again in the
backward pass (`kernels/attention.py`), so memory grows with the lengths and not with their product.

Sources: Vaswani et al., Attention is all you need, NeurIPS 2017; Dao et al., FlashAttention, NeurIPS 2022.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import OptionError, ShapeError
from chainrule.kernels.attention import attend, attend_gradient, join
from chainrule.kernels.copies import zero
from chainrule.kernels.heads import Places, places_of, plan
from chainrule.native.kernel import Call, blocks
from chainrule.native.memory import Array, Scratch, Shape, View, constant
from chainrule.ops.dropout import mask, scale_of, threshold_of
from chainrule.ops.record import Example, Sample, op

TILE = 8192  # elements
NO_STARTS = constant(np.zeros(1, np.int64))


@op(
    formula="y = softmax(scale·q·kᵀ + bias)·v, for each head",
    saves=("lse",),
    flops=lambda q, k=None, v=None, *_: _flops(q, k, v),
)
def attention(
    q: Array,
    k: Array | None = None,
    v: Array | None = None,
    bias: Array | None = None,
    *,
    scale: float,
    heads: int = 1,
    causal: bool = False,
    p: float = 0.0,
    number: int = 0,
    seed: int = 0,
    step: int = 0,
) -> tuple[Array, Array]:
    """For each query a mean of values, with shares softmax(scale·q·kᵀ + bias) over the keys.

    q (n, t, heads·d), k (n, s, heads·d) and v (n, s, heads·e) have heads side by side: y (n, t, heads·e). Or k and v
    are None and q (n, t, 3·heads·d) holds all three side by side. Or all have an axis for heads, q (n, heads, t, d) and
    so on. bias is (n or 1, heads or 1, t or 1, s); -∞ leaves a key out, and a query without any key gets 0. With
    `causal`, query i sees keys 0 to i. `p` is the probability with which dropout sets a share to 0, `number` counts the
    dropouts of the model. For the gradient, the logarithm of each query's sum of exponentials is saved.

    Raises ShapeError where shapes do not fit, OptionError for p outside 0 .. 1.
    """
    places = places_of(q.shape, _shape(k), _shape(v), heads)
    queries, keys, values = places.by_head(q, k, v)
    scores = _scores(queries, keys, bias, scale, causal)
    largest = scores.max(axis=-1, initial=-np.inf)
    safe = np.where(largest == -np.inf, scores.dtype.type(0), largest)
    exps = np.exp(scores - safe[..., np.newaxis])
    total = exps.sum(axis=-1)
    divisor = np.where(total == 0, scores.dtype.type(1), total)
    lse = np.where(total == 0, scores.dtype.type(np.inf), safe + np.log(divisor))
    shares = exps / divisor[..., np.newaxis]
    return places.join((shares * _kept(shares, p, number, seed, step)) @ values), lse


@attention.shape
def _(
    q: Shape, k: Shape | None = None, v: Shape | None = None, bias: Shape | None = None,
    *, p: float, heads: int, **_: Any,
) -> list[Shape]:  # fmt: skip
    if not 0.0 <= p <= 1.0:
        raise OptionError(f"attention: p is {p}, expected a probability from 0 to 1")
    places = places_of(q, k, v, heads)
    full = (places.n, places.heads, places.queries, places.keys)
    if bias is not None and (
        len(bias) != 4 or bias[3] != full[3] or any(b not in (1, w) for b, w in zip(bias, full, strict=True))
    ):
        raise ShapeError(
            f"attention: bias has shape {bias}, expected {full}, (sequences, heads, queries, keys), of which the first "
            "three may be 1"
        )
    return [places.shape, full[:3]]


@attention.lower
def _(
    y: View, lse: View, q: View, k: View | None, v: View | None, bias: View | None,
    *, scale: float, heads: int, causal: bool, p: float, number: int, state: View, scratch: Scratch,
) -> list[Call]:  # fmt: skip
    if not y.size:
        return []
    places = _places(q, k, v, heads)
    cut = plan(places, bias.shape if bias else None, causal, y.dtype, p > 0.0, "forward")
    own = scratch(cut.memory)
    arrays = (y, y.flat(), lse.flat(), *places.views(q, k, v), (bias or y).flat(), int(bias is not None))
    random = (state, threshold_of(p), scale_of(p), number)
    last = (NO_STARTS, NO_STARTS, cut.table, own, own, scale, *random)
    return [attend(cut.tiles, *arrays, *last, flops=places.flops(1, 1))]


@attention.gradient(
    "q",
    formula="dv = pᵀ·dy, ds = p·(dy·vᵀ - Σ dy·y), dq = scale·ds·k, dk = scale·dsᵀ·q",
    saves={"to_k": "k", "to_v": "v"},
)
def _(
    dy: Array, q: Array, k: Array | None, v: Array | None, bias: Array | None, y: Array, lse: Array,
    *, scale: float, heads: int, causal: bool, p: float, number: int, seed: int, step: int,
) -> tuple[Array | None, ...]:  # fmt: skip
    places = places_of(q.shape, _shape(k), _shape(v), heads)
    queries, keys, values = places.by_head(q, k, v)
    shares = np.exp(_scores(queries, keys, bias, scale, causal) - lse[..., np.newaxis])
    kept = _kept(shares, p, number, seed, step)
    slopes = _slopes(dy, y, shares, kept, values, places) * scale
    flow = places.split(dy, places.wide)
    return places.join_all(slopes @ keys, slopes.swapaxes(2, 3) @ queries, (shares * kept).swapaxes(2, 3) @ flow)


@attention.lower("q")
def _(
    dq: View, dk: View | None, dv: View | None, dy: View, q: View, k: View | None, v: View | None, bias: View | None,
    y: View, lse: View, *, scale: float, heads: int, causal: bool, p: float, number: int, state: View, scratch: Scratch,
) -> list[Call]:  # fmt: skip
    places = _places(q, k, v, heads)
    if not (places.pairs and places.queries):
        return [call for d in (dq, dk, dv) if d is not None for call in zero(d)]
    cut = plan(places, bias.shape if bias else None, causal, dy.dtype, p > 0.0, "backward")
    to_q, to_k, to_v = places.views(dq, dk, dv)
    joined, size = to_q.flat(), places.pairs * places.queries * places.size
    if cut.parts > 1:
        to_q = scratch(cut.parts * size)
    to = (to_q, to_k, to_v, None, lse.flat(), 0)
    given = (dy, dy.flat(), y.flat(), lse.flat(), *places.views(q, k, v), (bias or y).flat(), int(bias is not None))
    own, random = scratch(cut.memory), (state, threshold_of(p), scale_of(p), number)
    calls = [
        attend_gradient(
            cut.tiles, *to, *given, NO_STARTS, NO_STARTS, cut.table, own, own, scale, *random,
            flops=places.flops(3, 2),
        )
    ]  # fmt: skip
    if cut.parts > 1:
        row, across = places.rows_of_queries(cut.parts), places.rows_of_queries(1)
        parts = to_q.reshape(cut.parts, size // row, row)
        rows = max(1, TILE // row)
        calls.append(join(blocks(size // row, rows), joined, parts, across, rows, flops=1.0 * to_q.size))
    return calls


@attention.gradient("k", formula="computed with dq")
def _(to_k: Array) -> Array:
    return to_k


@attention.lower("k")
def _(dk: View, to_k: View) -> View:
    return to_k


@attention.gradient("v", formula="computed with dq")
def _(to_v: Array) -> Array:
    return to_v


@attention.lower("v")
def _(dv: View, to_v: View) -> View:
    return to_v


@attention.gradient("bias", formula="dbias = ds, summed over what the bias has once")
def _(
    dy: Array, q: Array, k: Array | None, v: Array | None, bias: Array, y: Array, lse: Array,
    *, scale: float, heads: int, causal: bool, p: float, number: int, seed: int, step: int,
) -> Array:  # fmt: skip
    places = places_of(q.shape, _shape(k), _shape(v), heads)
    queries, keys, values = places.by_head(q, k, v)
    shares = np.exp(_scores(queries, keys, bias, scale, causal) - lse[..., np.newaxis])
    slopes = _slopes(dy, y, shares, _kept(shares, p, number, seed, step), values, places)
    once = tuple(axis for axis in range(3) if bias.shape[axis] == 1)
    dbias: Array = slopes.sum(axis=once, keepdims=True)
    return dbias


@attention.lower("bias")
def _(
    dbias: View, dy: View, q: View, k: View | None, v: View | None, bias: View, y: View, lse: View,
    *, scale: float, heads: int, causal: bool, p: float, number: int, state: View, scratch: Scratch,
) -> list[Call]:  # fmt: skip
    places = _places(q, k, v, heads)
    if not (places.pairs and places.queries and places.keys):
        return zero(dbias)
    cut = plan(places, bias.shape, causal, dy.dtype, p > 0.0, "bias")
    q, k, v = places.views(q, k, v)
    to = (None, None, None, dbias, dbias.flat(), 1)
    given = (dy, dy.flat(), y.flat(), lse.flat(), q, k, v, bias.flat(), 1)
    own, random = scratch(cut.memory), (state, threshold_of(p), scale_of(p), number)
    last = (NO_STARTS, NO_STARTS, cut.table, own, own, scale, *random)
    return [attend_gradient(cut.tiles, *to, *given, *last, flops=places.flops(1, 1))]


def _flops(q: Shape, k: Shape | None, v: Shape | None) -> float:
    """The cost of the forward pass."""
    if k is None or v is None:
        return 4.0 * math.prod(q) * q[1] / 3.0
    return 2.0 * math.prod(q) * k[-2] + 2.0 * math.prod(v) * q[-2]


def _places(q: View, k: View | None, v: View | None, heads: int) -> Places:
    return places_of(q.shape, k.shape if k else None, v.shape if v else None, heads)


def _shape(x: Array | None) -> Shape | None:
    return None if x is None else x.shape


def _scores(q: Array, k: Array, bias: Array | None, scale: float, causal: bool) -> Array:
    """The scores of queries (n, heads, t, d) with keys (n, heads, s, d)."""
    scores: Array = (q @ k.swapaxes(2, 3)) * scale
    if bias is not None:
        scores = scores + bias
    if causal:
        t, s = scores.shape[2:]
        scores = np.where(np.arange(s) > np.arange(t)[:, np.newaxis], scores.dtype.type(-np.inf), scores)
    return scores


def _slopes(dy: Array, y: Array, shares: Array, kept: Array, values: Array, places: Places) -> Array:
    """The gradient for the scores."""
    flow, result = places.split(dy, places.wide), places.split(y, places.wide)
    along = (flow @ values.swapaxes(2, 3)) * kept
    slopes: Array = shares * (along - (flow * result).sum(axis=-1, keepdims=True))
    return slopes


def _kept(shares: Array, p: float, number: int, seed: int, step: int) -> Array:
    """What dropout multiplies each share by; drawn for each key, four queries at a time."""
    if p == 0.0:
        return np.ones((1, 1, 1, 1), shares.dtype)
    n, heads, t, s = shares.shape
    drawn = mask((n, heads, s, -(-t // 4) * 4), p, number, seed, step)[..., :t].swapaxes(2, 3)
    kept: Array = np.where(drawn, shares.dtype.type(scale_of(p)), shares.dtype.type(0))
    return kept


def _with(scale: float = 0.5, **others: Any) -> dict[str, Any]:
    """Attributes, all of which a rule may ask for."""
    return {"scale": scale, "heads": 1, "causal": False, "p": 0.0, "number": 0, "seed": 0, "step": 0, **others}


_DROPPED = {"p": 0.3, "number": 3, "seed": 2**40 + 7, "step": 2**33 + 1}
_HIDDEN = np.where(np.arange(11) < 7, 0.0, -np.inf).reshape(1, 1, 1, 11)
_BIASES: list[Shape | Array] = [(2, 3, 13, 11), (1, 3, 13, 11), (2, 1, 1, 11), (1, 1, 13, 11), _HIDDEN]
_ALL_HIDDEN = np.stack([np.full((1, 1, 3), -np.inf), np.zeros((1, 1, 3))])
_APART: tuple[Shape, ...] = ((2, 3, 13, 4), (2, 3, 11, 4), (2, 3, 11, 4))

attention.cases(
    samples=[
        Sample(((2, 5, 6), (2, 7, 6), (2, 7, 9), None), _with(heads=3)),
        Sample(((2, 5, 6), (2, 7, 6), (2, 7, 9), None), _with(causal=True)),
        Sample(((2, 7, 6), (2, 5, 6), (2, 5, 6), None), _with(heads=2, causal=True)),
        Sample(((1, 1, 1), (1, 1, 1), (1, 1, 1), None), _with()),
        Sample(((0, 2, 3), (0, 2, 3), (0, 2, 3), None), _with()),
        Sample(((2, 0, 3), (2, 4, 3), (2, 4, 3), None), _with(causal=True)),
        Sample(((2, 3, 3), (2, 0, 3), (2, 0, 3), None), _with()),
        Sample(((1, 70, 51), (1, 300, 51), (1, 300, 3), None), _with(heads=3)),
        Sample(((1, 290, 17), (1, 300, 17), (1, 300, 17), None), _with(0.25, causal=True)),
        Sample(((3, 37, 3 * 64), None, None, None), _with(0.125, heads=2, causal=True)),
        Sample(((1, 300, 3 * 8), None, None, None), _with(causal=True)),
        Sample(((40, 5, 3 * 8), None, None, None), _with(heads=4)),
        Sample(((2, 3, 34, 17), (2, 3, 11, 17), (2, 3, 11, 8), None), _with(0.25)),
        *(Sample((*_APART, bias), _with(causal=True)) for bias in _BIASES),
        Sample(((2, 5, 6), (2, 3, 6), (2, 3, 6), _ALL_HIDDEN), _with(heads=2)),
        Sample(((2, 13, 6), (2, 150, 6), (2, 150, 6), (1, 1, 1, 150)), _with(-0.25, heads=3)),
        Sample(((2, 37, 6), (2, 150, 6), (2, 150, 6), (2, 1, 37, 150)), _with(heads=2, **_DROPPED)),
        Sample(((2, 38, 18), None, None, None), _with(heads=3, causal=True, **_DROPPED)),
        Sample(((2, 3, 6), None, None, None), _with(heads=2, p=1.0)),
        Sample(((2, 3, 6), None, None, None), _with(-0.5, heads=2, causal=True)),
        Sample(((2, 3, 6), None, None, None), _with(0.0, heads=2, causal=True)),
        Sample(((2, 3, 6), None, None, None), _with(p=-0.5), error=OptionError),
        Sample(((2, 5, 6), (2, 7, 5), (2, 7, 6), None), _with(), error=ShapeError),
        Sample(((2, 5, 6), (2, 7, 6), (2, 6, 6), None), _with(), error=ShapeError),
        Sample(((2, 5, 6), (1, 7, 6), (1, 7, 6), None), _with(), error=ShapeError),
        Sample(((2, 5, 6), (2, 7, 6), (2, 7, 6), None), _with(heads=4), error=ShapeError),
        Sample(((2, 5, 6), (2, 7, 6), None, None), _with(), error=ShapeError),
        Sample(((2, 5, 6), None, None, None), _with(heads=4), error=ShapeError),
        Sample(((5, 6), (7, 6), (7, 6), None), _with(), error=ShapeError),
        Sample(((2, 3, 5, 6), (2, 4, 7, 6), (2, 4, 7, 6), None), _with(), error=ShapeError),
        Sample(((2, 5, 6), (2, 7, 6), (2, 7, 6), (2, 1, 7, 5)), _with(), error=ShapeError),
        Sample(((2, 5, 6), (2, 7, 6), (2, 7, 6), (5, 7)), _with(), error=ShapeError),
    ],
    examples=[
        # Scores 0 and log 3: shares 1/4 and 3/4.
        Example(([[[2.0]]], [[[0.0], [math.log(3.0)]]], [[[1.0, 0.0], [5.0, 4.0]]], None), [[[4.0, 3.0]]], _with(0.5)),
        Example(([[[1.0, 0.0, 5.0], [2.0, 0.0, 7.0]]], None, None, None), [[[5.0], [6.0]]], _with(causal=True)),
    ],
)
